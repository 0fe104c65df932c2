"""Sensible answers of a small made-up model, for servers without a database."""

import math
from collections.abc import Mapping, Sequence

from google.protobuf.struct_pb2 import NULL_VALUE, Value
from google.protobuf.timestamp_pb2 import Timestamp

from staunch._packed._rows import features_digest
from staunch._results import nearest_language
from staunch.testing._failures import Failure
from staunch.v1 import model_service_pb2 as models_pb
from staunch.v1 import prediction_service_pb2 as pb
from staunch.v1.feature_pb2 import (
    FEATURE_TYPE_NUMBER,
    FEATURE_WARNING_KIND_IMPOSSIBLE,
    Feature,
    FeatureTexts,
)

NOW = Timestamp(seconds=1_700_000_000, nanos=123_456_000)
"""The moment of every answer that asks for none."""

FEATURES: Mapping[str, float | None] = {"age": 41.0, "income": None}
"""The values of everybody."""

NAME = "churn"
"""The one model of the fake."""

HORIZON_DAYS = 90
_MEDIUM, _HIGH = 0.1, 0.5

_TITLES = {"en": ("Open tickets", "Income"), "fr": ("Demandes en cours", "Revenu")}


def reference(version: int = 3, name: str = NAME) -> pb.ModelReference:
    """Returns the name of a version."""
    return pb.ModelReference(
        name=name, version=version, digest=f"sha256:{version}", horizon_days=HORIZON_DAYS
    )


def risk_band(probability: float) -> pb.RiskBand.ValueType:
    """Returns the band of a probability."""
    if probability < _MEDIUM:
        return pb.RISK_BAND_LOW
    return pb.RISK_BAND_MEDIUM if probability < _HIGH else pb.RISK_BAND_HIGH


def prediction(
    request: pb.PredictRequest | pb.ExplainRequest,
    version: int = 3,
    probability: float = 0.25,
    names: Sequence[str] = tuple(FEATURES),
) -> pb.PredictResponse:
    """Returns a score, as of the moment asked for; with the features given, or those of everybody.

    Packed ones are of the names.

    An age below 0 is impossible, and the answer says so.
    """
    # Who gives the features is told no moment.
    subject = request.WhichOneof("subject")
    given = subject in ("features", "packed_features")
    answer = pb.PredictResponse(
        probability=probability,
        risk_band=risk_band(probability),
        model=reference(version),
        as_of_time=None if given else moment(request),
    )
    age = request.overrides["age"].number_value if "age" in request.overrides else 0
    if age < 0:
        answer.warnings.add(
            feature="age", title="Age", kind=FEATURE_WARNING_KIND_IMPOSSIBLE, value=age, minimum=0
        )
    if request.include_features:
        values = _values(dict(zip(names, request.packed_features.values, strict=False)) or FEATURES)
        if subject == "features":
            values = dict(request.features.values)
        for name, value in (values | dict(request.overrides)).items():
            answer.features[name].CopyFrom(value)
    return answer


def _values(values: Mapping[str, float | None]) -> dict[str, Value]:
    return {
        name: Value(null_value=NULL_VALUE)
        if value is None or math.isnan(value)
        else Value(number_value=value)
        for name, value in values.items()
    }


def packed_rows(packed: pb.PackedFeatures, names: Sequence[str]) -> int:
    """Counts the rows of packed features.

    Raises:
        Failure: FEATURES_MISMATCH, if they are not of the names.
    """
    digest, got, width = features_digest(names), packed.features_digest, len(names)
    rows, rest = divmod(len(packed.values), width)
    if got == digest and not rest:
        return rows
    field, expected = "features_digest", digest
    if got == digest:
        field, expected, got = "values", f"{width} for each row", str(len(packed.values))
    field = f"packed_features.{field}"
    raise Failure(
        "FEATURES_MISMATCH",
        f"packed_features: expected values packed for {', '.join(names)}, got {got or 'no digest'}.",
        violations={field: "does not fit"},
        metadata={"model": f"{NAME}@champion", "field": field, "expected": expected, "got": got},
    )


def moment(request: pb.PredictRequest | pb.ExplainRequest | pb.BatchPredictRequest) -> Timestamp:
    """Returns the moment that a request asks for."""
    return request.as_of_time if request.HasField("as_of_time") else NOW


