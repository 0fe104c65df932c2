"""Predict over a real server: live rows, given features, overrides, moments, and every refusal."""

import asyncio
import json
import math
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from google.protobuf import json_format
from google.protobuf.struct_pb2 import NULL_VALUE, Value
from google.protobuf.timestamp_pb2 import Timestamp
from grpc import aio
from tests.server.harness.errors import failure, read_rich_error
from tests.server.harness.running import Publish, Running, Serve
from tests.server.services.test_features import learned_features
from tests.server.small_models import (
    EPOCH,
    PEOPLE_COLUMNS,
    TWICE,
    expected_margin,
    hours_known,
    person,
    sigmoid,
    stamp,
    view_text,
)

from staunch.v1 import model_service_pb2 as mpb
from staunch.v1 import prediction_service_pb2 as pb
from staunch_features.views.signature import features_digest
from staunch_model_store.manifest import Thresholds

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
DIGEST = features_digest(PEOPLE_COLUMNS)


def packed(*values: float, digest: str = DIGEST) -> pb.PackedFeatures:
    return pb.PackedFeatures(values=values, features_digest=digest)


def given(**values: float | None) -> pb.FeatureValues:
    return pb.FeatureValues(values={name: value_of(value) for name, value in values.items()})


def value_of(value: float | None) -> Value:
    return Value(null_value=NULL_VALUE) if value is None else Value(number_value=value)


def plain(values: Any) -> dict[str, float | None]:
    numbers = {name: value.number_value for name, value in values.items() if value.HasField("number_value")}
    return {name: numbers.get(name) for name in values}


async def test_a_live_customer_is_scored_from_the_row_as_it_stands(
    publish: Publish, serve: Serve, transport_name: str
) -> None:
    stored = publish()
    live = await serve(transport=transport_name)
    before = datetime.now(UTC)
    answer = await live.prediction.Predict(pb.PredictRequest(customer_id=8, include_features=True))
    as_of = answer.as_of_time.ToDatetime(UTC)
    assert before - timedelta(milliseconds=1) <= as_of <= datetime.now(UTC)
    values = person(8, hours_known(8, as_of))
    assert plain(answer.features) == {
        "a": values[0],
        "b": values[1],
        "hours": pytest.approx(values[2], abs=1e-6),
    }
    assert answer.probability == pytest.approx(sigmoid(expected_margin(values)), abs=1e-15)
    assert (answer.model.name, answer.model.version, answer.model.digest) == ("churn", 1, stored.digest)
    # A probability means nothing without its horizon; and one of 0 is there all the same.
    assert answer.model.horizon_days == stored.manifest.horizon_days > 0
    assert answer.HasField("probability")
    assert pb.PredictResponse.DESCRIPTOR.fields_by_name["probability"].has_presence
    assert [one.name for one in pb.PredictResponse.DESCRIPTOR.oneofs] == ["_probability"]


async def test_a_past_moment_gives_the_row_as_it_was_and_is_echoed_to_the_microsecond(
    publish: Publish, serve: Serve
) -> None:
    publish()
    live = await serve()
    when = NOON.replace(microsecond=123457)
    asked = stamp(when)
    asked.nanos += 999
    answer = await live.prediction.Predict(
        pb.PredictRequest(customer_id=9, as_of_time=asked, include_features=True)
    )
    assert answer.as_of_time == stamp(when)
    assert answer.features["hours"].number_value == pytest.approx(hours_known(9, when), abs=1e-9)


async def test_features_are_answered_only_when_asked_for(publish: Publish, serve: Serve) -> None:
    publish()
    live = await serve()
    assert not (await live.prediction.Predict(pb.PredictRequest(customer_id=8))).features


async def test_a_null_comes_back_as_null(publish: Publish, serve: Serve) -> None:
    publish()
    live = await serve()
    answer = await live.prediction.Predict(pb.PredictRequest(customer_id=7, include_features=True))
    assert plain(answer.features)["b"] is None
    assert answer.features["b"].WhichOneof("kind") == "null_value"


