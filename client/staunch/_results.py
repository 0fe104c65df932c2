"""What calls return: frozen values in plain Python types; times are aware datetimes in UTC."""

from collections.abc import Collection
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from enum import StrEnum

from grpc import StatusCode


class RiskBand(StrEnum):
    """The class of action a score falls in, by the thresholds of the model version."""

    UNSPECIFIED = "unspecified"
    """The model has no thresholds."""
    LOW = "low"
    """Below the lower threshold."""
    MEDIUM = "medium"
    """Between the thresholds."""
    HIGH = "high"
    """At or above the upper threshold."""


class OutputSpace(StrEnum):
    """The space in which contributions add up."""

    UNSPECIFIED = "unspecified"
    """The version has no explainer."""
    PROBABILITY = "probability"
    """The probability itself."""
    LOG_ODDS = "log_odds"
    """ln(p / (1 - p)) of the calibrated probability."""


class ExplanationMethod(StrEnum):
    """The definition of the contributions."""

    UNSPECIFIED = "unspecified"
    """A method that this client does not know yet."""
    TREE_PATH_DEPENDENT = "tree_path_dependent"
    """Exact Shapley values with the path-dependent value function of TreeSHAP."""


class ModelState(StrEnum):
    """What the server does with a version."""

    UNSPECIFIED = "unspecified"
    """A state that this client does not know yet."""
    STORED = "stored"
    """In the store and not loaded; a request that names it loads it."""
    LOADING = "loading"
    """Being verified and warmed."""
    READY = "ready"
    """Answers."""
    REFUSED = "refused"
    """Failed verification and never answers."""


class IdType(StrEnum):
    """The type of a view's ids."""

    UNSPECIFIED = "unspecified"
    """A type that this client does not know yet."""
    INT64 = "int64"
    """Whole numbers from 1: pass an int."""
    TEXT = "text"
    """Text keys: pass a str."""
    UUID = "uuid"
    """Uuids: pass a uuid.UUID or its text."""


class FeatureType(StrEnum):
    """The type of a feature."""

    UNSPECIFIED = "unspecified"
    """A type that this client does not know yet."""
    NUMBER = "number"
    """A float."""
    TEXT = "text"
    """A text category."""


@dataclass(frozen=True, slots=True)
class ModelReference:
    """Names the model version that computed an answer; `str()` gives "name@version".

    Attributes:
        name: The model's name, for example "churn".
        version: The version number, 1 or more.
        digest: "sha256:" and the hex digest of the version's manifest.json.
        horizon_days: Within how many days the label of a probability comes true or does not.
    """

    name: str
    version: int
    digest: str
    horizon_days: int = 0

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"


class FeatureWarningKind(StrEnum):
    """What is wrong with a value that a score was computed from."""

    UNSPECIFIED = "unspecified"
    """A kind that this client does not know yet."""
    OUTSIDE_LEARNED = "outside_learned"
    """The rows that the model learned from had no such value."""
    IMPOSSIBLE = "impossible"
    """The view says that there is no such value."""


@dataclass(frozen=True, slots=True)
class FeatureWarning:
    """A value that the model did not learn from; `str()` says it in a sentence.

    Attributes:
        feature: The feature's name.
        title: What people call it, for example "Tenure".
        kind: What is wrong with the value.
        value: The value used, None where missing.
        value_label: What the value stands for, "ON" for 8; empty where it has no label.
        minimum: The least value of the range that it lies outside; None without such a bound.
        maximum: The greatest value of that range; None without such a bound.
    """

    feature: str
    title: str
    kind: FeatureWarningKind
    value: float | None
    value_label: str
    minimum: float | None
    maximum: float | None

    def __str__(self) -> str:
        value = "missing" if self.value is None else self.value_label or f"{self.value:g}"
        verdict = "impossible" if self.kind == "impossible" else "new to the model"
        bounds = (("at least", self.minimum), ("at most", self.maximum))
        known = ", ".join(f"{words} {bound:g}" for words, bound in bounds if bound is not None)
        return f"{self.title} {value}: {verdict}" + (f" ({known})" if known else "")


