"""What is kept back of a caller's time, once."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from staunch_server.deadlines import Deadline, answer_by


@given(st.floats(0.01, 3600))
def test_the_reserve_is_50_ms_and_2_percent_but_never_more_than_15_percent(seconds: float) -> None:
    caller = Deadline.after(seconds)
    reserve = caller.at - answer_by(caller).at
    expected = min(0.15 * seconds, 0.05 + 0.02 * seconds)
    assert reserve == pytest.approx(expected, rel=0.05, abs=0.002)


def test_what_is_over_stays_over() -> None:
    over = Deadline(time.monotonic() - 1)
    assert answer_by(over) == over
