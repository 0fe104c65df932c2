"""Between plain Python values and the contract's messages, both ways."""

import uuid
from datetime import UTC, datetime
from enum import IntEnum

import pytest

import staunch
from staunch import RiskBand, ServerFault, _wire
from staunch.v1 import feature_pb2 as feature_pb
from staunch.v1 import model_service_pb2 as models_pb
from staunch.v1 import prediction_service_pb2 as pb


class Numbered(IntEnum):
    SEVEN = 7


@pytest.mark.parametrize("customer", [-(2**63), 0, 2**63 - 1])
def test_every_id_of_64_bits_travels(customer):
    assert _wire.subject(customer, None) == {"customer_id": customer}
    assert _wire.wire_id(customer) == customer


@pytest.mark.parametrize("customer", [-(2**63) - 1, 2**63])
def test_a_longer_id_is_refused_alone_and_travels_as_0_in_a_chunk(customer):
    with pytest.raises(ValueError, match="at most 64 bits"):
        _wire.subject(customer, None)
    assert _wire.wire_id(customer) == 0


@pytest.mark.parametrize(
    ("key", "travels"), [("k" * 64, True), ("k" * 65, False), ("é" * 32, True), ("é" * 33, False)]
)
def test_a_key_of_at_most_64_bytes_travels_in_a_chunk(key, travels):
    assert _wire.wire_key(key) == (key if travels else "")


def test_ids_become_plain():
    assert _wire.plain_id(uuid.UUID(int=7)) == str(uuid.UUID(int=7))
    assert (_wire.plain_id(Numbered.SEVEN), _wire.plain_id("7")) == (7, "7")
    for wrong in (True, 1.0, None, b"7"):
        with pytest.raises(TypeError, match="expected a customer as int, str or uuid"):
            _wire.plain_id(wrong)


def test_a_moment_keeps_its_microseconds_both_ways():
    moment = datetime(2026, 3, 1, 7, 0, 0, 123_457, tzinfo=UTC)
    message = pb.PredictRequest(as_of_time=_wire.timestamp(moment))
    assert _wire.moment(message, "as_of_time") == moment
    assert _wire.moment(pb.PredictRequest(), "as_of_time") is None
    assert _wire.timestamp(None) is None


@pytest.mark.parametrize(
    ("wrapper", "kind", "prefix"),
    [
        ("RiskBand", "RiskBand", "RISK_BAND_"),
        ("OutputSpace", "OutputSpace", "OUTPUT_SPACE_"),
        ("ExplanationMethod", "ExplanationMethod", "EXPLANATION_METHOD_"),
        ("ModelState", "ModelState", "MODEL_STATE_"),
        ("IdType", "IdType", "ID_TYPE_"),
        ("FeatureType", "FeatureType", "FEATURE_TYPE_"),
        ("FeatureWarningKind", "FeatureWarningKind", "FEATURE_WARNING_KIND_"),
    ],
)
def test_every_value_of_every_enum_of_the_contract_has_its_twin(wrapper, kind, prefix):
    module = next(each for each in (pb, models_pb, feature_pb) if hasattr(each, wrapper))
    names = {name.removeprefix(prefix).lower() for name in getattr(module, wrapper).keys()}  # noqa: SIM118
    assert names == {member.value for member in getattr(staunch, kind)}


def test_a_value_that_this_client_does_not_know_yet_is_unspecified():
    assert _wire.risk_band(99) is RiskBand.UNSPECIFIED
    assert _wire.model(models_pb.Model(state=99)).state is staunch.ModelState.UNSPECIFIED


def test_a_version_whose_manifest_is_not_readable_was_published_nobody_knows_when():
    unreadable = models_pb.Model(name="churn", version=7, state_message="churn@7: expected ...")
    assert _wire.model(unreadable).create_time is None
    assert _wire.model(unreadable).state_message == "churn@7: expected ..."


def test_a_probability_of_0_is_an_answer_and_none_at_all_is_not():
    assert _wire.prediction(pb.PredictResponse(probability=0.0)).probability == 0.0
    with pytest.raises(ServerFault, match="expected a probability"):
        _wire.prediction(pb.PredictResponse())
