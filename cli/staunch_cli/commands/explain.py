"""`staunch explain`: one score and a bar for each contribution."""

import json
from argparse import ArgumentParser, ArgumentTypeError, _SubParsersAction
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from staunch_cli.commands.predict import as_json, headline
from staunch_cli.printing import display
from staunch_cli.shared.arguments import Handler
from staunch_cli.shared.call_arguments import CustomerArguments, ServerArguments, add_customer, add_server
from staunch_cli.shared.client import connected_client

if TYPE_CHECKING:
    from staunch import Client, Explanation

_NAME_WIDTH, _VALUE_WIDTH = 30, 22  # what is shown whole; with these, bars still fit into 80 columns
_FIXED_WIDTH = 2 + 1 + 1 + 11 + 2 + 1  # margin, contribution, axis and the gaps between


@dataclass(frozen=True)
class ExplainArguments(CustomerArguments, ServerArguments):
    """Whom to score where, and how many contributions to list, 0 for all."""

    top: int


def add(subparsers: "_SubParsersAction[ArgumentParser]") -> None:
    """Registers `staunch explain`."""
    parser = subparsers.add_parser(
        "explain", description="Scores one customer and says exactly which features moved the score."
    )
    add_customer(parser)
    parser.add_argument(
        "--top", type=_count, default=10, metavar="N", help="contributions to list, 0 for all (default: 10)"
    )
    add_server(parser)
    parser.set_defaults(handler=Handler(ExplainArguments, run))


def run(arguments: ExplainArguments) -> int:
    """Prints the score and its reasons."""
    customer, overrides = arguments.customer, dict(arguments.overrides)
    with connected_client(arguments, customer) as client:
        why = client.explain(
            customer,
            overrides=overrides,
            model=arguments.model,
            as_of=arguments.as_of,
            max_contributions=arguments.top,
        )
        units = {} if arguments.json else _units(client, str(why.prediction.model))
    if arguments.json:
        print(json.dumps(as_json(customer, why.prediction, overrides) | _json(why)))
    else:
        print(display.facts(headline(customer, why.prediction, overrides)))
        print()
        print(picture(why, units, display.Paper()))
    return 0


def _units(client: "Client", model: str) -> dict[str, str]:
    return {feature.name: feature.unit for feature in client.get_model(model).features}


def picture(why: "Explanation", units: Mapping[str, str], paper: display.Paper) -> str:
    """Draws an explanation: a bar for each contribution and for the rest, then the sum.

    Args:
        why: The explanation.
        units: The unit of each feature by name; a feature without one is a plain number.
        paper: What it is drawn on.
    """
    rows = _rows(why, units)
    name_width = min(max((len(name) for name, _, _ in rows), default=0), _NAME_WIDTH)
    value_width = min(max((len(value) for _, value, _ in rows), default=5), _VALUE_WIDTH)
    half = max(2, (paper.width - _FIXED_WIDTH - name_width - value_width) // 2)
    largest = max((abs(part) for _, _, part in rows), default=0.0) or 1.0
    lines = [f"  {'':<{name_width}} {'':>{value_width}} {_space(why):>11}  {'lowers':>{half}}|raises"]
    for name, value, part in rows:
        shown = f"  {_cut(name, name_width):<{name_width}} {_cut(value, value_width):>{value_width}}"
        lines.append(f"{shown} {part:>+11.4f}  {paper.bar(part / largest, half)}".rstrip())
    if any(part.overridden for part in why.contributions):
        lines.append("  * set by you")
    return "\n".join([*lines, "", f"  {_sum(why)}"])


def _rows(why: "Explanation", units: Mapping[str, str]) -> list[tuple[str, str, float]]:
    """Gives name, value and part of each contribution, and of the rest."""
    rows = [
        (
            f"{part.feature}*" if part.overridden else part.feature,
            display.quantity(part.value, units.get(part.feature, "")),
            part.contribution,
        )
        for part in why.contributions
    ]
    if why.remainder_count:
        rows.append((f"{why.remainder_count} others", "", why.remainder))
    return rows


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "~"


def _space(why: "Explanation") -> str:
    return why.output_space.replace("_", "-")


def _sum(why: "Explanation") -> str:
    base, output = why.base_value, why.output_value
    if why.output_space == "probability":
        return f"average {base:.4f} + features {output - base:.4f} = probability {output:.4f}"
    made = f"average {base:.3f} + features {output - base:.3f} = {_space(why)} {output:.3f}"
    return f"{made}, a probability of {why.prediction.probability:.1%}"


def _json(why: "Explanation") -> dict[str, object]:
    return {
        "output_space": str(why.output_space),
        "method": str(why.method),
        "base_value": why.base_value,
        "output_value": why.output_value,
        "contributions": [
            {
                "feature": part.feature,
                "value": part.value,
                "contribution": part.contribution,
                "overridden": part.overridden,
            }
            for part in why.contributions
        ],
        "remainder": why.remainder,
        "remainder_count": why.remainder_count,
        "additivity_error": why.additivity_error,
    }


def _count(text: str) -> int:
    if not text.isdecimal():
        raise ArgumentTypeError(f"expected 0 or more, got {text!r}")
    return int(text)
