"""What each call sends and gives, the same from both clients."""

import uuid
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from staunch import ModelState, OutputSpace, RetryPolicy, RiskBand
from staunch_server.errors import Reason, Refusal


async def test_a_prediction_names_the_version_and_the_moment_that_made_it(either, service):
    made = await either.call("predict", 42)
    assert (made.probability, made.risk_band) == (0.25, RiskBand.MEDIUM)
    assert str(made.model) == "churn@3"
    assert made.as_of == datetime(2023, 11, 14, 22, 13, 20, 123456, tzinfo=UTC)
    assert made.features is None
    assert service.seen[0].customer_id == 42


async def test_features_come_back_as_a_dict_with_none_for_missing(either):
    made = await either.call("predict", 42, include_features=True)
    assert made.features == {"age": 41.0, "income": None}


@pytest.mark.parametrize("key", ["7590-VHVEG", uuid.UUID(int=7)])
async def test_text_and_uuid_travel_as_keys(either, service, key):
    await either.call("predict", key)
    assert service.seen[0].customer_key == str(key)


async def test_given_features_travel_with_their_nulls(either, service):
    await either.call("predict", features={"age": 41, "income": None, "share": Decimal("0.5"), "old": True})
    sent = service.seen[0].features.values
    assert {name: sent[name].number_value for name in sent} == {
        "age": 41.0,
        "income": 0.0,
        "share": 0.5,
        "old": 1.0,
    }
    assert sent["income"].WhichOneof("kind") == "null_value"


async def test_no_features_at_all_still_travel_as_the_subject(either, service):
    await either.call("predict", features={})
    assert service.seen[0].WhichOneof("subject") == "features"


async def test_overrides_model_and_moment_travel(either, service):
    moment = datetime(2026, 3, 1, 7, tzinfo=timezone(-timedelta(hours=5)))
    await either.call("predict", 42, overrides={"age": 20}, model="churn@2", as_of=moment)
    sent = service.seen[0]
    assert sent.overrides["age"].number_value == 20.0
    assert sent.model == "churn@2"
    assert sent.as_of_time.ToDatetime(tzinfo=UTC) == moment


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"customer": 1, "features": {}}, TypeError, "got both"),
        ({"customer": 1.5}, TypeError, "int, str or uuid.UUID, got float"),
        ({"customer": True}, TypeError, "got bool"),
        ({"customer": 2**63}, ValueError, "at most 64 bits"),
        ({"features": {"city": "Laval"}}, TypeError, "'city', got str"),
        ({"customer": 1, "as_of": datetime(2026, 1, 1)}, ValueError, "with a zone"),
    ],
)
async def test_wrong_arguments_are_refused_before_anything_is_sent(either, service, arguments, error, says):
    with pytest.raises(error, match=says):
        await either.call("predict", **arguments)
    assert service.seen == []


async def test_an_explanation_keeps_order_values_and_what_was_overridden(either, service):
    made = await either.call("explain", 42, max_contributions=2, overrides={"income": None})
    assert made.output_space is OutputSpace.LOG_ODDS
    assert [(c.feature, c.value, c.overridden) for c in made.contributions] == [
        ("tickets_open", 3.0, False),
        ("income", None, True),
    ]
    total = made.base_value + sum(c.contribution for c in made.contributions) + made.remainder
    assert total == pytest.approx(made.output_value)
    assert (made.remainder_count, service.seen[0].max_contributions) == (7, 2)


async def test_listing_models_walks_every_page(either, service):
    found = await either.call("list_models", "churn")
    assert [str(model.reference) for model in found] == ["churn@3", "churn@2", "churn@1"]
    assert {request.name for request in service.seen} == {"churn"}


async def test_a_model_is_described_in_full(either):
    found = await either.call("get_model", "churn@champion")
    assert (found.state, found.aliases) == (ModelState.READY, ("champion",))
    assert (found.medium_threshold, found.high_threshold) == (0.1, None)
    assert found.features[0].unit == "years"
    assert [(m.name, m.lower) for m in found.metrics] == [("auc", 0.82), ("rows", None)]


async def test_moving_an_alias_tells_where_it_pointed_before(either, service):
    moved = await either.call("set_alias", "churn", "champion", 3, expected_version=0)
    assert (moved.model.reference.version, moved.previous_version) == (3, 2)
    assert service.seen[0].HasField("expected_version")


async def test_deleting_an_alias_tells_where_it_pointed(either, service):
    assert await either.call("delete_alias", "churn", "next", expected_version=2) == 2
    assert await either.call("delete_alias", "churn", "next") == 2
    assert [request.HasField("expected_version") for request in service.seen] == [True, False]
    with pytest.raises(ValueError, match="expected_version"):
        await either.call("delete_alias", "churn", "next", expected_version=0)


async def test_reloading_gives_what_changed(either):
    assert [str(model.reference) for model in await either.call("reload_models")] == ["churn@3"]


async def test_metadata_of_client_and_call_travel_and_the_call_wins(either_with, service):
    client = either_with(metadata={"authorization": "Bearer a", "x-request-id": "old"})
    await client.call("predict", 42, metadata={"x-request-id": "new"})
    assert service.metadata[0]["authorization"] == "Bearer a"
    assert service.metadata[0]["x-request-id"] == "new"
    assert service.metadata[0]["user-agent"].startswith("staunch-client/")


@pytest.mark.parametrize("method", ["predict", "explain"])
async def test_a_result_names_the_call_as_the_server_knows_it(either, method):
    given = await either.call(method, 42, metadata={"x-request-id": "mine-1"})
    made = await either.call(method, 42)
    assert given.request_id == "mine-1"
    assert made.request_id
    assert given == made


async def test_a_moved_alias_names_the_call_too(either):
    moved = await either.call("set_alias", "churn", "champion", 3, metadata={"x-request-id": "mine-2"})
    assert moved.request_id == "mine-2"


async def test_a_batch_has_one_request_id_on_all_its_streams(either_with, service):
    def end_once(stream, index, _request):
        if (stream, index) == (0, 1):
            raise Refusal(Reason.DRAINING, "as told")

    service.on_chunk = end_once
    client = either_with(retry=RetryPolicy(first_wait_s=0.01))
    rows = await client.rows(range(1, 31), chunk_size=10)
    assert len({row.request_id for row in rows}) == 1
    assert rows[0].request_id
    assert service.stream_ids == [rows[0].request_id] * 2
    rows = await client.rows([1, 7], metadata={"x-request-id": "mine-3"})
    assert [row.request_id for row in rows] == ["mine-3", "mine-3"]