def explanation(
    request: pb.ExplainRequest,
    version: int = 3,
    probability: float = 0.25,
    names: Sequence[str] = tuple(FEATURES),
) -> pb.ExplainResponse:
    """Returns two contributions, or as many as are asked for, that add up; in English or in French."""
    language = nearest_language(request.language_code, _TITLES) or "en"
    titles = _TITLES[language]
    # A number and a missing value, one of them perhaps set by the caller.
    parts = [
        pb.FeatureContribution(
            feature="tickets_open", title=titles[0], value=Value(number_value=3), contribution=1.2
        ),
        pb.FeatureContribution(
            feature="income",
            title=titles[1],
            unit="CAD",
            value=Value(null_value=NULL_VALUE),
            contribution=-0.4,
            overridden="income" in request.overrides,
        ),
    ][: request.max_contributions or None]
    base, output = -2.0, _log_odds(probability)
    why = pb.Explanation(
        output_space=pb.OUTPUT_SPACE_LOG_ODDS,
        method=pb.EXPLANATION_METHOD_TREE_PATH_DEPENDENT,
        base_value=base,
        output_value=output,
        contributions=parts,
        remainder=output - base - sum(part.contribution for part in parts),
        remainder_count=9 - len(parts),
        language_code=language,
    )
    scored = prediction(request, version, probability, names)
    return pb.ExplainResponse(prediction=scored, explanation=why)


def explained(answer: pb.BatchPredictResponse, first: pb.BatchPredictRequest) -> pb.BatchPredictResponse:
    """Adds the reasons that the first message of a stream asks for: to each score those of `explanation`."""
    if not first.top_contributions:
        return answer
    asked = pb.ExplainRequest(max_contributions=first.top_contributions, language_code=first.language_code)
    usual = explanation(pb.ExplainRequest(language_code=first.language_code)).explanation
    places = {part.feature: place for place, part in enumerate(usual.contributions)}
    if not answer.chunk_index:
        answer.explanation.output_space, answer.explanation.method = usual.output_space, usual.method
        answer.explanation.base_value, answer.explanation.language_code = (
            usual.base_value,
            usual.language_code,
        )
        for part in usual.contributions:
            answer.explanation.features.add(name=part.feature, title=part.title, unit=part.unit)
    for probability in answer.probabilities if not answer.explanations else ():
        row = answer.explanations.add()
        if not math.isnan(probability):
            why = explanation(asked, probability=probability).explanation
            row.features.extend(places[part.feature] for part in why.contributions)
            row.values.extend(_number(part.value) for part in why.contributions)
            row.contributions.extend(part.contribution for part in why.contributions)
            row.remainder, row.output_value = why.remainder, why.output_value
    return answer


def _number(value: Value) -> float:
    return value.number_value if value.HasField("number_value") else math.nan


def _log_odds(probability: float) -> float:
    inside = min(max(probability, 1e-12), 1 - 1e-12)
    return math.log(inside / (1 - inside))


def addressed(
    answer: pb.BatchPredictResponse, index: int, version: int, as_of: Timestamp | None
) -> pb.BatchPredictResponse:
    """Puts a chunk's place, version and moment on its answer; rows that are given have no moment."""
    answer.chunk_index = index
    answer.model.CopyFrom(reference(version))
    if as_of is not None:
        answer.as_of_time.CopyFrom(as_of)
    return answer


def model(version: int, view_digest: str = "", *, champion: int = 3) -> models_pb.Model:
    """Describes a version as a list does."""
    return models_pb.Model(
        name=NAME,
        version=version,
        digest=f"sha256:{version}",
        aliases=["champion"] if version == champion else [],
        state=models_pb.MODEL_STATE_READY,
        create_time=NOW,
        view="churn",
        view_digest=view_digest,
        id_type=models_pb.ID_TYPE_INT64,
        output_space=pb.OUTPUT_SPACE_LOG_ODDS,
        horizon_days=HORIZON_DAYS,
        medium_threshold=_MEDIUM,
    )


def model_in_full(
    version: int, view_digest: str, manifest: bytes, *, champion: int, names: Sequence[str] = tuple(FEATURES)
) -> models_pb.Model:
    """Describes a version with its features, two metrics and its manifest."""
    found = model(version, view_digest, champion=champion)
    found.features_digest = features_digest(names)
    for name in names:
        _describe(found.features.add(name=name, type=FEATURE_TYPE_NUMBER, title=name.title()))
    found.language_code = "en"
    found.eligible = "has a live subscription"
    found.eligible_translations["fr"] = "a un abonnement actif"
    found.metrics.add(name="auc", value=0.84, lower=0.82, upper=0.86)
    found.metrics.add(name="rows", value=100)
    found.manifest_json = manifest
    return found


def _describe(feature: Feature) -> None:
    """Says of an age what it means; any other feature may be missing."""
    if feature.name != "age":
        feature.nullable = True
        return
    feature.unit, feature.description, feature.minimum = "years", "Age in whole years.", 0
    feature.translations["fr"].MergeFrom(
        FeatureTexts(title="Âge", unit="ans", description="Âge en années révolues.")
    )
