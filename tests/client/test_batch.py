"""The batch helper over the real guard: bounded, in order, taken up again."""

import asyncio
import math
import time
from contextlib import aclosing, closing
from dataclasses import replace
from datetime import UTC, datetime

import pandas
import pytest
from grpc import StatusCode
from tests.client.harness import answers
from tests.client.harness.answers import chunk_of, failed_chunk

from staunch import (
    AsyncClient,
    BatchIncomplete,
    Client,
    Contribution,
    DeadlineExceeded,
    InvalidRequest,
    NotFound,
    PreconditionFailed,
    RetryPolicy,
    RowError,
    Score,
    ServerFault,
    Unavailable,
)
from staunch.v1 import prediction_service_pb2 as pb
from staunch_server.errors import Reason, Refusal, Resource, Violation

QUICK = RetryPolicy(first_wait_s=0.01, longest_wait_s=0.02, patience_s=5)
IMPATIENT = RetryPolicy(first_wait_s=0.01, longest_wait_s=0.02, patience_s=0.3)
DRAINING = Refusal(Reason.DRAINING, "as told")


def expected(customer: int) -> tuple[int, float | str]:
    return customer, "CUSTOMER_NOT_FOUND" if customer % 7 == 0 else customer / 1000


def flat(rows: list[Score | RowError]) -> list[tuple[int | str, float | str]]:
    return [(row.customer, row.reason if isinstance(row, RowError) else row.probability) for row in rows]


def refusing(stream: int, index: int, refusal: Exception = DRAINING):
    """Ends that stream at that chunk, as a server that stops does."""

    def on_chunk(at_stream, at_index, _request):
        if (at_stream, at_index) == (stream, index):
            raise refusal

    return on_chunk


async def test_every_id_is_answered_in_order_with_errors_beside_results(either, service):
    rows = await either.rows(range(1, 2501), chunk_size=100)
    assert flat(rows) == [expected(customer) for customer in range(1, 2501)]
    assert (rows[0].risk_band, rows[6].code) == ("low", StatusCode.NOT_FOUND)
    assert len(service.streams) == 1
    assert service.ended_well == 1


async def test_each_score_has_the_reasons_that_explain_gives(either, service):
    rows = await either.rows([1, 7, 9], top_contributions=2, language="fr")
    why = rows[0].explanation
    assert [reason.title for reason in rows[0].reasons] == ["Demandes en cours", "Revenu"]
    assert rows[0].reasons == (
        Contribution("tickets_open", 3.0, 1.2, False, "Demandes en cours", "", ""),
        Contribution("income", None, -0.4, False, "Revenu", "CAD", ""),
    )
    assert why.base_value + sum(part.contribution for part in rows[0].reasons) + why.remainder == (
        pytest.approx(why.output_value)
    )
    assert (why.output_space, why.method, why.language) == ("log_odds", "tree_path_dependent", "fr")
    assert isinstance(rows[1], RowError)
    assert rows[2].reasons == rows[0].reasons
    (asked,) = service.streams[0]
    assert (asked.top_contributions, asked.language_code) == (2, "fr")


async def test_who_asks_for_no_reasons_gets_none(either, service):
    (row,) = await either.rows([1])
    assert (row.explanation, row.reasons) == (None, ())
    assert service.streams[0][0].top_contributions == 0


async def test_reasons_go_on_over_a_stream_that_broke(connect, service, server):
    service.on_chunk = refusing(0, 2)
    rows = await connect(server.target, retry=QUICK).rows(range(1, 6), chunk_size=1, top_contributions=1)
    assert [len(row.reasons) for row in rows] == [1] * 5
    assert [stream[0].top_contributions for stream in service.streams] == [1, 1]


async def test_a_model_rolled_forward_between_two_streams_gives_no_row_the_reasons_of_another(
    either_with, service
):
    def forward_and_back(stream, index, _request):
        service.version = 4 if stream == 1 else 3  # stream 1 forgets which version it was asked for
        if (stream, index) == (0, 2):
            raise DRAINING

    service.on_chunk = forward_and_back
    rows = await either_with(retry=QUICK).rows(
        range(1, 6), chunk_size=1, top_contributions=1, language="fr", model="churn@champion"
    )
    assert len(service.streams) == 3
    assert {(row.model.version, row.reasons[0].title) for row in rows} == {(3, "Demandes en cours")}
    first = [stream[0] for stream in service.streams]
    assert [message.model for message in first] == ["churn@champion", "churn@3", "churn@3"]
    assert {(message.top_contributions, message.language_code) for message in first} == {(1, "fr")}


