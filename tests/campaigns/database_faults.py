"""Faults of the database and of the way to it."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress

from tests.campaigns.faults import fault
from tests.campaigns.target import Target
from tests.harness.processes import frozen

from staunch_features.postgres.connection import Connection, opened
from staunch_local.postgres.cluster import READER, SUPERUSER

_TERMINATE = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{READER}'"


@asynccontextmanager
async def _superuser(target: Target) -> AsyncIterator[Connection]:
    database = target.postgres.owner_url.rpartition("/")[2]
    async with opened(target.postgres.url_for(database, SUPERUSER)) as connection:
        yield connection


async def _execute(target: Target, *statements: str) -> None:
    async with _superuser(target) as connection:
        for statement in statements:
            await connection.execute(statement)


@fault("all sessions of the database are ended once")
async def _(target: Target) -> AsyncIterator[None]:
    await _execute(target, _TERMINATE)
    yield


@fault("all sessions are ended ten times a second")
async def _(target: Target) -> AsyncIterator[None]:
    async def again() -> None:
        async with _superuser(target) as connection:
            while True:
                await connection.execute(_TERMINATE)
                await asyncio.sleep(0.1)

    async with _beside(again()):
        yield


@fault("a session is killed, and PostgreSQL recovers from it", heals_s=15)
async def _(target: Target) -> AsyncIterator[None]:
    for pid in target.backends()[:1]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    yield


@fault("all sessions hang")
async def _(target: Target) -> AsyncIterator[None]:
    pids = target.backends()
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


@fault("PostgreSQL hangs as a whole")
async def _(target: Target) -> AsyncIterator[None]:
    with frozen(target.postgres.pid):
        yield


@fault("PostgreSQL is stopped and started", heals_s=15)
async def _(target: Target) -> AsyncIterator[None]:
    target.postgres.stop()
    try:
        yield
    finally:
        target.postgres.start()


@fault("PostgreSQL is killed at once and recovers", heals_s=15)
async def _(target: Target) -> AsyncIterator[None]:
    pid = target.postgres.pid
    assert pid is not None
    os.kill(pid, signal.SIGQUIT)
    try:
        yield
    finally:
        target.postgres.stop()
        target.postgres.start()


@fault("the network keeps all connections open and carries nothing", heals_s=15)
async def _(target: Target) -> AsyncIterator[None]:
    target.relay.takes_new = False
    target.relay.go_silent()
    try:
        yield
    finally:
        target.relay.takes_new = True


@fault("the network loses the connections that stand, new ones work", heals_s=15)
async def _(target: Target) -> AsyncIterator[None]:
    target.relay.go_silent()
    yield


@fault("the table is locked for others")
async def _(target: Target) -> AsyncIterator[None]:
    async with _superuser(target) as connection, connection.transaction():
        await connection.execute("LOCK TABLE public.people")
        yield


@fault("columns come and go in the table", refuses=True)
async def _(target: Target) -> AsyncIterator[None]:
    async def again() -> None:
        async with _superuser(target) as connection:
            for number in range(1_000):
                await connection.execute(f"ALTER TABLE public.people ADD COLUMN new_{number} int")
                await asyncio.sleep(0.1)
                await connection.execute(f"ALTER TABLE public.people DROP COLUMN new_{number}")
                await asyncio.sleep(0.1)

    async with _beside(again()):
        yield


@fault("a column of the view has another name for a while", refuses=True, heals_s=15)
async def _(target: Target) -> AsyncIterator[None]:
    await _execute(target, "ALTER TABLE public.people RENAME COLUMN b TO gone")
    try:
        yield
    finally:
        await _execute(target, "ALTER TABLE public.people RENAME COLUMN gone TO b")


@fault("a column of the view has another type for a while", refuses=True, heals_s=15)
async def _(target: Target) -> AsyncIterator[None]:
    await _execute(target, "ALTER TABLE public.people ALTER COLUMN b TYPE text")
    try:
        yield
    finally:
        await _execute(target, "ALTER TABLE public.people ALTER COLUMN b TYPE float8 USING b::float8")


@fault("the reader may not read for a while", refuses=True, heals_s=15)
async def _(target: Target) -> AsyncIterator[None]:
    await _execute(target, "REVOKE SELECT ON public.people FROM PUBLIC")
    try:
        yield
    finally:
        await _execute(target, "GRANT SELECT ON public.people TO PUBLIC")


@fault("the reader may not connect for a while", heals_s=15)
async def _(target: Target) -> AsyncIterator[None]:
    await _execute(target, f"ALTER ROLE {READER} NOLOGIN", _TERMINATE)
    try:
        yield
    finally:
        await _execute(target, f"ALTER ROLE {READER} LOGIN")


@fault("the database has no connection left for a while", heals_s=15)
async def _(target: Target) -> AsyncIterator[None]:
    await _execute(target, f"ALTER ROLE {READER} CONNECTION LIMIT 0", _TERMINATE)
    try:
        yield
    finally:
        await _execute(target, f"ALTER ROLE {READER} CONNECTION LIMIT -1")


@fault("the table is rewritten by VACUUM FULL")
async def _(target: Target) -> AsyncIterator[None]:
    for _number in range(5):
        await _execute(target, "VACUUM FULL public.people")
    yield


@fault("rows come and go beside those that are asked for", harmless=True)
async def _(target: Target) -> AsyncIterator[None]:
    strangers = "SELECT i, 'new-' || i FROM generate_series(1000, 1500) AS i"

    async def again() -> None:
        async with _superuser(target) as connection:
            while True:
                await connection.execute(f"INSERT INTO public.people (id, key) {strangers}")
                await connection.execute("DELETE FROM public.people WHERE id >= 1000")
                await asyncio.sleep(0.01)

    async with _beside(again()):
        yield


@asynccontextmanager
async def _beside(work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Does work beside the block, and ends it with the block; what it failed by is raised."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        ended_itself = task.done()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert not ended_itself, "what should have gone on has ended"
