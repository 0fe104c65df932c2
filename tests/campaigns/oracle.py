"""What is right, computed by hand from the people and the small trees: no code of the server takes part.

Each answer names its version and its moment, so each can be checked whatever happened meanwhile.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import combinations
from math import exp, factorial, isnan, nan

from tests.server.small_models import EPOCH, expected_margin, person

from staunch.v1 import prediction_service_pb2 as pb

FEATURES = ("a", "b", "hours")
MEDIUM, HIGH = 0.3, 0.7  # the thresholds of the small manifest
_OUTPUT_TOLERANCE = 1e-12
_CONTRIBUTION_TOLERANCE = 1e-9
_CLOCK_S = 0.002  # rounding of moments, and of the callers' own clock

Values = Mapping[str, float]


@dataclass(frozen=True)
class Asked:
    """What a caller asked about one person.

    Attributes:
        customer: Their number.
        overrides: The values that were set by hand, NaN for null.
        as_of: The moment that was asked for; None for now.
        sent_at: When the call was sent.
    """

    customer: int
    sent_at: datetime
    overrides: Values
    as_of: datetime | None = None


@dataclass(frozen=True)
class Oracle:
    """Knows the people and the versions.

    Attributes:
        people: How many there are, from 1 on.
        bases: What the margins of each version begin with.
    """

    people: int
    bases: Mapping[int, float]

    def refusals(self, customer: int) -> set[str]:
        """Returns the reasons by which a person cannot be scored; empty if they can."""
        if not 1 <= customer <= self.people:
            return {"CUSTOMER_NOT_FOUND"}
        return set() if customer % 11 else {"CUSTOMER_NOT_ELIGIBLE"}

    def prediction_errors(
        self, asked: Asked, answer: pb.PredictResponse, taken_at: datetime
    ) -> Iterator[str]:
        """Yields what is wrong with an answer that came at `taken_at`; nothing if it is right."""
        if answer.model.version not in self.bases or answer.model.name != "churn":
            yield f"a version that was never published: {answer.model.name}@{answer.model.version}"
            return
        moment = answer.as_of_time.ToDatetime(UTC)
        yield from _moment_errors(asked, moment, taken_at)
        yield from self.row_errors(
            asked, answer.model.version, moment, answer.probability, pb.RiskBand.Name(answer.risk_band)
        )
        if answer.features:
            values = self.values(asked, moment)
            for name, value in values.items():
                shown = answer.features[name]
                found = nan if shown.WhichOneof("kind") == "null_value" else shown.number_value
                if not _same(found, value, _CONTRIBUTION_TOLERANCE):
                    yield f"feature {name} is {found}, expected {value}"

    def row_errors(
        self, asked: Asked, version: int, moment: datetime, probability: float, band: str
    ) -> Iterator[str]:
        """Yields what is wrong with a probability and its band."""
        if self.refusals(asked.customer):
            yield f"a score for {asked.customer}, whom {self.refusals(asked.customer)} forbids"
            return
        expected = _sigmoid(self._margin(self.values(asked, moment), version))
        if abs(probability - expected) > _OUTPUT_TOLERANCE:
            yield f"{asked.customer} as of {moment} by version {version}: {probability}, expected {expected}"
        expected_band = "HIGH" if expected >= HIGH else "MEDIUM" if expected >= MEDIUM else "LOW"
        if band != f"RISK_BAND_{expected_band}":
            yield f"band {band}, expected {expected_band} of {expected}"

    def explanation_errors(
        self, asked: Asked, answer: pb.ExplainResponse, taken_at: datetime
    ) -> Iterator[str]:
        """Yields what is wrong with an explanation of every feature, and with the answer that it explains."""
        yield from self.prediction_errors(asked, answer.prediction, taken_at)
        version, moment = answer.prediction.model.version, answer.prediction.as_of_time.ToDatetime(UTC)
        if version not in self.bases:
            return
        values, found = self.values(asked, moment), answer.explanation
        expected = {name: self._contribution(name, values) for name in FEATURES}
        for contribution in found.contributions:
            name = contribution.feature
            if abs(contribution.contribution - expected.pop(name)) > _CONTRIBUTION_TOLERANCE:
                yield f"{name} adds {contribution.contribution}, expected {self._contribution(name, values)}"
        if any(abs(left) > _CONTRIBUTION_TOLERANCE for left in expected.values()):
            yield f"not explained: {expected}"
        total = found.base_value + sum(each.contribution for each in found.contributions) + found.remainder
        if abs(total - self._margin(values, version)) > _CONTRIBUTION_TOLERANCE:
            yield f"the contributions add up to {total}, expected {self._margin(values, version)}"

    def values(self, asked: Asked, moment: datetime) -> dict[str, float]:
        """Returns the features of a person at a moment, NaN for null."""
        hours = (moment - EPOCH) / timedelta(hours=1) - asked.customer
        live = dict(zip(FEATURES, person(asked.customer, hours), strict=True))
        return live | dict(asked.overrides)

    def _margin(self, values: Values, version: int) -> float:
        a, b, hours = (values[name] for name in FEATURES)
        return expected_margin((a, b, hours), self.bases[version])

    def _contribution(self, name: str, values: Values) -> float:
        """The Shapley value of a feature by its definition, over every set of the others."""
        others = [each for each in FEATURES if each != name]
        total = 0.0
        for size in range(len(others) + 1):
            weight = factorial(size) * factorial(len(FEATURES) - size - 1) / factorial(len(FEATURES))
            for known in combinations(others, size):
                total += weight * (_expectation(values, {*known, name}) - _expectation(values, set(known)))
        return total


def _expectation(values: Values, known: set[str]) -> float:
    """What the small trees give where only these features are known: branches weighed by their covers."""
    a = {True: -1.0, False: 1.0}
    first = a[values["a"] <= 5] if "a" in known else 0.6 * a[True] + 0.4 * a[False]
    hours = {True: -0.5, False: 0.25}
    low = hours[values["hours"] <= 100] if "hours" in known else 0.5 * hours[True] + 0.5 * hours[False]
    if "b" in known:
        return first + (low if isnan(values["b"]) or values["b"] <= 0.5 else 0.75)
    return first + 0.6 * low + 0.4 * 0.75


def _moment_errors(asked: Asked, moment: datetime, taken_at: datetime) -> Iterator[str]:
    clock = timedelta(seconds=_CLOCK_S)
    if asked.as_of is not None:
        if moment != asked.as_of:
            yield f"as of {moment}, asked for {asked.as_of}"
    elif not asked.sent_at - clock <= moment <= taken_at + clock:
        yield f"as of {moment}, while the call lasted from {asked.sent_at} to {taken_at}"


def _same(found: float, expected: float, tolerance: float) -> bool:
    return (isnan(found) and isnan(expected)) or abs(found - expected) <= tolerance


def _sigmoid(margin: float) -> float:
    return 1 / (1 + exp(-margin))
