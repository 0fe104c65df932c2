"""What the command says around a score and its reasons, in English and in French; numbers too."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Words:
    """The words of one language.

    Attributes:
        customer: Whom a score is of.
        probability: What a score is.
        bands: The risk by the name of its band.
        model: Which version answered.
        as_of: The moment it was asked as of.
        set_by_you: What the caller replaced.
        warning: Heads what is said of a value that the model did not learn from.
        warned: That, by title, `value` and `verdict`.
        verdicts: What is wrong with such a value, by its kind.
        at_least: The lower bound of what it should be.
        at_most: The upper bound.
        lowers: Heads the bars to the left.
        raises: Heads the bars to the right.
        others: What is not listed, by `count`.
        missing: A value that is missing.
        log_odds: The space that contributions add up in, where it is no probability.
        sum_line: How they add up.
        a_probability_of: What the sum comes to, by `share`.
        percent: A share in percent, with the language's own blank.
        decimal_point: Between ones and tenths.
        thousands: Between thousands and hundreds.
    """

    customer: str
    probability: str
    bands: Mapping[str, str]
    model: str
    as_of: str
    set_by_you: str
    warning: str
    warned: str
    verdicts: Mapping[str, str]
    at_least: str
    at_most: str
    lowers: str
    raises: str
    others: str
    missing: str
    log_odds: str
    sum_line: str
    a_probability_of: str
    percent: str
    decimal_point: str
    thousands: str

    def written(self, number: str) -> str:
        """Returns a number that Python wrote, `1,234.5`, as this language writes it."""
        return number.translate({ord(","): self.thousands, ord("."): self.decimal_point})

    def quantity(self, value: float | None, unit: str = "", label: str = "") -> str:
        """Writes a feature's value short: its label, or four digits, or all those before the point; its unit.

        Args:
            value: The value; None is missing.
            unit: Its unit, empty for a plain number.
            label: What the value stands for, empty for a quantity.
        """
        if value is None:
            return self.missing
        if label:
            return label
        digits = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
        return f"{self.written(digits)} {unit}".rstrip()


ENGLISH = Words(
    customer="customer",
    probability="probability",
    bands=MappingProxyType({"low": "low risk", "medium": "medium risk", "high": "high risk"}),
    model="model",
    as_of="as of",
    set_by_you="set by you",
    warning="warning",
    warned="{title} {value}: {verdict}",
    verdicts=MappingProxyType({"impossible": "impossible", "outside_learned": "new to the model"}),
    at_least="at least",
    at_most="at most",
    lowers="lowers",
    raises="raises",
    others="{count} others",
    missing="missing",
    log_odds="log-odds",
    sum_line="average {base} + features {features} = {space} {output}",
    a_probability_of="a probability of {share}",
    percent="{share}%",
    decimal_point=".",
    thousands=",",
)
FRENCH = Words(
    customer="client",
    probability="probabilité",
    bands=MappingProxyType({"low": "risque faible", "medium": "risque moyen", "high": "risque élevé"}),
    model="modèle",
    as_of="en date du",
    set_by_you="fixé par vous",
    warning="avertissement",
    warned="{title} {value}\u00a0: {verdict}",
    verdicts=MappingProxyType({"impossible": "impossible", "outside_learned": "inconnu du modèle"}),
    at_least="au moins",
    at_most="au plus",
    lowers="diminue",
    raises="augmente",
    others="{count} autres",
    missing="manquant",
    log_odds="log-cotes",
    sum_line="moyenne {base} + variables {features} = {space} {output}",
    a_probability_of="soit une probabilité de {share}",
    percent="{share}\u00a0%",
    decimal_point=",",
    thousands="\u00a0",
)


def words_in(language: str) -> Words:
    """Returns the words for a language tag; English for every language that we do not speak."""
    from staunch._results import nearest_language

    return FRENCH if nearest_language(language, ("fr",)) else ENGLISH
