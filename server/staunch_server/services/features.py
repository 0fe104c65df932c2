"""What answers say of a version's features, in the language asked for; made once a version and language."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from staunch.v1.feature_pb2 import (
    FEATURE_TYPE_NUMBER,
    FEATURE_WARNING_KIND_IMPOSSIBLE,
    FEATURE_WARNING_KIND_OUTSIDE_LEARNED,
    Feature,
    FeatureLabel,
    FeatureTexts,
    FeatureWarning,
)
from staunch.v1.prediction_service_pb2 import Explanation, FeatureContribution
from staunch_features.views.feature_doc import MISSING, NEVER, FeatureDoc, find_language, spelled_out
from staunch_features.views.file import FeatureView
from staunch_model_store import manifest
from staunch_server.errors import Violation, field_invalid
from staunch_server.models.served import Served
from staunch_server.statuses import clip
from staunch_server.types import Flag, Floats

MOST_TAG_LETTERS = 35
"""The longest language tag that is read, as long as BCP 47 asks for at least."""

_TAG = re.compile(r"[A-Za-z]{2,8}(?:[-_][A-Za-z0-9]{1,8})*")


@dataclass(frozen=True, slots=True)
class Spoken:
    """A version's features in one language, in the model's order.

    Attributes:
        language: The language, a BCP 47 tag in small letters.
        features: Each as a message, without its other languages.
        contributions: Each as the bytes of an explanation that lists it alone, without what differs from call
            to call: explanations are parsed from several of them in a row.
        labels: What the values of each stand for; empty for a quantity.
    """

    language: str
    features: Sequence[Feature]
    contributions: Sequence[bytes]
    labels: Sequence[Mapping[float, str]]


# By version: one that is let go takes its messages with it.
_MADE: WeakKeyDictionary[Served, dict[str, Spoken]] = WeakKeyDictionary()


def spoken(served: Served, language_code: str) -> Spoken:
    """Returns a version's features in the nearest language that its view has.

    Args:
        served: The version.
        language_code: As a request gives it; empty is the view's own language.

    Raises:
        Refusal: FIELD_INVALID, if it is no language tag.
    """
    if language_code and (len(language_code) > MOST_TAG_LETTERS or not _TAG.fullmatch(language_code)):
        text = f'Expected a language_code such as "fr" or "fr-CA", got {clip(language_code, 40)!r}.'
        wrong = Violation("language_code", "is no BCP 47 tag")
        raise field_invalid(text, wrong, expected='a BCP 47 tag such as "fr-CA"', got=language_code)
    view = served.view.text
    language = find_language(language_code.replace("_", "-"), view.languages) or view.language
    made = _MADE.setdefault(served, {})
    if language not in made:
        made[language] = _speak(served.manifest.features, view.in_language(language))
    return made[language]


def warnings(
    served: Served, flags: Sequence[Flag], values: Floats, language_code: str
) -> list[FeatureWarning]:
    """Returns what answers say of values that a model did not learn from.

    Args:
        served: The version.
        flags: Which values, and what is wrong with them.
        values: Float64 (features,), NaN is null.
        language_code: As in `spoken`.

    Raises:
        Refusal: As `spoken`.
    """
    words = spoken(served, language_code)
    return [_warning(served, words, flag, float(values[flag.column])) for flag in flags]


def _warning(served: Served, words: Spoken, flag: Flag, value: float) -> FeatureWarning:
    feature = words.features[flag.column]
    low, high = served.limits.range_of(flag)
    is_beyond = value < low or value > high  # else it is null, or a code between others
    impossible = FEATURE_WARNING_KIND_IMPOSSIBLE
    return FeatureWarning(
        feature=feature.name,
        title=feature.title,
        kind=impossible if flag.is_impossible else FEATURE_WARNING_KIND_OUTSIDE_LEARNED,
        value=None if math.isnan(value) else value,
        value_label=words.labels[flag.column].get(value, ""),
        minimum=low if is_beyond and math.isfinite(low) else None,
        maximum=high if is_beyond and math.isfinite(high) else None,
    )


def described(features: Sequence[manifest.Feature], view: FeatureView | None) -> list[Feature]:
    """Returns a version's features with their texts in all languages.

    Args:
        features: The manifest's.
        view: The text that the version carries; None if it cannot be read.
    """
    messages = []
    for feature in features:
        doc = _doc(feature, view)
        message = _feature(feature, doc)
        if feature.learned is not None:
            message.learned_values.extend(feature.learned.values)
        for language in doc.translations:
            message.translations[language].CopyFrom(_texts(doc.in_language(language)))
        messages.append(message)
    return messages


def _speak(features: Sequence[manifest.Feature], view: FeatureView) -> Spoken:
    docs = [_doc(feature, view) for feature in features]
    return Spoken(
        language=view.language,
        features=[_feature(feature, doc) for feature, doc in zip(features, docs, strict=True)],
        contributions=[
            _alone(FeatureContribution(feature=feature.name, title=doc.title, unit=doc.unit))
            for feature, doc in zip(features, docs, strict=True)
        ],
        labels=[doc.labels for doc in docs],
    )


def _alone(contribution: FeatureContribution) -> bytes:
    return Explanation(contributions=[contribution]).SerializeToString()


def _doc(feature: manifest.Feature, view: FeatureView | None) -> FeatureDoc:
    """What the view says of a feature, or as much of it as the manifest does."""
    if view is not None and feature.name in view.features:
        return view.features[feature.name]
    null = MISSING if feature.nullable else NEVER
    title = spelled_out(feature.name)
    return FeatureDoc(feature.unit, feature.description, (), "", null, title=title)


def _feature(feature: manifest.Feature, doc: FeatureDoc) -> Feature:
    texts = _texts(doc)
    low, high = doc.possible
    return Feature(
        name=feature.name,
        type=FEATURE_TYPE_NUMBER,
        nullable=feature.nullable,
        unit=texts.unit,
        description=texts.description,
        title=texts.title,
        labels=texts.labels,
        null_meaning=texts.null_meaning,
        minimum=low if math.isfinite(low) else None,
        maximum=high if math.isfinite(high) else None,
        **({} if feature.learned is None else _learned(feature.learned)),
    )


def _learned(learned: manifest.LearnedValues) -> dict[str, Any]:
    return {
        "learned_minimum": learned.minimum,
        "learned_maximum": learned.maximum,
        "learned_null": learned.null,
    }


def _texts(doc: FeatureDoc) -> FeatureTexts:
    return FeatureTexts(
        title=doc.title,
        unit=doc.unit,
        description=doc.description,
        null_meaning=doc.null if doc.nullable else "",
        labels=[FeatureLabel(value=value, label=label) for value, label in doc.labels.items()],
    )
