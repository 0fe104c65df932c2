"""The world's clock and what is computed from dates."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from staunch_local.simulation.background.clock import (
    DAY,
    EPOCH,
    Calendar,
    add_months,
    microseconds,
    moment,
    months_elapsed,
)

_DATES = st.dates(date(2000, 1, 1), date(2060, 12, 31))


def _days(*dates: date) -> np.ndarray:
    return np.array([(day - EPOCH.date()).days for day in dates])


def _plain_add(day: date, months: int) -> date:
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    for day_of_month in range(day.day, 27, -1):
        try:
            return date(year, month + 1, day_of_month)
        except ValueError:
            continue
    return date(year, month + 1, day.day)


@given(_DATES, st.integers(0, 60))
def test_months_are_added_as_the_database_adds_them(day: date, months: int) -> None:
    assert add_months(_days(day), months).tolist() == _days(_plain_add(day, months)).tolist()


@given(_DATES, st.integers(0, 1500))
def test_the_month_under_way_counts_as_elapsed(day: date, later: int) -> None:
    on = day + timedelta(days=later)
    begun = sum(_plain_add(day, months) <= on for months in range(60))
    assert months_elapsed(_days(day), _days(on)).tolist() == [begun]


@pytest.mark.parametrize(
    ("start", "on", "begun"),
    [
        ("2024-01-31", "2024-02-28", 1),
        ("2024-01-31", "2024-02-29", 2),
        ("2025-01-31", "2025-02-28", 2),
        ("2024-02-29", "2025-02-28", 13),
        ("2025-03-01", "2025-03-01", 1),
    ],
)
def test_short_months_end_on_their_last_day(start: str, on: str, begun: int) -> None:
    days = [_days(date.fromisoformat(text)) for text in (start, on)]
    assert months_elapsed(*days).tolist() == [begun]


@given(st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)))
def test_times_go_there_and_back(time: datetime) -> None:
    assert moment(microseconds(time)) == time


@given(
    st.datetimes(datetime(2005, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC)),
    st.timedeltas(timedelta(0), timedelta(days=900)),
)
def test_a_calendar_begins_36_months_before_its_origin_and_reaches_its_until(
    origin: datetime, span: timedelta
) -> None:
    calendar = Calendar.between(origin, origin + span)
    first, last = moment(calendar.starts[0]), moment(calendar.starts[calendar.months])
    assert (first.year * 12 + first.month, first.day) == (origin.year * 12 + origin.month - 36, 1)
    assert moment(calendar.starts[calendar.months - 1]) <= origin + span < last
    assert set(np.diff(calendar.starts) // DAY) <= {28, 29, 30, 31}
    assert calendar.month_of(calendar.origin) == 36
    assert [moment(start).month for start in calendar.starts] == calendar.season.tolist()
