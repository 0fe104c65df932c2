"""What `view check` finds: nulls, plans, times, and features that look ahead."""

import asyncio
import dataclasses
import re
from datetime import UTC, datetime

import pytest
from churn_histories import MOMENTS, crowd, write

from staunch_features.errors import ViewError
from staunch_features.look_ahead import probe_tables
from staunch_features.plan import Scan, explain
from staunch_features.view_check import check_view

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
TIMES = '[time_columns]\nvisits = ["at", "known_at"]\n[features]'
VISITS = """SELECT u.id, v.a, v.b
FROM unnest($1::bigint[]) AS u (id)
CROSS JOIN LATERAL (
  SELECT count(*)::float8 AS a, max(visits.rank) AS b
  FROM {table} WHERE visits.client = u.id AND {seen}
) AS v"""
HONEST = "visits.at <= $2::timestamptz AND visits.known_at <= $2::timestamptz"


def visiting(clients, seen: str, table: str = "visits"):
    return clients.view(VISITS.format(table=table, seen=seen), times=TIMES)


@pytest.mark.parametrize("table", ["visits", "public.visits", 'public."visits"', '"public" . visits'])
async def test_a_view_that_compares_times_shows_no_change(clients, table):
    (probe,) = await probe_tables(clients.database, visiting(clients, HONEST, table), [1, 2, 3], timeout_s=5)
    assert (probe.table, probe.changed) == ("public.visits", ())
    assert datetime(2026, 1, 9, tzinfo=UTC) < probe.as_of < datetime(2026, 1, 13, tzinfo=UTC)


@pytest.mark.parametrize("table", ["visits", "public.visits", 'public."visits"', '"public" . visits'])
@pytest.mark.parametrize(
    ("seen", "changed"),
    [
        ("$2::timestamptz IS NOT NULL", ("a", "b")),
        ("visits.at <= $2::timestamptz", ("a",)),
        ("visits.known_at <= $2::timestamptz + interval '3 hours'", ("a",)),
    ],
)
async def test_a_feature_that_looks_ahead_is_named(clients, table, seen, changed):
    view = visiting(clients, seen, table)
    (probe,) = await probe_tables(clients.database, view, [1, 2, 3], timeout_s=5)
    assert probe.changed == changed
    found = await check_view(clients.database, view, as_of=NOON)
    assert [error.line for error in found.errors] == [8, 9][: len(changed)]
    assert "looks ahead" in str(found.errors[0]) or "later rows of public.visits" in str(found.errors[0])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("visits =", "vists =", "expected a table vists, found none"),
        (
            '"at"',
            '"att"',
            "expected att to be a time column of visits: its columns are client, .*at, known_at",
        ),
        ('"known_at"', '"kown_at"', "expected kown_at to be a time column of visits"),
        ('"known_at"', '"client"', "cannot cast type bigint to timestamp with time zone; name the columns"),
    ],
)
async def test_a_declared_table_or_column_that_is_none_is_named_with_its_line(clients, old, new, message):
    view = clients.view(VISITS.format(table="visits", seen=HONEST), times=TIMES.replace(old, new))
    with pytest.raises(ViewError, match=message) as caught:
        await probe_tables(clients.database, view, [1], timeout_s=5)
    assert (caught.value.file, caught.value.line) == ("clients.sql", 6)


async def test_a_check_reports_columns_times_plan_and_label(clients):
    label = clients.label("SELECT id, a > 10 AS left FROM clients_bigint WHERE id = ANY ($1::bigint[])")
    view = clients.view(population="SELECT id FROM clients_bigint ORDER BY id")
    found = await check_view(clients.database, view, label, as_of=NOON)
    assert (found.as_of, found.found, found.eligible, found.errors, found.probes) == (NOON, 3, 2, (), ())
    assert [(check.column.name, check.nulls, check.rows) for check in found.columns] == [
        ("a", 0, 2),
        ("b", 1, 2),
    ]
    assert [timing.ids for timing in found.timings] == [1, 3]
    assert all(timing.median_ms > 0 for timing in found.timings)
    assert found.not_probed == ("public.clients_bigint",)
    assert (found.label.rows, found.label.known, found.label.true) == (2, 2, 1)
    assert "clients_bigint" in found.plan.text


async def test_a_view_without_dates_is_checked_too(clients):
    view = clients.view(
        "SELECT id, a, b FROM unnest($1::text[]) AS u (id) JOIN clients_text USING (id)",
        population="SELECT id FROM clients_text ORDER BY id",
    )
    found = await check_view(clients.database, view)
    assert (found.as_of, found.found, found.errors) == (None, 3, ())


async def test_a_broken_promise_is_an_error_with_its_line_and_id(clients):
    view = clients.view(a="nullif(c.a, 30)", population="SELECT id FROM clients_bigint ORDER BY id")
    found = await check_view(clients.database, view, as_of=NOON)
    (error,) = found.errors
    assert error.line == 6
    assert "feature a is null" in str(error)
    assert "id 3" in str(error)