async def test_json_has_plain_numbers_and_nulls_both_ways(publish: Publish, serve: Serve) -> None:
    publish()
    live = await serve()
    text = '{"customerId": "8", "overrides": {"a": 5, "b": null}, "includeFeatures": true}'
    answer = await live.prediction.Predict(json_format.Parse(text, pb.PredictRequest()))
    features = json.loads(json_format.MessageToJson(answer))["features"]
    assert (features["a"], features["b"]) == (5, None)
    # What came back can be given.
    text = json.dumps({"features": {"values": features}})
    again = await live.prediction.Predict(json_format.Parse(text, pb.PredictRequest()))
    assert again.probability == pytest.approx(answer.probability, abs=1e-15)


async def test_given_features_are_scored_without_the_database(publish: Publish, serve: Serve) -> None:
    publish()
    live = await serve(database_reader_url="postgresql://nobody@127.0.0.1:1/none")
    answer = await live.prediction.Predict(
        pb.PredictRequest(features=given(a=6, b=None, hours=10), include_features=True)
    )
    assert answer.probability == pytest.approx(sigmoid(1 - 0.5), abs=1e-15)
    assert not answer.HasField("as_of_time")
    assert plain(answer.features) == {"a": 6, "b": None, "hours": 10}


async def test_packed_features_are_scored_as_the_same_ones_by_name(
    publish: Publish, serve: Serve, transport_name: str
) -> None:
    """In everything: bits, band, warnings, and that no database is asked."""
    publish(features=learned_features())
    live = await serve(transport=transport_name, database_reader_url="postgresql://nobody@127.0.0.1:1/none")
    rows = [(6.0, math.nan, 10.0), (2.0, 1.0, 150.0), (99.0, 7.0, -3.0)]
    for row in rows:
        named = given(**dict(zip(("a", "b", "hours"), [None if v != v else v for v in row], strict=True)))
        by_name = await live.prediction.Predict(pb.PredictRequest(features=named, include_features=True))
        request = pb.PredictRequest(packed_features=packed(*row), include_features=True)
        assert await live.prediction.Predict(request) == by_name
        assert by_name.probability == pytest.approx(sigmoid(expected_margin(row)), abs=1e-15)
    assert [warning.feature for warning in by_name.warnings] == ["a", "b", "hours"]


async def test_many_packed_calls_at_once_get_their_own_rows(
    publish: Publish, serve: Serve, transport_name: str
) -> None:
    """And those among them that are refused take nobody with them."""
    publish()
    live = await serve(transport=transport_name)
    rows = [(i % 10, math.inf if i % 7 == 3 else i % 3 / 2, float(i)) for i in range(200)]
    asked = [
        live.prediction.Predict(pb.PredictRequest(packed_features=packed(*row), include_features=True))
        for row in rows
    ]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    for row, answer in zip(rows, answers, strict=True):
        if math.isinf(row[1]):
            assert isinstance(answer, aio.AioRpcError)
            assert read_rich_error(answer).reason == "FEATURE_NOT_FINITE"
        else:
            assert isinstance(answer, pb.PredictResponse)
            assert plain(answer.features) == dict(zip(("a", "b", "hours"), row, strict=True))
            assert answer.probability == pytest.approx(sigmoid(expected_margin(row)), abs=1e-15)


async def test_overrides_replace_single_features_of_the_live_row(publish: Publish, serve: Serve) -> None:
    publish()
    live = await serve()
    request = pb.PredictRequest(
        customer_id=8, overrides={"a": value_of(3), "b": value_of(None)}, include_features=True
    )
    answer = await live.prediction.Predict(request)
    assert plain(answer.features)["a"] == 3
    assert plain(answer.features)["b"] is None
    assert answer.probability == pytest.approx(sigmoid(-1 + 0.25), abs=1e-15)
    untouched = await live.prediction.Predict(pb.PredictRequest(customer_id=8, include_features=True))
    assert plain(untouched.features)["a"] == 8


