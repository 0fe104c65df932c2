"""The pool, with a real server that is stopped, frozen, restarted and absent."""

import asyncio
import os
import random
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import asyncpg
import pytest
from tests.harness.clock import Clock
from tests.harness.databases import count_connections, until_connections
from tests.harness.processes import family, frozen
from tests.harness.waiting import until

from staunch_features.errors import DatabaseUnavailable
from staunch_features.postgres.connection import SETTLE_S, Connection, connect
from staunch_features.postgres.deadlines import Deadline
from staunch_features.postgres.pool import MAX_AGE_S, Database
from staunch_local.postgres.cluster import SUPERUSER
from staunch_local.postgres.server import EmbeddedPostgres


@pytest.fixture
async def pool(server: EmbeddedPostgres) -> AsyncIterator[Database]:
    """A pool of three connections."""
    pool = Database(server.reader_url, size=3)
    yield pool
    await pool.close()


async def _answer(pool: Database, timeout_s: float = 5) -> int:
    async with pool.connection(Deadline.after(timeout_s)) as connection:
        return await connection.fetchval("SELECT 42", timeout=timeout_s)


async def _backend(pool: Database) -> int:
    async with pool.connection(Deadline.after(5)) as connection:
        return await connection.fetchval("SELECT pg_backend_pid()")


# The pool -----------------------------------------------------------------------------------------


async def test_an_owner_may_write_and_a_read_only_pool_may_not(server: EmbeddedPostgres) -> None:
    owner = await connect(server.owner_url)
    await owner.execute("CREATE TEMPORARY TABLE scratch ()")
    await owner.close()
    pool = Database(server.owner_url, size=1)
    async with pool.connection(Deadline.after(5)) as connection:
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await connection.execute("CREATE TABLE public.scratch ()")
    await pool.close()


async def test_each_wait_for_a_connection_is_told_also_one_in_vain(pool: Database) -> None:
    waits: list[float] = []
    pool.on_wait = waits.append
    async with AsyncExitStack() as stack:
        for _ in range(3):
            await stack.enter_async_context(pool.connection(Deadline.after(5)))
        assert len(waits) == 3
        with pytest.raises(DatabaseUnavailable, match="busy"):
            await _answer(pool, 0.1)
        assert 0.1 <= waits[3] < 3
        waiting = asyncio.create_task(_answer(pool))
        await asyncio.sleep(0.1)
    await waiting
    assert 0.1 <= waits[4] < 3
    await _answer(pool)
    assert len(waits) == 6
    assert waits[5] < 0.1  # one is idle


async def test_warming_uses_each_connection_once_and_keeps_all(
    pool: Database, server: EmbeddedPostgres
) -> None:
    used: list[int] = []

    async def use(connection: Connection) -> None:
        used.append(await connection.fetchval("SELECT pg_backend_pid()"))

    await pool.warm(use, Deadline.after(5))
    assert len(set(used)) == 3
    assert await _backend(pool) in used
    await pool.warm(use, Deadline.after(5))
    assert sorted(used[3:]) == sorted(used[:3])
    assert await count_connections(server, "usename = 'staunch_reader'") == 3


async def test_warming_takes_no_longer_than_it_may_and_leaves_the_pool_usable(pool: Database) -> None:
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        await pool.warm(lambda connection: connection.execute("SELECT pg_sleep(10)"), Deadline.after(0.3))
    assert time.monotonic() - began < 2
    assert await _answer(pool) == 42


async def test_what_goes_wrong_while_warming_is_raised_as_it_is(pool: Database) -> None:
    with pytest.raises(asyncpg.UndefinedTableError):
        await pool.warm(lambda connection: connection.execute("TABLE nothing"), Deadline.after(5))
    nowhere = Database("postgresql://reader@127.0.0.1:1/nothing", size=3)
    with pytest.raises(DatabaseUnavailable):
        await nowhere.warm(lambda connection: connection.execute("SELECT 1"), Deadline.after(5))
    assert await _answer(pool) == 42


