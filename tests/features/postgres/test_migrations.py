"""Migrations: applied once, in order, one at a time, and never edited."""

import asyncio
import dataclasses
import hashlib

import pytest

import staunch_sql
from staunch_features.errors import MigrationError
from staunch_features.postgres.connection import connect
from staunch_features.postgres.migrations import migrate
from staunch_sql import Migration


def _step(version: int, sql: str) -> Migration:
    return Migration(version, f"step{version}", sql, hashlib.sha256(sql.encode()).hexdigest())


@pytest.fixture
async def empty(database_factory):
    """The owner's connection to a database without a schema."""
    connection = await connect(database_factory(template="template1").owner_url)
    yield connection
    await connection.close()


async def _applied(connection) -> list[int]:
    rows = await connection.fetch("SELECT version FROM staunch.schema_migrations ORDER BY version")
    return [row["version"] for row in rows]


async def test_an_empty_database_gets_them_all_and_then_none(empty):
    steps = list(staunch_sql.migrations())
    assert await migrate(empty) == steps
    assert await migrate(empty) == []
    assert await _applied(empty) == [step.version for step in steps]


async def test_a_migrated_database_gets_only_what_is_new(empty):
    first, second = _step(1, "CREATE TABLE public.a ()"), _step(2, "CREATE TABLE public.b ()")
    assert await migrate(empty, [first]) == [first]
    assert await migrate(empty, [first, second]) == [second]


async def test_two_at_once_apply_each_step_once(database_factory):
    url = database_factory(template="template1").owner_url
    connections = [await connect(url) for _ in range(3)]
    results = await asyncio.gather(*map(migrate, connections))
    assert sorted(len(result) for result in results) == [0, 0, len(staunch_sql.migrations())]
    for connection in connections:
        await connection.close()


async def test_who_waits_for_another_migration_is_told_so_once(database_factory):
    url, told, heard = database_factory(template="template1").owner_url, [], asyncio.Event()
    first, second = [await connect(url) for _ in range(2)]
    await first.execute(staunch_sql.query("schema/lock_migrations"))

    def progress(stage: str, done: float) -> None:
        told.append((stage, done))
        heard.set()

    waiting = asyncio.create_task(migrate(second, progress=progress, patience_s=0.05))
    await asyncio.wait_for(heard.wait(), 10)
    assert told == [("waiting until another `staunch migrate` on this database is done", 0.0)]
    assert not waiting.done()
    await first.execute(staunch_sql.query("schema/unlock_migrations"))
    assert len(await waiting) == len(staunch_sql.migrations())
    assert len(told) == 1
    for connection in (first, second):
        await connection.close()


async def test_who_need_not_wait_is_told_nothing(empty):
    told = []
    # The step takes longer than the patience: it is the wait that is told of, not the work.
    step = _step(1, "SELECT pg_sleep(1.2)")
    await migrate(empty, [step], progress=lambda *said: told.append(said), patience_s=1.0)
    assert told == []


async def test_an_applied_migration_that_was_edited_is_refused(empty):
    step = _step(1, "CREATE TABLE public.a ()")
    await migrate(empty, [step])
    edited = dataclasses.replace(step, sha256="0" * 64)
    with pytest.raises(
        MigrationError, match=r"expected migration 0001_step1 as it was applied.*restore the file"
    ):
        await migrate(empty, [edited, _step(2, "CREATE TABLE public.b ()")])
    assert await _applied(empty) == [1]


async def test_a_database_of_a_newer_staunch_is_refused(empty):
    first, second = _step(1, "CREATE TABLE public.a ()"), _step(2, "CREATE TABLE public.b ()")
    await migrate(empty, [first, second])
    with pytest.raises(MigrationError, match="0002_step2, which this version of Staunch does not know"):
        await migrate(empty, [first])


async def test_a_step_that_fails_leaves_nothing_of_itself_and_those_before_it(empty):
    good, bad = _step(1, "CREATE TABLE public.a ()"), _step(2, "CREATE TABLE public.b (); SELECT 1 / 0")
    with pytest.raises(MigrationError, match="0002_step2 failed: division by zero"):
        await migrate(empty, [good, bad])
    assert await _applied(empty) == [1]
    assert await empty.fetchval("SELECT to_regclass('public.b')") is None
    mended = _step(2, "CREATE TABLE public.b ()")
    assert await migrate(empty, [good, mended]) == [mended]


async def test_a_role_that_may_not_migrate_is_told_so(database_factory):
    reader = await connect(database_factory(template="template1").reader_url)
    with pytest.raises(MigrationError, match="cannot prepare"):
        await migrate(reader)
    await reader.close()
