"""Between plain Python values and the messages of `staunch.v1`, both ways; no I/O."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from functools import lru_cache
from math import isnan
from typing import Any, SupportsFloat, SupportsIndex, TypeVar
from uuid import UUID

from google.protobuf.struct_pb2 import NULL_VALUE, Value
from google.protobuf.timestamp_pb2 import Timestamp
from grpc import StatusCode

from staunch import _arguments as arguments
from staunch import _results as results
from staunch._errors import ErrorDetails, FieldViolation, ServerFault, StaunchError, make_error, status_code
from staunch._packed import _rows as packed
from staunch._packed._rows import PackedRow
from staunch.v1 import feature_pb2 as feature_pb
from staunch.v1 import model_service_pb2 as models_pb
from staunch.v1 import prediction_service_pb2 as predictions_pb

E = TypeVar("E", bound=StrEnum)
CustomerId = int | SupportsIndex | str | UUID
Features = Mapping[str, SupportsFloat | None]
Given = Features | PackedRow

_INT64 = range(-(2**63), 2**63)
_KEY_BYTES = 64


def timestamp(moment: datetime | None) -> Timestamp | None:
    """Converts an aware datetime, of the standard library or of pandas.

    Raises:
        TypeError: It is no datetime.
        ValueError: It names no moment: a date, or a datetime without a zone; or one that no Timestamp holds.
    """
    if moment is None:
        return None
    if not isinstance(moment, date):
        raise TypeError(f"expected as_of as a datetime with a zone, got {type(moment).__name__}")
    if not isinstance(moment, datetime):
        raise ValueError(  # noqa: TRY004 - a day is a moment that lacks its hour, as a naive one lacks its zone
            f"expected as_of as a moment, got the date {moment}; say which hour of it where, "
            f"for example {_noon(moment)}"
        )
    if moment.tzinfo is None or moment.utcoffset() is None:
        raise ValueError(
            f"expected a datetime with a zone, got {moment!r}; add tzinfo, for example datetime.UTC"
        )
    made = Timestamp()
    try:
        made.FromDatetime(moment)
    except (OverflowError, ValueError):
        raise ValueError(f"expected as_of within the years 1 to 9999 of UTC, got {moment!r}") from None
    return made


def _noon(day: date) -> str:
    return f"datetime({day.year}, {day.month}, {day.day}, 12, tzinfo=UTC)"


def subject(customer: CustomerId | None, features: Given | None) -> dict[str, Any]:
    """Gives the request's subject field; none if neither is given, which the server refuses.

    Raises:
        TypeError: Both are given, or the id is neither a whole number, str nor UUID.
        ValueError: The id does not fit in 64 bits, or cannot be sent.
    """
    if features is not None:
        if customer is not None:
            raise TypeError("expected a customer or features, got both; leave one out")
        if isinstance(features, PackedRow):
            return {"packed_features": packed.message([features])}
        return {"features": predictions_pb.FeatureValues(values=feature_values("features", features))}
    if customer is None:
        return {}
    customer = plain_id(customer)
    if isinstance(customer, str):
        return {"customer_key": arguments.text("customer", customer)}
    if customer not in _INT64:
        raise ValueError(f"expected a customer id of at most 64 bits, got {customer}")
    return {"customer_id": customer}


def plain_id(customer: object) -> int | str:
    """Gives the id as an int or a str.

    Raises:
        TypeError: It is neither a whole number, str nor UUID.
    """
    if isinstance(customer, UUID):
        return str(customer)
    if type(customer) is int or isinstance(customer, str):
        return customer
    # An int, numpy's too; its arrays of one have an index as well, and no business here.
    if (
        isinstance(customer, SupportsIndex)
        and not isinstance(customer, bool)
        and not hasattr(customer, "__len__")
    ):
        return int(customer.__index__())  # of an IntEnum the number, which a range finds at once
    raise TypeError(f"expected a customer as int, str or uuid.UUID, got {type(customer).__name__}")


def wire_id(customer: int) -> int:
    """Gives the id as it travels in a chunk: 0, which the server refuses row by row, if it cannot travel."""
    return customer if customer in _INT64 else 0


def wire_key(key: str) -> str:
    """Gives the key as it travels in a chunk: empty, which the server refuses, if it cannot travel."""
    try:
        encoded = key.encode()
    except UnicodeEncodeError:
        return ""
    return key if len(encoded) <= _KEY_BYTES else ""


def feature_values(name: str, values: Features | None) -> dict[str, Value]:
    """Converts features by name, none if there are none; None is a missing value.

    Raises:
        TypeError: They are no mapping from str, or a value is neither a number nor None.
        ValueError: A name cannot be sent, or a value is beyond every float.
    """
    if values is None:
        return {}
    given = arguments.features(name, values)
    return {feature: _feature_value(value) for feature, value in given.items()}


def _feature_value(value: float | None) -> Value:
    return Value(null_value=NULL_VALUE) if value is None else Value(number_value=value)


def _plain_value(value: Value) -> float | None:
    return value.number_value if value.HasField("number_value") else None


def _plain_values(values: Mapping[str, Value]) -> dict[str, float | None]:
    return {name: _plain_value(values[name]) for name in sorted(values)}


def moment(message: Any, field: str) -> datetime | None:
    """Reads a Timestamp field as an aware datetime in UTC; None if it is absent."""
    stamp = getattr(message, field)
    return _moment(stamp.seconds, stamp.nanos) if message.HasField(field) else None


@lru_cache(maxsize=16)  # what is scored together is so by one version and as of one moment
def _moment(seconds: int, nanos: int) -> datetime:
    return Timestamp(seconds=seconds, nanos=nanos).ToDatetime(tzinfo=UTC)


def _enum(kind: type[E], wrapper: Any, prefix: str, number: int) -> E:
    """Reads an enum; a value that this client does not know yet is UNSPECIFIED."""
    known = wrapper.DESCRIPTOR.values_by_number.get(number)
    name = known.name.removeprefix(prefix).lower() if known else "unspecified"
    return kind(name)


_BANDS: dict[int, results.RiskBand] = {
    number: _enum(results.RiskBand, predictions_pb.RiskBand, "RISK_BAND_", number)
    for number in predictions_pb.RiskBand.values()
}


def risk_band(number: int) -> results.RiskBand:
    """Reads a band; one that this client does not know yet is UNSPECIFIED."""
    return _BANDS.get(number, results.RiskBand.UNSPECIFIED)


def _output_space(number: int) -> results.OutputSpace:
    return _enum(results.OutputSpace, predictions_pb.OutputSpace, "OUTPUT_SPACE_", number)


def _explanation_method(number: int) -> results.ExplanationMethod:
    return _enum(results.ExplanationMethod, predictions_pb.ExplanationMethod, "EXPLANATION_METHOD_", number)


def model_reference(message: predictions_pb.ModelReference) -> results.ModelReference:
    """Reads the name of the version that answered."""
    return _reference(message.name, message.version, message.digest, message.horizon_days)


_reference = lru_cache(maxsize=16)(results.ModelReference)


def prediction(message: predictions_pb.PredictResponse, request_id: str = "") -> results.Prediction:
    """Reads one score; the id is the one under which the server knows the call.

    Raises:
        ServerFault: The answer holds no probability, because the server is newer than this client.
    """
    if not message.HasField("probability"):
        raise ServerFault(StatusCode.UNKNOWN, "expected a probability, got none; update staunch-client")
    return results.Prediction(
        probability=message.probability,
        risk_band=risk_band(message.risk_band),
        model=model_reference(message.model),
        as_of=moment(message, "as_of_time"),
        features=_plain_values(message.features) if message.features else None,
        request_id=request_id,
        warnings=tuple(map(_warning, message.warnings)),
    )


def _warning(message: feature_pb.FeatureWarning) -> results.FeatureWarning:
    return results.FeatureWarning(
        feature=message.feature,
        title=message.title or message.feature,
        kind=_enum(
            results.FeatureWarningKind, feature_pb.FeatureWarningKind, "FEATURE_WARNING_KIND_", message.kind
        ),
        value=_optional(message, "value"),
        value_label=message.value_label,
        minimum=_optional(message, "minimum"),
        maximum=_optional(message, "maximum"),
    )


def explanation(message: predictions_pb.ExplainResponse, request_id: str = "") -> results.Explanation:
    """Reads one score with its reasons.

    Raises:
        ServerFault: As for `prediction`.
    """
    why = message.explanation
    return results.Explanation(
        prediction=prediction(message.prediction, request_id),
        output_space=_output_space(why.output_space),
        method=_explanation_method(why.method),
        base_value=why.base_value,
        output_value=why.output_value,
        contributions=tuple(map(_contribution, why.contributions)),
        remainder=why.remainder,
        remainder_count=why.remainder_count,
        additivity_error=why.additivity_error,
        language=why.language_code,
    )


def _contribution(message: predictions_pb.FeatureContribution) -> results.Contribution:
    return results.Contribution(
        feature=message.feature,
        value=_plain_value(message.value),
        contribution=message.contribution,
        overridden=message.overridden,
        # A server that knows no titles has names.
        title=message.title or message.feature,
        unit=message.unit,
        value_label=message.value_label,
    )


def chunk_error(message: predictions_pb.BatchPredictChunkError, request_id: str) -> StaunchError:
    """Reads why a chunk failed, as the error that a unary call with the same failure raises."""
    wait = message.retry_delay.ToTimedelta().total_seconds() if message.HasField("retry_delay") else None
    details = ErrorDetails(
        reason=message.reason,
        metadata=dict(message.metadata),
        violations=tuple(FieldViolation(v.field, v.description) for v in message.field_violations),
        resource_type=message.resource_type,
        resource_name=message.resource_name,
        retry_after_s=wait,
        request_id=request_id,
    )
    return make_error(status_code(message.code), message.message, details)


@dataclass(frozen=True, slots=True)
class SharedReasons:
    """What the reasons of all rows of a stream have in common.

    Attributes:
        output_space: Of the values.
        method: Of the contributions.
        base_value: Of all rows.
        language: Of the texts.
        features: Name, title, unit and labels of each, in the version's order.
    """

    output_space: results.OutputSpace
    method: results.ExplanationMethod
    base_value: float
    language: str
    features: tuple[tuple[str, str, str, dict[float, str]], ...]

    @classmethod
    def read(cls, message: predictions_pb.BatchExplanation) -> "SharedReasons":
        """Reads them from the first answer of a stream."""
        return cls(
            output_space=_output_space(message.output_space),
            method=_explanation_method(message.method),
            base_value=message.base_value,
            language=message.language_code,
            features=tuple(
                (each.name, each.title or each.name, each.unit, {one.value: one.label for one in each.labels})
                for each in message.features
            ),
        )

    def of_row(self, row: predictions_pb.RowExplanation) -> results.RowExplanation:
        """Reads the reasons of a row.

        Raises:
            ValueError: The lists of the row differ in length.
            IndexError: It points to a feature that there is not.
        """
        parts = zip(row.features, row.values, row.contributions, strict=True)
        return results.RowExplanation(
            output_space=self.output_space,
            method=self.method,
            base_value=self.base_value,
            output_value=row.output_value,
            contributions=tuple(self._contribution(*part) for part in parts),
            remainder=row.remainder,
            language=self.language,
        )

    def _contribution(self, feature: int, value: float, part: float) -> results.Contribution:
        if feature < 0:  # which would count from the end
            raise IndexError(f"feature {feature}")
        name, title, unit, labels = self.features[feature]
        known = None if isnan(value) else value
        return results.Contribution(name, known, part, False, title, unit, labels.get(value, ""))


def model(message: models_pb.Model) -> results.Model:
    """Reads one version of a model."""
    return results.Model(
        reference=results.ModelReference(message.name, message.version, message.digest, message.horizon_days),
        aliases=tuple(message.aliases),
        state=_enum(results.ModelState, models_pb.ModelState, "MODEL_STATE_", message.state),
        state_reason=message.state_reason,
        state_message=message.state_message,
        create_time=message.create_time.ToDatetime(tzinfo=UTC) if message.HasField("create_time") else None,
        view=message.view,
        id_type=_enum(results.IdType, models_pb.IdType, "ID_TYPE_", message.id_type),
        view_digest=message.view_digest,
        features_digest=message.features_digest,
        output_space=_output_space(message.output_space),
        horizon_days=message.horizon_days,
        medium_threshold=_optional(message, "medium_threshold"),
        high_threshold=_optional(message, "high_threshold"),
        features=tuple(feature(each, message.language_code) for each in message.features),
        metrics=tuple(
            results.Metric(m.name, m.value, _optional(m, "lower"), _optional(m, "upper"))
            for m in message.metrics
        ),
        manifest_json=message.manifest_json,
        # Filled by get_model, as the three before.
        language=message.language_code,
        eligible=message.eligible,
        eligible_translations=dict(message.eligible_translations),
    )


def feature(message: feature_pb.Feature, language: str) -> results.Feature:
    """Reads one column of a feature view, whose own language is given."""
    return results.Feature(
        name=message.name,
        language=language,
        type=_enum(results.FeatureType, feature_pb.FeatureType, "FEATURE_TYPE_", message.type),
        nullable=message.nullable,
        unit=message.unit,
        description=message.description,
        title=message.title or message.name,
        labels=_labels(message.labels),
        null_meaning=message.null_meaning,
        # What is absent is not known, or has no bound: 0 would be an answer.
        possible=(_optional(message, "minimum"), _optional(message, "maximum")),
        learned=(_optional(message, "learned_minimum"), _optional(message, "learned_maximum")),
        learned_null=message.learned_null if message.HasField("learned_null") else None,
        learned_values=tuple(message.learned_values),
        translations={
            language: results.FeatureTexts(
                title=texts.title,
                unit=texts.unit,
                description=texts.description,
                null_meaning=texts.null_meaning,
                labels=_labels(texts.labels),
            )
            for language, texts in message.translations.items()
        },
    )


def _labels(messages: Iterable[feature_pb.FeatureLabel]) -> dict[float, str]:
    return {message.value: message.label for message in messages}


def _optional(message: Any, field: str) -> float | None:
    return getattr(message, field) if message.HasField(field) else None
