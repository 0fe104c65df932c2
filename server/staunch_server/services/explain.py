"""Explain: one score and exactly how each feature moved it."""

from staunch.v1.prediction_service_pb2 import (
    EXPLANATION_METHOD_TREE_PATH_DEPENDENT,
    ExplainRequest,
    ExplainResponse,
    Explanation,
)
from staunch_model_store import model
from staunch_server.errors import Reason, Refusal, Resource, Violation, field_invalid
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
        named, facts = Resource("model", served.name), {"model": served.name}
        raise Refusal(Reason.EXPLAINER_MISSING, message, resource=named, metadata=facts)


def _refuse_unexplainable(served: Served, request: ExplainRequest) -> None:
    refuse_without_explainer(served)
    if request.max_contributions < 0:
        got = request.max_contributions
        message = f"Expected max_contributions of 0 (all) or more, got {got}."
        wrong = Violation("max_contributions", "is below 0")
        raise field_invalid(message, wrong, expected="0 or more", got=got)


def _explanation(
    served: Served, words: Spoken, answered: Answer, explained: model.Explanation, request: ExplainRequest
) -> Explanation:
    """Lists the largest contributions and sums the others; refuses to answer if they do not add up."""
    names = tuple(served.columns)
    largest = explained.largest(request.max_contributions or len(names), names)
    error = float(largest.errors[0])
    if not largest.add_up[0]:
        raise model.not_adding_up(error)
    columns = largest.features[0].tolist()
    # What a version says of each feature is bytes already: several in a row parse as one message of them all.
    explanation = Explanation.FromString(b"".join([words.contributions[column] for column in columns]))
    explanation.output_space = output_space(served.manifest)
    explanation.method = EXPLANATION_METHOD_TREE_PATH_DEPENDENT
    explanation.base_value = explained.base_value
    explanation.output_value = float(explained.outputs[0])
    explanation.remainder = float(largest.remainders[0])
    explanation.remainder_count = len(names) - len(columns)
    explanation.additivity_error = error
    explanation.language_code = words.language
    values, parts = answered.values[columns].tolist(), largest.contributions[0].tolist()
    # Most of what an Explain costs: what most of the contributions do not have is not set to nothing.
    for listed, column, value, part in zip(explanation.contributions, columns, values, parts, strict=True):
        listed.contribution = part
        set_value(listed.value, value)
        if (labels := words.labels[column]) and (label := labels.get(value)):
            listed.value_label = label
    if request.overrides:
        for listed in explanation.contributions:
            listed.overridden = listed.feature in request.overrides
    return explanation
