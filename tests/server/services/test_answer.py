"""From a score to the messages that answer: times, bands, nulls and the version that computed it."""

import math
from datetime import UTC, datetime

import numpy as np
import pytest
from google.protobuf import json_format
from google.protobuf.struct_pb2 import Value
from hypothesis import given
from hypothesis import strategies as st
from tests.server.harness.served import MakeServed

from staunch.v1 import prediction_service_pb2 as pb
from staunch_model_store.manifest import Thresholds
from staunch_server.models.served import Served
from staunch_server.services.answer import (
    Answer,
    Encoder,
    reference,
    respond,
    risk_band,
    set_value,
    timestamp,
)
from staunch_server.services.request import utc
from staunch_server.types import Flag, RiskBand

THRESHOLDS = Thresholds(medium=0.1, high=0.45, costs={})
MOMENT = datetime(2026, 6, 1, 12, 0, 0, 123_456, tzinfo=UTC)
VALUES = np.array([1.0, math.nan, 10.0])


@pytest.fixture
def served(make: MakeServed) -> Served:
    return make(thresholds=THRESHOLDS)


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_time_is_exact_to_the_microsecond_both_ways(when: datetime) -> None:
    made = timestamp(when)
    assert utc(made) == when
    assert made.ToDatetime(UTC) == when
    assert 0 <= made.nanos < 1_000_000_000


@pytest.mark.parametrize("band", RiskBand)
def test_a_band_has_the_contracts_number(band: RiskBand) -> None:
    assert pb.RiskBand.Name(int(band)) == f"RISK_BAND_{band.name}"


def test_the_contract_has_no_other_band() -> None:
    assert sorted(pb.RiskBand.values()) == sorted(map(int, RiskBand))


@pytest.mark.parametrize(
    ("probability", "band"),
    [
        (0.0999, pb.RISK_BAND_LOW),
        (0.1, pb.RISK_BAND_MEDIUM),
        (0.45, pb.RISK_BAND_HIGH),
        (math.nan, pb.RISK_BAND_UNSPECIFIED),
    ],
)
def test_a_probability_has_its_band(served: Served, probability: float, band: pb.RiskBand.ValueType) -> None:
    assert risk_band(served, probability) == band


@pytest.mark.parametrize("value", [0.0, -0.0, 1.5, -1e308, 5e-324, math.inf])
def test_a_value_is_set_bit_for_bit(value: float) -> None:
    message = Value()
    set_value(message, value)
    assert message.WhichOneof("kind") == "number_value"
    assert (message.number_value, math.copysign(1, message.number_value)) == (value, math.copysign(1, value))


def test_nan_is_null_outright_which_has_a_form_in_json() -> None:
    message = Value()
    set_value(message, math.nan)
    assert message.WhichOneof("kind") == "null_value"
    assert json_format.MessageToDict(message) is None


def test_an_answer_names_its_version_and_its_moment(served: Served) -> None:
    response = respond(served, Answer(VALUES, 0.25, MOMENT), include=False)
    assert (response.probability, response.risk_band) == (0.25, pb.RISK_BAND_MEDIUM)
    assert response.model == reference(served)
    assert (response.model.name, response.model.version) == ("churn", 1)
    assert response.model.digest == served.digest
    assert response.as_of_time.ToDatetime(UTC) == MOMENT
    assert not response.features


def test_an_answer_to_given_features_has_no_moment(served: Served) -> None:
    assert not respond(served, Answer(VALUES, 0.25, None), include=False).HasField("as_of_time")


@pytest.mark.parametrize("probability", [0.0, 5e-324, 0.0999, 0.1, 0.45, 1.0])
def test_an_encoded_answer_says_what_the_message_says(
    served: Served, make: MakeServed, probability: float
) -> None:
    encoder = Encoder()
    another = make(thresholds=THRESHOLDS, base=0.5)
    assert another.digest != served.digest
    # One encoder for all, as a server has: versions, moments and none take turns.
    for version in (served, another, served):
        for moment in (MOMENT, MOMENT, None, datetime(1, 1, 1, tzinfo=UTC)):
            for include, flags in ((False, ()), (True, ()), (False, (Flag(0, is_impossible=True),))):
                answer = Answer(VALUES, probability, moment, flags)
                read = pb.PredictResponse.FromString(encoder.encoded(version, answer, include=include))
                assert read == respond(version, answer, include=include)
                assert read.HasField("probability")
                assert bool(read.features) == include
                assert bool(read.warnings) == bool(flags)


def test_what_it_was_computed_from_is_included_if_asked_for_null_too(served: Served) -> None:
    response = respond(served, Answer(VALUES, 0.25, MOMENT), include=True)
    assert response.features.keys() == {"a", "b", "hours"}
    assert (response.features["a"].number_value, response.features["hours"].number_value) == (1.0, 10.0)
    assert response.features["b"].WhichOneof("kind") == "null_value"
