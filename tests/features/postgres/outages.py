"""Freezes a PostgreSQL and counts its connections."""

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from staunch_features.postgres.connection import connect
from staunch_local.postgres.cluster import SUPERUSER
from staunch_local.postgres.server import EmbeddedPostgres


def processes(server: EmbeddedPostgres) -> list[int]:
    """The process ids of the server and its children."""
    assert server.pid is not None
    pids = [server.pid]
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):
            if int(stat.read_text().rpartition(")")[2].split()[1]) == server.pid:
                pids.append(int(stat.parent.name))
    return pids


@contextmanager
def frozen(server: EmbeddedPostgres) -> Iterator[None]:
    """Stops every process of the server by SIGSTOP, as a machine that hangs does, while the block runs."""
    pids = processes(server)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


async def count_connections(server: EmbeddedPostgres, condition: str = "true") -> int:
    """How many client connections the server has beside the one that counts."""
    watcher = await connect(server.url_for("postgres", SUPERUSER))
    count = await watcher.fetchval(
        "SELECT count(*) FROM pg_stat_activity"
        f" WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND {condition}"
    )
    await watcher.close()
    return int(count)


async def until_connections(
    server: EmbeddedPostgres, expected: int, condition: str = "true", patience_s: float = 5
) -> None:
    """Waits until the server has so many connections beside the one that counts."""
    give_up_at = time.monotonic() + patience_s
    while (count := await count_connections(server, condition)) != expected:
        assert time.monotonic() < give_up_at, f"expected {expected} connections, there are {count}"
        await asyncio.sleep(0.05)
