"""Outages of the database leave nothing behind; what callers hear is in live/test_outages.py."""

import asyncio
import contextlib
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import grpc
import pytest

from staunch.v1 import prediction_service_pb2 as pb
from staunch_local.postgres.cluster import READER, SUPERUSER
from staunch_local.postgres.server import DATABASE, EmbeddedPostgres


@dataclass
class Outages:
    """A PostgreSQL of this file's own, to be mistreated."""

    postgres: EmbeddedPostgres

    @property
    def reader_url(self) -> str:
        return self.postgres.reader_url

    def signal(self, number: signal.Signals) -> None:
        """Signals the server and each of its children, since they have process groups of their own."""
        parent = self.postgres.pid
        assert parent is not None
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        for pid in [parent, *map(int, children)]:
            with contextlib.suppress(ProcessLookupError):  # a child that ends meanwhile
                os.kill(pid, number)

    async def ask(self, sql: str) -> Any:
        connection = await asyncpg.connect(self.postgres.url_for(DATABASE, SUPERUSER))
        try:
            return await connection.fetchval(sql)
        finally:
            await connection.close()

    async def readers(self, condition: str = "true") -> int:
        """How many connections of the reader the database has."""
        sql = f"SELECT count(*) FROM pg_stat_activity WHERE usename = '{READER}' AND {condition}"
        return int(await self.ask(sql))

    async def all_idle(self) -> bool:
        """Whether no connection of the reader runs a query."""
        return not await self.readers("state <> 'idle'")


@pytest.fixture(scope="module")
def own_postgres(clients_sql: str) -> Iterator[EmbeddedPostgres]:
    folder = Path(tempfile.mkdtemp(prefix="staunch-outages-"))
    folder.chmod(0o755)
    server = EmbeddedPostgres(folder, settings={"fsync": "off", "shared_buffers": "32MB"})
    server.start()

    async def fill() -> None:
        connection = await asyncpg.connect(server.owner_url)
        await connection.execute(clients_sql)
        await connection.close()

    asyncio.run(fill())
    yield server
    server.stop()
    shutil.rmtree(folder)


@pytest.fixture
def outages(own_postgres: EmbeddedPostgres) -> Iterator[Outages]:
    """Gives the database running, and leaves it running, whatever a test has done."""
    made = Outages(own_postgres)
    yield made
    if own_postgres.running:
        made.signal(signal.SIGCONT)
    else:
        own_postgres.start()


async def predict(running: Any, customer_id: int = 3, timeout_s: float = 2.0) -> str:
    """Gives "OK", or the reason of the error, which came before the caller's deadline."""
    started = time.monotonic()
    call = running.predictions.Predict(pb.PredictRequest(customer_id=customer_id), timeout=timeout_s)
    if await call.code() is grpc.StatusCode.OK:
        return "OK"
    assert time.monotonic() - started < timeout_s
    error = await running.failure(call)
    assert error.code is grpc.StatusCode.UNAVAILABLE, error
    return str(error.reason)


@pytest.fixture
def recovered(until: Any) -> Callable[[Any], Awaitable[None]]:
    """Waits until the server answers again, by itself."""

    async def wait(running: Any) -> None:
        async def answers() -> bool:
            return await predict(running) == "OK"

        await until(answers)

    return wait


async def test_a_database_that_is_frozen_at_the_start_is_found_later(
    serve: Any, outages: Any, recovered: Any
) -> None:
    outages.signal(signal.SIGSTOP)
    running = await serve(database_reader_url=outages.reader_url, store_poll_s=0.1)
    assert await predict(running, timeout_s=0.5) in {"DATABASE_UNAVAILABLE", "MODEL_NOT_READY"}
    outages.signal(signal.SIGCONT)
    await recovered(running)


async def test_no_connection_is_left_over_after_a_freeze(
    serve: Any, outages: Any, recovered: Any, until: Any
) -> None:
    running = await serve(database_reader_url=outages.reader_url)
    assert await predict(running) == "OK"
    outages.signal(signal.SIGSTOP)
    for _ in range(8):
        assert await predict(running, timeout_s=0.3) == "DATABASE_UNAVAILABLE"
    outages.signal(signal.SIGCONT)
    await recovered(running)

    async def only_idle_ones() -> bool:
        return await outages.readers() <= 4 and await outages.all_idle()

    await until(only_idle_ones)


async def test_a_restart_under_load_gives_only_answers_and_unavailable(
    serve: Any, outages: Any, recovered: Any
) -> None:
    running = await serve(database_reader_url=outages.reader_url)
    stop = asyncio.Event()

    async def call_on(customer_id: int) -> set[str]:
        heard = set()
        while not stop.is_set():
            heard.add(await predict(running, customer_id))
            await asyncio.sleep(0.005)
        return heard

    callers = [asyncio.ensure_future(call_on(number)) for number in (1, 2, 3, 4)]
    await asyncio.sleep(0.2)
    await asyncio.to_thread(outages.postgres.stop)
    await asyncio.sleep(0.2)
    outages.postgres.start()
    await recovered(running)
    stop.set()
    assert set.union(*await asyncio.gather(*callers)) == {"OK", "DATABASE_UNAVAILABLE"}


async def test_a_server_that_stopped_leaves_no_connection(serve: Any, outages: Any, until: Any) -> None:
    running = await serve(database_reader_url=outages.reader_url)
    assert await predict(running) == "OK"
    await running.stop()

    async def none_left() -> bool:
        return not await outages.readers()

    await until(none_left)
