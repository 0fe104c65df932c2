"""StreamPredict over a real server: every row as Predict answers it, in any company, and how streams end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.struct_pb2 import Value
from google.rpc import status_pb2
from grpc import aio
from tests.harness.waiting import until
from tests.server.harness.errors import failure, read_rich_error
from tests.server.harness.running import Locked, Publish, Running, Serve
from tests.server.services.test_predict import given
from tests.server.small_models import stamp

from staunch.v1 import prediction_service_pb2 as pb
from staunch_server.services.stream_predict import MAX_ROWS

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = stamp(datetime.now(UTC) + timedelta(hours=1))
MALFORMED = b"\x0a\xff"

ASKED = {
    "a customer": pb.PredictRequest(customer_id=8),
    "a moment and features": pb.PredictRequest(customer_id=9, as_of_time=stamp(NOON), include_features=True),
    "overrides that warn": pb.PredictRequest(
        customer_id=8, as_of_time=stamp(NOON), overrides={"a": Value(number_value=1e6)}
    ),
    "given features": pb.PredictRequest(features=given(a=6, b=None, hours=10), include_features=True),
    "a version": pb.PredictRequest(customer_id=8, as_of_time=stamp(NOON), model="churn@1"),
    "nobody": pb.PredictRequest(),
    "an unknown customer": pb.PredictRequest(customer_id=999_999, as_of_time=stamp(NOON)),
    "one who is not eligible": pb.PredictRequest(customer_id=11, as_of_time=stamp(NOON)),
    "an id below 1": pb.PredictRequest(customer_id=-1),
    "a key for an id": pb.PredictRequest(customer_key="key-1"),
    "a feature that is none": pb.PredictRequest(customer_id=8, overrides={"c": Value(number_value=1)}),
    "the future": pb.PredictRequest(customer_id=8, as_of_time=LATER),
    "another model": pb.PredictRequest(customer_id=8, model="other"),
    "no name of a model": pb.PredictRequest(customer_id=8, model="@"),
    "more than a call may": pb.PredictRequest(customer_key="k" * 300_000),
}


@dataclass
class Stream:
    """One stream of rows: sends messages, and keeps the results by number."""

    call: aio.StreamStreamCall[pb.StreamPredictRequest, pb.StreamPredictResponse]
    results: dict[int, pb.StreamPredictResult] = field(default_factory=dict)
    messages: int = 0

    async def send(self, *rows: pb.StreamPredictRow, **others: Any) -> None:
        """Sends a message."""
        await self.call.write(pb.StreamPredictRequest(rows=rows, **others))

    async def result(self, number: int) -> pb.StreamPredictResult:
        """Waits for a row's result."""
        while number not in self.results:
            assert await self.read(), "the stream ended"
        return self.results[number]

    async def read(self) -> bool:
        """Reads a message of results; False at the end of the stream."""
        async with asyncio.timeout(10):
            message = await self.call.read()
        if not isinstance(message, pb.StreamPredictResponse):
            return False
        self.messages += 1
        for result in message.results:
            assert result.number not in self.results
            self.results[result.number] = result
        return True

    async def end(self) -> None:
        """Ends the stream well and reads what is left."""
        await self.call.done_writing()
        while await self.read():
            pass
        assert await self.call.code() is grpc.StatusCode.OK


@asynccontextmanager
async def stream(live: Running, **how: Any) -> AsyncIterator[Stream]:
    call = live.prediction.StreamPredict(**how)
    yield Stream(call)
    call.cancel()


def row(number: int, customer: int = 8, **others: Any) -> pb.StreamPredictRow:
    return pb.StreamPredictRow(number=number, request=pb.PredictRequest(customer_id=customer), **others)


def reason(result: pb.StreamPredictResult) -> str:
    told = status_pb2.Status.FromString(result.status.SerializeToString())
    error = aio.AioRpcError(grpc.StatusCode.UNKNOWN, aio.Metadata(), aio.Metadata(), debug_error_string=None)
    error._code = next(code for code in grpc.StatusCode if code.value[0] == told.code)
    error._details = told.message
    error._trailing_metadata = aio.Metadata(("grpc-status-details-bin", told.SerializeToString()))
    return read_rich_error(error).reason