@pytest.mark.parametrize(
    "change",
    [
        lambda answer: answer.explanations.extend([pb.RowExplanation()]),
        lambda answer: answer.explanations.extend(
            [pb.RowExplanation(features=[2], values=[1], contributions=[1])] * 2
        ),
        lambda answer: answer.explanations.extend(
            [pb.RowExplanation(features=[-1], values=[1], contributions=[1])] * 2
        ),
        lambda answer: answer.explanations.extend([pb.RowExplanation(features=[0], values=[1])] * 2),
    ],
    ids=["one row short", "a feature too far", "a feature below none", "no contribution"],
)
async def test_reasons_that_fit_no_row_or_feature_break_the_contract(either, service, change):
    def answer(_stream, _index, request):
        made = answers.scored(request)
        change(made)
        return made

    service.on_chunk = answer
    with pytest.raises(ServerFault, match="breaks the contract of BatchPredict"):
        await either.rows([1, 2], top_contributions=1)


async def test_nothing_to_score_opens_no_stream(either, service):
    assert await either.rows([]) == []
    assert service.streams == []


async def test_duplicates_are_answered_each(either):
    assert flat(await either.rows([5, 5, 7, 5])) == [expected(customer) for customer in (5, 5, 7, 5)]


async def test_model_and_moment_travel_on_the_first_message_only(either, service):
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    rows = await either.rows(range(1, 31), chunk_size=10, model="churn@2", as_of=moment)
    assert [request.model for request in service.streams[0]] == ["churn@2", "", ""]
    assert [request.HasField("as_of_time") for request in service.streams[0]] == [True, False, False]
    assert rows[0].as_of == moment


async def test_keys_of_all_lengths_travel_as_keys(either):
    rows = await either.rows(["abc", "k" * 64, "k" * 65, "", "\ud800"])
    assert [row.customer for row in rows] == ["abc", "k" * 64, "k" * 65, "", "\ud800"]
    assert [isinstance(row, RowError) for row in rows] == [False, False, True, True, True]


async def test_an_id_that_cannot_travel_fails_only_itself(either):
    rows = await either.rows([1, 2**70, -(2**70), 2])
    assert [getattr(row, "reason", None) for row in rows] == [None, *["CUSTOMER_ID_INVALID"] * 2, None]
    assert rows[1].customer == 2**70


@pytest.mark.parametrize(
    ("ids", "says"), [([1, "a"], "got both"), ([1.5], "got float"), ([None], "got NoneType")]
)
async def test_ids_of_a_wrong_kind_are_refused(either, ids, says):
    with pytest.raises(TypeError, match=says):
        await either.rows(ids)


@pytest.mark.parametrize("sizes", [{"chunk_size": 0}, {"chunk_size": 10_001}, {"chunks_held": 0}])
async def test_sizes_out_of_range_are_refused(either, sizes):
    with pytest.raises(ValueError, match="expected"):
        await either.rows([1], **sizes)


@pytest.mark.parametrize("size", [1, 10_000])
async def test_a_chunk_holds_from_one_to_ten_thousand(either, service, size):
    await either.rows(range(1, 2 * size + 1), chunk_size=size)
    assert [len(request.customer_ids) for request in service.streams[0]] == [size, size]


async def test_a_later_stream_asks_for_the_version_and_moment_that_answered_first(either_with, service):
    service.on_chunk = refusing(0, 1)
    rows = await either_with(retry=QUICK).rows(range(1, 31), chunk_size=10, model="churn@champion")
    second = service.streams[1][0]
    assert (service.streams[0][0].model, second.model) == ("churn@champion", "churn@3")
    assert second.as_of_time == answers.NOW
    assert len({(row.model, row.as_of) for row in rows if isinstance(row, Score)}) == 1


async def test_answers_of_another_version_are_never_mixed_in(either_with, service):
    def publish(stream, index, _request):
        if (stream, index) == (0, 1):
            service.version = 4  # and a server that forgets which version it was asked for
            raise DRAINING

    service.on_chunk = publish
    with pytest.raises(Unavailable, match="expected answers of"):
        await either_with(retry=IMPATIENT).rows(range(1, 31), chunk_size=10)


async def test_a_chunk_with_code_14_is_sent_again_on_the_same_stream(either_with, service):
    service.on_chunk = lambda _stream, index, request: (
        failed_chunk(request, 14, "DATABASE_UNAVAILABLE") if index in (1, 4) else None
    )
    rows = await either_with(retry=QUICK).rows(range(1, 101), chunk_size=10)
    assert flat(rows) == [expected(customer) for customer in range(1, 101)]
    assert len(service.streams) == 1
    assert len(service.streams[0]) == 12


async def test_a_database_that_stays_away_ends_the_batch_with_its_reason(either_with, service):
    service.on_chunk = lambda _stream, index, request: (
        failed_chunk(request, 14, "DATABASE_UNAVAILABLE") if index else None
    )
    with pytest.raises(Unavailable) as caught:
        await either_with(retry=IMPATIENT).rows(range(1, 101), chunk_size=10)
    assert caught.value.reason == "DATABASE_UNAVAILABLE"
    assert 2 <= len(service.streams[0]) < 99