@pytest.mark.parametrize(
    ("base", "band"),
    [(-5, pb.RISK_BAND_LOW), (-1.5, pb.RISK_BAND_MEDIUM), (5, pb.RISK_BAND_HIGH)],
)
async def test_the_band_follows_the_thresholds_of_the_version(
    publish: Publish, serve: Serve, base: float, band: int
) -> None:
    publish(base=base)
    live = await serve()
    answer = await live.prediction.Predict(pb.PredictRequest(features=given(a=6, b=None, hours=200)))
    assert answer.risk_band == band


async def test_a_probability_exactly_at_a_threshold_is_in_the_higher_band(
    publish: Publish, serve: Serve
) -> None:
    publish()
    live = await serve()
    features = given(a=6, b=None, hours=200)
    answered = (await live.prediction.Predict(pb.PredictRequest(features=features))).probability
    above = math.nextafter(answered, 1)
    bands = {}
    for medium, high in ((answered, above), (0.0, answered), (above, above)):
        publish(thresholds=Thresholds(medium=medium, high=high, costs={}))
        await live.models.ReloadModels(mpb.ReloadModelsRequest())
        answer = await live.prediction.Predict(pb.PredictRequest(features=features))
        assert answer.probability == answered
        bands[medium, high] = answer.risk_band
    assert list(bands.values()) == [pb.RISK_BAND_MEDIUM, pb.RISK_BAND_HIGH, pb.RISK_BAND_LOW]


async def test_without_thresholds_there_is_no_band(publish: Publish, serve: Serve) -> None:
    publish(thresholds=None)
    live = await serve()
    answer = await live.prediction.Predict(pb.PredictRequest(features=given(a=6, b=None, hours=200)))
    assert answer.risk_band == pb.RISK_BAND_UNSPECIFIED


@pytest.mark.parametrize("model", ["", "churn", "churn@champion", "churn@1"])
async def test_a_version_is_found_by_each_of_its_names(publish: Publish, serve: Serve, model: str) -> None:
    publish()
    live = await serve()
    answer = await live.prediction.Predict(pb.PredictRequest(model=model, customer_id=8))
    assert answer.model.version == 1


async def test_a_moment_a_little_ahead_of_our_clock_is_now(publish: Publish, serve: Serve) -> None:
    publish()
    live = await serve()
    ahead = stamp(datetime.now(UTC) + timedelta(seconds=3))
    answer = await live.prediction.Predict(pb.PredictRequest(customer_id=8, as_of_time=ahead))
    assert answer.as_of_time.ToDatetime(UTC) <= datetime.now(UTC)


@pytest.mark.parametrize(
    ("id_type", "key"), [("text", "key-8"), ("uuid", "00000000-0000-4000-8000-000000000008")]
)
async def test_keys_name_a_customer_where_the_view_wants_them(
    publish: Publish, serve: Serve, id_type: str, key: str
) -> None:
    publish(id_type=id_type)
    live = await serve()
    asked = [pb.PredictRequest(customer_key=text, include_features=True) for text in (key, key)]
    if id_type == "uuid":
        asked[1].customer_key = key.upper()
    answers = await asyncio.gather(*(live.prediction.Predict(one) for one in asked))
    assert [plain(answer.features)["a"] for answer in answers] == [8, 8]


async def test_a_view_without_time_needs_none(publish: Publish, serve: Serve) -> None:
    publish(uses_as_of=False)
    live = await serve()
    answer = await live.prediction.Predict(pb.PredictRequest(customer_id=8, include_features=True))
    assert answer.features["hours"].number_value == 1
    assert not answer.HasField("as_of_time")


async def test_each_refusal_names_the_fields_at_fault(publish: Publish, serve: Serve) -> None:
    publish()
    live = await serve()
    for name, fields in FIELDS.items():
        error = await failure(live.prediction.Predict(REFUSED[name][0]))
        assert [field for field, _ in error.violations] == fields, name


