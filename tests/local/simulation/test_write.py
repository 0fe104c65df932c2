"""Writing a world: whole or not at all, once, and never over anybody's rows."""

import asyncio
import os
import signal
import subprocess
import sys
from datetime import date, datetime, timedelta
from typing import Any

import pytest

import staunch_sql
from staunch_features.errors import DatabaseUnavailable
from staunch_features.postgres.connection import connect
from staunch_local.simulation.world import WorldError, WorldReport, WorldSettings, write_world

_INSERT_CUSTOMER = """
INSERT INTO staunch.customers
  (customer_id, given_name, family_name, email, birth_date, gender, language, joined_at)
VALUES (1, 'Real', 'Person', 'real@person.example', '1980-01-01', 'female', 'en', '2020-01-01+00')
"""


async def _fetch(database: Any, statement: str) -> Any:
    connection = await connect(database.owner_url)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def test_the_second_writing_changes_nothing(
    empty: Any, write: Any, fingerprint: Any, origin: datetime
) -> None:
    database = await empty()
    first = await write(database)
    before = await fingerprint(database)
    again, earlier = await write(database), await write(database, until=origin - timedelta(days=3))
    assert (first.action, again.action, earlier.action) == ("written", "unchanged", "unchanged")
    assert again.rows == {}
    assert await fingerprint(database) == before


async def test_the_report_counts_what_was_written(empty: Any, write: Any, origin: datetime) -> None:
    database = await empty()
    report = await write(database)
    for table, rows in report.rows.items():
        assert await _fetch(database, f"SELECT count(*) FROM {table}") == rows, table
    assert report.rows["staunch.customers"] == 120
    later = await write(database, until=origin + timedelta(days=12))
    assert (later.since, later.until) == (origin, origin + timedelta(days=12))
    assert later.changed > 0
    total = await _fetch(database, "SELECT count(*) FROM staunch.transactions")
    assert total == report.rows["staunch.transactions"] + later.rows["staunch.transactions"]


def test_reports_read_as_one_line(origin: datetime) -> None:
    later = origin + timedelta(days=2)
    written = WorldReport("written", 10_000, 3, origin, None, origin, {}, 0)
    assert str(written) == "10,000 customers until 2026-11-22 written"
    assert (
        str(WorldReport("unchanged", 10_000, 3, origin, later, later, {}, 0)) == "up to date until 2026-11-24"
    )
    appended = WorldReport("appended", 10_000, 3, origin, origin, later, {}, 0)
    assert str(appended) == "2.0 days until 2026-11-24 appended"


async def test_rows_of_others_are_never_touched(empty: Any, write: Any) -> None:
    database = await empty()
    await _fetch(database, _INSERT_CUSTOMER)
    with pytest.raises(WorldError, match="did not write; give the simulation a database of its own"):
        await write(database)
    assert await _fetch(database, "SELECT given_name FROM staunch.customers") == "Real"
    assert await _fetch(database, "SELECT count(*) FROM simulation.worlds") == 0


@pytest.mark.parametrize("migrated", [True, False])
async def test_without_tables_or_as_their_reader_one_is_told_to_migrate_as_the_owner(
    database_factory: Any, origin: datetime, migrated: bool
) -> None:
    made = await asyncio.to_thread(database_factory, None if migrated else "template1")
    url = made.reader_url if migrated else made.owner_url
    with pytest.raises(
        WorldError, match=r"run `staunch migrate`, and name the owner in STAUNCH_DATABASE_URL"
    ):
        await write_world(url, customers=1, seed=1, until=origin)


@pytest.mark.parametrize("other", [{"seed": 4}, {"customers": 121}])
async def test_another_world_is_refused(empty: Any, write: Any, other: dict[str, int]) -> None:
    database = await empty()
    await write(database)
    with pytest.raises(WorldError, match="expected the world that the database holds, seed 3 with 120"):
        await write(database, **other)


async def test_a_world_that_is_not_finished_is_written_anew(empty: Any, write: Any, fingerprint: Any) -> None:
    database = await empty()
    await write(database)
    whole = await fingerprint(database)
    await _fetch(database, "UPDATE simulation.worlds SET finished_at = NULL")
    await _fetch(database, "DELETE FROM staunch.transactions")
    assert (await write(database)).action == "written"
    assert await fingerprint(database) == whole


async def test_a_world_of_another_generator_is_written_anew_with_its_origin(
    empty: Any, write: Any, fingerprint: Any, origin: datetime
) -> None:
    database = await empty()
    await write(database, until=origin + timedelta(days=4), origin=origin)
    whole = await fingerprint(database)
    await _fetch(database, "UPDATE simulation.worlds SET generator_version = 0")
    report = await write(database, until=origin + timedelta(days=1))
    assert (report.action, report.origin, report.until) == ("written", origin, origin + timedelta(days=4))
    assert await fingerprint(database) == whole