async def test_it_says_whether_the_database_answers(pool: Database) -> None:
    assert await pool.answers(Deadline.after(5))
    nowhere = Database("postgresql://reader@127.0.0.1:1/nothing", size=1)
    assert not await nowhere.answers(Deadline.after(5))
    assert not await pool.answers(Deadline.after(0))


async def test_nothing_connects_before_it_is_asked(server: EmbeddedPostgres, pool: Database) -> None:
    assert (pool.in_use, pool.size) == (0, 3)
    assert await count_connections(server) == 0


async def test_connections_are_reused_and_bounded(server: EmbeddedPostgres, pool: Database) -> None:
    backends = {await _backend(pool) for _ in range(5)}
    assert len(backends) == 1
    await asyncio.gather(*(_answer(pool) for _ in range(30)))
    assert await count_connections(server) <= 3


async def test_a_busy_pool_says_so_in_time(pool: Database) -> None:
    async with (
        pool.connection(Deadline.after(5)),
        pool.connection(Deadline.after(5)),
        pool.connection(Deadline.after(5)),
    ):
        assert pool.in_use == 3
        started = time.monotonic()
        with pytest.raises(DatabaseUnavailable, match=r"all 3 connections .* were busy"):
            await _answer(pool, 0.1)
        assert time.monotonic() - started < 2
    assert pool.in_use == 0


async def test_nothing_is_lent_to_whom_has_no_time_left(server: EmbeddedPostgres, pool: Database) -> None:
    over = Deadline(time.monotonic() - 1)
    for connections in (0, 1):  # neither a new one nor an idle one
        with pytest.raises(TimeoutError, match="over before"):
            async with pool.connection(over):
                pytest.fail("lent")
        assert (pool.in_use, await count_connections(server)) == (0, connections)
        assert await _answer(pool) == 42


async def test_who_gives_up_waiting_takes_no_slot_along(pool: Database) -> None:
    async with (
        pool.connection(Deadline.after(5)),
        pool.connection(Deadline.after(5)),
        pool.connection(Deadline.after(5)),
    ):
        waiting = [asyncio.create_task(_answer(pool)) for _ in range(5)]
        await asyncio.sleep(0)  # each comes as far as it can: there is no connection for it
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    async with (
        pool.connection(Deadline.after(1)),
        pool.connection(Deadline.after(1)),
        pool.connection(Deadline.after(1)),
    ):
        assert pool.in_use == 3


async def test_no_pooled_connection_ever_sets_or_resets(server: EmbeddedPostgres, pool: Database) -> None:
    log = server.folder / "log"
    before = log.stat().st_size
    for _ in range(3):
        await _answer(pool)
    with pytest.raises(asyncpg.DivisionByZeroError):
        async with pool.connection(Deadline.after(5)) as connection:
            await connection.fetchval("SELECT 1 / 0")
    await _answer(pool)
    statements = [
        line for line in log.read_text()[before:].splitlines() if "statement:" in line or "execute" in line
    ]
    assert len(statements) == 4  # dividing by zero fails while planning
    assert all("SELECT 42" in line for line in statements)


async def test_an_error_in_sql_keeps_the_connection(pool: Database) -> None:
    backend = await _backend(pool)
    with pytest.raises(asyncpg.UndefinedTableError):
        async with pool.connection(Deadline.after(5)) as connection:
            await connection.fetch("SELECT * FROM nothing_of_this_name")
    assert await _backend(pool) == backend


async def test_an_open_transaction_is_not_handed_on(server: EmbeddedPostgres, pool: Database) -> None:
    backend = await _backend(pool)
    async with pool.connection(Deadline.after(5)) as connection:
        await connection.execute("BEGIN")
    assert await _backend(pool) != backend
    await until_connections(server, 1)