async def test_a_chunk_that_failed_for_itself_fails_its_rows_and_no_others(either, service):
    service.on_chunk = lambda _stream, index, request: (
        failed_chunk(request, 13, "INTERNAL") if index == 1 else None
    )
    rows, _error = await either.rows_and_error(range(1, 41), chunk_size=10)
    assert [row.reason for row in rows[10:20]] == ["INTERNAL"] * 10
    assert flat(rows[20:]) == [expected(customer) for customer in range(21, 41)]
    assert service.ended_well == 1


@pytest.mark.parametrize("code", [StatusCode.INTERNAL, StatusCode.UNKNOWN, StatusCode.DEADLINE_EXCEEDED])
@pytest.mark.parametrize("chunks", [{0}, {3}, {1, 2}, {0, 1, 2, 3}])
async def test_nobody_overlooks_chunks_that_failed(either, service, code, chunks):
    """Every customer is there, and the end of the batch says how many have no score for a chunk's sake."""
    service.on_chunk = lambda _stream, index, request: (
        failed_chunk(request, code.value[0], f"R{index}") if index in chunks else None
    )
    rows, error = await either.rows_and_error(range(1, 39), chunk_size=10)
    assert [row.customer for row in rows] == list(range(1, 39))
    failed = [row for row in rows if isinstance(row, RowError) and row.code is code]
    assert len(failed) == error.failed_rows == sum(8 if chunk == 3 else 10 for chunk in chunks)
    assert {(row.reason, row.message) for row in failed} == {(f"R{chunk}", "as told") for chunk in chunks}
    assert isinstance(error, BatchIncomplete)
    assert (error.code, error.reason) == (code, f"R{min(chunks)}")
    assert f"{error.failed_rows} of 38 customers have no score" in str(error)


async def test_a_chunk_that_ends_the_batch_says_all_that_a_calls_error_says(either, service):
    """Held to the same refusal of Predict."""
    violation, resource = Violation("customer_ids", "is empty"), Resource("model", "churn@3")
    refusal = Refusal(Reason.MODEL_REFUSED, "as told", [violation], resource, {"model": "churn@3"})
    service.script.append(refusal)
    with pytest.raises(PreconditionFailed) as caught:
        await either.call("predict", 42)
    service.on_chunk = lambda _stream, index, request: chunk_of(refusal, request) if index else None
    rows, error = await either.rows_and_error(range(1, 41), chunk_size=10)
    assert flat(rows) == [expected(customer) for customer in range(1, 11)]
    called = caught.value
    assert (type(error), error.code, error.message) == (type(called), called.code, called.message)
    assert replace(error.details, request_id="") == replace(called.details, request_id="")


async def test_a_chunk_that_may_be_sent_again_is_so_after_the_time_that_it_asks_for(either_with, service):
    times = []

    def away(_stream, index, request):
        times.append(time.monotonic())
        return None if index else chunk_of(Refusal(Reason.DATABASE_UNAVAILABLE, "as told"), request)

    service.on_chunk = away
    assert flat(await either_with(retry=QUICK).rows([1])) == [expected(1)]
    assert times[1] - times[0] >= Reason.DATABASE_UNAVAILABLE.retry_after_s


async def test_a_frame_whose_chunks_failed_is_in_the_error(either, service):
    service.on_chunk = lambda _stream, index, request: (
        failed_chunk(request, 13, "INTERNAL") if index == 1 else None
    )
    frame = pandas.DataFrame({"customer_id": range(1, 6)})
    with pytest.raises(BatchIncomplete) as caught:
        await either.call("batch_predict_frame", frame, chunk_size=2)
    scored = caught.value.scored
    assert scored["customer_id"].tolist() == [1, 2, 3, 4, 5]
    assert scored["error"].tolist() == [pandas.NA, pandas.NA, "INTERNAL", "INTERNAL", pandas.NA]
    assert caught.value.failed_rows == 2


async def test_all_frames_come_before_the_error_empty_ones_at_the_end_too(either, service):
    service.on_chunk = lambda _stream, _index, request: failed_chunk(request, 13, "INTERNAL")
    seen = []
    frames = [
        pandas.DataFrame({"customer_id": pandas.Series(ids, dtype="int64")}) for ids in ([1, 2], [3], [])
    ]
    with pytest.raises(BatchIncomplete):
        await either.frames(frames, seen=lambda frame: seen.append(len(frame)))
    assert seen == [2, 1, 0]


