"""The fake server as users' tests have it; that it is like the real one, the tests of the clients hold."""

import asyncio
import time
import uuid

import grpc
import pytest
from tests.client.harness.either import EitherClient

from staunch import (
    AsyncClient,
    BatchIncomplete,
    Client,
    FeatureSchema,
    InvalidRequest,
    NotFound,
    PreconditionFailed,
    RowError,
    ServerFault,
    StaunchError,
    Unavailable,
)
from staunch.testing import Failure, FakeServer
from staunch.v1 import prediction_service_pb2 as pb


@pytest.fixture
def fake():
    with FakeServer() as server:
        yield server


@pytest.fixture
def client(connect, fake) -> EitherClient:
    return connect(fake.target)


async def test_scores_by_customer_are_the_same_in_every_method(fake, client):
    fake.scores |= {42: 0.91, "007": 0.05}
    assert (await client.call("predict", 42)).probability == 0.91
    assert (await client.call("explain", 42)).prediction.probability == 0.91
    assert [row.probability for row in await client.rows([41, 42])] == [0.25, 0.91]
    assert [row.probability for row in await client.rows(["7", "007"])] == [0.25, 0.05]
    assert [(await client.call("predict", one)).risk_band for one in (1, 42, "007")] == [
        "medium",
        "high",
        "low",
    ]


async def test_a_uuid_has_its_score_whether_it_is_given_as_one_or_as_text(fake, client):
    one, other = uuid.uuid4(), uuid.uuid4()
    fake.scores |= {one: 0.91, str(other): 0.05}
    assert [(await client.call("predict", key)).probability for key in (one, other)] == [0.91, 0.05]
    assert [row.probability for row in await client.rows([one, other, uuid.uuid4()])] == [0.91, 0.05, 0.25]
    fake.scores = {one: 0.91}
    assert (await client.call("predict", one.hex)).probability == 0.25


async def test_an_explanation_adds_up_for_any_score(fake, client):
    for fake.usual_score in (0.0, 0.01, 0.9, 1.0):
        made = await client.call("explain", 42, max_contributions=1)
        total = made.base_value + sum(part.contribution for part in made.contributions) + made.remainder
        assert total == pytest.approx(made.output_value)
        assert (len(made.contributions), made.remainder_count) == (1, 8)


async def test_the_reasons_of_a_batch_are_those_of_explain(fake, client):
    fake.scores |= {42: 0.91, 43: Failure("CUSTOMER_NOT_ELIGIBLE")}
    for top in (1, 2, 10):
        scored, failed, _ = await client.rows([42, 43, 44], top_contributions=top, language="fr-CA")
        made = await client.call("explain", 42, max_contributions=top, language="fr-CA")
        assert scored.reasons == made.contributions
        assert (scored.explanation.remainder, scored.explanation.language) == (made.remainder, "fr")
        assert isinstance(failed, RowError)


def test_more_than_ten_reasons_are_refused_as_the_server_does(fake):
    with grpc.insecure_channel(fake.target) as channel:
        call = channel.stream_stream(
            "/staunch.v1.PredictionService/BatchPredict",
            pb.BatchPredictRequest.SerializeToString,
            pb.BatchPredictResponse.FromString,
        )
        with pytest.raises(grpc.RpcError, match="top_contributions of 0 to 10"):
            next(call(iter([pb.BatchPredictRequest(customer_ids=[1], top_contributions=11)])))


async def test_a_customer_may_fail_in_every_method(fake, client):
    fake.scores[43] = Failure("CUSTOMER_NOT_ELIGIBLE", "left in May")
    for method in ("predict", "explain"):
        with pytest.raises(PreconditionFailed, match="left in May"):
            await client.call(method, 43)
    first, second = await client.rows([42, 43])
    assert first.probability == 0.25
    assert isinstance(second, RowError)
    assert (second.reason, second.message) == ("CUSTOMER_NOT_ELIGIBLE", "left in May")


