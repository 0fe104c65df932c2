"""Why the rows of a stream scored as they did, as its messages have it."""

from collections.abc import AsyncGenerator, MutableSequence
from contextlib import aclosing
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from staunch.v1.feature_pb2 import Feature
from staunch.v1.prediction_service_pb2 import (
    EXPLANATION_METHOD_TREE_PATH_DEPENDENT,
    BatchExplanation,
    BatchPredictRequest,
    RowExplanation,
)
from staunch_server.errors import Reason, Refusal, Violation, field_invalid
from staunch_server.models.reasons import Reasons
from staunch_server.models.served import Served
from staunch_server.services.answer import output_space
from staunch_server.services.explain import refuse_without_explainer
from staunch_server.services.features import Spoken, spoken
from staunch_server.statuses import clip
from staunch_server.types import Floats

MOST_CONTRIBUTIONS = 10
"""The most contributions of a row: 10,000 rows with their keys stay below the 4 MiB that clients receive."""


@dataclass(frozen=True, slots=True)
class ScoredRows:
    """The rows of a chunk that have a score.

    Attributes:
        places: Intp (n,), where they lie in the chunk.
        values: Float64 (n, features), what they were scored by.
        outputs: Float64 (n,), their margins.
    """

    places: NDArray[np.intp]
    values: Floats
    outputs: Floats


@dataclass(frozen=True, slots=True)
class Wanted:
    """What reasons the first message of a stream asks for.

    Attributes:
        count: How many contributions of each row; 0 for none.
        language_code: As it was written.
        words: The features in that language.
    """

    count: int
    language_code: str
    words: Spoken


def wanted(served: Served, message: BatchPredictRequest) -> Wanted:
    """Reads what reasons the first message of a stream asks for.

    Raises:
        Refusal: FIELD_INVALID, EXPLAINER_MISSING.
    """
    count = message.top_contributions
    if not 0 <= count <= MOST_CONTRIBUTIONS:
        expected = f"0 to {MOST_CONTRIBUTIONS}"
        text = (
            f"Expected top_contributions of 0 (none) to {MOST_CONTRIBUTIONS}, got {count}; "
            "Explain lists all of one customer."
        )
        wrong = Violation("top_contributions", f"expected {expected}, got {count}")
        raise field_invalid(text, wrong, expected=expected, got=count)
    if count:
        refuse_without_explainer(served)
    return Wanted(count, message.language_code, spoken(served, message.language_code))


def refuse_change(first: Wanted, message: BatchPredictRequest) -> None:
    """Raises MODEL_CHANGED_IN_STREAM if a later message asks for other reasons than the first."""
    for field, began, now in (
        ("top_contributions", first.count, message.top_contributions),
        ("language_code", first.language_code, message.language_code),
    ):
        if now and now != began:
            raise changed_in_stream(field, began, now)


def changed_in_stream(field: str, began: int | str, now: int | str) -> Refusal:
    """The refusal of a chunk that wants another value of a field than its stream began with."""
    text = f"Expected {field} {began!r} or none, got {clip(repr(now), 80)}; begin a new stream for it."
    metadata = {"field": field, "expected": str(began), "got": str(now)}
    violation = Violation(field, "differs from the first")
    return Refusal(Reason.MODEL_CHANGED_IN_STREAM, text, [violation], metadata=metadata)


def shared(served: Served, words: Spoken) -> BatchExplanation:
    """Returns what the explanations of all rows that a version answers have in common."""
    # What a feature is called; what it means is GetModel's, or a wide view would fill the first answer.
    called = [
        Feature(name=each.name, title=each.title, unit=each.unit, labels=each.labels)
        for each in words.features
    ]
    return BatchExplanation(
        output_space=output_space(served.manifest),
        method=EXPLANATION_METHOD_TREE_PATH_DEPENDENT,
        base_value=served.manifest.base_value,
        features=called,
        language_code=words.language,
    )


async def write(
    explanations: MutableSequence[RowExplanation],
    slices: AsyncGenerator[Reasons, None],
    rows: ScoredRows,
) -> dict[int, float]:
    """Writes reasons to their places in a chunk, slice by slice as they come.

    Args:
        explanations: Of the whole chunk, empty.
        slices: The reasons of the scored rows.
        rows: The scored rows.

    Returns:
        By place those that do not add up, which stay empty, and by how much they miss their output.
    """
    wrong: dict[int, float] = {}
    async with aclosing(slices):
        async for reasons in slices:
            wrong |= _write_slice(explanations, reasons, rows)
    return wrong


def _write_slice(
    explanations: MutableSequence[RowExplanation], reasons: Reasons, rows: ScoredRows
) -> dict[int, float]:
    found, some = reasons.largest, slice(reasons.start, reasons.start + len(reasons.largest.errors))
    written = zip(
        rows.places[some].tolist(),
        found.features.tolist(),
        np.take_along_axis(rows.values[some], found.features, axis=1).tolist(),
        found.contributions.tolist(),
        found.remainders.tolist(),
        rows.outputs[some].tolist(),
        found.add_up.tolist(),
        strict=True,
    )
    for place, features, values, contributions, remainder, output, adds_up in written:
        if adds_up:
            explanation = explanations[place]
            explanation.features.extend(features)
            explanation.values.extend(values)
            explanation.contributions.extend(contributions)
            explanation.remainder = remainder
            explanation.output_value = output
    missed = np.flatnonzero(~found.add_up)
    return dict(zip(rows.places[some][missed].tolist(), found.errors[missed].tolist(), strict=True))
