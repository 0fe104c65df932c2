"""Splits by time and by customer, so that what is measured was never learned from.

Three sides: train, validation (picks the learner, calibrates) and test (measured once, at the end). A
customer belongs to one side at all dates, an as-of date belongs to one side for all customers, and each
answer learned from was known at the next side's first date: what would reach beyond it is purged.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Literal, TypeAlias

from staunch_training.errors import NotEnoughRows

Side: TypeAlias = Literal["train", "validation", "test"]
SIDES: tuple[Side, ...] = ("train", "validation", "test")

# Customers per side. Of 10,000, this leaves test about 150 leavers: its AUC is known within about 0.05.
SHARES: dict[Side, float] = {"train": 0.6, "validation": 0.2, "test": 0.2}


@dataclass(frozen=True, slots=True)
class DatePlan:
    """The as-of dates of each side, oldest first, and how far an answer reaches after its date."""

    train: tuple[datetime, ...]
    validation: tuple[datetime, ...]
    test: tuple[datetime, ...]
    gap_days: int
    horizon_days: int

    def dates(self, side: Side) -> tuple[datetime, ...]:
        """The as-of dates of `side`, oldest first."""
        return {"train": self.train, "validation": self.validation, "test": self.test}[side]

    def clear_days(self) -> int:
        """The fewest whole days between the outcomes of one side and the first as-of date of the next."""
        reach = outcome(self.gap_days, self.horizon_days)
        later = (self.validation[0] - self.train[-1], self.test[0] - self.validation[-1])
        return min((between - reach).days for between in later)

    def lines(self, *, each_date: bool = True) -> list[str]:
        """One line a side: its as-of dates, or how many from when to when, and the window they look into."""
        return [self._line(side, _days if each_date else _span) for side in SIDES]

    def _line(self, side: Side, written: Callable[[Sequence[datetime]], str]) -> str:
        dates = self.dates(side)
        opens = dates[0] + timedelta(days=self.gap_days)
        closes = dates[-1] + outcome(self.gap_days, self.horizon_days)
        return f"{side}: as of {written(dates)}; outcome from {opens:%Y-%m-%d} to {closes:%Y-%m-%d}"


@dataclass(frozen=True, slots=True)
class DateCounts:
    """How many as-of dates each side gets, and the days between two dates.

    Twelve to train on see every season once.
    """

    train: int = 12
    validation: int = 2
    test: int = 2
    step_days: int = 30


def outcome(gap_days: int, horizon_days: int) -> timedelta:
    """How long after its as-of date an answer is known."""
    return timedelta(days=gap_days + horizon_days)


def plan_dates(until: datetime, *, gap_days: int, horizon_days: int, counts: DateCounts) -> DatePlan:
    """Lays as-of dates `counts.step_days` apart, backwards from the last whose answer is known at `until`.

    Dates are midnights in UTC. Raises NotEnoughRows if a side is to get no date or if there is no calendar so
    early, ValueError if `until` has no time zone.
    """
    if until.tzinfo is None:
        raise ValueError(f"expected a moment with a time zone, got {until.isoformat()}: add +00:00 for UTC")
    reach = outcome(gap_days, horizon_days)
    step = timedelta(days=counts.step_days)
    needed = counts.train + counts.validation + counts.test + 2 * (1 + reach // step)
    try:
        last = (until.astimezone(UTC) - reach).replace(hour=0, minute=0, second=0, microsecond=0)
        grid = [last - index * step for index in range(needed)]
    except OverflowError as error:
        raise NotEnoughRows(
            f"expected an end of the rows with room before it for {needed} as-of dates and their outcomes, "
            f"got {until.date()}: give a later one (--until DATE)"
        ) from error
    return assign_dates(grid, gap_days=gap_days, horizon_days=horizon_days, counts=counts)


def assign_dates(
    dates: Iterable[datetime], *, gap_days: int, horizon_days: int, counts: DateCounts
) -> DatePlan:
    """Gives the last dates to test, earlier ones to validation and the ones before to train.

    A date whose outcome window ends after the first date of the next side is purged: it belongs to none.
    Raises NotEnoughRows if no date is left for a side.
    """
    left = sorted(set(dates))
    reach = outcome(gap_days, horizon_days)
    test, left = _take_last(left, counts.test, "test")
    validation, left = _take_last(
        [date for date in left if date + reach <= test[0]], counts.validation, "validation"
    )
    train, _ = _take_last([date for date in left if date + reach <= validation[0]], counts.train, "train")
    return DatePlan(train, validation, test, gap_days, horizon_days)


def begin_after(plan: DatePlan, first: datetime, observation_days: int) -> tuple[DatePlan, list[str]]:
    """Leaves out the dates to train on that have less than `observation_days` of rows before them.

    There features that count over a window say less than they will in serving, and teach that this is how
    customers are. Where that would leave fewer than half of the dates that have rows before them, only the
    others go.

    Args:
        plan: The dates.
        first: When the first row happened.
        observation_days: How far back the features look.

    Returns:
        The plan, and what to tell of it.
    """
    full = first + timedelta(days=observation_days)
    observed = [date for date in plan.train if date >= full]
    after_first = [date for date in plan.train if date > first]
    kept = observed
    if not observed or 2 * len(observed) < len(after_first):
        kept = after_first or list(plan.train)
    left_out = [date for date in plan.train if date not in kept]
    short = [date for side in (kept, plan.validation, plan.test) for date in side if date < full]
    why = f"fewer than {observation_days} days of rows before, the first is of {first:%Y-%m-%d}"
    notes = [f"left out of train: {_days(left_out)}: {why}"] if left_out else []
    if short:
        notes.append(f"warning: {_days(short)}: {why}, so features say less there than they will in serving")
    return replace(plan, train=tuple(kept)), notes


def _days(dates: Iterable[datetime]) -> str:
    return ", ".join(f"{date:%Y-%m-%d}" for date in dates)


def _span(dates: Sequence[datetime]) -> str:
    if len(dates) <= 2:
        return _days(dates)
    return f"{len(dates)} dates from {dates[0]:%Y-%m-%d} to {dates[-1]:%Y-%m-%d}"


def _take_last(dates: list[datetime], count: int, side: Side) -> tuple[tuple[datetime, ...], list[datetime]]:
    if not dates or count < 1:
        raise NotEnoughRows(
            f"expected at least one as-of date for {side}, got none: give more or earlier dates, "
            "two sides must lie a gap and a horizon apart"
        )
    return tuple(dates[-count:]), dates[:-count]


def side_of(group: str, seed: int) -> Side:
    """The side of the customers of `group`, at every date: always the same for the same seed."""
    digest = hashlib.blake2b(f"{seed}:{group}".encode(), digest_size=8).digest()
    place = int.from_bytes(digest, "big") / 2**64
    if place < SHARES["train"]:
        return "train"
    return "validation" if place < SHARES["train"] + SHARES["validation"] else "test"
