"""BatchPredict over a real server: one version and moment a stream, order kept, errors in their place."""

import asyncio
import logging
import math
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2
from grpc import aio
from tests.harness.waiting import until
from tests.server.harness.errors import failure
from tests.server.harness.running import Locked, Publish, Running, Serve
from tests.server.small_models import (
    TWICE,
    expected_margin,
    hours_known,
    person,
    sigmoid,
    stamp,
    view_text,
)

from staunch import AsyncClient, Score
from staunch.v1 import prediction_service_pb2 as pb
from staunch_server.admission.lanes import Lanes
from staunch_server.errors import Refusal
from staunch_server.services import batch_predict
from staunch_server.services.batch_predict import BatchPredictServicer, chunk_error
from staunch_server.services.chunks import ROW_MESSAGE_BYTES
from staunch_server.statuses import status
from staunch_server.transport.seam import Call

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


# A view that reads no table, so that it answers while the people are locked.
OTHER_VIEW = (
    view_text(uses_as_of=False)
    .replace(
        "public.people AS people ON people.id = asked.id", "unnest($1::bigint[]) AS people (id) USING (id)"
    )
    .replace("people.a, people.b", "1::float8 AS a, 1::float8 AS b")
    .replace("people.active", "true")
)


async def ask(live: Running, *chunks: pb.BatchPredictRequest) -> list[pb.BatchPredictResponse]:
    return [answer async for answer in live.prediction.BatchPredict(iter(chunks))]


def ids_of(*ids: int, **fields: Any) -> pb.BatchPredictRequest:
    return pb.BatchPredictRequest(customer_ids=ids, **fields)


def expected(i: int, as_of: datetime) -> float:
    return sigmoid(expected_margin(person(i, hours_known(i, as_of))))


def errors(answer: pb.BatchPredictResponse) -> list[tuple[int | None, int, str]]:
    """Returns the rows' errors by index, or the chunk's, which has none."""
    assert all(error.HasField("index") for error in answer.row_errors)
    rows = [(e.index, e.code, e.reason) for e in answer.row_errors]
    if not answer.HasField("chunk_error"):
        return [*rows]
    assert ([*rows], [*answer.probabilities], [*answer.risk_bands]) == ([], [], [])
    return [(None, answer.chunk_error.code, answer.chunk_error.reason)]


async def test_each_chunk_is_answered_once_in_order(
    publish: Publish, serve: Serve, transport_name: str
) -> None:
    publish()
    live = await serve(transport=transport_name)
    answers = await ask(live, ids_of(1, 2, 3), ids_of(5, 4), ids_of(9))
    assert [answer.chunk_index for answer in answers] == [0, 1, 2]
    assert [list(answer.customer_ids) for answer in answers] == [[1, 2, 3], [5, 4], [9]]
    as_of = answers[0].as_of_time.ToDatetime(UTC)
    for answer in answers:
        want = [expected(i, as_of) for i in answer.customer_ids]
        assert list(answer.probabilities) == pytest.approx(want, abs=1e-15)
        assert errors(answer) == []


async def test_one_version_and_one_moment_answer_a_whole_stream(publish: Publish, serve: Serve) -> None:
    first = publish()
    live = await serve()

    async def chunks() -> AsyncIterator[pb.BatchPredictRequest]:
        yield ids_of(1, model="churn")
        second = publish(base=3.0)
        await live.server.registry.reload()
        assert live.server.registry.ready() == [f"churn@{second.manifest.version}"]
        yield ids_of(1, model="churn")
        yield ids_of(1, model="churn@1")

    answers = [answer async for answer in live.prediction.BatchPredict(chunks())]
    assert {answer.model.digest for answer in answers} == {first.digest}
    assert len({answer.as_of_time.SerializeToString() for answer in answers}) == 1
    assert len({answer.probabilities[0] for answer in answers}) == 1
    assert (await ask(live, ids_of(1)))[0].model.version == 2


async def test_a_given_moment_holds_for_the_stream_and_may_be_repeated(
    publish: Publish, serve: Serve
) -> None:
    publish()
    live = await serve()
    at = stamp(NOON)
    answers = await ask(live, ids_of(8, as_of_time=at), ids_of(8), ids_of(8, as_of_time=at))
    assert [answer.as_of_time for answer in answers] == [at] * 3
    assert [answer.probabilities[0] for answer in answers] == pytest.approx([expected(8, NOON)] * 3)


