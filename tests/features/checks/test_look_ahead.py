"""What the look-ahead finds on real rows: features that change when later rows are hidden."""

from datetime import UTC, datetime

import pytest
from tests.features.checks.visits import HONEST, TIMES, VISITS, visiting

from staunch_features.checks.check import check_view
from staunch_features.checks.look_ahead import probe_tables
from staunch_features.errors import ViewError

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize("table", ["visits", "public.visits", 'public."visits"', '"public" . visits'])
async def test_a_view_that_compares_times_shows_no_change(clients, table):
    found = await probe_tables(clients.database, visiting(clients, HONEST, table), [1, 2, 3], timeout_s=5)
    ((probe,), untried) = (found.probes, found.untried)
    assert (untried, found.undeclared) == ((), ())
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
    (probe,) = (await probe_tables(clients.database, view, [1, 2, 3], timeout_s=5)).probes
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
