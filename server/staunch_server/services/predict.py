"""Predict: one customer, or one set of given features, to one score."""

from staunch.v1.prediction_service_pb2 import ExplainRequest, PredictRequest, PredictResponse
from staunch_server.models.registry import Registry
from staunch_server.models.served import Served
from staunch_server.services.answer import Answer, Encoded, Encoder, respond
from staunch_server.services.request import given, live
from staunch_server.services.unscored import refuse_unscored
from staunch_server.transport.seam import Call
from staunch_server.types import timed

_GIVEN = frozenset({"features", "packed_features"})
"""Subjects that need no database."""


class PredictServicer:
    """Answers Predict.

    Args:
        registry: The versions that answer.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._encoder = Encoder()

    async def predict(self, request: PredictRequest, call: Call) -> PredictResponse | Encoded:
        """Scores one customer.

        Raises:
            Refusal: By the reason table.
            DatabaseUnavailable, TimeoutError, ViewError, ModelStoreError: As the guard maps them.
        """
        served = await self._registry.resolve(request.model, call.answer_by())
        call.model = served.name
        answered = await score(served, request, call)
        if answered.flags or request.include_features:
            return respond(served, answered, include=request.include_features)
        return Encoded(self._encoder.encoded(served, answered))


async def score(served: Served, request: PredictRequest | ExplainRequest, call: Call) -> Answer:
    """Scores what a request asks about: given features as they are, a customer through the coalescer.

    Raises:
        Refusal: By the reason table.
    """
    if request.WhichOneof("subject") in _GIVEN:
        values = given(served, request)
        with timed(call.stages, "onnx"):
            scores = await served.score(values[None])
        served.count(scored=1, failed=0)
        flags = served.limits.flags(values[None]).get(0, ())
        return Answer(values, float(scores.probabilities[0]), None, flags)
    asked = live(served, request)
    row = await served.coalescer.row(asked.id, asked.as_of, asked.overrides, call.answer_by(), call.stages)
    if not (row.found and row.eligible) or row.problem:
        await refuse_unscored(served, asked, row, call)
    as_of = row.as_of if served.manifest.uses_as_of else None
    return Answer(row.values, row.probability, as_of, row.flags)
