"""One clock: what is left, what is kept, what ends."""

import asyncio
import time
from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from staunch_features.postgres.deadlines import Deadline

SECONDS = st.floats(0.001, 1e6)


@given(SECONDS)
def test_what_is_left_is_what_was_given_less_what_has_passed(seconds: float) -> None:
    before = time.monotonic()
    deadline = Deadline.after(seconds)
    left = deadline.left()
    assert seconds - (time.monotonic() - before) - 1e-6 <= left <= seconds + 1e-6


def test_a_deadline_that_is_over_has_nothing_left() -> None:
    assert Deadline(time.monotonic() - 5).left() <= -5


def test_what_is_over_is_not_begun() -> None:
    assert 59 < Deadline.after(60).left_or_raise() <= 60
    for over_s in (0, 1):
        with pytest.raises(TimeoutError, match="over before"):
            Deadline(time.monotonic() - over_s).left_or_raise()


@given(SECONDS, st.floats(0, 1))
def test_keeping_a_share_leaves_the_rest_and_never_a_later_end(seconds: float, share: float) -> None:
    deadline = Deadline.after(seconds)
    kept = deadline.keep(share)
    assert kept.at <= deadline.at
    assert kept.left() == pytest.approx((1 - share) * seconds, rel=0.01, abs=0.05)


def test_nothing_can_be_kept_of_what_is_over() -> None:
    over = Deadline(time.monotonic() - 1)
    assert over.keep(0.5) == over


@given(SECONDS, SECONDS)
def test_within_is_the_earlier_of_both(seconds: float, most: float) -> None:
    deadline = Deadline.after(seconds)
    within = deadline.within(most)
    assert within.at <= deadline.at
    assert within.left() <= most
    assert within.left() == pytest.approx(min(seconds, most), rel=0.01, abs=0.05)


async def test_a_timeout_ends_what_takes_longer_and_nothing_else() -> None:
    async with Deadline.after(60).timeout():
        await asyncio.sleep(0)
    with pytest.raises(TimeoutError):
        async with Deadline.after(0.01).timeout():
            await asyncio.Event().wait()
    with pytest.raises(TimeoutError):
        async with Deadline(time.monotonic() - 1).timeout():
            await asyncio.Event().wait()


def test_a_deadline_cannot_be_moved() -> None:
    with pytest.raises(FrozenInstanceError):
        Deadline.after(1).at = 0.0  # type: ignore[misc]
