"""Reads whom a request asks about, as of when and with which values, and refuses what cannot be meant."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from google.protobuf.struct_pb2 import Value
from google.protobuf.timestamp_pb2 import Timestamp

from staunch.v1.prediction_service_pb2 import ExplainRequest, PredictRequest
from staunch_features.views.rules import LARGEST_VALUE, MAX_KEY_BYTES, canonical_id
from staunch_server.errors import Reason, Refusal, Violation, clip
from staunch_server.models.served import Served
from staunch_server.types import Floats, Id, Overrides

CLOCK_SKEW_S = 5.0
"""How far ahead of our clock an as-of time may be, in seconds; it then means now."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_S, _LAST_S = -62_135_596_800, 253_402_300_799  # years 1 to 9999, the range of a Timestamp


_NO_NUMBERS = {
    "string_value": "a text",
    "bool_value": "a boolean",
    "list_value": "a list",
    "struct_value": "an object",
}
"""Kinds of a Value that no feature has."""


@dataclass(frozen=True, slots=True)
class Live:
    """A customer to be read from the database: whom, as of when (None: now), and what to replace."""

    id: Id
    as_of: datetime | None
    overrides: Overrides


def live(served: Served, request: PredictRequest | ExplainRequest) -> Live:
    """Reads the customer, the moment and the overrides of a request that names a customer.

    Raises:
        Refusal: SUBJECT_MISSING, CUSTOMER_ID_INVALID, ID_TYPE_MISMATCH, AS_OF_IN_FUTURE, AS_OF_NOT_ALLOWED,
            FEATURE_UNKNOWN, FEATURE_TYPE_MISMATCH, FEATURE_NOT_FINITE, FEATURE_MISSING.
    """
    subject = request.WhichOneof("subject")
    if subject is None:
        raise Refusal(
            Reason.SUBJECT_MISSING,
            "Expected customer_id, customer_key or features, got none of them; set one.",
            [Violation("subject", "is required")],
        )
    raw = request.customer_id if subject == "customer_id" else request.customer_key
    id_ = customer(served.manifest.id_type, raw, subject)
    return Live(id_, as_of(served, request), overrides(served, request.overrides))


def given(served: Served, request: PredictRequest | ExplainRequest) -> Floats:
    """Reads the complete features that a request gives: float64 (features,), NaN is null.

    Raises:
        Refusal: OVERRIDE_NOT_ALLOWED, AS_OF_NOT_ALLOWED, FEATURE_UNKNOWN, FEATURE_TYPE_MISMATCH,
            FEATURE_NOT_FINITE, FEATURE_MISSING.
    """
    if request.overrides:
        message = "Expected no overrides beside features; put the changed values into features."
        raise Refusal(Reason.OVERRIDE_NOT_ALLOWED, message, [Violation("overrides", "not with features")])
    if request.HasField("as_of_time"):
        message = "Expected no as_of_time beside features: they are taken as given. Leave it out."
        raise Refusal(Reason.AS_OF_NOT_ALLOWED, message, [Violation("as_of_time", "not with features")])
    values = request.features.values
    row = np.full(len(served.columns), np.nan)
    for column, value in _columns(served, values, "features.values"):
        row[column] = value
    if absent := sorted(served.columns.keys() - values.keys()):
        raise _refuse_features(Reason.FEATURE_MISSING, "features.values", absent, "missing")
    return row


def overrides(served: Served, values: Mapping[str, Value]) -> Overrides:
    """Reads overrides as columns and values.

    Raises:
        Refusal: FEATURE_UNKNOWN, FEATURE_TYPE_MISMATCH, FEATURE_NOT_FINITE, FEATURE_MISSING.
    """
    return tuple(_columns(served, values, "overrides")) if values else ()


def customer(id_type: str, raw: Id, field: str) -> Id:
    """Reads an id or key in the one form that the database gives back.

    Args:
        id_type: Of the view: "int64", "text" or "uuid".
        raw: Customer_id as an int, customer_key as a str.
        field: The request's field, for the refusal.

    Raises:
        Refusal: ID_TYPE_MISMATCH, CUSTOMER_ID_INVALID.
    """
    if isinstance(raw, int) != (id_type == "int64"):
        raise id_type_mismatch(id_type, field)
    try:
        return canonical_id(id_type, raw)
    except ValueError as error:
        raise _invalid_id(str(error), field) from None


def id_type_mismatch(id_type: str, field: str) -> Refusal:
    """The refusal of an id where the view wants a key, or the other way round."""
    wanted = "customer_id" if id_type == "int64" else "customer_key"
    wanted += "s" * field.endswith("s")  # a chunk's fields are plural
    message = f"Expected {wanted}, since the view's ids are {id_type}, got {field}; use {wanted}."
    return Refusal(Reason.ID_TYPE_MISMATCH, message, [Violation(field, f"the view takes {wanted}")])