async def test_duplicates_are_answered_each_and_bad_rows_fail_only_themselves(
    publish: Publish, serve: Serve
) -> None:
    publish()
    live = await serve()
    (answer,) = await ask(live, ids_of(8, 999_999, 8, 0, 11, -3, 9, 999_999))
    as_of = answer.as_of_time.ToDatetime(UTC)
    assert errors(answer) == [
        (1, 5, "CUSTOMER_NOT_FOUND"),
        (3, 3, "CUSTOMER_ID_INVALID"),
        (4, 9, "CUSTOMER_NOT_ELIGIBLE"),
        (5, 3, "CUSTOMER_ID_INVALID"),
        (7, 5, "CUSTOMER_NOT_FOUND"),
    ]
    assert {error.message for error in answer.row_errors} == {""}  # The reason says it all.
    for place, i in enumerate(answer.customer_ids):
        if place in (0, 2, 6):
            assert answer.probabilities[place] == pytest.approx(expected(i, as_of), abs=1e-15)
            assert answer.risk_bands[place] != pb.RISK_BAND_UNSPECIFIED
        else:
            assert math.isnan(answer.probabilities[place])
            assert answer.risk_bands[place] == pb.RISK_BAND_UNSPECIFIED


async def test_a_chunk_of_bad_ids_alone_needs_no_query(publish: Publish, serve: Serve) -> None:
    publish()
    live = await serve(database_reader_url="postgresql://nobody@127.0.0.1:1/none")
    (answer,) = await ask(live, ids_of(0, -1))
    assert [reason for *_, reason in errors(answer)] == ["CUSTOMER_ID_INVALID"] * 2


async def test_a_full_chunk_is_answered(publish: Publish, serve: Serve) -> None:
    publish()
    live = await serve()
    ids = [1 + i % 200 for i in range(10_000)]
    (answer,) = await ask(live, ids_of(*ids))
    assert list(answer.customer_ids) == ids
    assert len(answer.probabilities) == len(answer.risk_bands) == 10_000
    assert {e.index % 200 + 1 for e in answer.row_errors} == {i for i in range(1, 201) if i % 11 == 0}


CHUNK_ERRORS = {
    "an empty chunk": (pb.BatchPredictRequest(), "CHUNK_EMPTY"),
    "too many ids": (ids_of(*range(1, 10_002)), "CHUNK_TOO_LARGE"),
    "keys for ids": (pb.BatchPredictRequest(customer_keys=["key-1"]), "ID_TYPE_MISMATCH"),
    "both": (pb.BatchPredictRequest(customer_ids=[1], customer_keys=["key-1"]), "ID_TYPE_MISMATCH"),
    "another model": (ids_of(1, model="other"), "MODEL_CHANGED_IN_STREAM"),
    "another version": (ids_of(1, model="churn@2"), "MODEL_CHANGED_IN_STREAM"),
    "another moment": (ids_of(1, as_of_time=stamp(NOON)), "MODEL_CHANGED_IN_STREAM"),
    "no moment at all": (ids_of(1, as_of_time=Timestamp(nanos=-1)), "FIELD_INVALID"),
}


async def test_a_wrong_chunk_gets_its_error_and_the_stream_goes_on(
    publish: Publish, serve: Serve, transport_name: str
) -> None:
    publish()
    live = await serve(transport=transport_name)
    answers = await ask(live, ids_of(1), *(chunk for chunk, _ in CHUNK_ERRORS.values()), ids_of(2))
    assert [answer.chunk_index for answer in answers] == list(range(len(CHUNK_ERRORS) + 2))
    for answer, (case, (_, reason)) in zip(answers[1:-1], CHUNK_ERRORS.items(), strict=True):
        assert (case, errors(answer)) == (case, [(None, 3, reason)])
        assert answer.chunk_error.message
        assert not answer.probabilities
        assert answer.model.version == 1
    assert len(answers[-1].probabilities) == 1
    # All eight chunks are counted as failed rows, whatever was wrong with them.
    rows = live.server.metrics.registry.get_sample_value
    ids = sum(len(chunk.customer_ids) + len(chunk.customer_keys) for chunk, _ in CHUNK_ERRORS.values())
    assert rows("staunch_rows_total", {"model": "churn@1", "outcome": "failed"}) == ids
    keys = answers[1 + list(CHUNK_ERRORS).index("keys for ids")]
    assert keys.chunk_error.message.endswith("got customer_keys; use customer_ids.")