async def test_a_promise_that_was_broken_only_before_is_found_where_training_reads(clients):
    seen = f"{HONEST} AND $2::timestamptz > '2026-01-15Z'::timestamptz"
    statement = VISITS.format(table="visits", seen=HONEST).replace(
        "count(*)::float8 AS a", f"(SELECT max(visits.rank) FROM visits WHERE {seen}) AS a"
    )
    view = clients.view(statement, times=TIMES, population="SELECT id FROM clients_bigint ORDER BY id")
    found = await check_view(clients.database, view)
    (error,) = found.errors
    assert error.line == 8
    assert re.search(r"feature a is null, .*: id \d as of 2026-01-1\d", str(error))
    assert found.columns[0].nulls == 0


async def test_a_row_that_does_not_say_whether_it_belongs_is_an_error(clients):
    statement = """SELECT c.id, c.a, c.b,
  nullif(c.id, 2) > 1
    AS _eligible
FROM unnest($1::bigint[]) u(id) JOIN clients_bigint c ON c.id = u.id"""
    view = clients.view(statement, population="SELECT id FROM clients_bigint")
    (error,) = (await check_view(clients.database, view)).errors
    assert "expected _eligible to be true or false, got null for 1 of 3 ids; write (...) IS TRUE" in str(
        error
    )
    assert error.line == 11


async def test_a_population_of_whom_nobody_is_eligible_is_told(clients):
    view = clients.view(population="SELECT 4::bigint")
    found = await check_view(clients.database, view)
    assert (found.errors, found.eligible) == ((), 0)
    assert [note for note in found.advice if note.startswith("no id of the population is eligible")]


@pytest.mark.parametrize(
    ("window", "declared"),
    [
        ("10 days", 10),
        ("1 month", 30),
        ("217 hours", 10),
        ("9 days", None),
        ("216 hours", None),
        ("10 days ahead", None),
        ("", None),
    ],
)
async def test_a_window_longer_than_what_the_label_observes_is_told(clients, window, declared):
    view = clients.view(population="SELECT id FROM clients_bigint")
    windowed = dataclasses.replace(view.features["a"], window=window)
    view = dataclasses.replace(view, features={**view.features, "a": windowed})
    label = clients.label("SELECT id, a > 10 AS left FROM clients_bigint WHERE id = ANY ($1::bigint[])")
    told = (
        "left.sql:5: observation_days is 9, but the view looks back further: "
        f"a over {window}; declare {declared}, or look back less",
    )
    found = await check_view(clients.database, view, label, as_of=NOON)
    assert found.advice == (told if declared else ())
    assert (await check_view(clients.database, view, as_of=NOON)).advice == ()


async def test_an_empty_population_is_refused(clients):
    with pytest.raises(ViewError, match="population") as caught:
        await check_view(clients.database, clients.view(population="SELECT 1::bigint WHERE false"))
    assert caught.value.line == 4


async def scans_of(churn, ids, t) -> dict[str, Scan]:
    """How the churn view reads each of the tables that grow with the customers."""
    signature = await churn.source.signature(5)
    async with churn.database.connection(5) as connection:
        plan = await explain(connection, churn.source.view, signature, ids, t, timeout_s=10)
    grown = {f"staunch.{table}" for table in churn.source.view.time_columns}
    scans = [scan for scan in plan.scans if scan.table in grown]
    assert len(scans) == len(grown)
    return {scan.table: scan for scan in scans}


async def vacuum(owner, table: str) -> None:
    """Vacuums until every page is known to be visible to all: an autovacuum at work may hold that back."""
    for _ in range(100):
        await owner.execute(f"VACUUM (ANALYZE) staunch.{table}")
        pages = "SELECT relpages = relallvisible FROM pg_class WHERE oid = $1::text::regclass"
        if await owner.fetchval(pages, f"staunch.{table}"):
            return
        await asyncio.sleep(0.1)
    raise AssertionError(table)


async def test_every_scan_of_the_churn_view_is_index_only(churn_on, database):
    t = MOMENTS[-1]
    async with churn_on(database) as churn:
        some = crowd(t, 2000, transactions=12)
        await write(churn.owner, *some)
        for table in churn.source.view.time_columns:
            await vacuum(churn.owner, table)
        ids = [history.customer_id for history in some[:500]]
        scans = await scans_of(churn, ids, t)
        assert {scan.kind for scan in scans.values()} == {"Index Only Scan"}, scans
        assert {scan.heap_fetches for scan in scans.values()} == {0}
        # Rows on freshly written pages are looked up in the table, and no others: the new ones, and those of
        # the page that was not full, 150 rows at most.
        fresh = crowd(t, 20, transactions=12, seed=3)
        await write(churn.owner, *fresh)
        both = ids + [history.customer_id for history in fresh]
        for table, scan in (await scans_of(churn, both, t)).items():
            assert scan.kind == "Index Only Scan"
            written = sum(len(history.tables[table.removeprefix("staunch.")]) for history in fresh)
            assert 0 < scan.heap_fetches <= written + 150


async def test_the_churn_view_passes_its_own_check(churn):
    t = MOMENTS[-1]
    await write(churn.owner, *crowd(t, 50))
    found = await check_view(churn.database, churn.source.view, churn.label, as_of=t)
    assert found.errors == ()
    assert {probe.table for probe in found.probes} == {
        f"staunch.{table}" for table in churn.source.view.time_columns
    }
    assert set(found.not_probed) == {"staunch.plans", "staunch.province_rules", "staunch.cancellation_rules"}