async def test_a_chunk_may_fail_as_a_whole(fake, client):
    away = Failure("DATABASE_UNAVAILABLE", metadata={"shard": "7"}, retry_after_s=0.01)
    fake.on_chunk = lambda _stream, index, *_: None if index else away
    assert [row.probability for row in await client.rows([1, 2])] == [0.25, 0.25]
    assert len(fake.streams[0]) == 2
    fake.on_chunk = lambda *_: Failure(
        "MODEL_REFUSED", "table gone", violations={"model": "is ill"}, resource=("model", "churn@3")
    )
    with pytest.raises(PreconditionFailed, match="table gone") as caught:
        await client.rows([1])
    details = caught.value.details
    assert (details.resource_type, details.resource_name) == ("model", "churn@3")
    assert [one.field for one in details.violations] == ["model"]
    fake.on_chunk = lambda *_: Failure("INTERNAL", metadata={"incident_id": "8f2c"})
    with pytest.raises(BatchIncomplete) as incomplete:
        await client.rows([1, 2])
    assert (incomplete.value.failed_rows, incomplete.value.details.metadata) == (2, {"incident_id": "8f2c"})


async def test_everybody_but_some_may_fail(fake, client):
    fake.usual_score, fake.scores[42] = Failure("CUSTOMER_NOT_FOUND"), 0.5
    assert (await client.call("predict", 42)).probability == 0.5
    with pytest.raises(NotFound):
        await client.call("predict", 1)


@pytest.mark.parametrize(("customer", "reason"), [(0, "CUSTOMER_ID_INVALID"), ("", "CUSTOMER_ID_INVALID")])
async def test_what_no_server_knows_is_refused(client, customer, reason):
    with pytest.raises(InvalidRequest, match=reason):
        await client.call("predict", customer)
    with pytest.raises(InvalidRequest, match="SUBJECT_MISSING"):
        await client.call("predict")


async def test_the_next_calls_fail_and_are_tried_again_as_with_the_server(fake, client):
    fake.fail_next("OVERLOADED", times=2)
    assert (await client.call("predict", 42)).probability == 0.25
    assert [call.method for call in fake.calls] == ["Predict"] * 3
    fake.fail_next("MODEL_NOT_FOUND")
    with pytest.raises(NotFound):
        await client.rows([1])


async def test_every_call_fails_as_long_as_it_shall(fake, client):
    fake.failing = Failure("DRAINING")
    with pytest.raises(Unavailable):
        await client.call("predict", 42, timeout_s=0.3)
    fake.failing = None
    assert (await client.call("predict", 42)).probability == 0.25


async def test_a_function_may_answer(fake, client):
    fake.script.append(lambda request, _context: fake._predict(request))
    assert (await client.call("predict", 42)).probability == 0.25


async def test_a_function_answers_no_batch_and_says_so(fake, client, caplog):
    fake.script.append(lambda _request, _context: None)
    with pytest.raises(ServerFault):
        await client.rows([1])
    assert "on_chunk takes those" in caplog.text


async def test_an_error_of_a_tests_own_is_an_incident(fake, client, caplog):
    fake.script.append(ZeroDivisionError("of the test"))
    with pytest.raises(ServerFault) as caught:
        await client.call("predict", 42)
    assert caught.value.incident_id
    assert "of the test" in caplog.text


async def test_answers_take_as_long_as_they_shall_and_stopping_waits_for_none(fake, client):
    fake.delay_s = 0.3
    started = time.monotonic()
    await client.call("predict", 42)
    assert time.monotonic() - started >= 0.3
    fake.delay_s = 60.0
    with pytest.raises(StaunchError):
        await client.call("predict", 42, timeout_s=0.2)
    fake.stop()
    assert time.monotonic() - started < 20
    fake.delay_s = 0.0
    fake.start()
    assert (await client.call("predict", 42)).probability == 0.25


async def test_readiness_is_what_the_test_says(fake, client):
    assert await client.call("is_ready")
    fake.is_ready = False
    assert not await client.call("is_ready")


async def test_what_came_can_be_read(fake, client):
    await client.call("predict", 42, model="churn@2", metadata={"x-request-id": "r1", "x-tenant": "north"})
    rows = await client.rows(range(1, 31), chunk_size=10)
    first, second = fake.calls
    assert (first.method, first.request.customer_id, first.request_id) == ("Predict", 42, "r1")
    assert first.metadata["x-tenant"] == "north"
    assert (second.method, second.request, second.request_id) == ("BatchPredict", None, rows[0].request_id)
    assert [list(chunk.customer_ids) for chunk in fake.streams[0]] == [
        list(range(start, start + 10)) for start in (1, 11, 21)
    ]


