"""An explanation as a picture of bars for people, and as JSON for programs."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from staunch_cli.printing import formatting
from staunch_cli.printing.canvas import TextCanvas

if TYPE_CHECKING:
    from staunch import Explanation

_NAME_WIDTH, _VALUE_WIDTH = 30, 22  # what is shown whole; with these, bars still fit into 80 columns
_FIXED_WIDTH = 2 + 1 + 1 + 11 + 2 + 1  # margin, contribution, axis and the gaps between


def picture(explanation: "Explanation", units: Mapping[str, str], canvas: TextCanvas) -> str:
    """Draws an explanation: a bar for each contribution and for the rest, then the sum.

    Args:
        explanation: The explanation.
        units: The unit of each feature by name; a feature without one is a plain number.
        canvas: What it is drawn on.
    """
    rows = _rows(explanation, units)
    name_width = min(max((len(name) for name, _, _ in rows), default=0), _NAME_WIDTH)
    value_width = min(max((len(value) for _, value, _ in rows), default=5), _VALUE_WIDTH)
    half = max(2, (canvas.width - _FIXED_WIDTH - name_width - value_width) // 2)
    largest = max((abs(part) for _, _, part in rows), default=0.0) or 1.0
    space = _output_space(explanation)
    lines = [f"  {'':<{name_width}} {'':>{value_width}} {space:>11}  {'lowers':>{half}}|raises"]
    for name, value, part in rows:
        shown = f"  {_cut(name, name_width):<{name_width}} {_cut(value, value_width):>{value_width}}"
        lines.append(f"{shown} {part:>+11.4f}  {canvas.bar(part / largest, half)}".rstrip())
    if any(part.overridden for part in explanation.contributions):
        lines.append("  * set by you")
    return "\n".join([*lines, "", f"  {_sum_line(explanation)}"])


def _rows(explanation: "Explanation", units: Mapping[str, str]) -> list[tuple[str, str, float]]:
    """Gives name, value and part of each contribution, and of the rest."""
    rows = [
        (
            f"{part.feature}*" if part.overridden else part.feature,
            formatting.quantity(part.value, units.get(part.feature, "")),
            part.contribution,
        )
        for part in explanation.contributions
    ]
    if explanation.remainder_count:
        rows.append((f"{explanation.remainder_count} others", "", explanation.remainder))
    return rows


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "~"


def _output_space(explanation: "Explanation") -> str:
    return explanation.output_space.replace("_", "-")


def _sum_line(explanation: "Explanation") -> str:
    base, output = explanation.base_value, explanation.output_value
    if explanation.output_space == "probability":
        return f"average {base:.4f} + features {output - base:.4f} = probability {output:.4f}"
    made = f"average {base:.3f} + features {output - base:.3f} = {_output_space(explanation)} {output:.3f}"
    return f"{made}, a probability of {explanation.prediction.probability:.1%}"


def explanation_json(explanation: "Explanation") -> dict[str, object]:
    """Returns what an explanation adds to its score, for programs."""
    return {
        "output_space": str(explanation.output_space),
        "method": str(explanation.method),
        "base_value": explanation.base_value,
        "output_value": explanation.output_value,
        "contributions": [
            {
                "feature": part.feature,
                "value": part.value,
                "contribution": part.contribution,
                "overridden": part.overridden,
            }
            for part in explanation.contributions
        ],
        "remainder": explanation.remainder,
        "remainder_count": explanation.remainder_count,
        "additivity_error": explanation.additivity_error,
    }
