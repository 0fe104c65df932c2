"""Declared time columns of every type and with every content: a true sentence, never a traceback."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from tests.features.checks.visits import HONEST, VISITS

from staunch_features.checks.check import check_view
from staunch_features.checks.time_columns import declared_tables, read_as_utc, zone_advice
from staunch_features.errors import ViewError
from staunch_features.postgres.deadlines import Deadline

CLIENTS = "SELECT id FROM clients_bigint ORDER BY id"
NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
HAPPENED = "dated.at::timestamptz <= $2::timestamptz"
TIMES = ["timestamptz", "timestamp", "date", "text", "moment"]
"""The types that a column of times may have."""

TOLD = "timestamptz '2026-01-01' + n * interval '1 day'"


@pytest.fixture
async def dated(clients) -> AsyncIterator["Dated"]:
    await clients.owner.execute("CREATE DOMAIN moment AS timestamptz")
    yield Dated(clients)
    tables = ", ".join(["dated", *(f"dated_{sql_type}" for sql_type in TIMES)])
    await clients.owner.execute(f"DROP TABLE IF EXISTS {tables}; DROP DOMAIN moment")


class Dated:
    """A table `dated` of 20 rows beside the visits, whose column `at` is whatever a test wants."""

    def __init__(self, clients) -> None:
        self.clients = clients

    async def make(
        self, at: str, sql_type: str = "timestamptz", rows: int = 20, table: str = "dated"
    ) -> None:
        await self.clients.owner.execute(
            f"CREATE TABLE {table} (client bigint, at {sql_type}); "
            f"INSERT INTO {table} SELECT 1 + n % 3, {at} FROM generate_series(1, {rows}) AS n; "
            f"GRANT SELECT ON {table} TO PUBLIC"
        )

    def view(self, at: str = "at", seen: str = HAPPENED, tables: Sequence[str] = ("dated",)):
        """A view that counts a client's rows, those that were seen, in each of some tables."""
        counts = [
            f"(SELECT count(*) FROM {table} AS dated WHERE dated.client = u.id AND {seen})"
            for table in tables
        ]
        counted = f"({' + '.join(counts)})::float8 AS a"
        statement = VISITS.format(table="visits", seen=HONEST).replace("v.a", counted)
        declared = "\n".join(f'{table} = ["{at}"]' for table in tables)
        return self.clients.view(
            statement, population=CLIENTS, times=f"[time_columns]\n{declared}\n[features]"
        )

    async def check(self, *arguments: str, as_of: datetime | None = None, **tables: Sequence[str]):
        return await check_view(self.clients.database, self.view(*arguments, **tables), as_of=as_of)


@pytest.mark.parametrize(
    "at",
    [
        "'infinity'",
        "'-infinity'",
        "CASE WHEN n > 15 THEN '2026-01-05' ELSE 'infinity' END",
        "CASE WHEN n > 15 THEN '2026-01-05' ELSE '-infinity' END",
        "NULL",
        "'2026-01-05'",
        "'9999-12-31'",
        "'0001-01-01'",
        "'0044-03-15 BC'",
        "'12000-01-01'",
        "'294276-01-01'",
    ],
)
async def test_no_time_that_a_database_can_hold_ends_a_check(dated, at):
    tables = [f"dated_{sql_type}" for sql_type in TIMES]
    for sql_type, table in zip(TIMES, tables, strict=True):
        await dated.make(f"({at})::text::{sql_type}", sql_type, table=table)
    for as_of in (None, NEW_YEAR):
        found = await dated.check(as_of=as_of, tables=tables)
        assert found.not_probed == ("public.visits",)
        assert all(probe.as_of.tzinfo is not None for probe in found.probes)
        assert found.errors == ()


async def test_a_date_beyond_all_timestamps_is_later_than_any_moment(dated):
    await dated.make("CASE WHEN n > 15 THEN '2026-01-05' ELSE '5000000-01-01' END::date", "date")
    view = dated.view("at", "dated.at <= $2::timestamptz")
    found = await check_view(dated.clients.database, view)
    assert [probe.as_of for probe in found.probes] == [datetime(2026, 1, 5, tzinfo=UTC)]
    assert found.errors == ()


