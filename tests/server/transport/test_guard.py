"""What the guard promises, on both transports, over real connections."""

import asyncio
import logging
import re
import time
from typing import Any

import grpc
import pytest
from grpc import aio
from tests.harness.waiting import until
from tests.server.harness.errors import failure, read_all
from tests.server.harness.peers import BATCH, WATCH, peer
from tests.server.harness.shell import StartShell

from staunch.v1 import prediction_service_pb2 as pb
from staunch_server.errors import Reason, Refusal, Resource, Violation
from staunch_server.transport import guard, health
from staunch_server.transport.guard import MAX_UNARY_BYTES
from staunch_server.transport.seam import MAX_MESSAGE_BYTES, MAX_RECEIVED_BYTES, ConnectionLimits
from staunch_server.transport.writing import MAX_UNTAKEN

MALFORMED = b"\x0a\xff"
SECRET = "postgresql://staunch:hunter2@10.0.0.1/crm"


def refusing(refusal: BaseException) -> Any:
    async def handler(request: Any, call: Any) -> Any:
        raise refusal

    return handler


async def test_an_answer_carries_the_request_id_of_the_caller(shell: StartShell) -> None:
    call = (await shell()).predict(metadata=(("x-request-id", "mine-7"),))
    assert pb.PredictResponse.FromString(await call).probability == 0.5
    assert dict(await call.trailing_metadata())["x-request-id"] == "mine-7"


@pytest.mark.parametrize("given", [(), (("x-request-id", "a b"),), (("x-request-id", "x" * 129),)])
async def test_an_absent_or_unfit_request_id_is_made(shell: StartShell, given: Any) -> None:
    server = await shell()
    calls = [server.predict(metadata=given) for _ in range(2)]
    made = []
    for call in calls:
        await call
        made.append(dict(await call.trailing_metadata())["x-request-id"])
    assert made[0] != made[1]
    assert all(re.fullmatch(r"[0-9a-f]{12}-[0-9a-f]+", one) for one in made)


async def test_an_error_carries_the_request_id_too(shell: StartShell) -> None:
    error = await (await shell()).failure(MALFORMED, metadata=(("x-request-id", "mine-8"),))
    assert error.trailing["x-request-id"] == "mine-8"


async def test_malformed_bytes_are_the_callers_mistake_and_name_no_class_of_ours(shell: StartShell) -> None:
    error = await (await shell()).failure(MALFORMED)
    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED_MESSAGE")
    assert "staunch.v1.PredictRequest" in error.message


@pytest.mark.parametrize("raw", [b"", b"\x00", b"\xff" * 50, b"\x0a\x02\xff\xfe", b"\x08" * 99, b"\x12\x80"])
async def test_hostile_bytes_never_come_back_as_unknown(shell: StartShell, raw: bytes) -> None:
    server = await shell()
    call = server.predict(raw)
    assert await call.code() in (grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT)
    assert pb.PredictResponse.FromString(await server.predict()).probability == 0.5


async def test_a_large_unary_request_is_refused_by_us_and_a_huge_one_by_the_library(
    shell: StartShell,
) -> None:
    server = await shell()
    fits = pb.PredictRequest(model="m" * (MAX_UNARY_BYTES - 4)).SerializeToString()
    assert len(fits) == MAX_UNARY_BYTES
    await server.predict(fits)
    error = await server.failure(pb.PredictRequest(model="m" * MAX_UNARY_BYTES).SerializeToString())
    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "MESSAGE_TOO_LARGE")
    error = await server.failure(b"\x0a" * MAX_RECEIVED_BYTES)
    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "MESSAGE_TOO_LARGE")
    assert MAX_MESSAGE_BYTES == 2**20  # as docs and clients have it
    error = await server.failure(b"\x0a" * (MAX_RECEIVED_BYTES + 1))
    assert (error.code, error.infos) == (grpc.StatusCode.RESOURCE_EXHAUSTED, [])