async def test_killed_at_any_moment_it_is_finished_by_the_next_call(
    empty: Any, write: Any, fingerprint: Any
) -> None:
    database = await empty()
    await write(database)
    whole = await fingerprint(database)
    await empty()
    program = (
        "import asyncio, sys\n"
        "from datetime import datetime\n"
        "from staunch_local.simulation.world import write_world\n"
        "def tell(doing, done): print(f'{done:.2f}', flush=True)\n"
        "asyncio.run(write_world(sys.argv[1], customers=120, seed=3, progress=tell,\n"
        "    until=datetime.fromisoformat('2026-11-22T15:30:00+00:00')))\n"
    )
    for killed_at in (0.7, 0.9):
        _kill_at(killed_at, [sys.executable, "-c", program, database.owner_url])
        assert await _fetch(database, "SELECT count(*) FROM staunch.customers") in (0, 120)
    await write(database)
    assert await fingerprint(database) == whole


def _kill_at(share: float, command: list[str]) -> None:
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if float(line) >= share:
                os.kill(process.pid, signal.SIGKILL)
                break


async def test_two_writers_write_one_world(empty: Any, write: Any) -> None:
    database = await empty()
    reports = await asyncio.gather(write(database), write(database))
    assert sorted(report.action for report in reports) == ["unchanged", "written"]


async def test_a_failure_midway_leaves_nothing(empty: Any, write: Any, origin: datetime) -> None:
    database = await empty()

    def fail(doing: str, done: float) -> None:
        if done > 0.8:
            raise KeyError(doing)

    with pytest.raises(KeyError):
        await write(database, progress=fail)
    assert await _fetch(database, "SELECT count(*) FROM staunch.customers") == 0
    assert (await write(database)).action == "written"


async def test_progress_rises_to_one(empty: Any, write: Any, origin: datetime) -> None:
    database = await empty()
    for until in (origin, origin + timedelta(days=3)):
        seen: list[float] = []
        await write(database, until=until, progress=lambda doing, done, seen=seen: seen.append(done))
        assert seen == sorted(seen)
        assert seen[-1] == 1.0


@pytest.mark.parametrize(
    "wrong",
    [
        {"customers": 0},
        {"seed": -1},
        {"seed": 2**63},
        {"until": datetime(2026, 1, 1)},
        {"origin": datetime.fromisoformat("2027-01-01T00:00:00+00:00")},
    ],
)
async def test_arguments_out_of_range_are_refused(empty: Any, write: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected"):
        await write(await empty(), **wrong)


async def test_the_drift_may_still_change_while_it_lies_ahead(
    empty: Any, write: Any, origin: datetime
) -> None:
    database = await empty()
    await write(database)
    ahead, passed = WorldSettings(date(2026, 12, 1)), WorldSettings(date(2026, 11, 1))
    with pytest.raises(WorldError, match="choose a later date"):
        await write(database, settings=passed)
    report = await write(database, until=origin + timedelta(days=30), settings=ahead)
    assert report.action == "appended"
    kept = await write(database, until=origin + timedelta(days=31))
    assert kept.action == "appended"
    assert await _fetch(database, "SELECT settings->>'drift_from' FROM simulation.worlds") == "2026-12-01"
    with pytest.raises(WorldError, match="choose a later date"):
        await write(database, until=origin + timedelta(days=40), settings=WorldSettings(date(2027, 5, 1)))


async def test_constraints_and_indexes_are_as_before(database: Any, write: Any) -> None:
    async def definitions() -> list[Any]:
        connection = await connect(database.owner_url)
        rows = await connection.fetch(staunch_sql.query("simulation/indexes"))
        checks = await connection.fetch(
            "SELECT conrelid::regclass::text, conname::text, pg_get_constraintdef(oid) "
            "FROM pg_constraint ORDER BY 1, 2"
        )
        await connection.close()
        return [tuple(row) for row in (*rows, *checks)]

    before = await definitions()
    await write(database)
    assert await definitions() == before


_HIDDEN_PAGES = """
SELECT sum(relpages - relallvisible) FROM pg_class
WHERE oid IN ('customers'::regclass, 'customer_addresses'::regclass, 'subscriptions'::regclass,
  'subscription_terms'::regclass, 'transactions'::regclass, 'support_tickets'::regclass)
"""


async def test_pages_are_all_visible_so_that_index_only_scans_are_that(
    empty: Any, write: Any, origin: datetime
) -> None:
    database = await empty()
    await write(database)
    assert await _fetch(database, _HIDDEN_PAGES) == 0
    await write(database, until=origin + timedelta(days=3))
    for _ in range(20):  # a snapshot of autovacuum's may have kept some pages from being marked
        if await _fetch(database, _HIDDEN_PAGES) == 0:
            return
        await asyncio.sleep(0.2)
        await _fetch(database, staunch_sql.query("simulation/vacuum"))
    pytest.fail("pages stay hidden")


async def test_the_url_that_leads_nowhere_is_told(origin: datetime) -> None:
    with pytest.raises(DatabaseUnavailable):
        await write_world("postgresql://x@127.0.0.1:1/x", customers=1, seed=1, until=origin)