@pytest.mark.parametrize(("code", "error"), [(3, InvalidRequest), (5, NotFound), (9, PreconditionFailed)])
async def test_a_chunk_refused_for_what_all_share_ends_the_batch(either, service, code, error):
    service.on_chunk = lambda _stream, _index, request: failed_chunk(request, code, "ID_TYPE_MISMATCH")
    with pytest.raises(error, match="ID_TYPE_MISMATCH"):
        await either.rows(range(1, 41), chunk_size=10)


async def test_a_server_that_restarts_is_waited_for(either_with, server, service):
    async def ids():
        for customer in range(1, 101):
            if customer == 60:
                await server.stop()
                await server.start()
            yield customer

    rows = await either_with(retry=RetryPolicy(patience_s=20)).rows(ids(), chunk_size=10)
    assert flat(rows) == [expected(customer) for customer in range(1, 101)]
    assert len(service.streams) >= 2


async def test_the_refusal_that_ends_a_stream_is_told_though_chunks_are_being_written(either_with, service):
    """Ended while it writes, grpc.aio says "Internal error from Core" instead; asked once more, it reads."""

    def refuse(*_):
        raise Refusal(Reason.MODEL_REFUSED, "as told")

    service.on_chunk = refuse
    for _ in range(3):
        with pytest.raises(PreconditionFailed) as caught:
            await either_with(retry=QUICK).rows(range(1, 40_001), chunk_size=10_000)
        assert caught.value.reason == "MODEL_REFUSED"


async def test_an_incident_ends_the_batch_and_is_not_taken_up(either_with, service):
    service.on_chunk = refusing(0, 1, RuntimeError("unforeseen"))
    with pytest.raises(ServerFault) as caught:
        # One chunk at a time: grpc.aio loses the status of a stream that ends while it writes to it.
        await either_with(retry=QUICK).rows(range(1, 31), chunk_size=10, chunks_held=1)
    assert caught.value.incident_id
    assert len(service.streams) == 1


async def test_a_silent_server_ends_the_batch_when_patience_does(either_with, service):
    async def silent(_stream, index, _request):
        if index:
            await asyncio.sleep(60)

    service.on_chunk = silent
    started = time.monotonic()
    with pytest.raises(DeadlineExceeded, match="patien"):
        await either_with(retry=IMPATIENT).rows(range(1, 31), chunk_size=10)
    assert time.monotonic() - started >= 0.3


async def test_a_timeout_bounds_the_whole_batch(either, service):
    async def slowly(*_):
        await asyncio.sleep(0.05)

    service.on_chunk = slowly
    started = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        await either.rows(range(1, 10_001), chunk_size=10, timeout_s=0.4)
    assert time.monotonic() - started >= 0.3


@pytest.mark.parametrize("chunks_held", [1, 3])
async def test_no_more_ids_are_taken_than_may_be_held(either, service, chunks_held):
    taken = [0]
    most = [0]
    answered_chunks = [0]

    def ids():
        for customer in range(1, 501):
            taken[0] += 1
            most[0] = max(most[0], taken[0] - 10 * answered_chunks[0])
            yield customer

    def count(*_):
        answered_chunks[0] += 1

    service.on_chunk = count
    await either.rows(ids(), chunk_size=10, chunks_held=chunks_held)
    assert most[0] <= 10 * chunks_held


async def test_an_answer_for_other_ids_is_a_fault_of_the_server(either, service):
    def swap(_stream, _index, request):
        request.customer_ids.reverse()

    service.on_chunk = swap
    with pytest.raises(ServerFault, match="does not fit its request"):
        await either.rows([1, 2, 3])


async def test_leaving_early_ends_the_stream(server, service):
    came, gone = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    async def watched(_stream, index, _request):
        if index:
            came.set()
            try:
                await asyncio.sleep(60)
            finally:
                gone.set()

    def leave():
        with Client(server.target) as client, closing(client.batch_predict(range(1, 10_001))) as rows:
            next(rows)
            asyncio.run_coroutine_threadsafe(came.wait(), loop).result(10)
            rows.close()
            asyncio.run_coroutine_threadsafe(gone.wait(), loop).result(10)

    service.on_chunk = watched
    await asyncio.to_thread(leave)
    came.clear()
    gone.clear()
    async with AsyncClient(server.target) as client:
        async with aclosing(client.batch_predict(range(1, 10_001))) as rows:
            await anext(rows)
            await asyncio.wait_for(came.wait(), 10)
        await asyncio.wait_for(gone.wait(), 10)


async def test_an_error_of_the_source_reaches_the_caller_untouched(either):
    def ids():
        yield from range(25)
        raise KeyError("from the source")

    with pytest.raises(KeyError, match="from the source"):
        await either.rows(ids(), chunk_size=10)


async def test_failed_rows_never_carry_a_probability(either):
    for row in await either.rows(range(1, 30)):
        assert isinstance(row, RowError) or not math.isnan(row.probability)
