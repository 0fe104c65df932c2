"""When a call is tried again: counted at a real server."""

import asyncio
import time

import pytest
from grpc import StatusCode

from staunch import Conflict, DeadlineExceeded, RetryPolicy, StaunchError, Unavailable
from staunch._errors import ErrorDetails
from staunch._retry import Tries

QUICK = RetryPolicy(attempts=4, first_wait_s=0.01, longest_wait_s=0.02)


async def test_unavailable_is_tried_again_until_it_is_answered(either_with, toy):
    toy.script.extend([toy.failing(StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE", 0.0)] * 3)
    assert (await either_with(retry=QUICK).call("predict", 42)).probability == 0.25
    assert len(toy.seen) == 4


async def test_tries_end_with_the_policy(either_with, toy):
    toy.script.extend([toy.failing(StatusCode.UNAVAILABLE, "OVERLOADED", 0.0)] * 9)
    with pytest.raises(Unavailable) as caught:
        await either_with(retry=QUICK).call("predict", 42)
    assert (len(toy.seen), caught.value.reason) == (4, "OVERLOADED")


@pytest.mark.parametrize("code", [code for code in StatusCode if code.value[0] not in (0, 14)])
async def test_no_other_status_is_ever_tried_again(either_with, toy, code):
    toy.script.append(toy.failing(code, "SOME_REASON"))
    with pytest.raises(StaunchError) as caught:
        await either_with(retry=QUICK).call("explain", 42)
    assert (len(toy.seen), caught.value.code) == (1, code)


async def test_push_back_is_waited_out(either_with, toy):
    toy.script.append(toy.failing(StatusCode.UNAVAILABLE, "DRAINING", 0.3))
    started = time.monotonic()
    await either_with(retry=QUICK).call("predict", 42)
    assert 0.3 <= time.monotonic() - started < 3


async def test_a_push_back_beyond_the_deadline_ends_the_call_at_once(either_with, toy):
    toy.script.append(toy.failing(StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE", 60.0))
    started = time.monotonic()
    with pytest.raises(Unavailable) as caught:
        await either_with(retry=QUICK).call("predict", 42, timeout_s=5.0)
    assert time.monotonic() - started < 4
    assert (len(toy.seen), caught.value.details.retry_after_s) == (1, 60.0)


async def test_all_tries_together_stay_within_the_timeout(either_with, toy):
    toy.script.extend([toy.failing(StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE", 0.2)] * 99)
    started = time.monotonic()
    with pytest.raises(Unavailable):
        await either_with(retry=RetryPolicy(attempts=99)).call("predict", 42, timeout_s=0.7)
    assert time.monotonic() - started < 2
    assert 2 <= len(toy.seen) <= 4


async def test_a_silent_server_costs_the_timeout_and_no_more(either, toy):
    toy.script.append(lambda *_: toy.released.wait(5))
    started = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        await either.call("predict", 42, timeout_s=0.3)
    assert 0.3 <= time.monotonic() - started < 3


async def test_a_server_that_comes_back_within_the_timeout_is_found(either_with, server):
    server.stop()
    client = either_with(retry=RetryPolicy(attempts=50))
    waiting = asyncio.ensure_future(client.call("predict", 42, timeout_s=10))
    await asyncio.sleep(0.3)
    await asyncio.to_thread(server.start)
    assert (await waiting).probability == 0.25


async def test_nobody_there_is_unavailable_and_says_so(either_with, server):
    server.stop()
    with pytest.raises(Unavailable, match=r"(?i)connect") as caught:
        await either_with(retry=QUICK).call("predict", 42)
    assert caught.value.reason == ""
    server.start()


async def test_compare_and_set_is_never_sent_twice(either_with, toy):
    toy.script.append(toy.failing(StatusCode.UNAVAILABLE, "DRAINING", 0.0))
    with pytest.raises(Unavailable):
        await either_with(retry=QUICK).call("set_alias", "churn", "champion", 3, expected_version=2)
    assert len(toy.seen) == 1


async def test_moving_an_alias_without_a_condition_is_tried_again(either_with, toy):
    toy.script.append(toy.failing(StatusCode.UNAVAILABLE, "DRAINING", 0.0))
    await either_with(retry=QUICK).call("set_alias", "churn", "champion", 3)
    assert len(toy.seen) == 2


async def test_cancelling_the_awaiting_task_cancels_the_call(server, toy):
    from staunch import AsyncClient

    came, gone = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def wait_for_the_end(_request, context):
        context.add_callback(lambda: loop.call_soon_threadsafe(gone.set))
        loop.call_soon_threadsafe(came.set)
        toy.released.wait(5)

    toy.script.append(wait_for_the_end)
    async with AsyncClient(server.target) as client:
        task = asyncio.create_task(client.predict(42))
        await came.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(gone.wait(), 10)


def test_waits_grow_to_the_longest_and_spread():
    policy = RetryPolicy(first_wait_s=1.0, longest_wait_s=4.0)
    for failures, longest in [(1, 1.0), (2, 2.0), (3, 4.0), (9, 4.0)]:
        waits = [policy.wait_s(failures, None) for _ in range(50)]
        assert longest / 2 <= min(waits) < max(waits) <= longest


def test_no_wait_is_shorter_than_the_push_back():
    policy = RetryPolicy(first_wait_s=0.01)
    waits = [policy.wait_s(1, 2.0) for _ in range(50)]
    assert 2.0 <= min(waits) < max(waits) <= 2.5


def test_remaining_time_never_goes_below_zero():
    now = [0.0]
    tries = Tries(RetryPolicy(), 1.0, clock=lambda: now[0])
    now[0] = 5.0
    assert tries.remaining_s == 0.0
    with pytest.raises(Conflict):
        tries.wait_s(Conflict(StatusCode.ABORTED, "late", ErrorDetails()))


@pytest.mark.parametrize("timeout_s", [0, -1])
def test_a_timeout_must_be_above_zero(timeout_s):
    from staunch import Client

    with pytest.raises(ValueError, match="above 0"):
        Client("127.0.0.1:1", timeout_s=timeout_s)


@pytest.mark.parametrize("wrong", [{"attempts": 0}, {"first_wait_s": -1}, {"patience_s": -0.1}])
def test_a_policy_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValueError, match="expected 1 or more attempts"):
        RetryPolicy(**wrong)
