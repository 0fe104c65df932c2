"""When a call is tried again: counted at a real server, and the policy by a clock handed in."""

import asyncio
import math
import time

import pytest
from grpc import StatusCode
from tests.client.harness.answers import failed_chunk
from tests.client.harness.toy import failing
from tests.harness.clock import Clock

from staunch import Conflict, DeadlineExceeded, RetryPolicy, StaunchError, Unavailable
from staunch._errors import ErrorDetails
from staunch._retry import RetryLog, Tries
from staunch_server.errors import Reason, Refusal

QUICK = RetryPolicy(attempts=4, first_wait_s=0.01, longest_wait_s=0.02)
NO_WAIT = RetryPolicy(attempts=3, first_wait_s=0.0)
OVERLOADED = Refusal(Reason.OVERLOADED, "as told")
DRAINING = Refusal(Reason.DRAINING, "as told")
NOT_FOLLOWED = Refusal(Reason.ALIAS_NOT_FOLLOWED, "as told")


def unavailable(push_back_s: float | None = None) -> Unavailable:
    return Unavailable(StatusCode.UNAVAILABLE, "as told", ErrorDetails(retry_after_s=push_back_s))


async def test_unavailable_is_tried_again_until_it_is_answered(either_with, service):
    service.script.extend([OVERLOADED] * 3)
    assert (await either_with(retry=QUICK).call("predict", 42)).probability == 0.25
    assert len(service.seen) == 4


async def test_tries_end_with_the_policy(either_with, service):
    service.script.extend([OVERLOADED] * 9)
    with pytest.raises(Unavailable) as caught:
        await either_with(retry=QUICK).call("predict", 42)
    assert (len(service.seen), caught.value.reason) == (4, "OVERLOADED")


async def test_a_call_that_a_server_or_a_proxy_cancelled_is_tried_again(toy_with, toy):
    toy.script.extend([failing(StatusCode.CANCELLED)] * 2)
    assert (await toy_with(retry=QUICK).call("predict", 42)).probability == 0.25
    assert len(toy.seen) == 3


@pytest.mark.parametrize("code", [code for code in StatusCode if code.value[0] not in (0, 1, 14)])
async def test_no_other_status_is_ever_tried_again(toy_with, toy, code):
    toy.script.append(failing(code, "SOME_REASON"))
    with pytest.raises(StaunchError) as caught:
        await toy_with(retry=QUICK).call("explain", 42)
    assert (len(toy.seen), caught.value.code) == (1, code)


async def test_push_back_is_waited_out(either_with, service):
    service.script.append(DRAINING)
    started = time.monotonic()
    await either_with(retry=QUICK).call("predict", 42)
    assert time.monotonic() - started >= Reason.DRAINING.retry_after_s > QUICK.longest_wait_s


