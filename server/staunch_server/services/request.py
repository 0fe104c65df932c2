"""Reads whom a request asks about, as of when and with which values, and refuses what cannot be meant."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import numpy as np
from google.protobuf.struct_pb2 import Value
from google.protobuf.timestamp_pb2 import Timestamp

from staunch.v1.prediction_service_pb2 import ExplainRequest, FeatureValues, PredictRequest
from staunch_features.views.rules import canonical_id
from staunch_server.errors import Reason, Refusal, Violation, field_invalid
from staunch_server.models.served import Served
from staunch_server.services.given import PACKED, named_values, packed_bytes, packed_row, refuse_absent
from staunch_server.types import Floats, Id, Overrides

CLOCK_SKEW_S = 5.0
"""How far ahead of our clock an as-of time may be, in seconds; it then means now."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_S, _LAST_S = -62_135_596_800, 253_402_300_799  # years 1 to 9999, the range of a Timestamp


_SUBJECTS = ("customer_id", "customer_key", "features", "packed_features")


class Live(NamedTuple):
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
            "Expected customer_id, customer_key, features or packed_features, got none of them; set one.",
            [Violation(field, "is required, unless another of these is set") for field in _SUBJECTS],
        )
    raw = request.customer_id if subject == "customer_id" else request.customer_key
    id_ = customer(served.manifest.id_type, raw, subject)
    return Live(id_, as_of(served, request), overrides(served, request.overrides))


def given(served: Served, request: PredictRequest | ExplainRequest) -> Floats:
    """Reads the complete features that a request gives, by name or packed: float64 (features,), NaN is null.

    Raises:
        Refusal: OVERRIDE_NOT_ALLOWED, AS_OF_NOT_ALLOWED, FEATURE_UNKNOWN, FEATURE_TYPE_MISMATCH,
            FEATURE_NOT_FINITE, FEATURE_MISSING, FEATURES_MISMATCH.
    """
    _refuse_beside(served, request)
    if request.HasField(PACKED):
        return packed_row(served, request.packed_features)
    return _named(served, request.features)


def given_bytes(served: Served, request: PredictRequest | ExplainRequest) -> bytes:
    """Reads them as little-endian float64; packed ones may have values that no model may be given.

    Raises:
        Refusal: As `given`; of packed ones not FEATURE_NOT_FINITE and FEATURE_MISSING.
    """
    _refuse_beside(served, request)
    if request.HasField(PACKED):
        return packed_bytes(served, request.packed_features)
    return _named(served, request.features).astype("<f8").tobytes()


def _refuse_beside(served: Served, request: PredictRequest | ExplainRequest) -> None:
    """Refuses what says something of a customer to look up, beside features that are given."""
    if request.overrides:
        subject = request.WhichOneof("subject")
        message = f"Expected no overrides beside {subject}; put the changed values into {subject}."
        wrong = Violation("overrides", f"not with {subject}")
        raise Refusal(Reason.OVERRIDE_NOT_ALLOWED, message, [wrong])
    if request.HasField("as_of_time"):
        raise no_time_beside(served, str(request.WhichOneof("subject")))


def _named(served: Served, features: FeatureValues) -> Floats:
    row = np.full(len(served.columns), np.nan)
    for column, value in named_values(served, features.values, "features.values"):
        row[column] = value
    refuse_absent(served, features.values)
    return row


def overrides(served: Served, values: Mapping[str, Value]) -> Overrides:
    """Reads overrides as columns and values.

    Raises:
        Refusal: FEATURE_UNKNOWN, FEATURE_TYPE_MISMATCH, FEATURE_NOT_FINITE, FEATURE_MISSING.
    """
    return tuple(named_values(served, values, "overrides")) if values else ()


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
        metadata = {"field": field, "customer": str(raw), "id_type": id_type}
        problem = str(error)
        raise Refusal(
            Reason.CUSTOMER_ID_INVALID, f"{field}: {problem}.", [Violation(field, problem)], metadata=metadata
        ) from None


def id_type_mismatch(id_type: str, field: str) -> Refusal:
    """The refusal of an id where the view wants a key, or the other way round."""
    wanted = "customer_id" if id_type == "int64" else "customer_key"
    wanted += "s" * field.endswith("s")  # a chunk's fields are plural
    message = f"Expected {wanted}, since the view's ids are {id_type}, got {field}; use {wanted}."
    metadata = {"field": field, "expected": wanted, "id_type": id_type}
    violation = Violation(field, f"the view takes {wanted}")
    return Refusal(Reason.ID_TYPE_MISMATCH, message, [violation], metadata=metadata)


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
        raise _no_time(served, message, "not for this view")
    asked, now = utc(stamp), datetime.now(UTC)
    ahead_s = (asked - now).total_seconds()
    if ahead_s > CLOCK_SKEW_S:
        message = (
            f"Expected an as_of_time that is not in the future, got {asked.isoformat()}: {ahead_s:.1f} s "
            f"ahead of this server's clock, {now.isoformat()}; leave it out for now."
        )
        metadata = {
            "as_of_time": asked.isoformat(),
            "server_time": now.isoformat(),
            "ahead_s": f"{ahead_s:.1f}",
            "limit_s": f"{CLOCK_SKEW_S:g}",
        }
        wrong = Violation("as_of_time", "is in the future")
        raise Refusal(Reason.AS_OF_IN_FUTURE, message, [wrong], metadata=metadata)
    return None if ahead_s > 0 else asked


def utc(stamp: Timestamp) -> datetime:
    """A Timestamp as a datetime, cut to microseconds.

    Raises:
        Refusal: FIELD_INVALID, if it is outside the years 1 to 9999 or its nanos are not below a second.
    """
    if not (_FIRST_S <= stamp.seconds <= _LAST_S and 0 <= stamp.nanos < 1_000_000_000):
        expected, got = "a time in the years 1 to 9999", f"{stamp.seconds} s and {stamp.nanos} ns"
        wrong = Violation("as_of_time", "is no valid Timestamp")
        raise field_invalid(f"Expected {expected}, got {got}.", wrong, expected=expected, got=got)
    return _EPOCH + timedelta(seconds=stamp.seconds, microseconds=stamp.nanos // 1000)


def no_time_beside(served: Served, field: str) -> Refusal:
    """Returns the refusal of a moment beside features that the request gives."""
    message = f"Expected no as_of_time beside {field}: they are taken as given. Leave it out."
    return _no_time(served, message, f"not with {field}")


def _no_time(served: Served, message: str, problem: str) -> Refusal:
    metadata = {"view": served.manifest.view}
    return Refusal(Reason.AS_OF_NOT_ALLOWED, message, [Violation("as_of_time", problem)], metadata=metadata)
