"""What a unary message passes on its way in, in which order, and each border of it."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from staunch.v1 import prediction_service_pb2 as pb
from staunch_server.deadlines import Deadline
from staunch_server.errors import Code, Reason, Refusal
from staunch_server.events import CallEnded, Events
from staunch_server.metrics import Metrics
from staunch_server.transport.guard import MAX_UNARY_BYTES, SHORTEST_S, Admit, Guard
from staunch_server.transport.seam import Call, Failure, UnaryMethod, outcome

LIMITS: dict[str, Any] = {
    "max_calls": 2,
    "max_streams": 2,
    "default_deadline_s": 5.0,
    "stream_idle_s": 60.0,
}


async def predict(request: pb.PredictRequest, call: Call) -> pb.PredictResponse:
    return pb.PredictResponse(probability=0.5)


def guarded(*admit: Admit, events: Events | None = None, **limits: Any) -> UnaryMethod:
    guard = Guard(events or Events(), admit=admit, **(LIMITS | limits))
    return guard.unary(pb.PredictRequest, predict)


def call(deadline: Deadline | None = None, request_id: str = "") -> Call:
    metadata = [("x-request-id", request_id)] if request_id else []
    return Call("/staunch.v1.PredictionService/Predict", metadata, "ipv4:127.0.0.1:1", deadline)


async def reason_of(method: UnaryMethod, raw: bytes, one: Call) -> str:
    with pytest.raises(Failure) as caught:
        await outcome(method, raw, one)
    return caught.value.message


async def refuses(one: Call) -> None:
    raise Refusal(Reason.OVERLOADED, "Not you.")


async def test_access_is_asked_before_a_word_is_read_and_after_the_size() -> None:
    method = guarded(refuses)
    assert await reason_of(method, b"\xff\xff", call()) == "Not you."
    assert "Expected at most" in await reason_of(method, b"x" * (MAX_UNARY_BYTES + 1), call())
    assert "cannot be read as one" in await reason_of(guarded(), b"\xff\xff", call())


async def test_checks_of_access_are_asked_in_their_order_and_see_the_call() -> None:
    asked: list[tuple[str, str]] = []

    def asks(name: str) -> Admit:
        async def ask(one: Call) -> None:
            asked.append((name, one.peer))
            one.principal = name

        return ask

    one = call()
    await outcome(guarded(asks("token"), asks("scope")), b"", one)
    assert asked == [("token", "ipv4:127.0.0.1:1"), ("scope", "ipv4:127.0.0.1:1")]
    assert one.principal == "scope"


async def test_a_stream_is_asked_too_before_its_first_message_is_waited_for() -> None:
    async def never() -> AsyncGenerator[bytes, None]:
        await asyncio.Event().wait()
        yield b""

    async def answers(
        requests: AsyncIterator[Any], one: Call
    ) -> AsyncGenerator[pb.BatchPredictResponse, None]:
        async for _ in requests:
            yield pb.BatchPredictResponse()

    method = Guard(Events(), admit=[refuses], **LIMITS).stream(pb.BatchPredictRequest, answers)
    with pytest.raises(Failure, match="Not you"):
        async with asyncio.timeout(5):
            await anext(method(never(), call()))


async def test_a_message_of_just_the_largest_size_is_read() -> None:
    key = "k" * 1000
    one = pb.PredictRequest(customer_key=key)
    filler = MAX_UNARY_BYTES - len(one.SerializeToString()) - 4
    raw = pb.PredictRequest(customer_key=key, model="m" * filler).SerializeToString()
    while len(raw) < MAX_UNARY_BYTES:
        filler += 1
        raw = pb.PredictRequest(customer_key=key, model="m" * filler).SerializeToString()
    assert len(raw) == MAX_UNARY_BYTES
    assert pb.PredictResponse.FromString(await outcome(guarded(), raw, call())).probability == 0.5
    assert f"got {MAX_UNARY_BYTES + 1}" in await reason_of(guarded(), raw + b"x", call())


async def test_a_call_with_less_than_a_millisecond_left_is_refused() -> None:
    assert "deadline was over" in await reason_of(guarded(), b"", call(Deadline.after(SHORTEST_S / 2)))
    assert "deadline was over" in await reason_of(guarded(), b"", call(Deadline.after(-1)))
    await outcome(guarded(), b"", call(Deadline.after(1)))


@pytest.mark.parametrize(("length", "kept"), [(128, True), (129, False)])
async def test_a_callers_request_id_is_kept_up_to_128_characters(length: int, *, kept: bool) -> None:
    one = call(request_id="r" * length)
    await outcome(guarded(), b"", one)
    assert (one.request_id == "r" * length) is kept
    assert ("x-request-id", one.request_id) in one.trailing


async def test_made_request_ids_are_all_different() -> None:
    method, calls = guarded(), [call() for _ in range(1000)]
    await asyncio.gather(*(outcome(method, b"", one) for one in calls[:2]))
    for one in calls[2:]:
        await outcome(method, b"", one)
    assert len({one.request_id for one in calls}) == len(calls)


async def test_exactly_so_many_calls_are_taken_at_once() -> None:
    entered, leave = asyncio.Semaphore(0), asyncio.Event()

    async def waits(request: pb.PredictRequest, one: Call) -> pb.PredictResponse:
        entered.release()
        await leave.wait()
        return pb.PredictResponse()

    guard = Guard(Events(), **LIMITS)
    method = guard.unary(pb.PredictRequest, waits)
    taken = [asyncio.create_task(outcome(method, b"", call())) for _ in range(2)]
    for _ in taken:
        await entered.acquire()
    assert "takes 2 calls at once" in await reason_of(method, b"", call())
    leave.set()
    await asyncio.gather(*taken)
    assert guard.calls == 0
    await outcome(method, b"", call())


async def test_the_end_of_each_call_is_an_event() -> None:
    events, ended = Events(), list[CallEnded]()
    events.call_ended.subscribe(ended.append)
    await outcome(guarded(events=events), b"", call(request_id="first"))
    await reason_of(guarded(refuses, events=events), b"", call(request_id="second"))
    assert [(event.request_id, event.code) for event in ended] == [
        ("first", Code.OK),
        ("second", Code.UNAVAILABLE),
    ]
    assert ended[0].refusal is None
    assert {event.peer for event in ended} == {"ipv4:127.0.0.1:1"}
    assert dict(ended[0].metadata) == {"x-request-id": "first"}
    assert ended[1].refusal is not None
    assert ended[1].refusal.reason is Reason.OVERLOADED
    assert ended[1].error is None
    assert all(0 <= event.seconds < 5 for event in ended)


async def test_a_listener_that_fails_costs_no_caller_the_answer() -> None:
    events, metrics = Events(), Metrics(CollectorRegistry())

    def fails(_: CallEnded) -> None:
        raise RuntimeError("a listener's own fault")

    events.call_ended.subscribe(fails)
    events.call_ended.subscribe(metrics.call_ended)
    await outcome(guarded(events=events), b"", call())
    labels = {"method": call().method, "code": "OK", "reason": "", "model": ""}
    assert metrics.registry.get_sample_value("staunch_calls_total", labels) == 1
