"""`staunch predict`: one score."""

import json
from argparse import ArgumentParser, _SubParsersAction
from dataclasses import dataclass
from functools import partial

from staunch_cli.printing import formatting
from staunch_cli.printing.prediction import as_json, headline
from staunch_cli.shared.arguments import Handler
from staunch_cli.shared.call_arguments import CustomerArguments, ServerArguments, add_customer, add_server
from staunch_cli.shared.client import ask, connected_client


@dataclass(frozen=True)
class PredictArguments(CustomerArguments, ServerArguments):
    """Whom to score where, and whether to show the feature values used."""

    features: bool


def add(subparsers: "_SubParsersAction[ArgumentParser]") -> None:
    """Registers `staunch predict`."""
    parser = subparsers.add_parser(
        "predict", description="Scores one customer from the rows as they stand now."
    )
    add_customer(parser)
    parser.add_argument("--features", action="store_true", help="show the feature values used")
    add_server(parser)
    parser.set_defaults(handler=Handler(PredictArguments, run))


def run(arguments: PredictArguments) -> int:
    """Prints the score."""
    overrides = dict(arguments.overrides)
    with connected_client(arguments) as client:
        customer, prediction = ask(
            arguments,
            partial(
                client.predict,
                overrides=overrides,
                model=arguments.model,
                as_of=arguments.as_of,
                include_features=arguments.features,
            ),
        )
    if arguments.json:
        print(json.dumps(as_json(customer, prediction, overrides)))
        return 0
    print(formatting.facts(headline(customer, prediction, overrides)))
    if prediction.features is not None:
        print()
        print(
            formatting.facts(
                [(name, formatting.number(value)) for name, value in prediction.features.items()]
            )
        )
    return 0