@pytest.mark.parametrize(("rows", "sql_type"), [(1, "timestamptz"), (20, "timestamptz"), (20, "date")])
async def test_rows_of_one_moment_are_probed_from_just_before_it(dated, rows, sql_type):
    await dated.make("'2026-01-05'", sql_type, rows)
    (probe,) = (await dated.check("at", "true")).probes
    assert (probe.as_of, probe.changed) == (
        datetime(2026, 1, 5, tzinfo=UTC) - timedelta(microseconds=1),
        ("a",),
    )


async def test_rows_that_are_all_to_come_are_probed_from_now(dated):
    await dated.make("timestamptz '2126-01-01' + n * interval '1 day'")
    now = datetime.now(UTC)
    (probe,) = (await dated.check("at", "true")).probes
    assert (probe.changed, probe.as_of >= now) == (("a",), True)
    assert (await dated.check()).errors == ()


async def test_the_middle_lies_among_the_rows_that_have_happened(dated):
    await dated.make(f"CASE WHEN n > 9 THEN '9999-12-31' ELSE {TOLD} END")
    (probe,) = (await dated.check()).probes
    assert probe.as_of == datetime(2026, 1, 6, tzinfo=UTC)


@pytest.mark.parametrize(
    ("sql_type", "at", "why"),
    [
        ("time", "'12:00'", "cannot cast type time without time zone to timestamp with time zone"),
        ("timetz", "'12:00Z'", "cannot cast type time with time zone to timestamp with time zone"),
        ("tstzrange", "tstzrange(now(), NULL)", "cannot cast type tstzrange to timestamp with time zone"),
        ("text", "'yesterday or so'", "invalid input syntax for type timestamp with time zone"),
        ("timestamptz[]", "ARRAY[now()]", r"cannot cast type timestamp with time zone\[\] to"),
    ],
)
async def test_a_column_that_tells_no_moment_is_named_with_its_line(dated, sql_type, at, why):
    await dated.make(at, sql_type)
    with pytest.raises(ViewError, match=rf"expected at to be a time column of dated: .*{why}") as caught:
        await dated.check("at", "true")
    assert caught.value.line == 6


async def test_an_empty_table_ends_no_check(dated):
    await dated.make("now()", rows=0)
    assert (await dated.check()).errors == ()


@pytest.mark.parametrize("sql_type", ["timestamp", "date", "text"])
async def test_a_zone_in_the_header_says_where_the_times_were_written_down(dated, sql_type):
    await dated.make(f"(({TOLD})::date)::text::{sql_type}", sql_type)
    tokyo = "at AT TIME ZONE 'Asia/Tokyo'"
    view = dated.view(tokyo, "(dated.at::timestamp AT TIME ZONE 'Asia/Tokyo') <= $2::timestamptz")
    found = await check_view(dated.clients.database, view)
    (probe,) = found.probes
    assert probe.as_of == datetime(2026, 1, 11, tzinfo=UTC) - timedelta(hours=9)
    assert found.errors == ()
    (probe,) = (
        await dated.check(tokyo, "dated.at::timestamptz <= $2::timestamptz + interval '2 days'")
    ).probes
    assert probe.changed == ("a",)


@pytest.mark.parametrize(
    ("declared", "why"),
    [
        ("at AT TIME ZONE 'Asia/Tokio'", 'time zone "Asia/Tokio" not recognized'),
        ("att AT TIME ZONE 'Asia/Tokyo'", "expected att to be a time column of dated: its columns are"),
        ("at AT TIME ZONE Tokyo", "expected at AT TIME ZONE Tokyo to be a time column of dated"),
    ],
)
async def test_a_zone_or_column_that_is_none_is_named(dated, declared, why):
    await dated.make(TOLD, "timestamp")
    with pytest.raises(ViewError, match=why):
        await dated.check(declared, "true")


async def test_a_zone_that_is_none_is_to_be_looked_up_and_no_other_column(dated):
    await dated.make(TOLD, "timestamp")
    with pytest.raises(ViewError) as caught:
        await dated.check("at AT TIME ZONE 'Asia/Tokio'", "true")
    assert caught.value.hint == "write the zone as pg_timezone_names lists it, 'America/Toronto'"