async def test_cancelling_a_task_cancels_its_query_and_keeps_the_connection(
    server: EmbeddedPostgres, pool: Database
) -> None:
    backend = await _backend(pool)

    async def sleep() -> None:
        async with pool.connection(Deadline.after(5)) as connection:
            await connection.execute("SELECT pg_sleep(30)")

    task = asyncio.create_task(sleep())
    await until_connections(server, 1, "state = 'active'")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until_connections(server, 0, "state = 'active'", patience_s=1)
    await until(lambda: not pool._settling)  # until we have heard, too, that the query is cancelled
    assert await _backend(pool) == backend


async def test_a_query_over_its_time_is_a_timeout_and_is_cancelled(
    server: EmbeddedPostgres, pool: Database
) -> None:
    with pytest.raises(TimeoutError):
        async with pool.connection(Deadline.after(5)) as connection:
            await connection.fetch("SELECT pg_sleep(30)", timeout=0.1)
    await until_connections(server, 0, "state = 'active'", patience_s=1)
    assert await _answer(pool) == 42


async def test_closing_leaves_no_connection(server: EmbeddedPostgres, pool: Database) -> None:
    await asyncio.gather(*(_answer(pool) for _ in range(3)))
    async with pool.connection(Deadline.after(5)) as lent:
        await pool.close()
        assert await lent.fetchval("SELECT 42") == 42
    await pool.close()
    await until_connections(server, 0)


async def test_a_connection_that_is_given_up_does_not_outlive_its_pool(
    server: EmbeddedPostgres, pool: Database
) -> None:
    with pytest.raises(TimeoutError):
        async with pool.connection(Deadline.after(5)) as connection:
            await connection.fetch("SELECT pg_sleep(30)", timeout=0.1)
    await pool.close()
    await until_connections(server, 0)


# Ages ---------------------------------------------------------------------------------------------


@pytest.fixture
def clock() -> Clock:
    """A clock that stands at 0."""
    return Clock()


@pytest.fixture
async def ageing(server: EmbeddedPostgres, clock: Clock) -> AsyncIterator[Database]:
    """A pool of eight connections that get as old as they get by default, by the clock."""
    pool = Database(server.reader_url, size=8, clock=clock)
    yield pool
    await pool.close()


async def _backends(pool: Database) -> list[int]:
    """The processes that serve all connections of a pool, lent at once and given back in this order."""
    async with AsyncExitStack() as stack:
        lent = [await stack.enter_async_context(pool.connection(Deadline.after(5))) for _ in range(pool.size)]
        pids = [await each.fetchval("SELECT pg_backend_pid()") for each in lent]
    return pids[::-1]


async def test_an_old_connection_works_on_while_lent_and_is_replaced_when_given_back(
    server: EmbeddedPostgres, clock: Clock, ageing: Database
) -> None:
    async with ageing.connection(Deadline.after(5)) as connection:
        old = await connection.fetchval("SELECT pg_backend_pid()")
        clock.now_s = 10 * MAX_AGE_S
        assert await connection.fetchval("SELECT 42") == 42
    await until_connections(server, 1, f"pid <> {old}")  # before anybody asks for it
    await until_connections(server, 1)
    assert await _backend(ageing) != old
    assert await count_connections(server) == 1


async def test_an_idle_connection_that_is_old_is_not_lent(
    server: EmbeddedPostgres, clock: Clock, ageing: Database
) -> None:
    old = await _backend(ageing)
    clock.now_s = MAX_AGE_S
    assert await _backend(ageing) != old
    await until_connections(server, 1)


async def test_connections_of_one_moment_do_not_get_old_in_one_moment(clock: Clock, ageing: Database) -> None:
    random.seed(8)
    first = set(await _backends(ageing))
    clock.now_s = 0.749 * MAX_AGE_S
    assert set(await _backends(ageing)) == first
    clock.now_s = 0.875 * MAX_AGE_S
    assert 1 < len(first.intersection(await _backends(ageing))) < 7
    clock.now_s = MAX_AGE_S
    assert first.isdisjoint(await _backends(ageing))


def test_half_an_hour_is_the_oldest_that_a_connection_gets() -> None:
    assert MAX_AGE_S == 30 * 60


