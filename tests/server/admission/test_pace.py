import pytest

from staunch_server.admission.pace import KNOWN_S, Pace
from staunch_server.deadlines import Deadline
from staunch_server.errors import Reason, Refusal


class Clock:
    """Seconds that a test lets pass."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pace(clock: Clock) -> Pace:
    return Pace(free=32, clock=clock)


def end(pace: Pace, clock: Clock, calls: int, rate: float, in_hand: int = 100) -> None:
    """Has calls end at a rate while so many are in hand."""
    for _ in range(calls):
        clock.now += 1 / rate
        pace.ended(in_hand)


def test_takes_every_call_while_nothing_is_known(pace: Pace) -> None:
    assert (pace.rate, pace.wait_s(10_000)) == (0.0, 0.0)
    pace.refuse_if_late(10_000, Deadline.after(0.001))


def test_measures_the_pace_while_calls_queue(pace: Pace, clock: Clock) -> None:
    end(pace, clock, calls=200, rate=500)
    assert pace.rate == pytest.approx(500, rel=0.02)
    assert pace.wait_s(100) == pytest.approx(0.2, rel=0.02)


def test_a_pace_without_a_queue_is_that_of_those_who_ask_and_is_not_measured(
    pace: Pace, clock: Clock
) -> None:
    end(pace, clock, calls=200, rate=10, in_hand=5)
    assert pace.rate == 0.0


def test_refuses_whom_the_calls_before_it_would_make_too_late(pace: Pace, clock: Clock) -> None:
    end(pace, clock, calls=200, rate=500)
    pace.refuse_if_late(100, Deadline.after(0.4))
    with pytest.raises(Refusal) as refused:
        pace.refuse_if_late(100, Deadline.after(0.2))
    assert refused.value.reason is Reason.OVERLOADED
    assert refused.value.metadata == {"what": "calls", "limit": "100"}


def test_one_batch_is_always_taken_or_nobody_would_learn_that_it_goes_faster(
    pace: Pace, clock: Clock
) -> None:
    end(pace, clock, calls=4, rate=5)
    pace.refuse_if_late(31, Deadline.after(0.01))
    with pytest.raises(Refusal):
        pace.refuse_if_late(32, Deadline.after(0.01))


def test_forgets_a_pace_that_nobody_has_seen_for_a_while(pace: Pace, clock: Clock) -> None:
    end(pace, clock, calls=40, rate=50)
    end(pace, clock, calls=1, rate=1 / KNOWN_S, in_hand=0)
    pace.refuse_if_late(100, Deadline.after(0.01))
    end(pace, clock, calls=800, rate=2000)
    assert pace.rate == pytest.approx(2000, rel=0.02)


def test_follows_a_change_of_pace(pace: Pace, clock: Clock) -> None:
    end(pace, clock, calls=800, rate=2000)
    end(pace, clock, calls=220, rate=200)
    assert pace.rate == pytest.approx(200, rel=0.1)


def test_time_in_which_nobody_queued_counts_for_nothing(pace: Pace, clock: Clock) -> None:
    clock.now += 60
    pace.refuse_if_late(0, Deadline.after(1))
    end(pace, clock, calls=220, rate=500)
    assert pace.rate == pytest.approx(500, rel=0.02)


def test_the_first_batches_of_a_server_are_no_measure(pace: Pace, clock: Clock) -> None:
    end(pace, clock, calls=2, rate=5)
    pace.refuse_if_late(100, Deadline.after(0.1))
