from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from staunch_training.errors import NotEnoughRows
from staunch_training.split import (
    SHARES,
    SIDES,
    DateCounts,
    DatePlan,
    assign_dates,
    begin_after,
    plan_dates,
    side_of,
)

UNTIL = datetime(2026, 11, 22, 13, 30, tzinfo=UTC)


def _plan(gap_days: int = 0, horizon_days: int = 90, counts: DateCounts | None = None) -> DatePlan:
    return plan_dates(UNTIL, gap_days=gap_days, horizon_days=horizon_days, counts=counts or DateCounts())


def test_the_last_answer_is_known_when_the_data_ends() -> None:
    plan = _plan(gap_days=7)
    assert UNTIL - timedelta(days=1) < plan.test[-1] + timedelta(days=97) <= UNTIL


def test_each_side_gets_as_many_dates_as_declared() -> None:
    plan = _plan()
    assert [len(plan.dates(side)) for side in SIDES] == [12, 2, 2]


@given(gap=st.integers(0, 40), horizon=st.integers(0, 200), step=st.integers(1, 60), each=st.integers(1, 4))
def test_every_answer_is_known_at_the_next_sides_first_date(
    gap: int, horizon: int, step: int, each: int
) -> None:
    plan = _plan(gap, horizon, DateCounts(train=each, validation=each, test=each, step_days=step))
    reach = timedelta(days=gap + horizon)
    assert plan.train[-1] + reach <= plan.validation[0]
    assert plan.validation[-1] + reach <= plan.test[0]
    assert plan.train[-1] < plan.validation[0] <= plan.validation[-1] < plan.test[0]


def test_dates_that_reach_into_the_next_side_belong_to_none() -> None:
    dates = [UNTIL - timedelta(days=30 * index) for index in range(12)]
    counts = DateCounts(train=99, validation=1, test=1)
    plan = assign_dates(dates, gap_days=0, horizon_days=45, counts=counts)
    assert plan.test == (dates[0],)
    assert plan.validation == (dates[2],)
    assert plan.train == tuple(reversed(dates[4:]))


def test_too_short_a_history_says_what_is_missing() -> None:
    dates = [UNTIL - timedelta(days=30 * index) for index in range(4)]
    with pytest.raises(NotEnoughRows, match="as-of date for validation"):
        assign_dates(dates, gap_days=0, horizon_days=90, counts=DateCounts())


@pytest.mark.parametrize("year", [1, 2])
def test_an_end_before_the_calendar_begins_is_refused_with_what_to_do(year: int) -> None:
    early = datetime(year, 1, 1, tzinfo=timezone(timedelta(hours=14)))
    with pytest.raises(NotEnoughRows, match=rf"got 000{year}-01-01: give a later one \(--until DATE\)"):
        plan_dates(early, gap_days=0, horizon_days=90, counts=DateCounts())


def test_a_moment_without_a_time_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        plan_dates(datetime(2026, 1, 1), gap_days=0, horizon_days=90, counts=DateCounts())


def test_the_printed_dates_name_the_outcome_window() -> None:
    lines = _plan(gap_days=10, horizon_days=30, counts=DateCounts(1, 1, 1)).lines()
    assert lines[-1] == "test: as of 2026-10-13; outcome from 2026-10-23 to 2026-11-22"


def test_a_group_always_lands_on_the_same_side() -> None:
    assert [side_of("42", 7) for _ in range(3)] == [side_of("42", 7)] * 3
    assert len({side_of("42", seed) for seed in range(50)}) == 3


def test_sides_get_their_share_of_the_groups() -> None:
    sides = [side_of(str(group), 42) for group in range(20_000)]
    for side in SIDES:
        assert sides.count(side) / 20_000 == pytest.approx(SHARES[side], abs=0.015)


def test_the_clear_days_are_the_fewest_between_two_sides() -> None:
    counts = DateCounts(train=1, validation=1, test=1, step_days=10)
    plan = assign_dates(
        [UNTIL - timedelta(days=days) for days in (0, 35, 67)], gap_days=5, horizon_days=25, counts=counts
    )
    assert plan.clear_days() == 2


@pytest.mark.parametrize(
    ("days_before", "kept", "told"),
    [
        (400, 12, []),
        (365, 12, []),
        (364, 11, ["left out of train"]),
        (185, 6, ["left out of train"]),
        (184, 12, ["warning"]),
        (-100, 8, ["left out of train", "warning"]),
        (-329, 1, ["left out of train", "warning"]),
        (-330, 12, ["warning"]),
    ],
)
def test_dates_that_rows_do_not_reach_back_to_are_left_out_while_others_remain(
    days_before: int, kept: int, told: list[str]
) -> None:
    plan = _plan()
    first = plan.train[0] - timedelta(days=days_before)
    begun, notes = begin_after(plan, first, 365)
    assert begun.train == plan.train[-kept:]
    assert (begun.validation, begun.test) == (plan.validation, plan.test)
    assert [note.partition(":")[0] for note in notes] == told


def test_dates_before_all_rows_do_not_count_when_those_with_few_are_judged() -> None:
    plan = _plan()
    begun, (left_out,) = begin_after(plan, plan.train[0] + timedelta(days=100), 90)
    assert begun.train == plan.train[-5:]
    assert left_out.startswith(f"left out of train: {plan.train[0]:%Y-%m-%d}, ")


def test_what_is_said_of_early_dates_names_them_and_why() -> None:
    plan = _plan()
    _, (left_out,) = begin_after(plan, plan.train[1] - timedelta(days=365), 365)
    assert left_out.startswith(
        f"left out of train: {plan.train[0]:%Y-%m-%d}: fewer than 365 days of rows before, the first is of "
    )
    _, notes = begin_after(plan, plan.test[-1] - timedelta(days=364), 365)
    assert f"{plan.test[-1]:%Y-%m-%d}: fewer than 365 days" in notes[-1]