async def test_of_many_wrong_features_the_message_names_five_and_the_details_all(
    publish: Publish, serve: Serve
) -> None:
    publish()
    live = await serve()
    for count, named in ((5, "z0, z1, z2, z3, z4;"), (7, "z0, z1, z2, z3, z4 and 2 more;")):
        wrong = {f"z{i}": value_of(1) for i in range(count)}
        error = await failure(live.prediction.Predict(pb.PredictRequest(customer_id=8, overrides=wrong)))
        assert named in error.message
        assert [field for field, _ in error.violations] == [f'overrides["{name}"]' for name in wrong]


async def test_a_moment_further_ahead_than_clocks_may_differ_is_refused(
    publish: Publish, serve: Serve
) -> None:
    publish()
    live = await serve()
    ahead = stamp(datetime.now(UTC) + timedelta(seconds=9.5))  # 5 s are allowed; a slow machine has the rest
    error = await failure(live.prediction.Predict(pb.PredictRequest(customer_id=8, as_of_time=ahead)))
    assert error.reason == "AS_OF_IN_FUTURE"


@pytest.mark.parametrize("dated", [True, False])
async def test_a_customer_without_a_score_is_named_with_the_moment_if_the_view_knows_time(
    publish: Publish, serve: Serve, dated: bool
) -> None:
    publish(uses_as_of=dated)
    live = await serve()
    when = r"at 20\d\d-[^ ]+\+00:00" if dated else "now"
    absent = await failure(live.prediction.Predict(pb.PredictRequest(customer_id=999_999)))
    assert (absent.reason, absent.resource) == ("CUSTOMER_NOT_FOUND", ("customer", "999999"))
    assert re.search(rf"knows {when}, got 999999", absent.message)
    left = await failure(live.prediction.Predict(pb.PredictRequest(customer_id=11)))
    assert (left.reason, left.resource) == ("CUSTOMER_NOT_ELIGIBLE", ("customer", "11"))
    assert re.search(rf"eligible {when}, got 11", left.message)
    assert ("as_of_time" in left.message) == dated


async def test_many_calls_at_once_get_their_own_rows(
    publish: Publish, serve: Serve, transport_name: str
) -> None:
    publish()
    live = await serve(transport=transport_name, max_batch_rows=8)
    ids = [i for i in range(1, 121) if i % 11]
    requests = [pb.PredictRequest(customer_id=i, include_features=True) for i in ids]
    answers = await asyncio.gather(*(live.prediction.Predict(one) for one in requests))
    assert [answer.features["a"].number_value for answer in answers] == [i % 10 for i in ids]
    assert len({answer.as_of_time.SerializeToString() for answer in answers}) < len(ids)


