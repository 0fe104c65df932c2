"""What a client spends on tries: a restart fails no call, an overload is not multiplied; on a set clock."""

import random
import threading
from contextlib import suppress
from itertools import pairwise
from math import inf

import pytest
from grpc import StatusCode
from hypothesis import given
from hypothesis import strategies as st
from tests.client.harness.crowd import CALL_S, Crowd, Trouble, answered_unavailable, refused
from tests.harness.clock import Clock

from staunch import RetryPolicy, StaunchError, Unavailable
from staunch._budget import Budget
from staunch._retry import Tries

RESTART_S = 2.4
MOMENTS = st.floats(0, 0.05)


def lost(now_s: float) -> Unavailable:
    """What a crash does: who was under way hears so, who comes later is refused."""
    return answered_unavailable() if now_s < 0.05 + CALL_S else refused()


WAYS_OF_BEING_AWAY: dict[str, Trouble] = {
    "unavailable": lambda _now: answered_unavailable(),
    "unavailable, try again in 0.1 s": lambda _now: answered_unavailable(0.1),
    "unavailable, try again in 1 s": lambda _now: answered_unavailable(1.0),
    "refused": lambda _now: refused(),
    "lost": lost,
}


@pytest.mark.parametrize("way", WAYS_OF_BEING_AWAY)
@given(starts=st.lists(MOMENTS, min_size=1, max_size=8), away_s=st.floats(0, RESTART_S))
def test_up_to_eight_callers_survive_a_restart(way: str, starts: list[float], away_s: float) -> None:
    away = WAYS_OF_BEING_AWAY[way]
    crowd = Crowd(lambda now: away(now) if now < away_s else None).run(starts)
    assert (crowd.failed, len(crowd.latencies_s)) == (0, len(starts))
    assert max(crowd.latencies_s) < 4.0
    assert crowd.sent <= 1.1 * len(starts) + 10


@given(starts=st.lists(MOMENTS, min_size=1, max_size=300))
def test_any_number_of_callers_survives_a_server_that_nobody_reaches(starts: list[float]) -> None:
    crowd = Crowd(lambda now: refused() if now < RESTART_S else None).run(starts)
    assert (crowd.failed, crowd.sent) == (0, len(starts))
    assert max(crowd.latencies_s) < RESTART_S + 0.2


@given(st.integers(1, 64), st.integers(1, 40), st.sampled_from([None, 0.1, 1.0]))
def test_an_overload_is_not_multiplied(callers: int, calls: int, push_back_s: float | None) -> None:
    crowd = Crowd(lambda _now: answered_unavailable(push_back_s)).run([0.0] * callers, calls)
    assert crowd.failed == callers * calls
    assert crowd.sent <= 1.1 * callers * calls + 10


@given(st.integers(1, 30), st.floats(0, 1), st.integers(0, 2**32))
def test_nor_is_a_server_that_answers_some(callers: int, share: float, seed: int) -> None:
    chance = random.Random(seed)
    ways = list(WAYS_OF_BEING_AWAY.values())

    def trouble(now: float) -> Unavailable | None:
        return chance.choice(ways)(now) if chance.random() < share else None  # type: ignore[return-value]

    crowd = Crowd(trouble).run([chance.random() for _ in range(callers)], 20)
    assert crowd.sent <= 1.1 * callers * 20 + 10
    assert crowd.failed + len(crowd.latencies_s) == callers * 20


@given(
    starts=st.lists(MOMENTS, min_size=1, max_size=20), push_back_s=st.floats(0.05, 4), away_s=st.floats(0, 6)
)
def test_nobody_comes_back_sooner_than_asked(starts: list[float], push_back_s: float, away_s: float) -> None:
    crowd = Crowd(lambda now: answered_unavailable(push_back_s) if now < away_s else None).run(starts, 2)
    for moments in crowd.requests:
        for first, second in pairwise(moments):
            assert second - first >= push_back_s


def test_those_who_wait_go_as_soon_as_a_scout_is_answered() -> None:
    """A server of several died and another answers: nobody waits for the last chance."""
    crowd = Crowd(lambda now: answered_unavailable() if now < 0.03 else None).run([0.0] * 8)
    assert crowd.failed == 0
    assert max(crowd.latencies_s) < 0.2


def test_those_who_wait_go_as_soon_as_a_new_call_is_answered() -> None:
    crowd = Crowd(lambda now: answered_unavailable() if now < 1.0 else None).run([0.0] * 10 + [1.1])
    assert crowd.failed == 0
    assert max(crowd.latencies_s) < 1.2


NOT_RETRIED = [
    code
    for code in StatusCode
    if code not in {StatusCode.OK, StatusCode.UNAVAILABLE, StatusCode.CANCELLED, StatusCode.DEADLINE_EXCEEDED}
]