async def test_a_version_that_is_asked_for_answers(fake, client):
    fake.version = 5
    assert str((await client.call("predict", 42)).model) == "churn@5"
    assert str((await client.call("predict", 42, model="churn@2")).model) == "churn@2"
    assert {str(row.model) for row in await client.rows([1], model="churn@2")} == {"churn@2"}
    assert [model.reference.version for model in await client.call("list_models")] == [5, 4, 3, 2, 1]
    assert (await client.call("get_model", "churn@champion")).aliases == ("champion",)


async def test_an_answer_says_within_how_many_days_its_probability_means(client):
    (row,) = await client.rows([1])
    answers = [await client.call("predict", 42), row]
    assert [answer.model.horizon_days for answer in answers] == [90, 90]
    (newest, *_) = await client.call("list_models")
    assert newest.reference.horizon_days == newest.horizon_days == 90


async def test_a_list_of_another_model_and_a_version_beyond_the_last_are_refused_as_the_server_does(client):
    with pytest.raises(NotFound, match="nope: expected a model of the store, which holds churn") as caught:
        await client.call("list_models", "nope")
    assert caught.value.details.metadata == {"model": "nope", "available": "churn"}
    with pytest.raises(InvalidRequest, match="versions end at 2147483647") as invalid:
        await client.call("predict", 42, model="churn@2147483648")
    assert [one.field for one in invalid.value.details.violations] == ["model"]


async def test_given_features_come_back_and_have_no_moment(client):
    made = await client.call("predict", features={"a": 1, "b": None}, include_features=True)
    assert (made.features, made.as_of) == ({"a": 1.0, "b": None}, None)
    made = await client.call("predict", 42, overrides={"age": 20}, include_features=True)
    assert made.features == {"age": 20.0, "income": None}


async def test_many_calls_are_answered_beside_each_other_and_beside_open_streams(fake):
    async with AsyncClient(fake.target) as client:
        streams = [client.batch_predict(range(1, 10_000)) for _ in range(20)]
        await asyncio.gather(*map(anext, streams))
        fake.delay_s, started = 0.5, time.monotonic()
        await asyncio.gather(*(client.predict(42) for _ in range(40)))
        assert time.monotonic() - started < 1.0
        fake.delay_s = 0.0
        for stream in streams:
            await stream.aclose()


def test_a_server_that_serves_is_not_started_again(fake):
    fake.usual_score = 0.5
    with pytest.raises(RuntimeError, match="serves already"):
        fake.start()
    with Client(fake.target) as client:
        assert client.predict(42).probability == 0.5
    fake.stop()
    fake.stop()
    fake.start()


def test_a_server_that_was_not_started_has_no_target():
    with pytest.raises(RuntimeError, match="before it is started"):
        FakeServer().target  # noqa: B018


def test_two_servers_do_not_meet():
    with FakeServer() as one, FakeServer() as other, Client(one.target) as client:
        one.usual_score = 0.1
        assert client.predict(1).probability == 0.1
        assert (len(one.calls), len(other.calls)) == (1, 0)


async def test_packed_features_have_the_usual_score_and_must_be_of_the_fakes_features(fake, client):
    fake.usual_score = 0.4
    schema = FeatureSchema.of(await client.call("get_model"))
    assert schema.names == tuple(fake.features) == ("age", "income")
    row = schema.pack({"age": 30, "income": None})
    made = await client.call("predict", features=row, include_features=True)
    assert (made.probability, made.features, made.as_of) == (0.4, {"age": 30.0, "income": None}, None)
    assert (await client.call("explain", features=row)).prediction.probability == 0.4
    scores = await client.rows(schema.pack_rows([[1, 2], [3, 4]], customers=["x", "y"]))
    assert [(one.customer, one.probability) for one in scores] == [("x", 0.4), ("y", 0.4)]
    assert scores[0].as_of is None
    fake.features = ["tenure", "income"]
    for asked in (client.call("predict", features=row), client.rows(schema.pack_rows([[1, 2]]))):
        with pytest.raises(InvalidRequest) as caught:
            await asked
        assert caught.value.reason == "FEATURES_MISMATCH"
        assert caught.value.details.metadata["field"] == "packed_features.features_digest"
    other = FeatureSchema(("tenure", "income"))
    assert (await client.call("predict", features=other.pack([1, 2]))).probability == 0.4