LATER = stamp(datetime.now(UTC) + timedelta(hours=1))
REFUSED = {
    "nobody named": (pb.PredictRequest(), "SUBJECT_MISSING"),
    "an id of 0": (pb.PredictRequest(customer_id=0), "CUSTOMER_ID_INVALID"),
    "an id below 0": (pb.PredictRequest(customer_id=-7), "CUSTOMER_ID_INVALID"),
    "a key for an id": (pb.PredictRequest(customer_key="key-8"), "ID_TYPE_MISMATCH"),
    "an unknown id": (pb.PredictRequest(customer_id=999_999), "CUSTOMER_NOT_FOUND"),
    "one not yet known then": (
        pb.PredictRequest(customer_id=8, as_of_time=stamp(EPOCH)),
        "CUSTOMER_NOT_FOUND",
    ),
    "one no longer there": (pb.PredictRequest(customer_id=11), "CUSTOMER_NOT_ELIGIBLE"),
    "an unknown model": (pb.PredictRequest(model="other", customer_id=8), "MODEL_NOT_FOUND"),
    "an unknown version": (pb.PredictRequest(model="churn@9", customer_id=8), "MODEL_NOT_FOUND"),
    "an unknown alias": (pb.PredictRequest(model="churn@next", customer_id=8), "MODEL_NOT_FOUND"),
    "no model's name": (pb.PredictRequest(model="../etc@1", customer_id=8), "FIELD_INVALID"),
    "a name in capitals": (pb.PredictRequest(model="Not A Name!", customer_id=8), "FIELD_INVALID"),
    "nothing after the @": (pb.PredictRequest(model="churn@", customer_id=8), "FIELD_INVALID"),
    "two @": (pb.PredictRequest(model="churn@x@y", customer_id=8), "FIELD_INVALID"),
    "a version below 1": (pb.PredictRequest(model="churn@-1", customer_id=8), "FIELD_INVALID"),
    "an unknown feature": (pb.PredictRequest(features=given(a=1, b=1, hours=1, c=1)), "FEATURE_UNKNOWN"),
    "a missing feature": (pb.PredictRequest(features=given(a=1)), "FEATURE_MISSING"),
    "a null that is never null": (
        pb.PredictRequest(features=given(a=None, b=1, hours=1)),
        "FEATURE_MISSING",
    ),
    "a NaN": (pb.PredictRequest(features=given(a=math.nan, b=1, hours=1)), "FEATURE_MISSING"),
    "a number too large": (pb.PredictRequest(features=given(a=1, b=1e39, hours=1)), "FEATURE_NOT_FINITE"),
    "an infinity": (pb.PredictRequest(features=given(a=1, b=-math.inf, hours=1)), "FEATURE_NOT_FINITE"),
    "an override of nothing": (
        pb.PredictRequest(customer_id=8, overrides={"z": value_of(1)}),
        "FEATURE_UNKNOWN",
    ),
    "an infinite override": (
        pb.PredictRequest(customer_id=8, overrides={"a": value_of(math.inf)}),
        "FEATURE_NOT_FINITE",
    ),
    "an override beside features": (
        pb.PredictRequest(features=given(a=1, b=1, hours=1), overrides={"a": value_of(1)}),
        "OVERRIDE_NOT_ALLOWED",
    ),
    "a moment beside features": (
        pb.PredictRequest(features=given(a=1, b=1, hours=1), as_of_time=stamp(NOON)),
        "AS_OF_NOT_ALLOWED",
    ),
    "no digest": (pb.PredictRequest(packed_features=packed(1, 1, 1, digest="")), "FEATURES_MISMATCH"),
    "the digest of others": (
        pb.PredictRequest(packed_features=packed(1, 1, 1, digest="sha256:" + "0" * 64)),
        "FEATURES_MISMATCH",
    ),
    "too few values": (pb.PredictRequest(packed_features=packed(1, 1)), "FEATURES_MISMATCH"),
    "two rows": (pb.PredictRequest(packed_features=packed(1, 1, 1, 2, 2, 2)), "FEATURES_MISMATCH"),
    "no values": (pb.PredictRequest(packed_features=packed()), "FEATURES_MISMATCH"),
    "a packed null that is never null": (
        pb.PredictRequest(packed_features=packed(1, 1, math.nan)),
        "FEATURE_MISSING",
    ),
    "a packed infinity": (
        pb.PredictRequest(packed_features=packed(-math.inf, 1, math.nan)),
        "FEATURE_NOT_FINITE",
    ),
    "a packed number too large": (
        pb.PredictRequest(packed_features=packed(1, 1e39, 1)),
        "FEATURE_NOT_FINITE",
    ),
    "an override beside packed features": (
        pb.PredictRequest(packed_features=packed(1, 1, 1), overrides={"a": value_of(1)}),
        "OVERRIDE_NOT_ALLOWED",
    ),
    "a moment beside packed features": (
        pb.PredictRequest(packed_features=packed(1, 1, 1), as_of_time=stamp(NOON)),
        "AS_OF_NOT_ALLOWED",
    ),
    "a moment in the future": (pb.PredictRequest(customer_id=8, as_of_time=LATER), "AS_OF_IN_FUTURE"),
    "no time at all": (
        pb.PredictRequest(customer_id=8, as_of_time=Timestamp(seconds=1, nanos=2_000_000_000)),
        "FIELD_INVALID",
    ),
}
FIELDS = {
    "nobody named": ["customer_id", "customer_key", "features", "packed_features"],
    "an id of 0": ["customer_id"],
    "a key for an id": ["customer_key"],
    "a name in capitals": ["model"],
    "no digest": ["packed_features.features_digest"],
    "two rows": ["packed_features.values"],
    "a packed null that is never null": ["packed_features.values[2]"],
    "a packed infinity": ["packed_features.values[0]"],
    "an unknown feature": ['features.values["c"]'],
    "a missing feature": ['features.values["b"]', 'features.values["hours"]'],
    "a null that is never null": ['features.values["a"]'],
    "a NaN": ['features.values["a"]'],
    "a number too large": ['features.values["b"]'],
    "an override of nothing": ['overrides["z"]'],
    "an infinite override": ['overrides["a"]'],
    "an override beside features": ["overrides"],
    "a moment beside features": ["as_of_time"],
    "a moment in the future": ["as_of_time"],
    "no time at all": ["as_of_time"],
}
CODES = {"MODEL_NOT_FOUND": "NOT_FOUND", "CUSTOMER_NOT_FOUND": "NOT_FOUND"} | {
    "CUSTOMER_NOT_ELIGIBLE": "FAILED_PRECONDITION"
}


