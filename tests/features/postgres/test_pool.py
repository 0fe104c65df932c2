"""The pool, with a real server that is stopped, frozen, restarted and absent."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator

import asyncpg
import pytest
from tests.harness.databases import count_connections, until_connections
from tests.harness.processes import family, frozen

from staunch_features.errors import DatabaseUnavailable
from staunch_features.postgres import pool as database_module
from staunch_features.postgres.connection import connect
from staunch_features.postgres.pool import Database
from staunch_local.postgres.cluster import SUPERUSER
from staunch_local.postgres.server import EmbeddedPostgres


@pytest.fixture
async def pool(server: EmbeddedPostgres) -> AsyncIterator[Database]:
    """A pool of three connections."""
    pool = Database(server.reader_url, size=3)
    yield pool
    await pool.close()


async def _answer(pool: Database, timeout_s: float = 5) -> int:
    async with pool.connection(timeout_s) as connection:
        return await connection.fetchval("SELECT 42", timeout=timeout_s)


async def _backend(pool: Database) -> int:
    async with pool.connection(5) as connection:
        return await connection.fetchval("SELECT pg_backend_pid()")


# The pool -----------------------------------------------------------------------------------------


async def test_an_owner_may_write_and_a_read_only_pool_may_not(server):
    owner = await connect(server.owner_url)
    await owner.execute("CREATE TEMPORARY TABLE scratch ()")
    await owner.close()
    pool = Database(server.owner_url, size=1)
    async with pool.connection(5) as connection:
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await connection.execute("CREATE TABLE public.scratch ()")
    await pool.close()


async def test_nothing_connects_before_it_is_asked(server, pool):
    assert (pool.in_use, pool.size) == (0, 3)
    assert await count_connections(server) == 0


async def test_connections_are_reused_and_bounded(server, pool):
    backends = {await _backend(pool) for _ in range(5)}
    assert len(backends) == 1
    await asyncio.gather(*(_answer(pool) for _ in range(30)))
    assert await count_connections(server) <= 3


async def test_a_busy_pool_says_so_in_time(pool):
    async with pool.connection(5), pool.connection(5), pool.connection(5):
        assert pool.in_use == 3
        started = time.monotonic()
        with pytest.raises(DatabaseUnavailable, match=r"all 3 connections .* were busy"):
            await _answer(pool, 0.1)
        assert time.monotonic() - started < 2
    assert pool.in_use == 0


async def test_who_gives_up_waiting_takes_no_slot_along(pool):
    async with pool.connection(5), pool.connection(5), pool.connection(5):
        waiting = [asyncio.create_task(_answer(pool)) for _ in range(5)]
        await asyncio.sleep(0.05)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    async with pool.connection(1), pool.connection(1), pool.connection(1):
        assert pool.in_use == 3


async def test_no_pooled_connection_ever_sets_or_resets(server, pool):
    log = server.folder / "log"
    before = log.stat().st_size
    for _ in range(3):
        await _answer(pool)
    with pytest.raises(asyncpg.DivisionByZeroError):
        async with pool.connection(5) as connection:
            await connection.fetchval("SELECT 1 / 0")
    await _answer(pool)
    statements = [
        line for line in log.read_text()[before:].splitlines() if "statement:" in line or "execute" in line
    ]
    assert len(statements) == 4  # dividing by zero fails while planning
    assert all("SELECT 42" in line for line in statements)


async def test_an_error_in_sql_keeps_the_connection(pool):
    backend = await _backend(pool)
    with pytest.raises(asyncpg.UndefinedTableError):
        async with pool.connection(5) as connection:
            await connection.fetch("SELECT * FROM nothing_of_this_name")
    assert await _backend(pool) == backend


async def test_an_open_transaction_is_not_handed_on(server, pool):
    backend = await _backend(pool)
    async with pool.connection(5) as connection:
        await connection.execute("BEGIN")
    assert await _backend(pool) != backend
    await until_connections(server, 1)


async def test_cancelling_a_task_cancels_its_query_and_keeps_the_connection(server, pool):
    backend = await _backend(pool)

    async def sleep() -> None:
        async with pool.connection(5) as connection:
            await connection.execute("SELECT pg_sleep(30)")

    task = asyncio.create_task(sleep())
    await until_connections(server, 1, "state = 'active'")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until_connections(server, 0, "state = 'active'", patience_s=1)
    assert await _backend(pool) == backend


async def test_a_query_over_its_time_is_a_timeout_and_is_cancelled(server, pool):
    with pytest.raises(TimeoutError):
        async with pool.connection(5) as connection:
            await connection.fetch("SELECT pg_sleep(30)", timeout=0.1)
    await until_connections(server, 0, "state = 'active'", patience_s=1)
    assert await _answer(pool) == 42


async def test_closing_leaves_no_connection(server, pool):
    await asyncio.gather(*(_answer(pool) for _ in range(3)))
    async with pool.connection(5) as lent:
        await pool.close()
        assert await lent.fetchval("SELECT 42") == 42
    await pool.close()
    await until_connections(server, 0)


# Outages ------------------------------------------------------------------------------------------


async def test_a_pool_starts_without_a_database_and_finds_it_later(server, pool):
    server.stop()
    with pytest.raises(DatabaseUnavailable):
        await _answer(pool)
    server.start()
    assert await _answer(pool) == 42


async def test_a_stopped_database_is_unavailable_at_once_and_recovers(server, pool):
    await asyncio.gather(*(_answer(pool) for _ in range(3)))
    server.stop()
    for _ in range(10):
        started = time.monotonic()
        with pytest.raises(DatabaseUnavailable):
            await _answer(pool)
        assert time.monotonic() - started < 2
    server.start()
    await asyncio.gather(*(_answer(pool) for _ in range(10)))
    assert pool.in_use == 0


async def test_a_restart_between_two_queries_is_not_noticed(server, pool):
    await asyncio.gather(*(_answer(pool) for _ in range(3)))
    server.stop()
    server.start()
    await asyncio.sleep(0.01)  # the closed sockets are read once
    assert await _answer(pool) == 42


async def test_under_load_a_restart_gives_nothing_but_unavailability(server, pool):
    async def ask(failures: set[type]) -> None:
        for _ in range(150):
            try:
                assert await _answer(pool) == 42
            except Exception as failure:
                failures.add(type(failure))
            await asyncio.sleep(0.001)

    failures: set[type] = set()
    asking = [asyncio.create_task(ask(failures)) for _ in range(8)]
    await asyncio.sleep(0.05)
    await asyncio.to_thread(server.stop)
    server.start()
    await asyncio.gather(*asking)
    assert failures == {DatabaseUnavailable}
    assert await _answer(pool) == 42
    assert await count_connections(server) <= 3


async def test_a_database_that_dies_during_a_query_is_unavailable(server, pool):
    async def sleep() -> None:
        async with pool.connection(5) as connection:
            await connection.execute("SELECT pg_sleep(30)")

    task = asyncio.create_task(sleep())
    await until_connections(server, 1, "state = 'active'")
    watcher = await connect(server.url_for("postgres", SUPERUSER))
    await watcher.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(30)'"
        " AND pid <> pg_backend_pid()"
    )
    await watcher.close()
    with pytest.raises(DatabaseUnavailable, match="went away"):
        await task
    assert await _answer(pool) == 42


async def test_a_killed_database_is_unavailable_and_recovers(server, pool):
    assert await _answer(pool) == 42
    for pid in family(server.pid):
        os.kill(pid, signal.SIGKILL)
    with pytest.raises(DatabaseUnavailable):
        await _answer(pool)
    server.stop()
    server.start()
    assert await _answer(pool) == 42


async def test_no_call_waits_for_a_frozen_database_longer_than_its_timeout(server, pool):
    await asyncio.gather(*(_answer(pool) for _ in range(2)))
    with frozen(server.pid):
        for _ in range(3):
            started = time.monotonic()
            results = await asyncio.gather(*(_answer(pool, 0.3) for _ in range(8)), return_exceptions=True)
            assert time.monotonic() - started < 2
            assert all(isinstance(result, (DatabaseUnavailable, TimeoutError)) for result in results)
    assert await _answer(pool) == 42


async def test_the_end_of_a_transaction_waits_for_no_frozen_database(server, pool, monkeypatch):
    monkeypatch.setattr(database_module, "_UNSAID_S", 0.5)
    async with pool.connection(5) as connection:
        transaction = connection.transaction()
        await transaction.start()
        with frozen(server.pid):
            with pytest.raises(TimeoutError):
                await connection.fetchval("SELECT 42", timeout=0.2)
            started = time.monotonic()
            with pytest.raises((TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)):
                async with asyncio.timeout(10):
                    await transaction.rollback()
            assert time.monotonic() - started < 5
    assert await _answer(pool) == 42


async def test_a_frozen_database_is_left_with_no_connection_and_recovers_by_itself(server, pool):
    await asyncio.gather(*(_answer(pool) for _ in range(3)))
    with frozen(server.pid):
        for _ in range(5):
            await asyncio.gather(*(_answer(pool, 0.2) for _ in range(8)), return_exceptions=True)
    await asyncio.gather(*(_answer(pool) for _ in range(10)))
    assert pool.in_use == 0
    assert await count_connections(server) <= 3
    await pool.close()
    await until_connections(server, 0)


async def test_only_the_postmaster_frozen_stops_new_connections_alone(server, pool):
    assert await _answer(pool) == 42
    with frozen(server.pid, alone=True):
        assert await _answer(pool, 1) == 42
        async with pool.connection(1):
            with pytest.raises(DatabaseUnavailable, match="did not answer within"):
                await _answer(pool, 0.2)
    assert await _answer(pool) == 42
