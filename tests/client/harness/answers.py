"""Sensible answers of a small made-up model, churn@3: the shipped fake's, and chunks of the tests' own."""

from staunch.testing._answers import FEATURES as FEATURES
from staunch.testing._answers import NOW as NOW
from staunch.testing._answers import addressed as addressed
from staunch.testing._answers import explained as explained
from staunch.testing._answers import explanation as explanation
from staunch.testing._answers import model as model
from staunch.testing._answers import model_in_full as model_in_full
from staunch.testing._answers import moment as moment
from staunch.testing._answers import packed_rows as packed_rows
from staunch.testing._answers import prediction as prediction
from staunch.testing._answers import reference as reference
from staunch.v1 import prediction_service_pb2 as pb
from staunch_server.errors import Refusal
from staunch_server.services.batch_predict import chunk_error


def scored(request: pb.BatchPredictRequest) -> pb.BatchPredictResponse:
    """Scores each id by itself: id / 1000, and CUSTOMER_NOT_FOUND for every seventh; packed rows alike."""
    ids, keys = list(request.customer_ids), list(request.customer_keys)
    if request.HasField("packed_features"):
        rows = packed_rows(request.packed_features, tuple(FEATURES))
        return pb.BatchPredictResponse(probabilities=[0.25] * rows, risk_bands=[pb.RISK_BAND_LOW] * rows)
    answer = pb.BatchPredictResponse(customer_ids=ids, customer_keys=keys)
    for index, customer in enumerate(ids or map(len, keys)):
        lost = customer < 1 or customer % 7 == 0
        answer.probabilities.append(float("nan") if lost else customer / 1000)
        answer.risk_bands.append(pb.RISK_BAND_UNSPECIFIED if lost else pb.RISK_BAND_LOW)
        if lost:
            reason = "CUSTOMER_ID_INVALID" if customer < 1 else "CUSTOMER_NOT_FOUND"
            answer.row_errors.add(index=index, code=3 if customer < 1 else 5, reason=reason)
    return answer


def chunk_of(refusal: Refusal, request: pb.BatchPredictRequest) -> pb.BatchPredictResponse:
    """Fails a whole chunk as the server does."""
    answer = pb.BatchPredictResponse(customer_ids=request.customer_ids, customer_keys=request.customer_keys)
    answer.chunk_error.CopyFrom(chunk_error(refusal))
    return answer


def failed_chunk(request: pb.BatchPredictRequest, code: int, reason: str) -> pb.BatchPredictResponse:
    """Fails a whole chunk."""
    answer = pb.BatchPredictResponse(customer_ids=request.customer_ids, customer_keys=request.customer_keys)
    answer.chunk_error.code, answer.chunk_error.reason, answer.chunk_error.message = code, reason, "as told"
    return answer