async def test_a_push_back_beyond_the_deadline_ends_the_call_at_once(toy_with, toy):
    """At once: a wait of either length would outlive the test."""
    toy.script.append(failing(StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE", 7200.0))
    with pytest.raises(Unavailable) as caught:
        await toy_with(retry=QUICK).call("predict", 42, timeout_s=3600.0)
    assert (len(toy.seen), caught.value.details.retry_after_s) == (1, 7200.0)


async def test_all_tries_together_stay_within_the_timeout(either_with, service):
    service.script.extend([DRAINING] * 99)
    policy = RetryPolicy(attempts=99, first_wait_s=0.2, longest_wait_s=0.2)
    # The last try may begin so late that its time is over before it hears that the server drains.
    with pytest.raises((Unavailable, DeadlineExceeded)):
        await either_with(retry=policy).call("predict", 42, timeout_s=0.5)
    assert 2 <= len(service.seen) <= 5


def wait_out(tries: Tries, clock: Clock) -> None:
    """Waits until the next try is due, on a clock that is set."""
    while wait := tries.wait_s():
        clock.now_s += wait


def test_tries_go_on_while_the_next_wait_ends_before_the_deadline():
    clock = Clock()
    tries = Tries(RetryPolicy(attempts=99, first_wait_s=0.0), 10.0, clock=clock)
    for _ in range(7):
        tries.failed(unavailable(1.0))
        wait_out(tries, clock)
    assert 7 <= clock.now_s <= 7 * 1.25
    assert tries.remaining_s == pytest.approx(10.0 - clock.now_s)
    clock.now_s = 9.0
    with pytest.raises(Unavailable):  # would come at 10.0 at the soonest
        tries.failed(unavailable(1.0))


def test_a_wait_that_ends_with_the_deadline_is_not_begun():
    clock = Clock()
    tries = Tries(NO_WAIT, 1.0, clock=clock)
    tries.failed(unavailable())
    assert tries.wait_s() == 0.0
    clock.now_s = 1.0
    with pytest.raises(Unavailable):
        tries.failed(unavailable())


def test_a_sleep_that_outlasts_the_deadline_ends_in_the_last_error_and_not_in_another():
    clock = Clock()
    tries = Tries(RetryPolicy(first_wait_s=0.5), 1.0, clock=clock)
    error = unavailable()
    tries.failed(error)
    clock.now_s = 1.001
    with pytest.raises(Unavailable) as caught:
        tries.wait_s()
    assert caught.value is error


@pytest.mark.parametrize("attempts", [1, 2, 5])
def test_the_first_try_counts_among_the_attempts(attempts):
    tries = Tries(RetryPolicy(attempts=attempts, first_wait_s=0.0), 60.0)
    for _ in range(attempts - 1):
        tries.failed(unavailable())
        assert tries.wait_s() == 0.0
    with pytest.raises(Unavailable):
        tries.failed(unavailable())


async def test_a_silent_server_costs_the_timeout_and_no_more(toy_with, toy):
    toy.script.append(lambda *_: toy.released.wait())
    started = time.monotonic()
    with pytest.raises(DeadlineExceeded, match=r": the time was over before an answer came; timeout_s gives"):
        await toy_with().call("predict", 42, timeout_s=0.3)
    assert time.monotonic() - started >= 0.3


async def test_a_server_that_comes_back_within_the_timeout_is_found(toy_with, toy_server):
    toy_server.stop()
    waiting = asyncio.ensure_future(
        toy_with(retry=RetryPolicy(attempts=50)).call("predict", 42, timeout_s=10)
    )
    await asyncio.sleep(0.3)
    await asyncio.to_thread(toy_server.start)
    assert (await waiting).probability == 0.25


async def test_nobody_there_is_unavailable_and_says_so(toy_with, toy_server):
    toy_server.stop()
    with pytest.raises(Unavailable, match=r"(?i)connect") as caught:
        await toy_with(retry=QUICK).call("predict", 42)
    assert caught.value.reason == ""
    toy_server.start()


async def test_compare_and_set_is_never_sent_twice(either_with, service):
    service.script.append(DRAINING)
    with pytest.raises(Unavailable):
        await either_with(retry=QUICK).call("set_alias", "churn", "champion", 3, expected_version=2)
    assert len(service.seen) == 1


@pytest.mark.parametrize("code", [StatusCode.UNAVAILABLE, StatusCode.CANCELLED])
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("set_alias", ("churn", "champion", 3)),
        ("delete_alias", ("churn", "champion")),
        ("reload_models", ()),
    ],
)
async def test_what_changes_something_is_not_sent_again_after_a_lost_answer(
    toy_with, toy, code, name, arguments
):
    toy.script.append(failing(code))
    with pytest.raises(Unavailable):
        await toy_with(retry=QUICK).call(name, *arguments)
    assert len(toy.seen) == 1


@pytest.mark.parametrize("name", ["set_alias", "delete_alias"])
async def test_an_alias_that_workers_do_not_follow_yet_is_never_sent_again(either_with, service, name):
    service.script.append(NOT_FOLLOWED)
    with pytest.raises(Unavailable) as caught:
        await either_with(retry=QUICK).call(name, "churn", "champion", *([3] if name == "set_alias" else []))
    assert (caught.value.reason, caught.value.details.retry_after_s) == ("ALIAS_NOT_FOLLOWED", None)
    assert len(service.seen) == 1


async def test_moving_an_alias_without_a_condition_is_tried_again(either_with, service):
    service.script.append(DRAINING)
    await either_with(retry=QUICK).call("set_alias", "churn", "champion", 3)
    assert len(service.seen) == 2


def test_waits_grow_to_the_longest_and_spread_over_their_second_half():
    policy = RetryPolicy(first_wait_s=1.0, longest_wait_s=4.0)
    for failures, longest in [(1, 1.0), (2, 2.0), (3, 4.0), (9, 4.0)]:
        waits = [policy.wait_s(failures, None) for _ in range(400)]
        assert longest / 2 <= min(waits) < 0.55 * longest
        assert 0.95 * longest < max(waits) <= longest


def test_no_wait_is_shorter_than_the_push_back():
    policy = RetryPolicy(first_wait_s=0.01)
    waits = [policy.wait_s(1, 2.0) for _ in range(400)]
    assert 2.0 <= min(waits) < 2.05
    assert 2.45 < max(waits) <= 2.5


def test_a_server_that_asks_for_more_than_the_longest_wait_gets_it():
    assert RetryPolicy(longest_wait_s=2.0).wait_s(9, 30.0) >= 30.0