async def _one_old_one_young(pool: Database, clock: Clock, *, old_first: bool) -> tuple[int, int]:
    """Gives two connections back, of which only one is old when it is 1,000 s; returns their processes."""
    async with AsyncExitStack() as last, AsyncExitStack() as first:
        clock.now_s = 0
        old = await (first if old_first else last).enter_async_context(pool.connection(Deadline.after(5)))
        clock.now_s = 700
        young = await (last if old_first else first).enter_async_context(pool.connection(Deadline.after(5)))
        pids = [await each.fetchval("SELECT pg_backend_pid()") for each in (old, young)]
    clock.now_s = 1000
    return pids[0], pids[1]


async def test_a_young_idle_connection_is_lent_before_a_new_one_is_opened(
    server: EmbeddedPostgres, clock: Clock
) -> None:
    pool = Database(server.reader_url, size=2, max_age_s=1000, clock=clock)
    _, young = await _one_old_one_young(pool, clock, old_first=False)
    assert await _backend(pool) == young
    await until_connections(server, 1)
    await pool.close()


async def test_an_old_connection_that_nobody_asks_for_is_cut_as_others_are_given_back(
    server: EmbeddedPostgres, clock: Clock
) -> None:
    pool = Database(server.reader_url, size=2, max_age_s=1000, clock=clock)
    _, young = await _one_old_one_young(pool, clock, old_first=True)
    assert await _backend(pool) == young
    await until_connections(server, 1)
    assert await _backend(pool) == young
    await pool.close()


async def test_a_connection_is_old_at_its_very_age(server: EmbeddedPostgres, clock: Clock) -> None:
    pool = Database(server.reader_url, size=1, max_age_s=0, clock=clock)
    backends = [await _backend(pool) for _ in range(3)]
    assert len(set(backends)) == 3
    await pool.close()
    await until_connections(server, 0)


async def test_an_old_connection_that_cannot_be_replaced_leaves_its_place_free(
    server: EmbeddedPostgres, clock: Clock
) -> None:
    pool = Database(server.reader_url, size=1, clock=clock)
    async with pool.connection(Deadline.after(5)):
        clock.now_s = MAX_AGE_S
        server.stop()
    with pytest.raises(DatabaseUnavailable, match="cannot connect"):
        await _answer(pool)
    server.start()
    assert await _answer(pool) == 42
    await pool.close()


async def test_a_replacement_that_cannot_be_had_in_a_second_is_nobodys_error(
    server: EmbeddedPostgres, clock: Clock, ageing: Database
) -> None:
    assert await _answer(ageing) == 42
    with frozen(server.pid, alone=True):  # it works on and opens none
        async with ageing.connection(Deadline.after(5)):
            clock.now_s = MAX_AGE_S
        await asyncio.sleep(0)  # the replacement begins
        await ageing.close()  # and is waited for


async def test_a_replacement_does_not_outlive_its_pool(
    server: EmbeddedPostgres, clock: Clock, ageing: Database
) -> None:
    async with ageing.connection(Deadline.after(5)):
        clock.now_s = MAX_AGE_S
    await asyncio.sleep(0)  # the replacement begins
    await ageing.close()
    await until_connections(server, 0)


# Outages ------------------------------------------------------------------------------------------


async def test_a_pool_starts_without_a_database_and_finds_it_later(
    server: EmbeddedPostgres, pool: Database
) -> None:
    server.stop()
    with pytest.raises(DatabaseUnavailable):
        await _answer(pool)
    server.start()
    assert await _answer(pool) == 42


async def test_a_stopped_database_is_unavailable_at_once_and_recovers(
    server: EmbeddedPostgres, pool: Database
) -> None:
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


async def test_a_restart_between_two_queries_is_not_noticed(server: EmbeddedPostgres, pool: Database) -> None:
    await asyncio.gather(*(_answer(pool) for _ in range(3)))
    server.stop()
    server.start()
    await asyncio.sleep(0.01)  # the closed sockets are read once
    assert await _answer(pool) == 42