async def test_each_row_is_answered_as_predict_answers_it(
    publish: Publish, serve: Serve, transport_name: str
) -> None:
    publish()
    live = await serve(transport=transport_name)
    async with stream(live, metadata=(("x-request-id", "of-the-stream"),)) as rows:
        asked = enumerate(ASKED.values())
        await rows.send(
            *(pb.StreamPredictRow(number=at, request=one, request_id=f"r{at}") for at, one in asked)
        )
        await rows.end()
    for at, (case, request) in enumerate(ASKED.items()):
        result = rows.results[at]
        try:
            expected = await live.prediction.Predict(request)
        except aio.AioRpcError as error:
            sent = dict(error.trailing_metadata() or ())["grpc-status-details-bin"]
            told = status_pb2.Status.FromString(sent)  # type: ignore[arg-type]
            found = status_pb2.Status.FromString(result.status.SerializeToString())
            if case == "the future":  # says by how much, to the tenth of a second
                told.ClearField("message"), found.ClearField("message")
                del told.details[0], found.details[0]
            assert (case, found) == (case, told)
        else:
            if not request.HasField("as_of_time"):
                result.response.ClearField("as_of_time"), expected.ClearField("as_of_time")
                expected.probability = result.response.probability = round(expected.probability, 4)
            assert (case, result.response) == (case, expected)
        assert result.request_id == f"r{at}"


async def test_rows_without_a_fit_id_get_one_each(publish: Publish, serve: Serve) -> None:
    publish()
    live = await serve()
    async with stream(live, metadata=(("x-request-id", "of-the-stream"),)) as rows:
        await rows.send(row(1), row(2, request_id="a b"), row(3, request_id="mine"))
        await rows.end()
    ids = [rows.results[number].request_id for number in (1, 2, 3)]
    assert ids[2] == "mine"
    assert len({*ids, "of-the-stream", ""}) == 5


async def test_a_version_is_found_for_each_message_anew(publish: Publish, serve: Serve) -> None:
    publish()
    live = await serve(store_poll_s=0.05)
    async with stream(live) as rows:
        await rows.send(row(1))
        assert (await rows.result(1)).response.model.version == 1
        publish(base=1.0)
        await until(lambda: live.server.registry.ready() == ["churn@2"])
        await rows.send(row(2))
        result = await rows.result(2)
        assert result.response.model.version == 2
        assert result.response.as_of_time.ToDatetime() > rows.results[1].response.as_of_time.ToDatetime()


async def test_rows_share_a_query_and_a_message_of_answers(publish: Publish, serve: Serve) -> None:
    publish()
    live = await serve()
    async with stream(live) as rows:
        await rows.send(*(row(number, customer=number) for number in range(1, 31)))
        await rows.end()
    assert len(rows.results) == 30
    assert rows.messages <= 3
    of_queries = {"model": "churn@1", "kind": "interactive"}
    value = live.server.metrics.registry.get_sample_value
    assert value("staunch_batch_rows_sum", of_queries) == 30
    assert (value("staunch_batch_rows_count", of_queries) or 0) <= 2


async def test_a_row_is_counted_as_a_call_of_predict(publish: Publish, serve: Serve) -> None:
    publish()
    live = await serve()
    async with stream(live) as rows:
        await rows.send(row(1), row(2, customer=999_999))
        await rows.end()
    method = "/staunch.v1.PredictionService/Predict"
    value = live.server.metrics.registry.get_sample_value
    for code, why in (("OK", ""), ("NOT_FOUND", "CUSTOMER_NOT_FOUND")):
        labels = {"method": method, "code": code, "reason": why, "model": "churn@1"}
        assert value("staunch_calls_total", labels) == 1


async def test_a_row_ends_by_its_own_time(publish: Publish, serve: Serve, locked: Locked) -> None:
    publish()
    live = await serve()
    async with stream(live) as rows:
        await rows.send(row(1))
        await rows.result(1)
        async with locked():
            await rows.send(row(2, timeout_ms=0), row(3, timeout_ms=60), row(4))
            assert reason(await rows.result(2)) == "DEADLINE_EXCEEDED"
            assert reason(await rows.result(3)) in {"DEADLINE_EXCEEDED", "DATABASE_UNAVAILABLE"}
            assert 4 not in rows.results
        assert (await rows.result(4)).HasField("response")


async def test_a_row_that_is_taken_back_is_dropped_and_its_query_with_it(
    publish: Publish, serve: Serve, locked: Locked
) -> None:
    publish()
    live = await serve()
    async with stream(live) as rows:
        await rows.send(row(1))
        await rows.result(1)
        async with locked() as lock:
            await rows.send(row(2))
            await until(lambda: lock.waiting(1))
            await rows.send(cancelled_numbers=[2, 77])
            await until(lambda: lock.waiting(0))
            assert live.server.guard.calls == 0
        await rows.send(row(3))
        await rows.end()
    assert set(rows.results) == {1, 3}


