"""Predict: one customer, or one set of given features, to one score."""

from staunch.v1.prediction_service_pb2 import PredictRequest, PredictResponse
from staunch_server.models.registry import Registry
from staunch_server.services.answer import answer, respond
from staunch_server.transport.seam import Call


class PredictServicer:
    """Answers Predict.

    Args:
        registry: The versions that answer.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def predict(self, request: PredictRequest, call: Call) -> PredictResponse:
        """Scores one customer.

        Raises:
            Refusal: By the reason table.
            DatabaseUnavailable, TimeoutError, ViewError, ModelStoreError: As the guard maps them.
        """
        served = await self._registry.resolve(request.model, call.answer_by())
        call.model = served.name
        return respond(served, await answer(served, request, call), include=request.include_features)
