"""A PostgreSQL of the tests' own, to be stopped, frozen and killed."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.harness.databases import own_folder

from staunch_local.postgres.server import EmbeddedPostgres


@pytest.fixture(scope="module")
def _folder() -> Iterator[Path]:
    with own_folder("outage") as folder:
        yield folder


@pytest.fixture
def server(_folder: Path) -> Iterator[EmbeddedPostgres]:
    """A server of this test's own, so that it may be hurt; its data outlives the test."""
    server = EmbeddedPostgres(_folder, settings={"fsync": "off", "log_statement": "all"})
    server.start()
    yield server
    server.stop()