async def test_rows_wait_for_room_and_leave_some_to_calls_that_come_alone(
    publish: Publish, serve: Serve, locked: Locked
) -> None:
    publish()
    live = await serve(max_calls=4, max_streams=1)
    async with stream(live) as rows, stream(live) as others:
        async with locked() as lock:
            await rows.send(*(row(number) for number in range(1, 11)))
            await others.send(*(row(number) for number in range(1, 11)))
            await until(lambda: lock.waiting(1))
            assert live.server.guard.calls == 3
            alone = asyncio.ensure_future(live.prediction.Predict(pb.PredictRequest(customer_id=8)))
            await until(lambda: live.server.guard.calls == 4)
        assert (await alone).probability > 0
        await rows.end()
        await others.end()
    assert all(result.HasField("response") for result in rows.results.values())
    assert len(rows.results) == len(others.results) == 10


async def test_streams_of_rows_take_no_place_of_batches(publish: Publish, serve: Serve) -> None:
    publish()
    live = await serve(max_streams=1)
    async with stream(live) as first, stream(live) as second:
        for rows in (first, second):
            await rows.send(row(1))
            await rows.result(1)
        assert (live.server.guard.streams, live.server.guard.streams_of_rows) == (0, 2)
        async for answer in live.prediction.BatchPredict(iter([pb.BatchPredictRequest(customer_ids=[8])])):
            assert len(answer.probabilities) == 1


WRONG = {
    "malformed": (MALFORMED, "MALFORMED_MESSAGE"),
    "empty": (b"", "CHUNK_EMPTY"),
    "too many": (
        pb.StreamPredictRequest(rows=[row(9)] * (MAX_ROWS + 1)).SerializeToString(),
        "CHUNK_TOO_LARGE",
    ),
    "twice": (pb.StreamPredictRequest(rows=[row(9), row(9)]).SerializeToString(), "FIELD_INVALID"),
}


@pytest.mark.parametrize("case", WRONG)
async def test_a_wrong_message_ends_the_stream_once_what_came_before_is_answered(
    publish: Publish, serve: Serve, locked: Locked, case: str
) -> None:
    publish()
    live = await serve()
    await live.prediction.Predict(pb.PredictRequest(customer_id=8))
    raw: Any = live.channel.stream_stream("/staunch.v1.PredictionService/StreamPredict")
    call = raw()
    async with locked() as lock:
        await call.write(pb.StreamPredictRequest(rows=[row(1)]).SerializeToString())
        await until(lambda: lock.waiting(1))
        await call.write(WRONG[case][0])
    results = pb.StreamPredictResponse.FromString(await call.read()).results
    assert results[0].HasField("response")

    async def rest() -> None:
        while await call.read() is not aio.EOF:
            pass

    error = await failure(rest())
    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, WRONG[case][1])


async def test_a_stream_that_is_silent_for_long_ends_well(
    publish: Publish, serve: Serve, transport_name: str
) -> None:
    publish()
    live = await serve(stream_idle_s=0.2, transport=transport_name)
    async with stream(live) as rows:
        await rows.send(row(1))
        await rows.result(1)
        assert not await rows.read()
        assert await rows.call.code() is grpc.StatusCode.OK


async def test_draining_answers_what_was_taken_up_and_ends_the_stream(
    publish: Publish, serve: Serve, locked: Locked, transport_name: str
) -> None:
    publish()
    live = await serve(transport=transport_name)
    async with stream(live) as rows:
        await rows.send(row(1))
        await rows.result(1)
        async with locked() as lock:
            await rows.send(row(2), row(3))
            await until(lambda: lock.waiting(1))
            live.server.guard.drain()
        for number in (2, 3):
            assert (await rows.result(number)).HasField("response")
        error = await failure(rows.read())
        assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")


async def test_rows_of_a_caller_who_goes_are_dropped(
    publish: Publish, serve: Serve, locked: Locked, transport_name: str
) -> None:
    publish()
    live = await serve(transport=transport_name)
    async with stream(live) as rows:
        await rows.send(row(1))
        await rows.result(1)
        async with locked() as lock:
            await rows.send(row(2), row(3))
            await until(lambda: lock.waiting(1))
            rows.call.cancel()
            await until(lambda: lock.waiting(0))
    await until(lambda: live.server.guard.calls + live.server.guard.streams_of_rows == 0)


async def test_large_answers_are_spread_over_messages(publish: Publish, serve: Serve) -> None:
    """So that a client that takes 4 MiB a message gets them all; and each comes once."""
    publish()
    live = await serve(max_calls=2000)
    asked = pb.PredictRequest(features=given(a=6, b=None, hours=10), include_features=True)
    async with stream(live) as rows:
        for message in range(6):
            numbers = range(message * MAX_ROWS, (message + 1) * MAX_ROWS)
            await rows.send(*(pb.StreamPredictRow(number=number, request=asked) for number in numbers))
        await rows.end()
    assert len(rows.results) == 6 * MAX_ROWS
    assert rows.messages >= 6