@dataclass(frozen=True, slots=True)
class Prediction:
    """One score.

    Attributes:
        probability: The calibrated probability of the label, 0 to 1.
        risk_band: The band of the probability.
        model: The version that computed it.
        as_of: The moment the features were read as of; None if the caller gave the features, or the
            view knows no time.
        features: The values used by name, None where missing; None unless asked for.
        request_id: The id under which the server knows the call; no part of what is compared.
        warnings: The values that the model did not learn from: the score is to be doubted.
    """

    probability: float
    risk_band: RiskBand
    model: ModelReference
    as_of: datetime | None
    features: dict[str, float | None] | None
    request_id: str = field(default="", compare=False)
    warnings: tuple[FeatureWarning, ...] = ()


@dataclass(frozen=True, slots=True)
class Contribution:
    """One feature's part of the output.

    Attributes:
        feature: The feature's name.
        value: The value used, None where missing.
        contribution: The part, in the explanation's output space.
        overridden: True if the value came from `overrides`.
        title: What people call the feature, for example "Province".
        unit: The unit of the value; empty for a plain number.
        value_label: What the value stands for, "ON" for 8; empty where it is a quantity.
    """

    feature: str
    value: float | None
    contribution: float
    overridden: bool
    title: str = ""
    unit: str = ""
    value_label: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowExplanation:
    """Why a row has its score: base_value + the contributions + remainder = output_value.

    Attributes:
        output_space: The unit of all the values below.
        method: How the contributions are defined.
        base_value: The mean output over the training rows.
        output_value: The model's own output, read from the model and not from the sum.
        contributions: The largest absolute value first, ties by name.
        remainder: The sum of the contributions not listed.
        language: The language that titles, units and labels are in, a BCP 47 tag in small letters.
    """

    output_space: OutputSpace
    method: ExplanationMethod
    base_value: float
    output_value: float
    contributions: tuple[Contribution, ...]
    remainder: float
    language: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation(RowExplanation):
    """One score and its reasons.

    Attributes:
        prediction: The score that is explained.
        remainder_count: How many contributions are not listed.
        additivity_error: |base_value + contributions + remainder - output_value|, at most 1e-9.
    """

    prediction: Prediction
    remainder_count: int
    additivity_error: float

    @property
    def request_id(self) -> str:
        """The id under which the server knows the call."""
        return self.prediction.request_id


@dataclass(frozen=True, slots=True)
class Score:
    """One answered row of a batch.

    Attributes:
        customer: The id as it was given.
        probability: The calibrated probability of the label, 0 to 1.
        risk_band: The band of the probability.
        model: The version that computed it, the same for the whole batch.
        as_of: The moment the features were read as of, the same for the whole batch; None if the view
            knows no time.
        request_id: The id under which the server knows the batch, the same for all of it; no part of what is
            compared.
        has_warnings: Whether values are none that the model learned from: `predict` says which.
        explanation: Why, if `top_contributions` were asked for; else None.
    """

    customer: int | str
    probability: float
    risk_band: RiskBand
    model: ModelReference
    as_of: datetime | None
    request_id: str = field(default="", compare=False)
    has_warnings: bool = False
    explanation: RowExplanation | None = None

    @property
    def reasons(self) -> tuple[Contribution, ...]:
        """The contributions of the explanation, the largest first; none if none were asked for."""
        return () if self.explanation is None else self.explanation.contributions


@dataclass(frozen=True, slots=True)
class RowError:
    """One row of a batch that has no score.

    Attributes:
        customer: The id as it was given.
        code: The status that `predict` would fail with for this customer.
        reason: The reason that `predict` would give, for example "CUSTOMER_NOT_FOUND".
        message: What to do; empty where the reason says all.
        request_id: As for `Score`.
    """

    customer: int | str
    code: StatusCode
    reason: str
    message: str
    request_id: str = field(default="", compare=False)


