"""Explain: one score and exactly how each feature moved it."""

from staunch.v1.prediction_service_pb2 import (
    EXPLANATION_METHOD_TREE_PATH_DEPENDENT,
    ExplainRequest,
    ExplainResponse,
    Explanation,
    FeatureContribution,
)
from staunch_model_store import model
from staunch_server.errors import Reason, Refusal, Resource, Violation
from staunch_server.models.registry import Registry
from staunch_server.models.served import Served
from staunch_server.services.answer import Answer, output_space, respond, set_value
from staunch_server.services.features import Spoken, spoken
from staunch_server.services.predict import score
from staunch_server.transport.seam import Call
from staunch_server.types import timed


class ExplainServicer:
    """Answers Explain.

    Args:
        registry: The versions that answer.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def explain(self, request: ExplainRequest, call: Call) -> ExplainResponse:
        """Scores one customer and splits the model's output among the features.

        Raises:
            Refusal: By the reason table.
            DatabaseUnavailable, TimeoutError, ViewError, ModelStoreError: As the guard maps them.
        """
        served = await self._registry.resolve(request.model, call.answer_by())
        call.model = served.name
        _refuse_unexplainable(served, request)
        words = spoken(served, request.language_code)
        answered = await score(served, request, call)
        async with call.answer_by().timeout():
            with timed(call.stages, "explain"):
                explained = await served.explain(answered.values)
        return ExplainResponse(
            prediction=respond(
                served, answered, include=request.include_features, language_code=words.language
            ),
            explanation=_explanation(served, words, answered, explained, request),
        )


def refuse_without_explainer(served: Served) -> None:
    """Raises EXPLAINER_MISSING if a version cannot explain."""
    if not served.has_explainer:
        message = f"Expected a version with an explainer, got {served.name}, which was published without one."
        raise Refusal(Reason.EXPLAINER_MISSING, message, resource=Resource("model", served.name))


def _refuse_unexplainable(served: Served, request: ExplainRequest) -> None:
    refuse_without_explainer(served)
    if request.max_contributions < 0:
        message = f"Expected max_contributions of 0 (all) or more, got {request.max_contributions}."
        raise Refusal(Reason.FIELD_INVALID, message, [Violation("max_contributions", "is below 0")])


def _explanation(
    served: Served, words: Spoken, answered: Answer, explained: model.Explanation, request: ExplainRequest
) -> Explanation:
    """Lists the largest contributions and sums the others; refuses to answer if they do not add up."""
    names = list(served.columns)
    largest = explained.largest(request.max_contributions or len(names), names)
    error = float(largest.errors[0])
    if not largest.add_up[0]:
        raise ArithmeticError(f"{served.name}: the contributions miss the output by {error:g}")
    listed = zip(largest.features[0].tolist(), largest.contributions[0].tolist(), strict=True)
    return Explanation(
        output_space=output_space(served.manifest),
        method=EXPLANATION_METHOD_TREE_PATH_DEPENDENT,
        base_value=explained.base_value,
        output_value=float(explained.outputs[0]),
        contributions=[
            _contribution(words, column, float(answered.values[column]), part, request)
            for column, part in listed
        ],
        remainder=float(largest.remainders[0]),
        remainder_count=len(names) - largest.features.shape[1],
        additivity_error=error,
        language_code=words.language,
    )


def _contribution(
    words: Spoken, column: int, value: float, part: float, request: ExplainRequest
) -> FeatureContribution:
    contribution = FeatureContribution()
    contribution.CopyFrom(words.contributions[column])
    contribution.contribution = part
    contribution.overridden = contribution.feature in request.overrides
    contribution.value_label = words.labels[column].get(value, "")
    set_value(contribution.value, value)
    return contribution