async def test_a_moment_that_has_its_zone_takes_no_other(dated):
    await dated.make(TOLD)
    with pytest.raises(ViewError, match="a timestamptz, which tells its moment by itself"):
        await dated.check("at AT TIME ZONE 'Asia/Tokyo'")


@pytest.mark.parametrize(
    ("sql_type", "read"),
    [
        ("timestamp", "public.dated.at is a timestamp without time zone and is read as UTC: if it was"),
        ("date", "public.dated.at is a date and is read as its midnight in UTC: if it was"),
        ("timestamptz", None),
        ("moment", None),
    ],
)
async def test_a_declared_column_without_a_zone_is_told_with_its_line(dated, sql_type, read):
    await dated.make(TOLD, sql_type)
    view = dated.view()
    declared = await declared_tables(dated.clients.owner, view, timeout_s=5)
    notes = list(zone_advice(view, declared))
    assert len(notes) == (read is not None)
    assert all(note.startswith(f"clients.sql:6: {read}") for note in notes)
    if read:
        view = dated.view("at AT TIME ZONE 'UTC'")
        declared = await declared_tables(dated.clients.owner, view, timeout_s=5)
        assert list(zone_advice(view, declared)) == []


SEEN = {
    "dated.at <= $2::timestamptz": True,
    "$2::timestamptz >= dated.at": True,
    "dated.at > $2::timestamptz - interval '90 days'": True,
    "$2::timestamptz - interval '90 days' < dated.at": True,
    "$2::timestamptz - dated.at > interval '1 day'": True,
    "dated.at BETWEEN $2::timestamptz - interval '90 days' AND $2::timestamptz": True,
    "dated.at <= visits.at": True,
    "dated.at::timestamptz <= $2::timestamptz": True,
    "dated.at <= $2::timestamptz::timestamp": True,
    "$2::timestamp > dated.at": True,
    "dated.at <= $2::timestamptz::date": True,
    "$2::timestamptz::date - dated.at::date > 3": True,
    "dated.at::date <= $2::timestamptz::date": True,
    "dated.at::timestamp <= $2::timestamptz": True,
    "date_trunc('day', dated.at::timestamp) <= $2::timestamptz": True,
    "dated.at >= date_trunc('day', $2::timestamptz)": True,
    "dated.at + interval '1 day' <= $2::timestamptz": True,
    "$2::timestamptz - (SELECT max(d.at) FROM dated AS d WHERE d.client = c.id) > interval '1 day'": True,
    "(SELECT max(d.at) FROM dated AS d) <= $2::timestamptz": True,
    "coalesce(dated.at, '2020-01-01') <= $2::timestamptz": True,
    "extract(epoch FROM $2::timestamptz) - extract(epoch FROM dated.at) > 5": True,
    "timezone('America/Toronto', dated.at::timestamp) <= $2::timestamptz": False,
    "timezone('America/Toronto', (SELECT max(d.at)::timestamp FROM dated AS d)) <= $2::timestamptz": False,
    "dated.at::date <= ($2::timestamptz AT TIME ZONE 'America/Toronto')::date": False,
    "dated.at >= date_trunc('day', $2::timestamptz AT TIME ZONE 'America/Toronto')": False,
    "dated.at::timestamp > ($2::timestamptz - interval '1 day') AT TIME ZONE 'America/Toronto'": False,
    "$2::timestamptz - (SELECT max(d.at)::timestamp AT TIME ZONE 'UTC' FROM dated AS d) > '1 day'": False,
    "$2::timestamptz - (SELECT max(d.at) FROM dated AS d)::timestamp AT TIME ZONE 'UTC' > '1 day'": False,
    "dated.at::timestamp AT TIME ZONE 'America/Toronto' <= $2::timestamptz": False,
    "dated.at::timestamp AT TIME ZONE 'UTC' <= $2::timestamptz": False,
    "dated.at <= $2::timestamptz AT TIME ZONE 'America/Toronto'": False,
    "dated.at > ($2::timestamptz - interval '90 days') AT TIME ZONE 'America/Toronto'": False,
    "extract(hour FROM dated.at) < 12": False,
    "dated.at <= visits.known_at::timestamp": False,
    "dated.at IS NOT NULL": False,
}


