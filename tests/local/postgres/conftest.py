"""PostgreSQL servers in folders of their own, and a folder that was initialised once for many tests."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.harness.databases import own_folder

from staunch_local.postgres.server import EmbeddedPostgres

QUICK = {"fsync": "off", "shared_buffers": "16MB"}


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty folder, closed to others as a home is."""
    folder = Path(tempfile.mkdtemp(prefix="staunch-embedded-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)  # an interrupted initdb may still be tidying up in it


@pytest.fixture(scope="module")
def _used() -> Iterator[Path]:
    with own_folder("used") as folder:
        yield folder


@pytest.fixture
def used(_used: Path) -> Path:
    """A folder that others have been in, open to all: initialising one for each test would take long."""
    _used.chmod(0o755)
    return _used


@pytest.fixture
def embedded() -> Iterator[Callable[..., EmbeddedPostgres]]:
    """Makes servers in a folder and stops them all."""
    made: list[EmbeddedPostgres] = []

    def make(folder: Path, **arguments) -> EmbeddedPostgres:
        made.append(EmbeddedPostgres(folder / "postgres", settings=QUICK, **arguments))
        return made[-1]

    yield make
    for server in made:
        server.stop()
