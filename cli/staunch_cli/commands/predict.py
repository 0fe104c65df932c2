"""`staunch predict`: one score."""

import json
from argparse import ArgumentParser, _SubParsersAction
from dataclasses import dataclass
from functools import partial

from staunch_cli.printing import formatting
from staunch_cli.printing.prediction import as_json, headline, in_words_of, values_used
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
class PredictArguments(CustomerArguments, ServerArguments):
    """Whom to score where, whether to show the feature values used, and in which language."""

    features: bool
    language: str


def add(subparsers: "_SubParsersAction[ArgumentParser]") -> None:
    """Registers `staunch predict`."""
    parser = subparsers.add_parser(
        "predict", description="Scores one customer from the rows as they stand now."
    )
    add_customer(parser)
    parser.add_argument("--features", action="store_true", help="show the feature values used")
    add_language(parser)
    add_server(parser)
    parser.set_defaults(handler=Handler(PredictArguments, run))


def run(arguments: PredictArguments) -> int:
    """Prints the score."""
    overrides = dict(arguments.overrides)
    with connected_client(arguments) as client:
        customer, prediction = ask(
            client,
            arguments,
            partial(
                client.predict,
                overrides=overrides,
                model=arguments.model,
                as_of=arguments.as_of,
                include_features=arguments.features,
            ),
        )
        # A prediction is in the view's own language; the model says what its features are called in others.
        is_described = arguments.features or (prediction.warnings and arguments.language)
        model = client.get_model(prediction.model) if is_described and not arguments.json else None
    if arguments.json:
        print(json.dumps(as_json(customer, prediction, overrides)))
        return 0
    words = words_in(arguments.language)
    features = [feature.in_language(arguments.language) for feature in model.features] if model else []
    print(formatting.facts(headline(customer, in_words_of(prediction, features), overrides, words)))
    if prediction.features is not None:
        print()
        print(formatting.columns(values_used(prediction.features, features, words)))
    return 0
