"""An explanation as a picture of bars for people, and as JSON for programs."""

import textwrap
from typing import TYPE_CHECKING, Any, NamedTuple

from staunch_cli.printing.canvas import TextCanvas
from staunch_cli.printing.words import Words, words_in

if TYPE_CHECKING:
    from staunch import Explanation, RowExplanation

SUMS = ("base_value", "output_value", "remainder")
"""What the reasons of a row add up by, after them."""

FOR_PEOPLE = ("", "_value", "_contribution")
FOR_PROGRAMS = ("", "_feature", "_value", "_label", "_contribution")
"""What the names of a reason's columns end in, after "reason_1"."""

_TITLE_WIDTH, _VALUE_WIDTH = 30, 22  # what is shown whole; with these, bars still fit into 80 columns
_FIXED_WIDTH = 2 + 1 + 1 + 11 + 2 + 1  # margin, contribution, axis and the gaps between
_BAR_WIDTH = 12  # a wider screen gives the rest to longer titles first


class _Row(NamedTuple):
    """What one line of the picture shows: a title in lines, a value, and a bar."""

    title: str
    value: str
    part: float


def picture(explanation: "Explanation", words: Words, canvas: TextCanvas) -> str:
    """Draws an explanation: a bar for each contribution and for the rest, then the sum.

    Args:
        explanation: The explanation.
        words: What stands around its own titles, units and labels.
        canvas: What it is drawn on.
    """
    rows = _rows(explanation, words)
    value_width = min(max((len(row.value) for row in rows), default=5), _VALUE_WIDTH)
    room = max(_TITLE_WIDTH, canvas.width - _FIXED_WIDTH - value_width - 2 * _BAR_WIDTH)
    title_width = min(max((len(row.title) for row in rows), default=0), room)
    half = max(2, (canvas.width - _FIXED_WIDTH - title_width - value_width) // 2)
    largest = max((abs(row.part) for row in rows), default=0.0) or 1.0
    space = _output_space(explanation, words)
    lines = [f"  {'':<{title_width}} {'':>{value_width}} {space:>11}  {words.lowers:>{half}}|{words.raises}"]
    for row in rows:
        first, *rest = _wrapped(row.title, title_width)
        shown = f"  {first:<{title_width}} {_cut(row.value, value_width):>{value_width}}"
        bar = canvas.bar(row.part / largest, half)
        lines.append(f"{shown} {words.written(f'{row.part:>+11.4f}')}  {bar}".rstrip())
        lines += [f"    {line}" for line in rest]
    if any(part.overridden for part in explanation.contributions):
        lines.append(f"  * {words.set_by_you}")
    return "\n".join([*lines, "", f"  {_sum_line(explanation, words)}"])


def _rows(explanation: "Explanation", words: Words) -> list[_Row]:
    """Gives title, value and part of each contribution, and of the rest."""
    rows = [
        _Row(
            f"{part.title or part.feature}*" if part.overridden else part.title or part.feature,
            words.quantity(part.value, part.unit, part.value_label),
            part.contribution,
        )
        for part in explanation.contributions
    ]
    if explanation.remainder_count:
        others = words.others.format(count=explanation.remainder_count)
        rows.append(_Row(others, "", explanation.remainder))
    return rows


def _wrapped(title: str, width: int) -> list[str]:
    """The lines of a title: a long one goes on below, two columns in; a word that is too long is cut."""
    lines = textwrap.wrap(title, width, subsequent_indent="  ", break_long_words=False) or [""]
    return [_cut(line, width) if place == 0 else line.strip() for place, line in enumerate(lines)]


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "~"


def _output_space(explanation: "Explanation", words: Words) -> str:
    return words.probability if explanation.output_space == "probability" else words.log_odds


def _sum_line(explanation: "Explanation", words: Words) -> str:
    base, output = explanation.base_value, explanation.output_value
    is_probability = explanation.output_space == "probability"
    digits = 4 if is_probability else 3
    base_text, features, output_text = (
        words.written(f"{value:.{digits}f}") for value in (base, output - base, output)
    )
    made = words.sum_line.format(
        base=base_text, features=features, space=_output_space(explanation, words), output=output_text
    )
    if is_probability:
        return made
    share = words.written(f"{100 * explanation.prediction.probability:.1f}")
    return f"{made}, {words.a_probability_of.format(share=words.percent.format(share=share))}"


def explanation_json(explanation: "Explanation") -> dict[str, object]:
    """Returns what an explanation adds to its score, for programs."""
    return reasons_json(explanation) | {
        "remainder_count": explanation.remainder_count,
        "additivity_error": explanation.additivity_error,
    }


def reasons_json(explanation: "RowExplanation") -> dict[str, object]:
    """Returns what the reasons of a row add to its score, for programs."""
    return {
        "output_space": str(explanation.output_space),
        "method": str(explanation.method),
        "language": explanation.language,
        "base_value": explanation.base_value,
        "output_value": explanation.output_value,
        "contributions": [
            {
                "feature": part.feature,
                "title": part.title,
                "value": part.value,
                "value_label": part.value_label,
                "unit": part.unit,
                "contribution": part.contribution,
                "overridden": part.overridden,
            }
            for part in explanation.contributions
        ],
        "remainder": explanation.remainder,
    }


def reason_columns(reasons: int, parts: tuple[str, ...]) -> tuple[str, ...]:
    """Returns the names of the columns of so many reasons, of these parts each, and of the sums."""
    names = (f"reason_{place}{part}" for place in range(1, reasons + 1) for part in parts)
    return (*names, *SUMS) if reasons else ()


def cells_for_people(explanation: "RowExplanation", reasons: int) -> list[str]:
    """Returns title, value with unit or label, and contribution of each reason, then the sums, as texts."""
    words = words_in(explanation.language)
    cells = [
        cell
        for part in explanation.contributions
        for cell in (
            part.title,
            words.quantity(part.value, part.unit, part.value_label),
            repr(part.contribution),
        )
    ]
    # A model may have fewer features than reasons were asked for.
    cells += [""] * (len(FOR_PEOPLE) * reasons - len(cells))
    return [*cells, *(repr(getattr(explanation, name)) for name in SUMS)]


def cells_for_programs(explanation: "RowExplanation", reasons: int) -> list[Any]:
    """Returns title, name, value, label and contribution of each reason, then the sums."""
    cells = [
        cell
        for part in explanation.contributions
        for cell in (part.title, part.feature, part.value, part.value_label or None, part.contribution)
    ]
    cells += [None] * (len(FOR_PROGRAMS) * reasons - len(cells))
    return [*cells, *(getattr(explanation, name) for name in SUMS)]
