"""`staunch predict`: one score."""

import json
from argparse import ArgumentParser, _SubParsersAction
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from staunch_cli.printing import display
from staunch_cli.shared.arguments import Handler
from staunch_cli.shared.call_arguments import CustomerArguments, ServerArguments, add_customer, add_server
from staunch_cli.shared.client import connected_client

if TYPE_CHECKING:
    from staunch import Prediction


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
    customer, overrides = arguments.customer, dict(arguments.overrides)
    with connected_client(arguments, customer) as client:
        made = client.predict(
            customer,
            overrides=overrides,
            model=arguments.model,
            as_of=arguments.as_of,
            include_features=arguments.features,
        )
    if arguments.json:
        print(json.dumps(as_json(customer, made, overrides)))
        return 0
    print(display.facts(headline(customer, made, overrides)))
    if made.features is not None:
        print()
        print(display.facts([(name, display.number(value)) for name, value in made.features.items()]))
    return 0


def headline(
    customer: int | str, made: "Prediction", overrides: Mapping[str, float | None]
) -> list[tuple[str, str]]:
    """Gives the facts about one score, for people; what was set by hand is one of them."""
    band = "" if made.risk_band == "unspecified" else f"  {made.risk_band} risk"
    return [
        ("customer", str(customer)),
        ("probability", f"{made.probability:.4f}{band}"),
        ("model", str(made.model)),
        ("as of", display.time(made.as_of)),
        ("set by you", ", ".join(f"{name} = {display.number(value)}" for name, value in overrides.items())),
    ]


def as_json(customer: int | str, made: "Prediction", overrides: Mapping[str, float | None]) -> dict[str, Any]:
    """Gives the facts about one score, for programs."""
    facts: dict[str, Any] = {
        "customer": customer,
        "probability": made.probability,
        "risk_band": str(made.risk_band),
        "model": str(made.model),
        "model_digest": made.model.digest,
        "as_of": display.time(made.as_of) or None,
    }
    if overrides:
        facts["overrides"] = dict(overrides)
    return facts if made.features is None else {**facts, "features": made.features}
