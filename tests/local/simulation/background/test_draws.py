"""Chance that depends on its key alone, and reaches its ends."""

import numpy as np
import pytest

from staunch_local.simulation.background.clock import DAY, MINUTE, SECOND
from staunch_local.simulation.background.draws import Draws, Topic

KEY = (7, Topic.PEOPLE, 3, 5)


def test_the_same_key_gives_the_same_and_any_other_something_else() -> None:
    first = Draws(*KEY).uniform(8)
    assert (first == Draws(*KEY).uniform(8)).all()
    others = [
        (8, Topic.PEOPLE, 3, 5),
        (7, Topic.MONTHS, 3, 5),
        (7, Topic.PEOPLE, 4, 5),
        (7, Topic.PEOPLE, 3, 6),
    ]
    for key in [*others, (2**63 - 1, Topic.FATE, 2**40 - 1, 2**15 - 1)]:
        assert not (first == Draws(*key).uniform(8)).any()


def test_whole_numbers_reach_both_ends_and_no_further() -> None:
    assert set(Draws(*KEY).integers(3, 6, 1000).tolist()) == {3, 4, 5}


def test_what_is_sure_happens_and_what_cannot_be_does_not() -> None:
    assert Draws(*KEY).happens(np.ones(1000)).all()
    assert not Draws(*KEY).happens(np.zeros(1000)).any()
    assert Draws(*KEY).happens(np.full(100_000, 0.3)).mean() == pytest.approx(0.3, abs=0.01)


def test_positions_come_as_often_as_they_weigh() -> None:
    picked = Draws(*KEY).pick(np.array([1.0, 0.0, 3.0]), 100_000)
    assert np.bincount(picked, minlength=3) / 100_000 == pytest.approx([0.25, 0, 0.75], abs=0.01)
    by_row = Draws(*KEY).pick_by(np.array([[1.0, 0.0], [0.25, 0.75]]), np.repeat([0, 1], 50_000))
    assert by_row[:50_000].sum() == 0
    assert by_row[50_000:].mean() == pytest.approx(0.75, abs=0.01)


def test_uuids_say_that_they_are_random_ones() -> None:
    drawn = Draws(*KEY).uuids(1000)
    assert drawn.shape == (1000, 16)
    assert set((drawn[:, 6] >> 4).tolist()) == {4}
    assert set((drawn[:, 8] >> 6).tolist()) == {2}


def test_rows_are_recorded_a_second_later_at_the_earliest_and_forty_days_at_the_latest() -> None:
    delay = Draws(*KEY).delay(200_000)
    assert delay.min() >= SECOND
    assert delay.max() <= SECOND + 40 * DAY
    assert np.mean(delay < 10 * MINUTE) == pytest.approx(0.98, abs=0.005)
