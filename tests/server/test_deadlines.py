"""What is kept back of a caller's time, once."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from staunch_server.deadlines import Deadline, answer_by


@given(st.floats(0.01, 3600))
def test_the_reserve_is_30_ms_and_a_share_but_never_more_than_a_tenth(seconds: float) -> None:
    caller = Deadline.after(seconds)
    reserve = caller.at - answer_by(caller).at
    expected = min(0.1 * seconds, 0.03 + 0.015 * seconds)
    assert reserve == pytest.approx(expected, rel=0.05, abs=0.002)


def test_what_is_over_stays_over() -> None:
    over = Deadline(time.monotonic() - 1)
    assert answer_by(over) == over
