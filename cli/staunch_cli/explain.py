"""`staunch explain`: one score and a bar for each contribution."""

import json
from argparse import ArgumentParser, ArgumentTypeError, Namespace, _SubParsersAction
from typing import TYPE_CHECKING

from staunch_cli import calling, display
from staunch_cli.predict import as_json, headline

if TYPE_CHECKING:
    from staunch import Explanation

_NAME_WIDTH = 34  # of the longest name shown whole at 80 columns
_FIXED_WIDTH = 2 + 1 + 11 + 1 + 11 + 2 + 1  # margin, value, contribution, axis and the gaps between


def add(subparsers: "_SubParsersAction[ArgumentParser]") -> None:
    """Registers `staunch explain`."""
    parser = subparsers.add_parser(
        "explain", description="Scores one customer and says exactly which features moved the score."
    )
    calling.add_customer(parser)
    parser.add_argument(
        "--top", type=_count, default=10, metavar="N", help="contributions to list, 0 for all (default: 10)"
    )
    calling.add_server(parser)
    parser.set_defaults(run=run)


def run(args: Namespace) -> int:
    """Prints the score and its reasons."""
    with calling.client(args) as client:
        why = client.explain(
            calling.subject(args),
            overrides=dict(args.overrides),
            model=args.model,
            as_of=args.as_of,
            max_contributions=args.top,
        )
    if args.json:
        print(json.dumps(_json(calling.subject(args), why)))
    else:
        print(display.facts(headline(calling.subject(args), why.prediction)))
        print()
        print(picture(why, display.Paper()))
    return 0


def picture(why: "Explanation", paper: display.Paper) -> str:
    """Draws an explanation: a bar for each contribution and for the rest, then the sum."""
    space = why.output_space.replace("_", "-")
    rows = _rows(why)
    widest = max((len(name) for name, _, _ in rows), default=0)
    name_width = min(widest, _NAME_WIDTH, paper.width - _FIXED_WIDTH - 4)
    half = max(2, (paper.width - _FIXED_WIDTH - name_width) // 2)
    largest = max((abs(part) for _, _, part in rows), default=0.0) or 1.0
    lines = [f"  {'':<{name_width}} {'value':>11} {space:>11}  {'lowers':>{half}}|raises"]
    for name, value, part in rows:
        cut = name if len(name) <= name_width else name[: name_width - 1] + "~"
        bar = paper.bar(part / largest, half)
        lines.append(f"  {cut:<{name_width}} {value:>11.11} {part:>+11.4f}  {bar}".rstrip())
    if any(part.overridden for part in why.contributions):
        lines.append("  * set by you")
    return "\n".join([*lines, "", f"  {space} {_sum(why)}"])


def _rows(why: "Explanation") -> list[tuple[str, str, float]]:
    """Gives name, value and part of each contribution, and of the rest."""
    rows = [
        (
            f"{part.feature}*" if part.overridden else part.feature,
            display.number(part.value),
            part.contribution,
        )
        for part in why.contributions
    ]
    if why.remainder_count:
        rows.append((f"{why.remainder_count} others", "", why.remainder))
    return rows


def _sum(why: "Explanation") -> str:
    above = why.output_value - why.base_value
    sign = "-" if above < 0 else "+"
    return f"{why.output_value:.4f} = {why.base_value:.4f} on average {sign} {abs(above):.4f} above"


def _json(customer: int | str, why: "Explanation") -> dict[str, object]:
    return {
        **as_json(customer, why.prediction),
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