async def noted(dated, seen: str, times: str = "[features]", label: str = "") -> tuple[str, ...]:
    """What is said of a view that reads `dated` under a condition, or of its label."""
    clients = dated.clients
    reading = "SELECT c.id, {0} FROM clients_bigint AS c JOIN dated ON dated.client = c.id "
    reading += "JOIN visits ON visits.client = c.id WHERE c.id = ANY ($1::bigint[])"
    features = reading.format("c.a, ($2::timestamptz IS NULL)::int::float8 AS b")
    view = clients.view(f"{features} AND\n{seen if not label else 'true'}", population=CLIENTS, times=times)
    signature = await clients.source(view.statement).signature(Deadline.after(5))
    beside = clients.label(f"{reading.format('true AS left')} AND {label}") if label else None
    return await read_as_utc(clients.database, view, signature, beside, timeout_s=5)


@pytest.mark.parametrize("sql_type", ["timestamp", "date"])
@pytest.mark.parametrize("seen", SEEN)
async def test_a_column_without_a_zone_that_meets_a_moment_is_told_with_its_line(dated, seen, sql_type):
    await dated.make(TOLD, sql_type)
    kind = (
        "a date and is compared as its midnight in UTC"
        if sql_type == "date"
        else ("a timestamp without time zone and is compared as UTC")
    )
    notes = await noted(dated, seen)
    assert len(notes) == SEEN[seen]
    assert all(note.startswith(f"clients.sql:10: public.dated.at is {kind}: if it was") for note in notes)


async def test_a_column_that_has_its_zone_may_meet_any_moment(dated):
    await dated.make(TOLD)
    assert [await noted(dated, seen) for seen, meets in SEEN.items() if meets] == [()] * 21


@pytest.mark.parametrize("name", ["timestamp", "end", "When it was", "Mixed"])
async def test_a_column_is_told_whatever_it_is_called_and_the_hint_can_be_copied(dated, name):
    await dated.make(TOLD, "timestamp")
    await dated.clients.owner.execute(f'ALTER TABLE dated RENAME at TO "{name}"')
    zoned = f"\"{name}\" AT TIME ZONE 'America/Toronto'"
    seen = "{0} <= $2::timestamptz"
    (note,) = await noted(dated, seen.format(f'dated."{name}"'))
    assert f"compare {zoned}, with your zone" in note
    assert await noted(dated, seen.format(f"dated.{zoned}")) == ()
    view = dated.view(name)
    declared = await declared_tables(dated.clients.owner, view, timeout_s=5)
    (note,) = zone_advice(view, declared)
    assert f'compare {zoned} with $2::timestamptz, with your zone, and declare "{name} AT TIME' in note


async def test_a_label_is_looked_into_for_moments_too(dated):
    await dated.make(TOLD, "timestamp")
    (note,) = await noted(dated, "", label="dated.at > $3::timestamptz AND dated.at <= $4::timestamptz")
    assert note.startswith("left.sql:7: public.dated.at is a timestamp without time zone")


async def test_what_the_header_says_of_a_zone_is_not_said_again_and_holds_in_the_text(dated):
    await dated.make(TOLD, "timestamp")
    seen = "dated.at <= $2::timestamptz"
    for declared in ("at", "at AT TIME ZONE 'UTC'"):
        assert await noted(dated, seen, f'[time_columns]\ndated = ["{declared}"]\n[features]') == ()
    declared = "at AT TIME ZONE 'Asia/Tokyo'"
    (note,) = await noted(dated, seen, f'[time_columns]\ndated = ["{declared}"]\n[features]')
    assert (
        "is compared as UTC, but [time_columns] says Asia/Tokyo: compare at AT TIME ZONE 'Asia/Tokyo'" in note
    )


async def test_a_check_says_of_a_column_what_it_reads_it_as(dated):
    await dated.make(TOLD, "timestamp")
    notes = [note for note in (await dated.check()).advice if "without time zone" in note]
    assert len(notes) == 1


async def test_infinity_is_said_to_tell_no_beginning(dated):
    await dated.make("CASE WHEN n > 15 THEN '2026-01-05' ELSE 'infinity' END::timestamptz")
    (note,) = [note for note in (await dated.check()).advice if "infinity" in note]
    assert note.startswith(
        "public.dated.at is infinity in 15 of 20 rows: [time_columns] names what says when"
    )