def as_of(served: Served, request: PredictRequest | ExplainRequest) -> datetime | None:
    """Reads the moment of a request; None is now.

    Raises:
        Refusal: AS_OF_NOT_ALLOWED, AS_OF_IN_FUTURE, FIELD_INVALID.
    """
    return moment(served, request.as_of_time) if request.HasField("as_of_time") else None


def moment(served: Served, stamp: Timestamp) -> datetime | None:
    """Reads a given as-of time, cut to microseconds; None if it is now within the skew of clocks.

    Raises:
        Refusal: AS_OF_NOT_ALLOWED, AS_OF_IN_FUTURE, FIELD_INVALID.
    """
    if not served.manifest.uses_as_of:
        message = f"Expected no as_of_time: the view {served.manifest.view} has no time in it. Leave it out."
        raise Refusal(Reason.AS_OF_NOT_ALLOWED, message, [Violation("as_of_time", "not for this view")])
    asked, now = utc(stamp), datetime.now(UTC)
    ahead_s = (asked - now).total_seconds()
    if ahead_s > CLOCK_SKEW_S:
        message = (
            f"Expected an as_of_time that is not in the future, got {ahead_s:.1f} s ahead of this server's "
            f"clock ({now.isoformat()}); leave it out for now."
        )
        raise Refusal(Reason.AS_OF_IN_FUTURE, message, [Violation("as_of_time", "is in the future")])
    return None if ahead_s > 0 else asked


def utc(stamp: Timestamp) -> datetime:
    """A Timestamp as a datetime, cut to microseconds.

    Raises:
        Refusal: FIELD_INVALID, if it is outside the years 1 to 9999 or its nanos are not below a second.
    """
    if not (_FIRST_S <= stamp.seconds <= _LAST_S and 0 <= stamp.nanos < 1_000_000_000):
        message = f"Expected a time in the years 1 to 9999, got {stamp.seconds} s and {stamp.nanos} ns."
        raise Refusal(Reason.FIELD_INVALID, message, [Violation("as_of_time", "is no valid Timestamp")])
    return _EPOCH + timedelta(seconds=stamp.seconds, microseconds=stamp.nanos // 1000)


def _columns(served: Served, values: Mapping[str, Value], field: str) -> Iterator[tuple[int, float]]:
    """Reads named values as columns and float64; every name is compared before any is looked up."""
    if unknown := sorted(values.keys() - served.columns.keys()):
        raise _refuse_features(Reason.FEATURE_UNKNOWN, field, unknown, "no feature of the model")
    if others := sorted(name for name, value in values.items() if value.WhichOneof("kind") in _NO_NUMBERS):
        kinds = sorted({_NO_NUMBERS[values[name].WhichOneof("kind") or ""] for name in others})
        problem = f"{' or '.join(kinds)}, where a number (a boolean is 0 or 1) or null is expected"
        raise _refuse_features(Reason.FEATURE_TYPE_MISMATCH, field, others, problem)
    numbers = {name: _number(value) for name, value in values.items()}
    if infinite := sorted(name for name, number in numbers.items() if abs(number) > LARGEST_VALUE):
        problem = f"infinite, or beyond {LARGEST_VALUE:.2g} either way"
        raise _refuse_features(Reason.FEATURE_NOT_FINITE, field, infinite, problem)
    features = served.manifest.features
    null = [name for name, number in numbers.items() if math.isnan(number)]
    if never := sorted(name for name in null if not features[served.columns[name]].nullable):
        raise _refuse_features(Reason.FEATURE_MISSING, field, never, "never null in this view")
    for name, number in numbers.items():
        yield served.columns[name], number


def _number(value: Value) -> float:
    """The value; NaN, which is null as a view's NaN is, if it is null or no kind is set."""
    return value.number_value if value.HasField("number_value") else math.nan


def _refuse_features(reason: Reason, field: str, names: list[str], problem: str) -> Refusal:
    shown = ", ".join(clip(name, MAX_KEY_BYTES) for name in names[:5])
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return Refusal(
        reason,
        f"{field}: {problem}: {shown}{more}; GetModel lists the features and whether they can be null.",
        [Violation(f"{field}[{name}]", f"is {problem}") for name in names],
    )


def _invalid_id(problem: str, field: str) -> Refusal:
    return Refusal(Reason.CUSTOMER_ID_INVALID, f"{field}: {problem}.", [Violation(field, problem)])
