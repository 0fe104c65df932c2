"""What every room's tests share: a real PostgreSQL, and a migrated database of their own."""

import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

os.environ.setdefault("OMP_NUM_THREADS", "1")  # two threads on a busy two-core box are 48x slower than one
# shap imports matplotlib, which remembers fonts, and so does the fontconfig that it asks: in the tree, as the
# command does, and not in a home.
os.environ["XDG_CACHE_HOME"] = str(Path(__file__).parents[1] / ".staunch" / "caches")
os.environ["MPLCONFIGDIR"] = os.environ["XDG_CACHE_HOME"] + "/matplotlib"

from tests.harness.databases import DatabaseFactory, TestDatabase, execute, in_own_loop, own_postgres

from staunch_features.postgres.connection import connect
from staunch_features.postgres.migrations import migrate
from staunch_local.postgres.cluster import OWNER, READER, SUPERUSER
from staunch_local.postgres.server import EmbeddedPostgres

# With asserts rewritten, a file takes longer to compile than to import: kept beside it even where the
# environment asks Python for no such files, as images of containers do.
sys.dont_write_bytecode = False

# Derandomised, so that a red test is red again; STAUNCH_HYPOTHESIS=deep looks further.
_COMMON: dict[str, Any] = {
    "deadline": None,
    "database": None,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
}
settings.register_profile("staunch", derandomize=True, max_examples=25, **_COMMON)
settings.register_profile("deep", max_examples=1000, **_COMMON)
settings.load_profile("deep" if os.environ.get("STAUNCH_HYPOTHESIS") == "deep" else "staunch")

_TEMPLATE = "staunch_template"
_TOGETHER = ("tests/architecture/", "tests/local/simulation/rows/", "tests/local/simulation/life/")
"""Folders whose files go to one worker, since what they share takes long to make: parsed modules, a world."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Gives each worker whole files, as `--dist loadfile` does, and some folders as one file."""
    from xdist.scheduler import LoadFileScheduling

    if config.getoption("dist") != "loadfile":
        return None
    scheduling = LoadFileScheduling(config, log)
    by_file = scheduling._split_scope
    scheduling._split_scope = lambda test: next(
        (folder for folder in _TOGETHER if test.startswith(folder)), by_file(test)
    )
    return scheduling


def pytest_collection_finish() -> None:
    """Keeps what collecting made, a million objects, out of every later search for garbage."""
    gc.freeze()


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """One server for each test process, durable for nobody: fsync is off."""
    with own_postgres("postgres", shared_buffers="64MB") as server:
        yield server


@pytest.fixture(scope="session")
def _template(postgres: EmbeddedPostgres) -> str:
    _create(postgres, _TEMPLATE, "template1")
    in_own_loop(_migrate(postgres.url_for(_TEMPLATE, OWNER)))
    return _TEMPLATE


@pytest.fixture(scope="session")
def database_factory(postgres: EmbeddedPostgres, _template: str) -> DatabaseFactory:
    """Makes databases: `database_factory()` is migrated, `database_factory(template=other.name)` a copy.

    They live as long as the server, until the session ends; `template="template1"` gives an empty one, and
    "template0" one that may have an encoding of its own.
    """
    made: list[str] = []

    def make(template: str | None = None, encoding: str = "UTF8") -> TestDatabase:
        name = f"test_{len(made)}"
        made.append(name)
        _create(postgres, name, template or _template, encoding)
        return TestDatabase(name, postgres.url_for(name, OWNER), postgres.url_for(name, READER))

    return make


@pytest.fixture
def database(postgres: EmbeddedPostgres, database_factory: DatabaseFactory) -> Iterator[TestDatabase]:
    """A migrated, empty database that is dropped after the test."""
    made = database_factory()
    yield made
    _administer(postgres, f"DROP DATABASE {made.name} WITH (FORCE)")


def _create(postgres: EmbeddedPostgres, name: str, template: str, encoding: str = "UTF8") -> None:
    # Copied as files, for a quarter of what copying block by block through the log costs.
    _administer(
        postgres,
        f"CREATE DATABASE {name} OWNER {OWNER} TEMPLATE {template} ENCODING '{encoding}' STRATEGY file_copy",
    )
    _administer(postgres, f"REVOKE TEMPORARY ON DATABASE {name} FROM PUBLIC")


def _administer(postgres: EmbeddedPostgres, statement: str) -> None:
    execute(postgres.url_for("postgres", SUPERUSER), statement)


async def _migrate(url: str) -> None:
    connection = await connect(url)
    await migrate(connection)
    await connection.close()
