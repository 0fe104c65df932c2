"""Predict: one customer, or one set of given features, to one score."""

from functools import partial

from staunch.v1.prediction_service_pb2 import ExplainRequest, PredictRequest
from staunch_server.models.registry import Registry
from staunch_server.models.served import Served
from staunch_server.services.answer import Answer, Encoder
from staunch_server.services.given_batch import GivenBatch
from staunch_server.services.request import Live, given, given_bytes, live
from staunch_server.services.unscored import refuse_unscored
from staunch_server.transport.seam import Call, Visit
from staunch_server.types import Row, timed

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
        self._given = GivenBatch(self._take_given)

    def predict(self, visit: Visit[PredictRequest]) -> None:
        """Scores one customer; the batch in which it is read answers it. Nothing waits here for one call.

        Raises:
            Refusal: By the reason table; later by `visit.fail`, as what `Coalescer.ask` gives.
        """
        served = self._registry.answering(visit.request.model)
        if served is None:
            visit.answer_later(self._find_and_predict(visit))
        else:
            self._predict(served, visit)

    async def _find_and_predict(self, visit: Visit[PredictRequest]) -> None:
        """Finds the version that is meant, perhaps loads it."""
        served = await self._registry.resolve(visit.request.model, visit.call.answer_by())
        self._predict(served, visit)

    def _predict(self, served: Served, visit: Visit[PredictRequest]) -> None:
        request, call = visit.request, visit.call
        call.model = served.name
        if is_given(request):
            self._given.ask(served, given_bytes(served, request), call.stages, visit)
            return
        asked = live(served, request)
        take = partial(self._take, served, asked, visit)
        deadline = call.answer_by()
        waiter = served.coalescer.ask(
            asked.id, asked.as_of, asked.overrides, deadline, call.stages, take=take
        )
        visit.leave = partial(served.coalescer.leave, waiter)

    def _take(
        self, served: Served, asked: Live, visit: Visit[PredictRequest], outcome: Row | Exception
    ) -> None:
        """Answers by the row that was read, or by why there is none."""
        if isinstance(outcome, Exception):
            visit.fail(outcome)
        elif is_scored(outcome):
            visit.answer(self._encoded(served, visit.request, answer_of(served, outcome)))
        else:  # there may be more to say than the row has
            visit.answer_later(refuse_unscored(served, asked, outcome, visit.call))

    def _take_given(self, served: Served, visit: Visit[PredictRequest], outcome: Answer | Exception) -> None:
        """Answers by the score of the features that came, or by why there is none."""
        if isinstance(outcome, Exception):
            visit.fail(outcome)
        else:
            visit.answer(self._encoded(served, visit.request, outcome))

    def _encoded(self, served: Served, request: PredictRequest, answered: Answer) -> bytes:
        return self._encoder.encoded(served, answered, include=request.include_features)


async def score(served: Served, request: PredictRequest | ExplainRequest, call: Call) -> Answer:
    """Scores what a request asks about: given features as they are, a customer through the coalescer.

    Raises:
        Refusal: By the reason table.
    """
    if is_given(request):
        return score_given(served, request, call)
    asked = live(served, request)
    row = await served.coalescer.row(asked.id, asked.as_of, asked.overrides, call.answer_by(), call.stages)
    if not is_scored(row):
        await refuse_unscored(served, asked, row, call)
    return answer_of(served, row)


def is_given(request: PredictRequest | ExplainRequest) -> bool:
    """Whether a request brings the features itself."""
    return request.WhichOneof("subject") in _GIVEN


def score_given(served: Served, request: PredictRequest | ExplainRequest, call: Call) -> Answer:
    """Scores the features that a request gives.

    Raises:
        Refusal: As `request.given`.
    """
    values = given(served, request)
    with timed(call.stages, "onnx"):
        scores = served.score_few(values[None])
    served.count(scored=1, failed=0)
    flags = served.limits.flags(values[None]).get(0, ())
    return Answer(values, float(scores.probabilities[0]), None, flags)


def is_scored(row: Row) -> bool:
    """Whether a row has a score."""
    return row.found and row.eligible and not row.problem


def answer_of(served: Served, row: Row) -> Answer:
    """Returns the score of a customer who was read and has one."""
    return Answer(row.values, row.probability, row.as_of if served.manifest.uses_as_of else None, row.flags)
