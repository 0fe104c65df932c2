"""Databases of a test's own, filled from fixtures that have no loop."""

import asyncio
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tests.harness.waiting import until

from staunch_features.postgres.connection import connect, opened
from staunch_local.postgres.cluster import SUPERUSER
from staunch_local.postgres.server import EmbeddedPostgres

FORGETFUL = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "autovacuum": "off"}
"""Settings of a PostgreSQL that is fast and durable for nobody, and does nothing that no test asked for."""


@dataclass(frozen=True)
class TestDatabase:
    """A database of a test's own."""

    __test__ = False

    name: str
    owner_url: str
    reader_url: str


class DatabaseFactory(Protocol):
    """Makes databases that live until the session ends."""

    def __call__(self, template: str | None = None, encoding: str = "UTF8") -> TestDatabase:
        """Returns a copy of a template, "template1" for an empty one; by default a migrated one.

        Only an empty "template0" can have another encoding than UTF8.
        """


@contextmanager
def own_folder(name: str) -> Iterator[Path]:
    """Makes a folder that PostgreSQL's own user can reach, for the block."""
    folder = Path(tempfile.mkdtemp(prefix=f"staunch-{name}-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextmanager
def own_postgres(name: str, **settings: str) -> Iterator[EmbeddedPostgres]:
    """Runs a PostgreSQL of its own for the block."""
    with own_folder(name) as folder:
        server = EmbeddedPostgres(folder, settings=FORGETFUL | settings)
        server.start()
        try:
            yield server
        finally:
            if server.pid is not None:
                os.kill(server.pid, signal.SIGQUIT)  # at once: nothing needs to be written that goes anyway
            server.stop()


async def count_connections(server: EmbeddedPostgres, condition: str = "true") -> int:
    """Returns how many client connections a server has beside the one that counts."""
    sql = (
        "SELECT count(*) FROM pg_stat_activity"
        f" WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND {condition}"
    )
    async with opened(server.url_for("postgres", SUPERUSER)) as watcher:
        return int(await watcher.fetchval(sql))


async def until_connections(
    server: EmbeddedPostgres, expected: int, condition: str = "true", patience_s: float = 5
) -> None:
    """Waits until a server has so many connections beside the one that counts."""
    counted: list[int] = []

    async def reached() -> bool:
        counted.append(await count_connections(server, condition))
        return counted[-1] == expected

    try:
        await until(reached, patience_s)
    except TimeoutError:
        raise AssertionError(f"expected {expected} connections, there are {counted}") from None


def execute(url: str, sql: str) -> None:
    """Runs SQL to its end, whether or not a loop runs here."""

    async def run() -> None:
        connection = await connect(url)
        await connection.execute(sql)
        await connection.close()

    in_own_loop(run())


def in_own_loop(work: Coroutine[Any, Any, None]) -> None:
    """Runs a coroutine to its end in a thread and a loop of its own, whether or not one runs here."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            asyncio.run(work)
        except BaseException as failure:
            failures.append(failure)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    for failure in failures:
        raise failure