@pytest.mark.parametrize("case", CHUNK_ERRORS)
async def test_a_chunk_error_says_all_that_the_status_of_a_call_would(
    publish: Publish, serve: Serve, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    refused: list[Refusal] = []
    monkeypatch.setattr(batch_predict, "chunk_error", lambda one: refused.append(one) or chunk_error(one))
    publish()
    live = await serve()
    _, answer = await ask(live, ids_of(1), CHUNK_ERRORS[case][0])
    error, (refusal,) = answer.chunk_error, refused
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    told = status(refusal)
    for detail in told.details:
        detail.Unpack(info)
        detail.Unpack(bad)
    assert (error.code, error.message, error.reason) == (told.code, told.message, info.reason)
    assert dict(error.metadata) == dict(info.metadata)
    violations = [(one.field, one.description) for one in error.field_violations]
    assert violations == [(one.field, one.description) for one in bad.field_violations]
    assert violations or case == "no moment at all"


async def test_json_shows_the_place_of_a_chunk_and_of_a_row_when_it_is_the_first(
    publish: Publish, serve: Serve
) -> None:
    publish()
    live = await serve()
    (answer,) = await ask(live, ids_of(0, 8))
    told = json_format.MessageToDict(answer)
    assert told["chunkIndex"] == 0
    assert [error["index"] for error in told["rowErrors"]] == [0]
    assert "chunkError" not in told


async def test_malformed_chunks_are_answered_in_their_place_even_first(
    publish: Publish, serve: Serve, transport_name: str
) -> None:
    publish()
    live = await serve(transport=transport_name)
    call = live.channel.stream_stream("/staunch.v1.PredictionService/BatchPredict")
    raw = [b"\xff\xff", ids_of(8).SerializeToString(), b"\x0a\x7f", ids_of(9).SerializeToString()]
    answers = [pb.BatchPredictResponse.FromString(answer) async for answer in call(iter(raw))]
    assert [answer.chunk_index for answer in answers] == [0, 1, 2, 3]
    assert errors(answers[0]) == errors(answers[2]) == [(None, 3, "MALFORMED_MESSAGE")]
    assert not answers[0].HasField("model")
    assert [len(answer.probabilities) for answer in answers] == [0, 1, 0, 1]


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        (ids_of(1, model="other"), "MODEL_NOT_FOUND"),
        (ids_of(1, as_of_time=stamp(datetime.now(UTC) + timedelta(hours=1))), "AS_OF_IN_FUTURE"),
    ],
)
async def test_a_stream_whose_first_message_says_nothing_usable_ends_with_that(
    publish: Publish,
    serve: Serve,
    transport_name: str,
    first: pb.BatchPredictRequest,
    reason: str,
) -> None:
    publish()
    live = await serve(transport=transport_name)
    assert (await failure(ask(live, first))).reason == reason


async def test_an_empty_stream_ends_well(publish: Publish, serve: Serve) -> None:
    publish()
    live = await serve()
    assert await ask(live) == []


@pytest.mark.parametrize("id_type", ["text", "uuid"])
async def test_keys_are_answered_in_the_form_they_were_asked_in(
    publish: Publish, serve: Serve, id_type: str
) -> None:
    publish(id_type=id_type)
    live = await serve()
    known = "key-8" if id_type == "text" else "00000000-0000-4000-8000-00000000000A".replace("A", "8")
    keys = [known, "", known.upper() if id_type == "uuid" else known, "x" * 65]
    (answer,) = await ask(live, pb.BatchPredictRequest(customer_keys=keys))
    assert list(answer.customer_keys) == keys
    assert [index for index, *_ in errors(answer)] == [1, 3]
    assert answer.probabilities[0] == answer.probabilities[2]