async def test_under_load_a_restart_gives_nothing_but_unavailability(
    server: EmbeddedPostgres, pool: Database
) -> None:
    failures: set[type] = set()
    under_load = asyncio.Event()

    async def ask() -> None:
        for asked in range(150):
            try:
                assert await _answer(pool) == 42
            except Exception as failure:
                failures.add(type(failure))
            if asked == 5:
                under_load.set()
            await asyncio.sleep(0.001)

    asking = [asyncio.create_task(ask()) for _ in range(8)]
    await under_load.wait()
    await asyncio.to_thread(server.stop)
    server.start()
    await asyncio.gather(*asking)
    assert failures == {DatabaseUnavailable}
    assert await _answer(pool) == 42
    assert await count_connections(server) <= 3


async def test_a_database_that_dies_during_a_query_is_unavailable(
    server: EmbeddedPostgres, pool: Database
) -> None:
    async def sleep() -> None:
        async with pool.connection(Deadline.after(5)) as connection:
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


async def test_a_killed_database_is_unavailable_and_recovers(
    server: EmbeddedPostgres, pool: Database
) -> None:
    assert await _answer(pool) == 42
    for pid in family(server.pid):
        os.kill(pid, signal.SIGKILL)
    with pytest.raises(DatabaseUnavailable):
        await _answer(pool)
    server.stop()
    server.start()
    assert await _answer(pool) == 42


async def test_no_call_waits_for_a_frozen_database_longer_than_its_timeout(
    server: EmbeddedPostgres, pool: Database
) -> None:
    await asyncio.gather(*(_answer(pool) for _ in range(2)))
    with frozen(server.pid):
        for _ in range(3):
            started = time.monotonic()
            results = await asyncio.gather(*(_answer(pool, 0.3) for _ in range(8)), return_exceptions=True)
            assert time.monotonic() - started < 2
            assert all(isinstance(result, (DatabaseUnavailable, TimeoutError)) for result in results)
    assert await _answer(pool) == 42


async def test_the_end_of_a_transaction_waits_for_no_frozen_database(server: EmbeddedPostgres) -> None:
    pool = Database(server.reader_url, size=3, default_timeout_s=0.5)
    async with pool.connection(Deadline.after(5)) as connection:
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
    await pool.close()


async def test_a_frozen_database_is_left_with_no_connection_and_recovers_by_itself(
    server: EmbeddedPostgres, pool: Database
) -> None:
    await asyncio.gather(*(_answer(pool) for _ in range(3)))
    with frozen(server.pid):
        for _ in range(5):
            await asyncio.gather(*(_answer(pool, 0.2) for _ in range(8)), return_exceptions=True)
    await asyncio.gather(*(_answer(pool) for _ in range(10)))
    assert pool.in_use == 0
    assert await count_connections(server) <= 3
    await pool.close()
    await until_connections(server, 0)


async def test_a_connection_that_does_not_answer_holds_its_place_no_longer_than_a_second(
    server: EmbeddedPostgres,
) -> None:
    assert SETTLE_S == 1.0
    pool = Database(server.reader_url, size=1)
    assert await _answer(pool) == 42
    with frozen(server.pid):
        with pytest.raises(TimeoutError):
            await _answer(pool, 0.1)
        with pytest.raises(DatabaseUnavailable, match="did not answer within"):  # not: is busy
            await _answer(pool, 2.5 * SETTLE_S)
    await pool.close()


async def test_only_the_postmaster_frozen_stops_new_connections_alone(
    server: EmbeddedPostgres, pool: Database
) -> None:
    assert await _answer(pool) == 42
    with frozen(server.pid, alone=True):
        assert await _answer(pool, 1) == 42
        async with pool.connection(Deadline.after(1)):
            with pytest.raises(DatabaseUnavailable, match="did not answer within"):
                await _answer(pool, 0.2)
    assert await _answer(pool) == 42