async def test_each_wrong_request_gets_its_code_reason_and_a_message_that_says_what_to_do(
    publish: Publish, serve: Serve, transport_name: str
) -> None:
    publish()
    live = await serve(transport=transport_name)
    for case, (request, reason) in REFUSED.items():
        error = await failure(live.prediction.Predict(request))
        assert (case, error.reason) == (case, reason)
        assert error.code.name == CODES.get(reason, "INVALID_ARGUMENT")
        assert error.message
        found = error.code in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.FAILED_PRECONDITION)
        assert (error.resource is not None) == found
        assert bool(error.violations) == (error.code == grpc.StatusCode.INVALID_ARGUMENT)


async def test_messages_on_features_name_them(publish: Publish, serve: Serve) -> None:
    publish()
    live = await serve()
    told = {
        "features.values: no feature of the model: c, d; ": given(a=1, b=1, hours=1, c=1, d=1),
        "features.values: missing: b, hours; ": given(a=1),
        "features.values: infinite, or beyond 3.4e+38 either way: a; ": given(a=math.inf, b=1, hours=1),
        "features.values: never null in this view: a, hours; ": given(a=None, b=1, hours=math.nan),
    }
    for message, features in told.items():
        error = await failure(live.prediction.Predict(pb.PredictRequest(features=features)))
        assert error.message.startswith(message)


async def test_a_nan_is_missing_as_null_is_in_features_and_in_overrides(
    publish: Publish, serve: Serve
) -> None:
    publish()
    live = await serve()
    for null, nan in (
        ({"features": given(a=1, b=None, hours=1)}, {"features": given(a=1, b=math.nan, hours=1)}),
        ({"overrides": {"b": value_of(None)}}, {"overrides": {"b": value_of(math.nan)}}),
    ):
        whom = {} if "features" in null else {"customer_id": 8}
        of_null, of_nan = [
            await live.prediction.Predict(pb.PredictRequest(include_features=True, **whom, **fields))
            for fields in (null, nan)
        ]
        assert of_nan.probability == of_null.probability
        assert plain(of_nan.features)["b"] is plain(of_null.features)["b"] is None


@pytest.mark.parametrize("uses_as_of", [True, False])
async def test_who_is_not_eligible_is_told_by_which_view_and_what_to_do(
    publish: Publish, serve: Serve, uses_as_of: bool
) -> None:
    publish("gym", uses_as_of=uses_as_of)
    live = await serve()
    call = live.prediction.Predict(pb.PredictRequest(model="gym", customer_id=11))
    message = (await failure(call)).message
    assert "got 11, for whom _eligible of the view " in message
    assert message.endswith("; ask for an as_of_time at which it is, or leave them out.") == uses_as_of
    assert message.endswith(" is not true; leave them out.") != uses_as_of