def test_a_push_back_below_our_own_wait_does_not_shorten_it():
    assert RetryPolicy(first_wait_s=8.0, longest_wait_s=8.0).wait_s(1, 0.1) >= 4.0


def test_remaining_time_never_goes_below_zero():
    clock = Clock()
    tries = Tries(RetryPolicy(), 1.0, clock=clock)
    clock.now_s = 5.0
    assert tries.remaining_s == 0.0
    with pytest.raises(Conflict):
        tries.failed(Conflict(StatusCode.ABORTED, "late", ErrorDetails()))


@pytest.mark.parametrize(
    "wrong",
    [
        {"attempts": 0},
        {"first_wait_s": -1},
        {"longest_wait_s": -0.1},
        {"patience_s": -0.1},
        {"max_tokens": -1},
        {"token_ratio": -0.1},
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValueError, match="expected 1 or more attempts"):
        RetryPolicy(**wrong)


def test_a_policy_may_try_once_wait_for_nothing_and_have_no_patience():
    RetryPolicy(attempts=1, first_wait_s=0.0, longest_wait_s=0.0, patience_s=0.0, max_tokens=0, token_ratio=0)


@pytest.mark.parametrize("name", ["first_wait_s", "longest_wait_s", "patience_s", "token_ratio"])
async def test_infinity_means_for_ever_or_as_many_as_there_may_be(either_with, service, name):
    client = either_with(retry=RetryPolicy(**{"longest_wait_s": 0.1, name: math.inf}))
    service.script.append(OVERLOADED)
    assert (await client.call("predict", 42)).probability == 0.25
    assert len(await client.rows([1, 2])) == 2


def test_the_usual_policy():
    usual = RetryPolicy(
        attempts=None, first_wait_s=0.05, longest_wait_s=2.0, patience_s=60.0, max_tokens=10, token_ratio=0.1
    )
    assert RetryPolicy() == usual


async def test_a_retry_is_logged_once_for_each_cause_without_customer_or_token(either_with, service, caplog):
    service.script.extend([DRAINING, DRAINING, OVERLOADED])
    client = either_with(token="secret")
    await client.call("predict", "customer-42", metadata={"x-request-id": "r1"})
    assert [record.getMessage() for record in caplog.records if record.name == "staunch"] == [
        "Predict is tried again after DRAINING (request r1)",
        "Predict is tried again after OVERLOADED (request r1)",
    ]
    assert {record.levelname for record in caplog.records if record.name == "staunch"} == {"WARNING"}
    assert "secret" not in caplog.text
    assert "customer-42" not in "".join(r.getMessage() for r in caplog.records if r.name == "staunch")


async def test_what_keeps_a_call_from_any_server_is_logged_with_the_address(connect, caplog):
    with pytest.raises(Unavailable):
        await connect("127.0.0.1:1").call("predict", 42, timeout_s=0.5)
    (text,) = {record.getMessage() for record in caplog.records if record.name == "staunch"}
    assert text.startswith("Predict is tried again after UNAVAILABLE: ")
    assert "127.0.0.1:1" in text


async def test_a_batch_that_goes_on_is_logged(either_with, service, caplog):
    service.on_chunk = lambda stream, index, _request: (
        failed_chunk(_request, 14, "DATABASE_UNAVAILABLE") if index in (1, 3) else None
    )
    await either_with(retry=RetryPolicy(first_wait_s=0.01)).rows(
        range(1, 51), chunk_size=10, chunks_held=1, metadata={"x-request-id": "r1"}
    )
    logged = [record.getMessage() for record in caplog.records if record.name == "staunch"]
    assert logged == ["BatchPredict is tried again after DATABASE_UNAVAILABLE (request r1)"] * 2


def test_nothing_is_printed_where_nobody_configured_a_log(capfd):
    RetryLog("Predict").retrying(unavailable())
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "wrong",
    [
        {"attempts": 1.5},
        {"attempts": True},
        {"attempts": "3"},
        {"first_wait_s": "1"},
        {"patience_s": None},
        {"max_tokens": 2.5},
        {"token_ratio": True},
        {"longest_wait_s": [1]},
    ],
)
def test_a_policy_of_wrong_types_is_refused(wrong):
    with pytest.raises(TypeError, match=f"expected {next(iter(wrong))} "):
        RetryPolicy(**wrong)


@pytest.mark.parametrize("name", ["first_wait_s", "longest_wait_s", "patience_s", "token_ratio"])
def test_a_policy_of_no_number_is_refused(name):
    with pytest.raises(ValueError, match="expected 1 or more attempts"):
        RetryPolicy(**{name: float("nan")})
