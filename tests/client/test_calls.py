"""What each call sends and gives, the same from both clients."""

import inspect
import uuid
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import grpc
import pytest
from tests.client.conftest import EitherClient

import staunch
from staunch import AsyncClient, Client, ModelState, OutputSpace, RiskBand, _wire
from staunch.v1 import model_service_pb2 as models_pb


async def test_a_prediction_names_the_version_and_the_moment_that_made_it(either, toy):
    made = await either.call("predict", 42)
    assert (made.probability, made.risk_band) == (0.25, RiskBand.MEDIUM)
    assert str(made.model) == "churn@3"
    assert made.as_of == datetime(2023, 11, 14, 22, 13, 20, 123456, tzinfo=UTC)
    assert made.features is None
    assert toy.seen[0].customer_id == 42


async def test_features_come_back_as_a_dict_with_none_for_missing(either):
    made = await either.call("predict", 42, include_features=True)
    assert made.features == {"age": 41.0, "income": None}


@pytest.mark.parametrize("key", ["7590-VHVEG", uuid.UUID(int=7)])
async def test_text_and_uuid_travel_as_keys(either, toy, key):
    await either.call("predict", key)
    assert toy.seen[0].customer_key == str(key)


async def test_given_features_travel_with_their_nulls(either, toy):
    await either.call("predict", features={"age": 41, "income": None, "share": Decimal("0.5"), "old": True})
    sent = toy.seen[0].features.values
    assert {name: sent[name].number for name in sent} == {
        "age": 41.0,
        "income": 0.0,
        "share": 0.5,
        "old": 1.0,
    }
    assert not sent["income"].HasField("kind")


async def test_no_features_at_all_still_travel_as_the_subject(either, toy):
    await either.call("predict", features={})
    assert toy.seen[0].WhichOneof("subject") == "features"


async def test_overrides_model_and_moment_travel(either, toy):
    moment = datetime(2026, 3, 1, 7, tzinfo=timezone(-timedelta(hours=5)))
    await either.call("predict", 42, overrides={"age": 20}, model="churn@2", as_of=moment)
    sent = toy.seen[0]
    assert sent.overrides["age"].number == 20.0
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
async def test_wrong_arguments_are_refused_before_anything_is_sent(either, toy, arguments, error, says):
    with pytest.raises(error, match=says):
        await either.call("predict", **arguments)
    assert toy.seen == []


async def test_an_explanation_keeps_order_values_and_what_was_overridden(either, toy):
    made = await either.call("explain", 42, max_contributions=2, overrides={"income": None})
    assert made.output_space is OutputSpace.LOG_ODDS
    assert [(c.feature, c.value, c.overridden) for c in made.contributions] == [
        ("tickets_open", 3.0, False),
        ("income", None, True),
    ]
    total = made.base_value + sum(c.contribution for c in made.contributions) + made.remainder
    assert total == pytest.approx(made.output_value)
    assert (made.remainder_count, toy.seen[0].max_contributions) == (7, 2)


async def test_listing_models_walks_every_page(either, toy):
    found = await either.call("list_models", "churn")
    assert [str(model.reference) for model in found] == ["churn@3", "churn@2", "churn@1"]
    assert {request.name for request in toy.seen} == {"churn"}


async def test_a_model_is_described_in_full(either):
    found = await either.call("get_model", "churn@champion")
    assert (found.state, found.aliases) == (ModelState.READY, ("champion",))
    assert (found.medium_threshold, found.high_threshold) == (0.1, None)
    assert found.features[0].unit == "years"
    assert [(m.name, m.lower) for m in found.metrics] == [("auc", 0.82), ("rows", None)]


async def test_moving_an_alias_tells_where_it_pointed_before(either, toy):
    moved = await either.call("set_alias", "churn", "champion", 3, expected_version=0)
    assert (moved.model.reference.version, moved.previous_version) == (3, 2)
    assert toy.seen[0].HasField("expected_version")


async def test_reloading_gives_what_changed(either):
    assert [str(model.reference) for model in await either.call("reload_models")] == ["churn@3"]


async def test_metadata_of_client_and_call_travel_and_the_call_wins(either_with, toy):
    client = either_with(metadata={"authorization": "Bearer a", "x-request-id": "old"})
    await client.call("predict", 42, metadata={"x-request-id": "new"})
    assert toy.metadata[0]["authorization"] == "Bearer a"
    assert toy.metadata[0]["x-request-id"] == "new"
    assert toy.metadata[0]["user-agent"].startswith("staunch-client/")


@pytest.mark.parametrize("kind", [Client, AsyncClient])
async def test_credentials_make_a_secure_channel(server, kind):
    local = grpc.local_channel_credentials(grpc.LocalConnectionType.LOCAL_TCP)
    client = EitherClient(kind(f"127.0.0.1:{server.secure_port}", credentials=local))
    assert (await client.call("predict", 42)).probability == 0.25
    await client.close()


async def test_closing_twice_or_unused_is_no_error(server):
    for client in (Client(server.target), AsyncClient(server.target)):
        either = EitherClient(client)
        await either.close()
        await either.close()


def test_both_clients_have_the_same_methods_with_the_same_parameters():
    def shape(client: type) -> dict[str, list[str]]:
        members = {name: getattr(client, name) for name in vars(client) if not name.startswith("_")}
        return {name: list(inspect.signature(member).parameters) for name, member in members.items()}

    assert shape(Client) == shape(AsyncClient)


def test_secrets_in_metadata_do_not_show():
    with Client("127.0.0.1:1", metadata={"authorization": "Bearer secret"}) as client:
        assert "secret" not in repr(vars(client))


@pytest.mark.parametrize(
    ("wrapper", "kind", "prefix"),
    [
        ("RiskBand", "RiskBand", "RISK_BAND_"),
        ("OutputSpace", "OutputSpace", "OUTPUT_SPACE_"),
        ("ExplanationMethod", "ExplanationMethod", "EXPLANATION_METHOD_"),
        ("ModelState", "ModelState", "MODEL_STATE_"),
        ("IdType", "IdType", "ID_TYPE_"),
        ("FeatureType", "FeatureType", "FEATURE_TYPE_"),
    ],
)
def test_every_value_of_every_enum_of_the_contract_has_its_twin(wrapper, kind, prefix):
    from staunch.v1 import model_service_pb2, prediction_service_pb2

    module = prediction_service_pb2 if hasattr(prediction_service_pb2, wrapper) else model_service_pb2
    names = {name.removeprefix(prefix).lower() for name in getattr(module, wrapper).keys()}  # noqa: SIM118
    assert names == {member.value for member in getattr(staunch, kind)}


def test_a_version_whose_manifest_is_not_readable_was_published_nobody_knows_when():
    unreadable = models_pb.Model(name="churn", version=7, state_message="churn@7: expected ...")
    assert _wire.model(unreadable).create_time is None
    assert _wire.model(unreadable).state_message == "churn@7: expected ..."