def nearest_language(asked: str, languages: Collection[str]) -> str:
    """Returns the language that serves who asks for "fr-CA": that, or else "fr"; empty if neither is there.

    Args:
        asked: A tag, in any letters.
        languages: Those there are, in small letters.
    """
    tag = asked.lower().replace("_", "-")
    while tag and tag not in languages:
        tag = tag.rpartition("-")[0]
    return tag


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureTexts:
    """What a view says of a feature in one language.

    Attributes:
        title: What people call it, for example "Province".
        unit: For example "CAD" or "days"; empty for a plain number.
        description: What it means, in one sentence.
        null_meaning: What a missing value means; empty if none is ever missing.
        labels: What coded values stand for, 8 to "ON"; empty where the value is a quantity.
    """

    title: str
    unit: str
    description: str
    null_meaning: str
    labels: dict[float, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature(FeatureTexts):
    """One column of a feature view; its texts are in the view's own language, or in the one of `in_language`.

    Attributes:
        name: As in SQL.
        language: The language of its texts, a BCP 47 tag in small letters.
        type: The type of the value.
        nullable: True if the value can be missing.
        possible: The least and the greatest value that there can be; None where there is no bound.
        learned: The least and the greatest value that the model learned from; None if it does not tell.
        learned_null: Whether it learned from rows where the value was missing; None if it does not tell.
        learned_values: Of a feature with labels, the values that it learned from, in ascending order.
        translations: The texts in the other languages that the view has, by such a tag.
    """

    name: str
    language: str
    type: FeatureType
    nullable: bool
    possible: tuple[float | None, float | None]
    learned: tuple[float | None, float | None]
    learned_null: bool | None
    learned_values: tuple[float, ...]
    translations: dict[str, FeatureTexts]

    def in_language(self, language: str) -> "Feature":
        """Returns it with its texts in a language: for "fr-CA" those of "fr" serve; itself if none does."""
        tag = nearest_language(language, {self.language, *self.translations})
        if tag in ("", self.language):
            return self
        names = [each.name for each in fields(FeatureTexts)]
        own = FeatureTexts(**{name: getattr(self, name) for name in names})
        others = {**self.translations, self.language: own}
        texts = others.pop(tag)
        return replace(
            self, language=tag, translations=others, **{name: getattr(texts, name) for name in names}
        )


@dataclass(frozen=True, slots=True)
class Metric:
    """One measure on held-out time.

    Attributes:
        name: For example "auc".
        value: The estimate.
        lower: The lower end of the 95 % interval, None if not estimated.
        upper: The upper end of the 95 % interval, None if not estimated.
    """

    name: str
    value: float
    lower: float | None
    upper: float | None


@dataclass(frozen=True, slots=True)
class Model:
    """One version of a model. `features`, `metrics` and `manifest_json` are filled by `get_model` only.

    Attributes:
        reference: Name, version and digest.
        aliases: The aliases that point here, sorted.
        state: What this server does with the version.
        state_reason: The reason it is refused for, else empty.
        state_message: What is wrong and how to mend it, else empty.
        create_time: When the version was published; None if its manifest is not readable.
        view: The feature view, for example "churn".
        id_type: The type of the view's ids.
        view_digest: The digest of the feature SQL text stored with the version.
        features_digest: The digest of the ordered feature names and types.
        output_space: The space `explain` answers in; UNSPECIFIED if the version has no explainer.
        horizon_days: The horizon of the label.
        medium_threshold: The probability from which the band is MEDIUM; None without thresholds.
        high_threshold: The probability from which the band is HIGH; None without thresholds.
        features: The features in the model's order.
        metrics: The measures on held-out time.
        manifest_json: The manifest.json, byte for byte.
        language: The language of the features' texts; filled by `get_model` only.
        eligible: Who is eligible, in words that follow "a customer who", as "has a live subscription"; empty
            if everybody is. Filled by `get_model` only.
        eligible_translations: The same words in the other languages that the view has.
    """

    reference: ModelReference
    aliases: tuple[str, ...]
    state: ModelState
    state_reason: str
    state_message: str
    create_time: datetime | None
    view: str
    id_type: IdType
    view_digest: str
    features_digest: str
    output_space: OutputSpace
    horizon_days: int
    medium_threshold: float | None
    high_threshold: float | None
    features: tuple[Feature, ...]
    metrics: tuple[Metric, ...]
    manifest_json: bytes
    language: str = ""
    eligible: str = ""
    eligible_translations: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AliasMove:
    """What setting an alias did.

    Attributes:
        model: The version the alias points at now.
        previous_version: The version it pointed at before; None if it is new.
        request_id: The id under which the server knows the call; no part of what is compared.
    """

    model: Model
    previous_version: int | None
    request_id: str = field(default="", compare=False)
