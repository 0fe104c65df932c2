"""Sensible answers of a small made-up model, churn@3, for servers without a database."""

from google.protobuf.timestamp_pb2 import Timestamp

from staunch.v1 import model_service_pb2 as models_pb
from staunch.v1 import prediction_service_pb2 as pb

NOW = Timestamp(seconds=1_700_000_000, nanos=123_456_000)
"""The moment of every answer that asks for none."""


def reference(version: int = 3) -> pb.ModelReference:
    """Returns the name of a version."""
    return pb.ModelReference(name="churn", version=version, digest=f"sha256:{version}")


def prediction(request: pb.PredictRequest | pb.ExplainRequest, version: int = 3) -> pb.PredictResponse:
    """Returns a score of 0.25, as of the moment asked for."""
    answer = pb.PredictResponse(
        probability=0.25, risk_band=pb.RISK_BAND_MEDIUM, model=reference(version), as_of_time=moment(request)
    )
    if request.include_features:
        answer.features["age"].number = 41.0
        answer.features["income"].SetInParent()
    return answer


def moment(request: pb.PredictRequest | pb.ExplainRequest | pb.BatchPredictRequest) -> Timestamp:
    """Returns the moment that a request asks for."""
    return request.as_of_time if request.HasField("as_of_time") else NOW


def explanation(request: pb.ExplainRequest, version: int = 3) -> pb.ExplainResponse:
    """Returns two contributions that add up."""
    why = pb.Explanation(
        output_space=pb.OUTPUT_SPACE_LOG_ODDS,
        method=pb.EXPLANATION_METHOD_TREE_PATH_DEPENDENT,
        base_value=-2.0,
        output_value=-1.0986,
        contributions=[
            pb.FeatureContribution(feature="tickets_open", value=pb.FeatureValue(number=3), contribution=1.2),
            pb.FeatureContribution(feature="income", contribution=-0.4, overridden=True),
        ],
        remainder=0.1014,
        remainder_count=7,
    )
    return pb.ExplainResponse(prediction=prediction(request, version), explanation=why)


def scored(request: pb.BatchPredictRequest) -> pb.BatchPredictResponse:
    """Scores each id by itself: id / 1000, and CUSTOMER_NOT_FOUND for every seventh."""
    ids, keys = list(request.customer_ids), list(request.customer_keys)
    answer = pb.BatchPredictResponse(customer_ids=ids, customer_keys=keys)
    for index, customer in enumerate(ids or map(len, keys)):
        lost = customer < 1 or customer % 7 == 0
        answer.probabilities.append(float("nan") if lost else customer / 1000)
        answer.risk_bands.append(pb.RISK_BAND_UNSPECIFIED if lost else pb.RISK_BAND_LOW)
        if lost:
            reason = "CUSTOMER_ID_INVALID" if customer < 1 else "CUSTOMER_NOT_FOUND"
            answer.errors.add(index=index, code=3 if customer < 1 else 5, reason=reason)
    return answer


def failed_chunk(request: pb.BatchPredictRequest, code: int, reason: str) -> pb.BatchPredictResponse:
    """Fails a whole chunk."""
    answer = pb.BatchPredictResponse(customer_ids=request.customer_ids, customer_keys=request.customer_keys)
    answer.errors.add(code=code, reason=reason, message="as told")
    return answer


def addressed(
    answer: pb.BatchPredictResponse, index: int, version: int, as_of: Timestamp
) -> pb.BatchPredictResponse:
    """Puts a chunk's place, version and moment on its answer."""
    answer.chunk_index = index
    answer.model.CopyFrom(reference(version))
    answer.as_of_time.CopyFrom(as_of)
    return answer


def model(version: int, view_digest: str = "", *, champion: int = 3) -> models_pb.Model:
    """Describes a version as a list does."""
    return models_pb.Model(
        name="churn",
        version=version,
        digest=f"sha256:{version}",
        aliases=["champion"] if version == champion else [],
        state=models_pb.MODEL_STATE_READY,
        create_time=NOW,
        view="churn",
        view_digest=view_digest,
        id_type=models_pb.ID_TYPE_INT64,
        output_space=pb.OUTPUT_SPACE_LOG_ODDS,
        horizon_days=90,
        medium_threshold=0.1,
    )


def model_in_full(version: int, view_digest: str, manifest: bytes, *, champion: int) -> models_pb.Model:
    """Describes a version with a feature, two metrics and its manifest."""
    found = model(version, view_digest, champion=champion)
    found.features.add(
        name="age", type=models_pb.FEATURE_TYPE_NUMBER, unit="years", description="Age in whole years."
    )
    found.metrics.add(name="auc", value=0.84, lower=0.82, upper=0.86)
    found.metrics.add(name="rows", value=100)
    found.manifest_json = manifest
    return found