async def test_a_row_that_the_view_says_it_never_gives_fails_alone(publish: Publish, serve: Serve) -> None:
    publish(text=view_text().replace("people.a, people.b", "nullif(people.a, 8) AS a, people.b"))
    live = await serve()
    (answer,) = await ask(live, ids_of(7, 8, 9))
    assert errors(answer) == [(1, 9, "MODEL_REFUSED")]
    assert "feature a is null, but the view says it never is; mend" in answer.row_errors[0].message
    assert [math.isnan(p) for p in answer.probabilities] == [False, True, False]


async def test_the_bad_rows_of_a_chunk_are_one_line_of_the_log(
    publish: Publish, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    publish(text=view_text().replace("people.a, people.b", "NULL::float8 AS a, people.b"))
    live = await serve()
    with caplog.at_level(logging.WARNING, logger="staunch.batch"):
        (answer,) = await ask(live, ids_of(7, 8, 9))
    assert len(answer.row_errors) == 3
    (line,) = [record.getMessage() for record in caplog.records if record.name == "staunch.batch"]
    assert line.startswith("3 rows of a chunk have no score, the first since churn@1/features.sql")


async def test_rows_whose_data_the_sql_fails_on_fail_alone(publish: Publish, serve: Serve) -> None:
    publish(text=view_text().replace("people.a, people.b", "1 / (people.id - 57)::float8 AS a, people.b"))
    live = await serve()
    (answer,) = await ask(live, ids_of(*[i for i in range(1, 201) if i % 11]))
    assert errors(answer) == [(51, 9, "MODEL_REFUSED")]
    assert "division by zero" in answer.row_errors[0].message
    assert answer.customer_ids[51] == 57


async def test_a_chunk_whose_rows_all_fail_stays_below_what_clients_receive(
    publish: Publish, serve: Serve
) -> None:
    """4 MiB; with the longest keys there would be 640 kB more."""
    publish(text=view_text().replace("people.a, people.b", "NULL::float8 AS a, people.b"))
    live = await serve()
    (answer,) = await ask(live, ids_of(*[8] * 10_000))
    assert len(answer.row_errors) == 10_000
    assert answer.ByteSize() + 10_000 * (ROW_MESSAGE_BYTES - len(answer.row_errors[0].message) + 66) < 4 << 20


async def test_an_id_with_two_rows_fails_alone(publish: Publish, serve: Serve) -> None:
    publish(text=view_text() + TWICE.format(id=57))
    live = await serve()
    (answer,) = await ask(live, ids_of(*[i for i in range(1, 201) if i % 11]))
    assert errors(answer) == [(51, 9, "MODEL_REFUSED")]


async def test_a_view_that_fails_for_everybody_fails_the_chunk_soon(publish: Publish, serve: Serve) -> None:
    publish(
        text=view_text().replace("people.a, people.b", "1 / (people.id - people.id)::float8 AS a, people.b")
    )
    live = await serve()
    (answer,) = await ask(live, ids_of(*range(1, 201)))
    assert errors(answer) == [(None, 9, "MODEL_REFUSED")]
    assert "division by zero" in answer.chunk_error.message


async def test_no_more_than_two_chunks_are_in_flight_before_an_answer_is_taken(
    publish: Publish, serve: Serve
) -> None:
    publish()
    live = await serve()
    taken: list[int] = []

    async def requests() -> AsyncIterator[pb.BatchPredictRequest | Refusal]:
        for i in range(1, 9):
            taken.append(i)
            yield ids_of(i)

    server = live.server
    predictor = BatchPredictServicer(
        server.registry, server.explainers, turns=Lanes(2, lambda: 0), timeout_s=5
    )
    answers = predictor.batch_predict(requests(), Call("BatchPredict", [], "", None))
    first = await anext(answers)
    await asyncio.sleep(0.05)
    assert (first.chunk_index, len(taken)) == (0, 2)
    assert (await anext(answers)).chunk_index == 1
    await asyncio.sleep(0.05)
    assert len(taken) == 3
    assert [answer.chunk_index async for answer in answers] == [2, 3, 4, 5, 6, 7]


async def test_a_stream_that_the_client_leaves_takes_its_work_with_it(
    publish: Publish, serve: Serve, transport_name: str, locked: Locked
) -> None:
    publish()
    live = await serve(transport=transport_name)
    async with locked():
        stream = live.prediction.BatchPredict()
        await stream.write(ids_of(1))
        await until(lambda: live.server.databases.batch.in_use == 1)
        stream.cancel()
        await until(lambda: not (live.server.guard.streams or live.server.databases.batch.in_use))


async def test_a_chunk_that_takes_too_long_is_to_be_sent_again_and_the_stream_goes_on(
    publish: Publish, serve: Serve, locked: Locked, caplog: pytest.LogCaptureFixture
) -> None:
    publish()
    live = await serve(batch_timeout_s=0.2)
    stream = live.prediction.BatchPredict()
    async with locked():
        await stream.write(ids_of(8))
        assert errors(await stream.read()) == [(None, 14, "DATABASE_UNAVAILABLE")]
    await stream.write(ids_of(8))
    assert len((await stream.read()).probabilities) == 1
    await stream.done_writing()
    # The call ends well: what the chunk met has a line of its own.
    (line,) = [record for record in caplog.records if record.name == "staunch.batch"]
    assert line.levelname == "WARNING"
    assert line.getMessage().startswith("a chunk has no answer: DATABASE_UNAVAILABLE: The database did not")
    fields = {"code": "UNAVAILABLE", "reason": "DATABASE_UNAVAILABLE", "model": "churn@1"}
    assert vars(line)["fields"] == fields


async def test_a_stream_that_falls_silent_ends_and_one_that_waits_for_the_database_does_not(
    publish: Publish, serve: Serve, transport_name: str, locked: Locked
) -> None:
    publish()
    live = await serve(transport=transport_name, stream_idle_s=0.3, max_streams=1)
    stream = live.prediction.BatchPredict()
    async with locked():
        await stream.write(ids_of(8))
        await stream.write(ids_of(9))
        await asyncio.sleep(0.6)
    for _ in range(2):
        assert len((await stream.read()).probabilities) == 1
    assert (await failure(stream.read())).reason == "STREAM_IDLE"
    assert len(await ask(live, ids_of(8))) == 1


async def test_our_client_opens_another_stream_where_its_ids_come_too_slowly_for_one(
    publish: Publish, serve: Serve
) -> None:
    publish()
    live = await serve(stream_idle_s=0.2)

    async def slowly() -> AsyncIterator[int]:
        for i in (1, 2, 3):
            yield i
            await asyncio.sleep(0.5)

    async with AsyncClient(f"127.0.0.1:{live.server.port}") as client:
        rows = [row async for row in client.batch_predict(slowly(), chunk_size=1)]
    assert [(row.customer, type(row)) for row in rows] == [(1, Score), (2, Score), (3, Score)]
    assert len({row.as_of for row in rows}) == 1


async def test_long_streams_leave_predict_its_own_connections(
    publish: Publish, serve: Serve, locked: Locked
) -> None:
    publish()
    publish("other", uses_as_of=False, text=OTHER_VIEW)
    live = await serve(batch_connections=1, max_streams=4)
    async with locked():
        streams = [live.prediction.BatchPredict() for _ in range(3)]
        for stream in streams:
            await stream.write(ids_of(1))
        await until(lambda: live.server.databases.batch.in_use == 1)
        answer = await live.prediction.Predict(pb.PredictRequest(model="other", customer_id=8), timeout=2)
        assert answer.model.name == "other"
        for stream in streams:
            stream.cancel()


async def test_a_row_has_the_outcome_that_predict_gives_it(publish: Publish, serve: Serve) -> None:
    publish()
    live = await serve()
    ids, at = [8, 11, 999_999, 0, 3], stamp(NOON)
    (answer,) = await ask(live, ids_of(*ids, as_of_time=at))
    singles = await asyncio.gather(
        *(live.prediction.Predict(pb.PredictRequest(customer_id=i, as_of_time=at)) for i in ids),
        return_exceptions=True,
    )
    failed = {e.index: e.code for e in answer.row_errors}
    for place, single in enumerate(singles):
        if isinstance(single, aio.AioRpcError):
            assert failed[place] == single.code().value[0]
        else:
            assert answer.probabilities[place] == pytest.approx(single.probability, abs=1e-15)
            assert answer.risk_bands[place] == single.risk_band