@pytest.mark.parametrize("code", NOT_RETRIED)
def test_a_final_error_of_a_server_tells_those_who_wait_that_it_is_back(code: StatusCode) -> None:
    """A scout that hears that there is no such customer spares the others the wait for their last chance."""
    ended_s: list[float] = []

    def trouble(now: float) -> StaunchError | None:
        if now < 1.0:
            return answered_unavailable()
        ended_s.append(now)
        return StaunchError(code, "as told") if len(ended_s) == 1 else None

    crowd = Crowd(trouble).run([0.0] * 5)
    assert (crowd.failed, len(crowd.latencies_s)) == (1, 4)
    assert max(ended_s) < ended_s[0] + 0.05  # and another scout would be further off


@pytest.mark.parametrize("code", [StatusCode.UNAVAILABLE, StatusCode.CANCELLED, StatusCode.DEADLINE_EXCEEDED])
def test_an_error_in_which_no_server_need_speak_tells_nobody(code: StatusCode) -> None:
    budget = RetryPolicy().budget()
    with pytest.raises(StaunchError), Tries(RetryPolicy(attempts=1), 5.0, budget) as tries:
        tries.failed(StaunchError(code, "as told"))
    assert budget.answers == 0


def test_a_call_that_finds_no_token_fails_at_once() -> None:
    crowd = Crowd(lambda now: answered_unavailable() if now < 1.0 else None).run([0.0] * 30)
    assert (crowd.failed, len(crowd.latencies_s), crowd.sent) == (20, 10, 40)


def test_a_call_that_may_take_for_ever_is_not_left_waiting_without_a_try() -> None:
    crowd = Crowd(lambda _now: answered_unavailable(), timeout_s=inf).run([0.0])
    assert (crowd.failed, crowd.sent) == (1, 11)
    assert 30 < crowd.clock.now_s < 60
    crowd = Crowd(lambda now: refused() if now < 3600 else None, timeout_s=inf).run([0.0])
    assert (crowd.failed, crowd.sent) == (0, 1)


@pytest.fixture
def clock() -> Clock:
    """The budget's."""
    return Clock()


@pytest.fixture
def budget(clock: Clock) -> Budget:
    """Of two tokens, of which a call gives a quarter; the first scout goes after 1 s, the next after 2."""
    return Budget(2, 0.25, lambda failures: float(failures), clock)


def test_a_budget_is_full_at_first_and_never_fuller(budget: Budget) -> None:
    for _ in range(100):
        budget.begin()
    assert [budget.spend() for _ in range(3)] == [True, True, False]


def test_four_quarters_are_a_token(budget: Budget) -> None:
    assert budget.spend()
    assert budget.spend()
    for _ in range(3):
        budget.begin()
    assert not budget.spend()
    budget.begin()
    assert budget.spend()


def test_a_token_that_was_kept_for_nothing_goes_back(budget: Budget) -> None:
    assert budget.join()
    assert budget.join()
    assert not budget.join()
    budget.leave(unused=True)
    assert budget.join()
    budget.leave(unused=False)
    assert not budget.join()


def test_one_scout_goes_at_a_time_after_waits_that_grow(budget: Budget, clock: Clock) -> None:
    assert budget.join()
    assert not budget.send_scout()
    clock.now_s = 1.0
    assert budget.send_scout()
    assert not budget.send_scout()
    budget.scouted(arrived=True)
    budget.begin()
    budget.begin()
    budget.begin()
    budget.begin()
    clock.now_s = 2.9
    assert not budget.send_scout()
    clock.now_s = 3.0
    assert budget.send_scout()


def test_a_scout_that_reached_nobody_costs_nothing_and_another_goes_soon(
    budget: Budget, clock: Clock
) -> None:
    assert budget.join()
    clock.now_s = 1.0
    for _ in range(20):
        assert budget.send_scout()
        budget.scouted(arrived=False)
        clock.now_s += 0.1
    assert budget.spend()


def cancelled(budget: Budget, clock: Clock, *, scouting: bool) -> None:
    """Makes a call that is cancelled while it waits, or on its way as a scout."""
    with suppress(KeyboardInterrupt), Tries(RetryPolicy(), 5.0, budget, clock) as tries:
        tries.failed(answered_unavailable())
        assert not scouting or tries.wait_s() == 0.0
        raise KeyboardInterrupt


def test_a_call_that_is_cancelled_gives_its_token_back_unless_it_was_on_its_way(clock: Clock) -> None:
    policy = RetryPolicy(max_tokens=3, token_ratio=0.0, first_wait_s=0.0)
    budget = policy.budget(clock)
    cancelled(budget, clock, scouting=False)
    cancelled(budget, clock, scouting=True)
    assert budget.join()
    assert budget.send_scout()  # the scout that was cancelled is waited for no more
    assert not budget.spend()


def test_threads_share_a_budget() -> None:
    budget, taken = Budget(100, 1.0, lambda _failures: 0.0), list[bool]()

    def spend() -> None:
        mine = [budget.spend() for _ in range(1000)]
        taken.extend(mine)

    threads = [threading.Thread(target=spend) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (sum(taken), len(taken)) == (100, 8000)