async def test_an_unknown_method_is_unimplemented(shell: StartShell) -> None:
    channel = (await shell()).channel
    for method in ("/staunch.v1.PredictionService/Guess", "/other.Service/Predict"):
        with pytest.raises(aio.AioRpcError) as caught:
            await channel.unary_unary(method)(b"")
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("reason", list(Reason), ids=lambda reason: reason.name)
async def test_every_reason_reaches_the_caller_with_its_code_and_one_info(
    shell: StartShell, reason: Any
) -> None:
    error = await (await shell(predict=refusing(Refusal(reason, "expected a, got b: do c")))).failure()
    assert (error.code.value[0], error.reason) == (reason.code, reason.name)
    assert error.message == "expected a, got b: do c"
    assert error.retry_s == reason.retry_after_s
    # An alias has been moved already: who sends that again moves it once more, after somebody else perhaps.
    says_when = error.code is grpc.StatusCode.UNAVAILABLE and reason is not Reason.ALIAS_NOT_FOLLOWED
    assert (error.retry_s is not None) == says_when


async def test_violations_and_resources_travel_as_google_rpc_details(shell: StartShell) -> None:
    refusal = Refusal(
        Reason.CUSTOMER_NOT_FOUND,
        "no customer 42",
        violations=[Violation("customer_id", "expected 1 or more, got 0")],
        resource=Resource("customer", "42"),
        metadata={"model": "churn@3"},
    )
    error = await (await shell(predict=refusing(refusal))).failure()
    assert error.violations == [("customer_id", "expected 1 or more, got 0")]
    assert error.resource == ("customer", "42")
    assert dict(error.infos[0].metadata) == {"model": "churn@3"}


async def test_details_stay_small_enough_to_arrive_however_much_is_wrong(shell: StartShell) -> None:
    violations = [Violation(f"features.values[{'é' * 500}]", "ü" * 500) for _ in range(500)]
    refusal = Refusal(
        Reason.FEATURE_UNKNOWN, "ß" * 10_000, violations=violations, resource=Resource("model", "x" * 9_000)
    )
    error = await (await shell(predict=refusing(refusal))).failure()
    assert error.reason == "FEATURE_UNKNOWN"
    assert len(error.violations) == 20
    assert error.violations[-1][1].endswith("(and 480 more fields)")


