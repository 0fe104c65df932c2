"""The clock of the simulated world: microseconds since 2000-01-01 UTC, as PostgreSQL counts them.

Times are int64 microseconds, dates int64 days since 2000-01-01; months are calendar months in UTC,
numbered from 0, the first month of the world.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

NEVER = int(np.iinfo(np.int64).max)
"""A time that never comes: 'infinity' in PostgreSQL, or null where the column allows it."""

NEVER_DAY = int(np.iinfo(np.int32).max)
"""The date that stands for null."""

MONTHS_BEFORE = 36
"""How many months before its origin's month the world begins."""

_EPOCH_DAYS = 10_957  # from 1970-01-01 to 2000-01-01


def microseconds(time: datetime) -> int:
    """Turns a time with a zone into microseconds since 2000-01-01 UTC."""
    return (time - EPOCH) // timedelta(microseconds=1)


def moment(time_us: int) -> datetime:
    """Turns microseconds since 2000-01-01 UTC into a time in UTC."""
    return EPOCH + timedelta(microseconds=int(time_us))


def day_of(time_us: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns the UTC dates that times fall on."""
    return time_us // DAY


def month_index(time: datetime) -> int:
    """Numbers the calendar months from 1970-01, in UTC."""
    utc = time.astimezone(UTC)
    return (utc.year - 1970) * 12 + utc.month - 1


def add_months(days: NDArray[np.int64], months: NDArray[np.int64] | int) -> NDArray[np.int64]:
    """Moves dates by whole months, to the same day of the month or else its last, as PostgreSQL does."""
    dates = (days + _EPOCH_DAYS).astype("M8[D]")
    in_month = (dates - dates.astype("M8[M]")).astype(np.int64)
    moved = (dates.astype("M8[M]").astype(np.int64) + months).astype("M8[M]")
    months_after = (moved, moved + np.timedelta64(1, "M"))
    first, after = (month.astype("M8[D]").astype(np.int64) for month in months_after)
    same_day: NDArray[np.int64] = np.minimum(first + in_month, after - 1) - _EPOCH_DAYS
    return same_day


def months_elapsed(starts_on: NDArray[np.int64], on: NDArray[np.int64]) -> NDArray[np.int64]:
    """Counts the months of contracts that have begun by given dates; the one under way counts."""
    start, now = ((days + _EPOCH_DAYS).astype("M8[D]").astype("M8[M]") for days in (starts_on, on))
    between: NDArray[np.int64] = (now - start).astype(np.int64)
    return between + (add_months(starts_on, between) <= on).astype(np.int64)


@dataclass(frozen=True)
class Calendar:
    """The months of a world, from 36 before its origin's to the one that `until` lies in.

    Attributes:
        origin: The `until` the world was first written with, in microseconds.
        until: What is recorded later is not known yet, in microseconds.
        starts: The beginning of each month and of the two after the last, in microseconds.
        season: The month of the year of each, 1 to 12.
    """

    origin: int
    until: int
    starts: NDArray[np.int64]
    season: NDArray[np.int64]

    @classmethod
    def between(cls, origin: datetime, until: datetime) -> "Calendar":
        """Makes the calendar of a world first written at `origin` and known up to `until`."""
        first = month_index(origin) - MONTHS_BEFORE
        months = np.arange(first, month_index(until) + 3)
        starts = (months.astype("M8[M]").astype("M8[D]").astype(np.int64) - _EPOCH_DAYS) * DAY
        return cls(microseconds(origin), microseconds(until), starts, months % 12 + 1)

    @property
    def months(self) -> int:
        """How many months the world has."""
        return len(self.starts) - 2

    def length(self, month: int) -> int:
        """Returns how long a month is, in microseconds."""
        return int(self.starts[month + 1] - self.starts[month])

    def month_of(self, time_us: int) -> int:
        """Returns the number of the month that a time lies in; before the first month it is negative."""
        return int(np.searchsorted(self.starts, time_us, side="right")) - 1