@pytest.mark.parametrize(
    ("id_type", "key"),
    [
        ("text", ""),
        ("text", "x" * 65),
        ("text", "é" * 33),
        ("text", "a\0b"),
        ("uuid", "not-a-uuid"),
        ("uuid", ""),
    ],
)
async def test_a_key_that_is_none_is_refused(publish: Publish, serve: Serve, id_type: str, key: str) -> None:
    publish(id_type=id_type)
    live = await serve()
    error = await failure(live.prediction.Predict(pb.PredictRequest(customer_key=key)))
    assert (error.reason, error.violations[0][0]) == ("CUSTOMER_ID_INVALID", "customer_key")


async def test_an_id_for_a_view_keyed_by_text_is_refused(publish: Publish, serve: Serve) -> None:
    publish(id_type="text")
    live = await serve()
    error = await failure(live.prediction.Predict(pb.PredictRequest(customer_id=8)))
    assert error.reason == "ID_TYPE_MISMATCH"


async def test_a_moment_for_a_view_without_time_is_refused(publish: Publish, serve: Serve) -> None:
    publish(uses_as_of=False)
    live = await serve()
    request = pb.PredictRequest(customer_id=8, as_of_time=stamp(NOON))
    error = await failure(live.prediction.Predict(request))
    assert error.reason == "AS_OF_NOT_ALLOWED"


async def test_a_longest_key_is_taken(publish: Publish, serve: Serve) -> None:
    publish(id_type="text")
    live = await serve()
    error = await failure(live.prediction.Predict(pb.PredictRequest(customer_key="é" * 32)))
    assert error.reason == "CUSTOMER_NOT_FOUND"


async def test_a_row_that_the_view_says_it_never_gives_is_not_scored(publish: Publish, serve: Serve) -> None:
    publish(text=view_text().replace("people.a, people.b", "nullif(people.a, 8) AS a, people.b"))
    live = await serve()
    asked = [live.prediction.Predict(pb.PredictRequest(customer_id=i)) for i in (8, 9)]
    error = await failure(asked[0])
    assert error.reason == "MODEL_REFUSED"
    assert "feature a is null" in error.message
    assert (await asked[1]).probability > 0


async def failure_of_8_alone(live: Running) -> Any:
    """Asks for ten customers at once and sees that the eighth alone fails; its failure."""
    ids = list(range(1, 11))
    asked = [live.prediction.Predict(pb.PredictRequest(customer_id=i)) for i in ids]
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    failed = [i for i, outcome in zip(ids, outcomes, strict=True) if isinstance(outcome, aio.AioRpcError)]
    assert failed == [8]
    return outcomes[7]


async def test_a_row_whose_data_the_sql_fails_on_fails_alone(publish: Publish, serve: Serve) -> None:
    publish(text=view_text().replace("people.a, people.b", "1 / (people.a - 8) AS a, people.b"))
    error = read_rich_error(await failure_of_8_alone(await serve()))
    assert error.reason == "MODEL_REFUSED"
    assert "division by zero" in error.message
    # What the message tells of this row alone stands in the metadata, as in other refusals of a customer.
    (info,) = error.infos
    assert info.metadata.keys() == {"model", "problem", "customer", "as_of_time"}
    assert info.metadata["customer"] == "8"
    assert f"for 8 at {info.metadata['as_of_time']}, " in error.message


async def test_an_id_with_two_rows_fails_alone_and_no_other_caller_hears_of_it(
    publish: Publish, serve: Serve
) -> None:
    publish(text=view_text() + TWICE.format(id=8))
    error = read_rich_error(await failure_of_8_alone(await serve()))
    assert error.reason == "MODEL_REFUSED"
    assert "churn@1/features.sql: for 8 " in error.message
    assert "more than one" in error.message


async def test_one_bad_id_fails_only_itself(publish: Publish, serve: Serve) -> None:
    publish()
    live = await serve()
    ids = [8, 999_999, 11, 0, 9]
    outcomes = await asyncio.gather(
        *(live.prediction.Predict(pb.PredictRequest(customer_id=i)) for i in ids), return_exceptions=True
    )
    assert [isinstance(outcome, pb.PredictResponse) for outcome in outcomes] == [
        True,
        False,
        False,
        False,
        True,
    ]
