"""What a request asks, read without a database: whom, as of when, with which values; and what is refused."""

import json
import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from google.protobuf import json_format
from google.protobuf.struct_pb2 import NULL_VALUE, Struct, Value
from google.protobuf.timestamp_pb2 import Timestamp
from tests.server.harness.served import MakeServed
from tests.server.small_models import stamp

from staunch.v1.prediction_service_pb2 import FeatureValues, PredictRequest
from staunch_features.views.rules import LARGEST_VALUE
from staunch_server.errors import Reason, Refusal
from staunch_server.models.served import Served
from staunch_server.services import request as reading
from staunch_server.types import Id

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
WHOLE = {"a": 1.0, "b": 0.5, "hours": 10.0}


class Stopped(datetime):
    """A clock that stands."""

    @classmethod
    def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
        return NOW


@pytest.fixture
def served(make: MakeServed) -> Served:
    return make()


def feature_values(**values: float | None) -> dict[str, Value]:
    """Returns values as they travel; None is null."""
    null = Value(null_value=NULL_VALUE)
    return {name: null if v is None else Value(number_value=v) for name, v in values.items()}


def asking(**fields: object) -> PredictRequest:
    """Returns a request about customer 5."""
    return PredictRequest(**({"customer_id": 5} | fields))  # type: ignore[arg-type]


def giving(**values: float | None) -> PredictRequest:
    """Returns a request with given features."""
    request = PredictRequest()
    request.features.SetInParent()
    for name, value in feature_values(**values).items():
        request.features.values[name].CopyFrom(value)
    return request


# Whom -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("id_type", "raw", "read"),
    [
        ("int64", 1, 1),
        ("int64", 2**63 - 1, 2**63 - 1),
        ("text", "k" * 64, "k" * 64),
        ("text", "é" * 32, "é" * 32),
        ("text", " ", " "),
        ("uuid", "00000000-0000-4000-8000-00000000000A", "00000000-0000-4000-8000-00000000000a"),
        ("uuid", "{0000000000004000800000000000000a}", "00000000-0000-4000-8000-00000000000a"),
    ],
)
def test_an_id_is_read_in_the_form_that_the_database_gives_back(id_type: str, raw: Id, read: Id) -> None:
    assert reading.customer(id_type, raw, "customer_key") == read


@pytest.mark.parametrize(
    ("id_type", "raw", "problem"),
    [
        ("int64", 0, "from 1 to"),
        ("int64", -(2**63), "from 1 to"),
        ("text", "", "one or more characters"),
        ("text", "a\0b", "without NUL"),
        ("text", "k" * 65, "1 to 64 bytes, got 65"),
        ("text", "é" * 32 + "k", "1 to 64 bytes, got 65"),
        ("uuid", "5", "expected a uuid"),
        ("uuid", "0" * 65, "1 to 64 bytes, got 65"),
    ],
)
def test_an_id_that_none_can_have_is_refused_with_its_field(id_type: str, raw: Id, problem: str) -> None:
    with pytest.raises(Refusal, match=problem) as caught:
        reading.customer(id_type, raw, "customer_key")
    assert caught.value.reason is Reason.CUSTOMER_ID_INVALID
    assert [violation.field for violation in caught.value.violations] == ["customer_key"]


@pytest.mark.parametrize(
    ("id_type", "raw", "field", "wanted"),
    [
        ("int64", "5", "customer_key", "customer_id"),
        ("text", 5, "customer_id", "customer_key"),
        ("uuid", 5, "customer_id", "customer_key"),
        ("int64", "5", "customer_keys", "customer_ids"),
        ("text", 5, "customer_ids", "customer_keys"),
    ],
)
def test_an_id_of_the_other_type_names_the_field_to_use(
    id_type: str, raw: Id, field: str, wanted: str
) -> None:
    with pytest.raises(Refusal, match=f"use {wanted}\\.") as caught:
        reading.customer(id_type, raw, field)
    assert caught.value.reason is Reason.ID_TYPE_MISMATCH
    assert [(v.field, v.description) for v in caught.value.violations] == [
        (field, f"the view takes {wanted}")
    ]


def test_a_live_request_is_read_whole(served: Served) -> None:
    request = asking(as_of_time=stamp(NOW - timedelta(days=30)), overrides=feature_values(b=None, a=2.0))
    live = reading.live(served, request)
    assert (live.id, live.as_of) == (5, NOW - timedelta(days=30))
    (a, b) = sorted(live.overrides)
    assert a == (0, 2.0)
    assert (b[0], math.isnan(b[1])) == (1, True)


