"""From when to when there are rows, and which outcome windows reach past them."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from staunch_features.checks.data_span import Span, data_span
from staunch_features.errors import ViewError

NOW = datetime(2026, 2, 1, tzinfo=UTC)
FIRST, LAST = datetime(2026, 1, 1, 1, tzinfo=UTC), datetime(2026, 1, 21, 20, tzinfo=UTC)


def declaring(clients, *tables: str):
    return clients.view(times="\n".join(("[time_columns]", *tables, "[features]")))


async def test_the_span_goes_over_all_declared_columns(clients):
    view = declaring(clients, 'visits = ["at", "known_at"]')
    span = await data_span(clients.database, view, NOW)
    assert (span.first, span.last) == (FIRST, LAST + timedelta(hours=3))
    assert span.next_day() == date(2026, 1, 22)


async def test_what_is_planned_for_later_is_no_row_yet(clients):
    view = declaring(clients, 'visits = ["at"]')
    span = await data_span(clients.database, view, FIRST + timedelta(hours=5))
    assert (span.first, span.last) == (FIRST, FIRST + timedelta(hours=5))


async def test_dates_and_times_without_a_zone_are_utc_and_infinity_is_none(clients):
    await clients.owner.execute(
        "CREATE TABLE bought AS SELECT * FROM (VALUES ('2026-01-03'::date, '2026-01-05 06:00'::timestamp), "
        "('-infinity', 'infinity')) AS rows (day, moment); GRANT SELECT ON bought TO PUBLIC"
    )
    span = await data_span(clients.database, declaring(clients, 'bought = ["day", "moment"]'), NOW)
    assert (span.first, span.last) == (
        datetime(2026, 1, 3, tzinfo=UTC),
        datetime(2026, 1, 5, 6, tzinfo=UTC),
    )
    await clients.owner.execute("DROP TABLE bought")


async def test_without_time_columns_or_rows_there_is_no_span(clients):
    assert await data_span(clients.database, clients.view(), NOW) is None
    view = declaring(clients, 'visits = ["at"]')
    assert await data_span(clients.database, view, FIRST - timedelta(days=1)) is None


async def test_a_column_that_takes_too_long_is_left_out(clients):
    await clients.owner.execute(
        "CREATE VIEW endless AS SELECT timestamptz '2020-01-01' + pg_sleep(60)::text::interval AS at; "
        "GRANT SELECT ON endless TO PUBLIC"
    )
    view = declaring(clients, 'endless = ["at"]', 'visits = ["at"]')
    span = await data_span(clients.database, view, NOW, timeout_s=0.5)
    assert (span.first, span.last) == (FIRST, LAST)
    await clients.owner.execute("DROP VIEW endless")


async def test_a_declared_column_that_tells_no_time_is_named(clients):
    with pytest.raises(
        ViewError, match=r"expected client to be a time column of visits: .* cannot cast"
    ) as caught:
        await data_span(clients.database, declaring(clients, 'visits = ["client"]'), NOW)
    assert caught.value.line == 6


@pytest.mark.parametrize(
    ("horizon", "days", "ends"),
    [
        (90, 9, False),
        (90, 10, True),
        (60, 6, False),
        (60, 7, True),
        (3, 1, False),
        (3, 2, True),
        (3, -5, False),
    ],
)
def test_rows_that_end_a_tenth_of_the_horizon_early_or_more_are_told(clients, horizon, days, ends):
    label = replace(clients.label("SELECT 1"), horizon_days=horizon)
    assert Span(FIRST, LAST).ends_before(LAST + timedelta(days=days), label) == ends
