"""`staunch explain`: one score and a bar for each contribution."""

import json
from argparse import ArgumentParser, ArgumentTypeError, _SubParsersAction
from dataclasses import dataclass
from functools import partial

from staunch_cli.printing import formatting
from staunch_cli.printing.canvas import TextCanvas
from staunch_cli.printing.explanation import explanation_json, picture
from staunch_cli.printing.prediction import as_json, headline
from staunch_cli.printing.words import words_in
from staunch_cli.shared.arguments import Handler
from staunch_cli.shared.call_arguments import (
    CustomerArguments,
    ServerArguments,
    add_customer,
    add_language,
    add_server,
)
from staunch_cli.shared.client import ask, connected_client


@dataclass(frozen=True)
class ExplainArguments(CustomerArguments, ServerArguments):
    """Whom to score where, how many contributions to list, 0 for all, and in which language."""

    top: int
    language: str


def add(subparsers: "_SubParsersAction[ArgumentParser]") -> None:
    """Registers `staunch explain`."""
    parser = subparsers.add_parser(
        "explain", description="Scores one customer and says exactly which features moved the score."
    )
    add_customer(parser)
    parser.add_argument(
        "--top", type=_count, default=10, metavar="N", help="contributions to list, 0 for all (default: 10)"
    )
    add_language(parser)
    add_server(parser)
    parser.set_defaults(handler=Handler(ExplainArguments, run))


def run(arguments: ExplainArguments) -> int:
    """Prints the score and its reasons."""
    overrides = dict(arguments.overrides)
    with connected_client(arguments) as client:
        customer, explanation = ask(
            arguments,
            partial(
                client.explain,
                overrides=overrides,
                model=arguments.model,
                as_of=arguments.as_of,
                max_contributions=arguments.top,
                language=arguments.language,
            ),
        )
    if arguments.json:
        print(
            json.dumps(as_json(customer, explanation.prediction, overrides) | explanation_json(explanation))
        )
    else:
        words = words_in(arguments.language or explanation.language)
        print(formatting.facts(headline(customer, explanation.prediction, overrides, words)))
        print()
        print(picture(explanation, words, TextCanvas()))
    return 0


def _count(text: str) -> int:
    if not text.isdecimal():
        raise ArgumentTypeError(f"expected 0 or more, got {text!r}")
    return int(text)