def test_a_request_without_time_and_overrides_is_about_now_as_it_is(served: Served) -> None:
    assert reading.live(served, asking()) == reading.Live(5, None, ())


def test_a_request_about_nobody_is_refused(served: Served) -> None:
    with pytest.raises(Refusal) as caught:
        reading.live(served, PredictRequest())
    assert caught.value.reason is Reason.SUBJECT_MISSING
    assert [violation.field for violation in caught.value.violations] == [
        "customer_id",
        "customer_key",
        "features",
        "packed_features",
    ]


# As of when -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ahead", "read"),
    [
        (timedelta(0), NOW),
        (timedelta(microseconds=-1), NOW - timedelta(microseconds=1)),
        (timedelta(microseconds=1), None),
        (timedelta(seconds=5), None),
    ],
)
def test_a_moment_within_the_skew_of_clocks_is_now(
    served: Served, monkeypatch: pytest.MonkeyPatch, ahead: timedelta, read: datetime | None
) -> None:
    monkeypatch.setattr(reading, "datetime", Stopped)
    assert reading.moment(served, stamp(NOW + ahead)) == read


def test_a_microsecond_more_is_the_future(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "datetime", Stopped)
    later = NOW + timedelta(seconds=5, microseconds=1)
    words = rf"got {re.escape(later.isoformat())}: 5\.0 s ahead of this server's clock, "
    with pytest.raises(Refusal, match=words) as caught:
        reading.moment(served, stamp(later))
    assert caught.value.reason is Reason.AS_OF_IN_FUTURE
    assert [violation.field for violation in caught.value.violations] == ["as_of_time"]


def test_a_view_without_time_takes_no_moment(make: MakeServed) -> None:
    with pytest.raises(Refusal) as caught:
        reading.live(make(uses_as_of=False), asking(as_of_time=stamp(NOW)))
    assert caught.value.reason is Reason.AS_OF_NOT_ALLOWED


@pytest.mark.parametrize(
    ("seconds", "nanos", "read"),
    [
        (-62_135_596_800, 0, datetime(1, 1, 1, tzinfo=UTC)),
        (253_402_300_799, 999_999_999, datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)),
        (0, 999, datetime(1970, 1, 1, tzinfo=UTC)),
        (0, 1000, datetime(1970, 1, 1, microsecond=1, tzinfo=UTC)),
        (-1, 999_999_999, datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)),
    ],
)
def test_a_timestamp_is_cut_to_microseconds(seconds: int, nanos: int, read: datetime) -> None:
    assert reading.utc(Timestamp(seconds=seconds, nanos=nanos)) == read


@pytest.mark.parametrize(
    ("seconds", "nanos"),
    [(-62_135_596_801, 0), (253_402_300_800, 0), (0, -1), (0, 1_000_000_000), (2**63 - 1, 0), (-(2**63), 0)],
)
def test_a_timestamp_that_is_none_is_refused(seconds: int, nanos: int) -> None:
    with pytest.raises(Refusal, match=f"got {seconds} s and {nanos} ns") as caught:
        reading.utc(Timestamp(seconds=seconds, nanos=nanos))
    assert caught.value.reason is Reason.FIELD_INVALID
    assert [violation.field for violation in caught.value.violations] == ["as_of_time"]


# With which values ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "row"),
    [
        (WHOLE, [1.0, 0.5, 10.0]),
        (dict(reversed(WHOLE.items())), [1.0, 0.5, 10.0]),
        (WHOLE | {"b": None}, [1.0, math.nan, 10.0]),
        (WHOLE | {"b": math.nan}, [1.0, math.nan, 10.0]),  # as null
        (WHOLE | {"a": -LARGEST_VALUE}, [-LARGEST_VALUE, 0.5, 10.0]),
    ],
)
def test_given_features_are_a_row_in_the_models_order(
    served: Served, values: dict[str, float | None], row: list[float]
) -> None:
    found = reading.given(served, giving(**values))
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, row)


READ: Mapping[str, Callable[[Served, Mapping[str, Value]], object]] = {
    "overrides": reading.overrides,
    "features.values": lambda served, values: reading.given(
        served, PredictRequest(features=FeatureValues(values=values))
    ),
}
"""By field of the request, what reads values from it."""


def refusal_of_values(served: Served, field: str, values: dict[str, float | None]) -> Refusal:
    """Returns the refusal of values as overrides or as given features."""
    with pytest.raises(Refusal) as caught:
        READ[field](served, feature_values(**values))
    return caught.value


