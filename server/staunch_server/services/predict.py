"""Predict: one customer, or one set of given features, to one score."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from staunch.v1.prediction_service_pb2 import ExplainRequest, PredictRequest, PredictResponse
from staunch_server.errors import Reason, Refusal, Resource
from staunch_server.models.coalescer import Id, Row
from staunch_server.models.registry import Registry
from staunch_server.models.served import Served
from staunch_server.services import request as subject
from staunch_server.transport.seam import Call


@dataclass(frozen=True, slots=True)
class Answer:
    """A score and what it was computed from.

    Attributes:
        values: Float64 (features,), overrides applied, NaN is null.
        probability: 0 to 1.
        as_of: The moment the values were read as of; None if the request gave them or the view has no time.
    """

    values: NDArray[np.float64]
    probability: float
    as_of: datetime | None


class Predictor:
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
        served = await self._registry.resolve(request.model, call.deadline)
        call.model = served.name
        return respond(served, await answer(served, request, call), include=request.include_features)


async def answer(served: Served, request: PredictRequest | ExplainRequest, call: Call) -> Answer:
    """Scores what a request asks about: given features as they are, a customer through the coalescer.

    Raises:
        Refusal: By the reason table.
    """
    if request.WhichOneof("subject") == "features":
        values = subject.given(served, request)
        scores = await served.score(values[None])
        served.count(scored=1, failed=0)
        return Answer(values, float(scores.probabilities[0]), None)
    asked = subject.live(served, request)
    row = await served.coalescer.row(asked.id, asked.as_of, asked.overrides, call.deadline)
    _refuse_unscored(served, asked.id, row)
    return Answer(row.values, row.probability, row.as_of if served.manifest.uses_as_of else None)


def respond(served: Served, answered: Answer, *, include: bool) -> PredictResponse:
    """Puts a score into words; include adds the values it was computed from."""
    response = PredictResponse(
        probability=answered.probability,
        risk_band=served.band(answered.probability),
        model=served.reference,
        as_of_time=None if answered.as_of is None else subject.timestamp(answered.as_of),
    )
    if include:
        for name, value in zip(served.columns, answered.values.tolist(), strict=True):
            # Reading a key of a proto map makes it, without a kind: null.
            subject.set_value(response.features[name], value)
    return response


def _refuse_unscored(served: Served, id_: Id, row: Row) -> None:
    """Raises what a row without a score means; nothing if it has one."""
    if row.found and row.eligible and not row.problem:
        return
    customer = Resource("customer", str(id_))
    when = f"at {row.as_of.isoformat()}" if served.manifest.uses_as_of else "now"
    if not row.found:
        message = f"Expected a customer that the view knows {when}, got {id_}; look the id up."
        raise Refusal(Reason.CUSTOMER_NOT_FOUND, message, resource=customer)
    if not row.eligible:
        moment = "ask for an as_of_time at which it is, or " if served.manifest.uses_as_of else ""
        message = (
            f"Expected a customer who is eligible {when}, got {id_}, for whom _eligible of the view "
            f"{served.manifest.view} is not true; {moment}leave them out."
        )
        raise Refusal(Reason.CUSTOMER_NOT_ELIGIBLE, message, resource=customer)
    if row.problem:
        raise served.view_error(f"for {id_} {when}, {row.problem}")