async def test_an_unforeseen_error_is_an_incident_that_tells_nothing(shell: StartShell, caplog: Any) -> None:
    server = await shell(predict=refusing(RuntimeError(SECRET)))
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    error = await server.failure(metadata=(("traceparent", f"00-{trace_id}-00f067aa0ba902b7-01"),))
    assert (error.code, error.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert "hunter2" not in repr(error)
    assert "RuntimeError" not in repr(error)
    incident = error.infos[0].metadata["incident_id"]
    assert incident in error.message
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert incident in record.getMessage()
    assert record.__dict__["fields"]["trace_id"] == trace_id


async def test_a_handler_that_answers_nonsense_is_an_incident(shell: StartShell) -> None:
    async def nonsense(request: Any, call: Any) -> Any:
        return "no message"

    assert (await (await shell(predict=nonsense)).failure()).reason == "INTERNAL"


async def test_a_deadline_that_is_too_short_is_refused_on_arrival(shell: StartShell) -> None:
    server = await shell()
    with pytest.raises(aio.AioRpcError) as caught:
        await server.predict(timeout=0.0001)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_slow_answer_is_refused_just_before_the_caller_gives_up(shell: StartShell) -> None:
    async def slow(request: Any, call: Any) -> Any:
        await asyncio.sleep(30)

    server = await shell(predict=slow)
    await server.channel.channel_ready()
    error = await server.failure(timeout=0.5)
    assert (error.code, error.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")


async def test_a_call_without_a_deadline_gets_ours(shell: StartShell) -> None:
    async def slow(request: Any, call: Any) -> Any:
        await asyncio.sleep(30)

    server = await shell(predict=slow, default_deadline_s=0.05)
    assert (await server.failure()).reason == "DEADLINE_EXCEEDED"


async def test_a_handler_that_keeps_its_deadline_gets_no_timer_of_ours(shell: StartShell) -> None:
    async def slow(request: Any, call: Any) -> pb.PredictResponse:
        await asyncio.sleep(0.1)
        return pb.PredictResponse()

    await (await shell(predict=slow, default_deadline_s=0.05, keeps_deadline=True)).predict()


async def test_a_handler_sees_a_monotonic_deadline_of_its_own(shell: StartShell) -> None:
    left: list[float] = []

    async def measuring(request: Any, call: Any) -> pb.PredictResponse:
        left.append(call.answer_by().left())
        return pb.PredictResponse()

    server = await shell(predict=measuring, default_deadline_s=5.0)
    await server.predict(timeout=20)
    await server.predict()
    assert 19 < left[0] < 20
    assert 4 < left[1] <= 5


@pytest.mark.parametrize("how", ["cancel", "deadline"])
async def test_a_call_given_up_cancels_its_handler(shell: StartShell, how: str) -> None:
    entered, ended = asyncio.Event(), asyncio.Event()

    async def waiting(request: Any, call: Any) -> Any:
        entered.set()
        try:
            await asyncio.sleep(30)
        finally:
            ended.set()

    server = await shell(predict=waiting)
    call = server.predict(timeout=0.3 if how == "deadline" else None)
    await asyncio.wait_for(entered.wait(), 5)
    if how == "cancel":
        call.cancel()
    await asyncio.wait_for(ended.wait(), 5)
    assert await server.guard.idle(5)


async def test_one_call_too_many_is_overloaded_and_the_others_are_answered(shell: StartShell) -> None:
    release = asyncio.Event()

    async def waiting(request: Any, call: Any) -> pb.PredictResponse:
        await release.wait()
        return pb.PredictResponse(probability=0.25)

    server = await shell(predict=waiting, max_calls=3)
    calls = [asyncio.ensure_future(server.predict()) for _ in range(3)]
    await until(lambda: server.guard.calls == 3)
    error = await server.failure()
    assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "OVERLOADED")
    release.set()
    assert len(await asyncio.gather(*calls)) == 3
    assert server.guard.calls == 0


async def test_streams_that_never_send_lock_nobody_out_for_long(
    shell: StartShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They count from their headers on, and end when their first message has not come in time."""
    monkeypatch.setattr(guard, "FIRST_MESSAGE_S", 0.3)
    server = await shell(max_streams=2)
    silent = [server.batch() for _ in range(2)]
    await until(lambda: server.guard.streams == 2)
    chunk = pb.BatchPredictRequest(customer_ids=[7]).SerializeToString()
    assert (await failure(server.batch(iter([chunk])).read())).reason == "OVERLOADED"
    errors = await asyncio.gather(*(failure(call.read()) for call in silent))
    assert [error.reason for error in errors] == ["STREAM_IDLE"] * 2
    assert errors[0].message.startswith("Expected a message or the end of the stream within 0.3 s")
    call = server.batch(iter([chunk]))
    assert [pb.BatchPredictResponse.FromString(one).customer_ids[0] async for one in call] == [7]


async def test_only_the_first_message_must_come_soon(
    shell: StartShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "FIRST_MESSAGE_S", 0.1)
    call = (await shell(stream_idle_s=60)).batch()
    for _ in range(2):
        await call.write(b"")
        assert await call.read() == b""
        await asyncio.sleep(0.2)
    await call.done_writing()
    assert await call.read() is aio.EOF


@pytest.mark.parametrize("transport_name", ["aio"])  # the native front takes some 100 kB in a caller's stead
async def test_streams_whose_answers_are_not_taken_end_and_their_places_are_free(
    shell: StartShell,
) -> None:
    closed = list[int]()

    async def answering(requests: Any, call: Any) -> Any:
        try:
            async for request in requests:
                yield pb.BatchPredictResponse(customer_ids=request.customer_ids)
        finally:
            closed.append(1)

    server = await shell(batch=answering, max_streams=2, connections=ConnectionLimits(answer_wait_s=0.3))
    chunk = pb.BatchPredictRequest(customer_ids=range(1, 1001)).SerializeToString()
    async with peer(server.port) as held:
        streams = [held.open(BATCH) for _ in range(2)]
        for stream in streams:
            held.send(stream, chunk)
            held.send(stream, chunk)
        await until(lambda: server.guard.streams == 2)
        await until(lambda: server.guard.streams == 0)
        assert closed == [1, 1]
        value = server.metrics.registry.get_sample_value
        labels = {"method": BATCH, "code": "UNAVAILABLE", "reason": "STREAM_IDLE", "model": ""}
        assert value("staunch_calls_total", labels) == 2
        assert await read_all(server.batch(iter([b""]))) == [b""]
        # Who reads again is told: the answer that was on its way comes whole, and then the end.
        held.give_room(streams[0], 100_000)
        await until(lambda: streams[0] in held.ended)
        assert held.taken[streams[0]] == len(chunk) + 5


@pytest.mark.parametrize("transport_name", ["aio"])  # the native front answers for its callers' connections
@pytest.mark.parametrize("path", [BATCH, WATCH])
async def test_a_connection_on_which_too_many_streams_take_nothing_is_closed(
    shell: StartShell, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(health, "TAKEN_WITHIN_S", 0.2)
    server = await shell(max_streams=16, connections=ConnectionLimits(answer_wait_s=0.2))
    async with peer(server.port) as few, peer(server.port) as many:
        for held, count in ((few, MAX_UNTAKEN), (many, MAX_UNTAKEN + 1)):
            for _ in range(count):
                held.send(held.open(path), b"", last=path == WATCH)
        await until(lambda: many.closed)
        await asyncio.sleep(0.1)
        assert not few.closed
        assert await server.predict()


@pytest.mark.parametrize("transport_name", ["aio"])
async def test_a_caller_that_takes_each_answer_in_time_may_be_as_slow_as_that(shell: StartShell) -> None:
    server = await shell(connections=ConnectionLimits(answer_wait_s=0.5))
    chunk = pb.BatchPredictRequest(customer_ids=range(1, 1001)).SerializeToString()
    async with peer(server.port) as slow:
        stream = slow.open(BATCH)
        for count in range(1, 5):
            slow.send(stream, chunk, last=count == 4)
            await asyncio.sleep(0.3)
            slow.give_room(stream, len(chunk) + 5)
        await until(lambda: stream in slow.ended)
        assert slow.taken[stream] == 4 * (len(chunk) + 5)


async def test_one_stream_too_many_is_overloaded(shell: StartShell) -> None:
    server = await shell(max_streams=1)
    chunk = pb.BatchPredictRequest(customer_ids=[7]).SerializeToString()
    first = server.batch()
    await first.write(chunk)
    await first.read()
    second = server.batch(iter([chunk]))
    assert (await failure(second.read())).reason == "OVERLOADED"
    await first.done_writing()
    assert await first.read() is aio.EOF


async def test_a_stream_that_is_refused_while_its_caller_writes_says_so_and_nothing_of_a_library(
    shell: StartShell,
) -> None:
    server = await shell(max_streams=1)
    chunk = pb.BatchPredictRequest(customer_ids=range(20_000)).SerializeToString()
    first = server.batch()
    await first.write(chunk)
    await first.read()
    # grpc.aio's own race: some of many callers met it, so many ask.
    for _ in range(20):
        ended = await asyncio.gather(*(failure(server.batch(iter([chunk] * 3)).read()) for _ in range(10)))
        assert {error.reason for error in ended} == {"OVERLOADED"}
    started = time.monotonic()
    silent = server.batch()  # whoever writes nothing is not waited for
    assert (await failure(silent.read())).reason == "OVERLOADED"
    assert time.monotonic() - started < 5
    await first.done_writing()
    assert await first.read() is aio.EOF


async def test_without_a_deadline_of_the_callers_ours_counts_in_full(shell: StartShell) -> None:
    left_s: list[float] = []

    async def noting(request: Any, call: Any) -> pb.PredictResponse:
        left_s.append(call.deadline.left())
        return pb.PredictResponse()

    server = await shell(predict=noting, default_deadline_s=1000.0)
    await server.predict()
    await server.predict(timeout=1000)
    assert 1000 - 0.09 < left_s[0] <= 1000
    assert left_s[1] < 1000 - 0.09  # a little before the caller gives up


async def test_a_quick_call_is_measured_as_one(shell: StartShell) -> None:
    server = await shell()
    await server.predict()
    labels = {"method": "/staunch.v1.PredictionService/Predict", "code": "OK", "model": ""}
    took_s = server.metrics.registry.get_sample_value("staunch_call_seconds_sum", labels)
    assert took_s is not None
    assert 0 < took_s < 0.5


async def test_as_many_streams_as_allowed_are_answered_and_the_next_is_told_the_number(
    shell: StartShell,
) -> None:
    server = await shell(max_streams=2)
    open_streams = [server.batch() for _ in range(2)]
    for one in open_streams:
        await one.write(b"")
        await one.read()
    assert server.guard.streams == 2
    error = await failure(server.batch(iter([b""])).read())
    assert error.message.startswith("This server takes 2 streams at once")
    assert await server.guard.idle(0) is False
    for one in open_streams:
        await one.done_writing()
        assert await one.read() is aio.EOF
    assert await server.guard.idle(5) is True
    labels = {"method": "/staunch.v1.PredictionService/BatchPredict", "code": "OK", "reason": "", "model": ""}
    assert server.metrics.registry.get_sample_value("staunch_calls_total", labels) == 2


async def test_a_stream_without_a_message_reaches_no_handler(shell: StartShell) -> None:
    reached: list[Any] = []

    async def noting(requests: Any, call: Any) -> Any:
        reached.append(call)
        async for _ in requests:
            yield pb.BatchPredictResponse()

    server = await shell(batch=noting)
    assert await read_all(server.batch(iter([]))) == []
    assert reached == []
    assert await read_all(server.batch(iter([b""]))) == [b""]
    assert len(reached) == 1


async def test_a_stream_whose_caller_falls_silent_is_ended_and_its_place_is_free(shell: StartShell) -> None:
    server = await shell(max_streams=1, stream_idle_s=0.3)
    silent = server.batch()
    await silent.write(b"")
    await silent.read()
    began = time.monotonic()
    error = await failure(silent.read())
    assert 0.2 < time.monotonic() - began < 2
    assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "STREAM_IDLE")
    assert error.message.startswith("Expected a message or the end of the stream within 0.3 s, got neither;")
    assert [one async for one in server.batch(iter([b"", b""]))] == [b"", b""]


async def test_a_stream_that_never_sends_is_ended_too(shell: StartShell) -> None:
    server = await shell(stream_idle_s=0.2)
    assert (await failure(server.batch().read())).reason == "STREAM_IDLE"


async def test_a_caller_that_waits_for_our_answers_is_not_silent(shell: StartShell) -> None:
    async def slow(requests: Any, call: Any) -> Any:
        async for _ in requests:
            await asyncio.sleep(0.5)
            yield pb.BatchPredictResponse()

    server = await shell(batch=slow, stream_idle_s=0.2)
    assert len([one async for one in server.batch(iter([b"", b"", b""]))]) == 3


@pytest.mark.parametrize("goes_on", [True, False])
async def test_a_callers_time_begins_with_the_last_answer_it_waited_for(
    shell: StartShell, goes_on: bool
) -> None:
    async def reads_ahead(requests: Any, call: Any) -> Any:
        await anext(requests)
        following = asyncio.ensure_future(anext(requests, None))
        await asyncio.sleep(0.5)  # longer than a caller may be silent
        yield pb.BatchPredictResponse()
        if await following is not None:
            yield pb.BatchPredictResponse()

    server = await shell(batch=reads_ahead, stream_idle_s=0.4)
    stream = server.batch()
    await stream.write(b"")
    assert await stream.read() == b""
    if goes_on:
        await asyncio.sleep(0.1)
        await stream.write(b"")
        assert await stream.read() == b""
    else:
        assert (await failure(asyncio.wait_for(stream.read(), 5))).reason == "STREAM_IDLE"


async def test_a_stream_may_be_silent_for_ever_where_that_is_set(shell: StartShell) -> None:
    server = await shell(stream_idle_s=0.0)
    call = server.batch()
    await call.write(b"")
    await call.read()
    await asyncio.sleep(0.2)
    await call.write(b"")
    await call.read()
    await call.done_writing()
    assert await call.read() is aio.EOF


async def test_a_malformed_chunk_reaches_the_handler_in_its_place(shell: StartShell) -> None:
    seen: list[Any] = []

    async def listing(requests: Any, call: Any) -> Any:
        async for request in requests:
            seen.append(request.reason if isinstance(request, Refusal) else list(request.customer_ids))
            yield pb.BatchPredictResponse(chunk_index=len(seen) - 1)

    server = await shell(batch=listing)
    good = pb.BatchPredictRequest(customer_ids=[7]).SerializeToString()
    call = server.batch(iter([good, MALFORMED, good]))
    assert [pb.BatchPredictResponse.FromString(one).chunk_index async for one in call] == [0, 1, 2]
    assert seen == [[7], Reason.MALFORMED_MESSAGE, [7]]
    assert await call.code() is grpc.StatusCode.OK
    assert "x-request-id" in dict(await call.trailing_metadata())


async def test_a_stream_that_fails_ends_with_one_rich_status(shell: StartShell) -> None:
    async def failing(requests: Any, call: Any) -> Any:
        async for _ in requests:
            yield pb.BatchPredictResponse()
            raise RuntimeError(SECRET)

    call = (await shell(batch=failing)).batch(iter([b"", b""]))
    error = await failure(read_all(call))
    assert error.reason == "INTERNAL"
    assert "hunter2" not in repr(error)


async def test_an_empty_stream_is_answered_with_an_empty_stream(shell: StartShell) -> None:
    call = (await shell()).batch(iter([]))
    assert [one async for one in call] == []
    assert await call.code() is grpc.StatusCode.OK


async def test_a_stream_given_up_frees_its_place(shell: StartShell) -> None:
    server = await shell(max_streams=1)
    call = server.batch()
    await call.write(b"")
    await call.read()
    assert server.guard.streams == 1
    call.cancel()
    assert await server.guard.idle(5)


async def test_draining_refuses_what_is_new_and_ends_what_is_open(shell: StartShell) -> None:
    release = asyncio.Event()

    async def waiting(request: Any, call: Any) -> pb.PredictResponse:
        await release.wait()
        return pb.PredictResponse(probability=0.25)

    server = await shell(predict=waiting)
    in_progress = asyncio.ensure_future(server.predict())
    await until(lambda: server.guard.calls == 1)
    stream = server.batch()
    await stream.write(b"")
    await stream.read()
    server.guard.drain()
    error = await server.failure()
    assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
    assert (await failure(stream.read())).reason == "DRAINING"
    assert not await server.guard.idle(0)
    release.set()
    assert pb.PredictResponse.FromString(await in_progress).probability == 0.25
    assert await server.guard.idle(5)


async def test_calls_are_counted_by_method_code_reason_and_model(shell: StartShell) -> None:
    async def scoring(request: Any, call: Any) -> pb.PredictResponse:
        call.model = "churn@3"
        if request.model:
            raise Refusal(Reason.CUSTOMER_NOT_FOUND, "no")
        return pb.PredictResponse()

    server = await shell(predict=scoring)
    await server.predict()
    await server.failure(pb.PredictRequest(model="m").SerializeToString())
    await server.failure(MALFORMED)
    values = server.metrics.registry.get_sample_value
    method = "/staunch.v1.PredictionService/Predict"
    for code, reason, model in [
        ("OK", "", "churn@3"),
        ("NOT_FOUND", "CUSTOMER_NOT_FOUND", "churn@3"),
        ("INVALID_ARGUMENT", "MALFORMED_MESSAGE", ""),
    ]:
        labels = {"method": method, "code": code, "reason": reason, "model": model}
        assert values("staunch_calls_total", labels) == 1
        del labels["reason"]
        assert values("staunch_call_seconds_count", labels) == 1


async def test_a_call_given_up_is_counted_as_cancelled(shell: StartShell) -> None:
    async def waiting(request: Any, call: Any) -> Any:
        await asyncio.sleep(30)

    server = await shell(predict=waiting)
    call = server.predict()
    await until(lambda: server.guard.calls == 1)
    call.cancel()
    assert await server.guard.idle(5)
    method = "/staunch.v1.PredictionService/Predict"
    labels = {"method": method, "code": "CANCELLED", "reason": "", "model": ""}
    assert server.metrics.registry.get_sample_value("staunch_calls_total", labels) == 1


async def test_a_call_or_stream_that_its_caller_leaves_is_counted_once_as_cancelled(
    shell: StartShell,
) -> None:
    async def endless(request: Any, call: Any) -> pb.PredictResponse:
        await asyncio.Event().wait()
        raise AssertionError

    async def endless_answers(requests: Any, call: Any) -> Any:
        async for _ in requests:
            yield await asyncio.Event().wait()

    server = await shell(predict=endless, batch=endless_answers)
    unary, stream = server.predict(), server.batch()
    await stream.write(b"")
    await until(lambda: server.guard.calls == server.guard.streams == 1)
    unary.cancel()
    stream.cancel()

    def counted() -> dict[tuple[str, str], float]:
        return {
            (sample.labels["method"].rpartition("/")[2], sample.labels["code"]): sample.value
            for metric in server.metrics.registry.collect()
            for sample in metric.samples
            if sample.name == "staunch_calls_total" and sample.value
        }

    await until(lambda: {method for method, _ in counted()} == {"Predict", "BatchPredict"})
    await asyncio.sleep(0.05)
    assert counted() == {("Predict", "CANCELLED"): 1, ("BatchPredict", "CANCELLED"): 1}