@pytest.mark.parametrize("field", ["overrides", "features.values"])
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"x": 1.0, "c": 1.0}, Reason.FEATURE_UNKNOWN),
        ({"a": math.inf, "b": -math.inf, "hours": 3.5e38}, Reason.FEATURE_NOT_FINITE),
        ({"a": -1.7e308}, Reason.FEATURE_NOT_FINITE),
        ({"a": None, "hours": math.nan}, Reason.FEATURE_MISSING),  # never null in this view
    ],
)
def test_wrong_values_are_named_sorted(
    served: Served, field: str, change: dict[str, float | None], reason: Reason
) -> None:
    refusal = refusal_of_values(served, field, WHOLE | change)
    assert refusal.reason is reason
    fields = [violation.field for violation in refusal.violations]
    assert fields == [f'{field}["{name}"]' for name in sorted(change)]
    assert refusal.metadata["field"] == fields[0]
    assert refusal.metadata["count"] == str(len(fields))


@pytest.mark.parametrize("field", ["overrides", "features.values"])
def test_a_name_stays_one_whatever_it_holds(served: Served, field: str) -> None:
    odd = ['b; model "x', "a\nERROR forged", "\x1b[31m", "\u202egnp", "c, d"]
    refusal = refusal_of_values(served, field, WHOLE | dict.fromkeys(odd, 1.0))
    assert refusal.message.isprintable()
    for name in odd:
        assert json.dumps(name) in refusal.message
    assert all(violation.field.isprintable() for violation in refusal.violations)


NO_NUMBERS: Mapping[str, object] = {
    "a text": "5",
    "a boolean": True,
    "a list": [5.0],
    "an object": {"number_value": 5.0},
}
"""What JSON has beside numbers and null, by how it is called."""


@pytest.mark.parametrize("called", NO_NUMBERS)
@pytest.mark.parametrize("field", ["overrides", "features.values"])
def test_what_is_no_number_is_refused_by_its_kind(served: Served, field: str, called: str) -> None:
    given = json_format.ParseDict(WHOLE | {"b": NO_NUMBERS[called]}, Struct()).fields
    with pytest.raises(Refusal, match=f"{called}, where a number .* or null is expected: b;") as caught:
        READ[field](served, given)
    assert caught.value.reason is Reason.FEATURE_TYPE_MISMATCH
    assert [violation.field for violation in caught.value.violations] == [f'{field}["b"]']
    assert caught.value.metadata["got"] == called


@pytest.mark.parametrize("field", ["overrides", "features.values"])
def test_a_value_without_a_kind_is_refused_and_not_taken_for_null(served: Served, field: str) -> None:
    """A caller in JavaScript who writes `{number_value: 5}` for `{numberValue: 5}` sends it, and is told."""
    whole = feature_values(a=1.0, b=None, hours=3.0)
    with pytest.raises(Refusal, match=r"a Value without a kind, where a number .* or null is exp") as caught:
        READ[field](served, whole | {"b": Value()})
    assert caught.value.reason is Reason.FEATURE_TYPE_MISMATCH
    assert [violation.field for violation in caught.value.violations] == [f'{field}["b"]']
    assert caught.value.metadata["got"] == "a Value without a kind"


def test_null_said_outright_is_null(served: Served) -> None:
    (b,) = reading.overrides(served, {"b": Value(null_value=NULL_VALUE)})
    assert (b[0], math.isnan(b[1])) == (1, True)


def test_features_must_be_given_all(served: Served) -> None:
    refusal = refusal_of_values(served, "features.values", {"b": 0.5})
    assert refusal.reason is Reason.FEATURE_MISSING
    assert [v.field for v in refusal.violations] == ['features.values["a"]', 'features.values["hours"]']


def test_an_unknown_name_is_cut_in_the_message(served: Served) -> None:
    refusal = refusal_of_values(served, "overrides", {"é" * 40: 1.0})
    assert f": {'é' * 30}…;" in refusal.message


@pytest.mark.parametrize(
    ("change", "reason", "field"),
    [
        ({"overrides": feature_values(a=1.0)}, Reason.OVERRIDE_NOT_ALLOWED, "overrides"),
        ({"as_of_time": stamp(NOW)}, Reason.AS_OF_NOT_ALLOWED, "as_of_time"),
    ],
)
def test_given_features_are_taken_alone(
    served: Served, change: dict[str, object], reason: Reason, field: str
) -> None:
    request = giving(**WHOLE)
    request.MergeFrom(PredictRequest(**change))  # type: ignore[arg-type]
    with pytest.raises(Refusal) as caught:
        reading.given(served, request)
    assert caught.value.reason is reason
    assert [violation.field for violation in caught.value.violations] == [field]
