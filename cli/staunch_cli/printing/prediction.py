"""A score as text for people and as JSON for programs."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from staunch_cli.printing import formatting
from staunch_cli.printing.json_results import plain
from staunch_cli.printing.words import ENGLISH, Words

if TYPE_CHECKING:
    from staunch import Feature, FeatureWarning, Prediction


def headline(
    customer: int | str,
    prediction: "Prediction",
    overrides: Mapping[str, float | None],
    words: Words = ENGLISH,
) -> list[tuple[str, str]]:
    """Gives the facts about one score, for people; what was set by hand is one of them."""
    probability = words.written(f"{prediction.probability:.4f}")
    replaced = [f"{name} = {formatting.number(value, words)}" for name, value in overrides.items()]
    return [
        (words.customer, str(customer)),
        (words.probability, f"{probability}  {words.bands.get(prediction.risk_band, '')}".rstrip()),
        (words.model, str(prediction.model)),
        (words.as_of, formatting.utc_time(prediction.as_of)),
        (words.set_by_you, ", ".join(replaced)),
        *((words.warning, warning_line(each, words)) for each in prediction.warnings),
    ]


def in_words_of(prediction: "Prediction", features: Iterable["Feature"]) -> "Prediction":
    """Returns a prediction whose warnings call features and values as these features do."""
    known = {feature.name: feature for feature in features}
    warnings = tuple(
        replace(each, title=feature.title, value_label=_label(feature, each.value))
        if (feature := known.get(each.feature))
        else each
        for each in prediction.warnings
    )
    return replace(prediction, warnings=warnings)


def warning_line(warning: "FeatureWarning", words: Words) -> str:
    """Says what is wrong with a value, and between which ones it should lie."""
    value = warning.value_label or formatting.number(warning.value, words)
    verdict = words.verdicts.get(warning.kind, words.verdicts["outside_learned"])
    bounds = ((words.at_least, warning.minimum), (words.at_most, warning.maximum))
    known = [f"{word} {formatting.number(bound, words)}" for word, bound in bounds if bound is not None]
    warned = words.warned.format(title=warning.title, value=value, verdict=verdict)
    return f"{warned} ({', '.join(known)})" if known else warned


def values_used(
    values: Mapping[str, float | None], features: Iterable["Feature"], words: Words = ENGLISH
) -> list[tuple[str, str, str]]:
    """Gives title, value and name of the features used, in the model's order; then those it knows not.

    Args:
        values: The values by name.
        features: What is known of them.
        words: How numbers and what is missing are written.
    """
    known = {feature.name: feature for feature in features}
    unknown = sorted(values.keys() - known.keys())
    rows = [_value_used(feature, values[name], words) for name, feature in known.items() if name in values]
    return rows + [(name, formatting.number(values[name], words), "") for name in unknown]


def _value_used(feature: "Feature", value: float | None, words: Words) -> tuple[str, str, str]:
    label = _label(feature, value)
    unit = "" if value is None else feature.unit
    return feature.title, label or f"{formatting.number(value, words)} {unit}".rstrip(), feature.name


def _label(feature: "Feature", value: float | None) -> str:
    return "" if value is None else feature.labels.get(value, "")


def as_json(
    customer: int | str, prediction: "Prediction", overrides: Mapping[str, float | None]
) -> dict[str, Any]:
    """Gives the facts about one score, for programs."""
    facts: dict[str, Any] = {
        "customer": customer,
        "probability": prediction.probability,
        "risk_band": str(prediction.risk_band),
        "model": str(prediction.model),
        "model_digest": prediction.model.digest,
        "as_of": formatting.utc_time(prediction.as_of) or None,
    }
    if overrides:
        facts["overrides"] = dict(overrides)
    if prediction.warnings:
        facts["warnings"] = [plain(warning) for warning in prediction.warnings]
    return facts if prediction.features is None else {**facts, "features": prediction.features}
