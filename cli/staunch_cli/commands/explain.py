"""`staunch explain`: one score and a bar for each contribution."""

import json
from argparse import ArgumentParser, ArgumentTypeError, _SubParsersAction
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from staunch_cli.printing import formatting
from staunch_cli.printing.canvas import TextCanvas
from staunch_cli.printing.explanation import explanation_json, picture
from staunch_cli.printing.pending_file import PendingPicture
from staunch_cli.printing.prediction import as_json, headline
from staunch_cli.printing.words import words_in
from staunch_cli.shared.arguments import Handler, file_ending
from staunch_cli.shared.caches import caches_in
from staunch_cli.shared.call_arguments import (
    CustomerArguments,
    ServerArguments,
    add_customer,
    add_language,
    add_server,
)
from staunch_cli.shared.client import ask, connected_client

if TYPE_CHECKING:
    from staunch import Explanation


@dataclass(frozen=True)
class ExplainArguments(CustomerArguments, ServerArguments):
    """Whom to score where and how to say why.

    Attributes:
        top: How many contributions to list, 0 for all.
        language: Of the texts; empty for the model's own.
        plot: The file to draw them into; None for none.
    """

    top: int
    language: str
    plot: Path | None


def add(subparsers: "_SubParsersAction[ArgumentParser]") -> None:
    """Registers `staunch explain`."""
    parser = subparsers.add_parser(
        "explain", description="Scores one customer and says exactly which features moved the score."
    )
    add_customer(parser)
    parser.add_argument(
        "--top", type=_count, default=10, metavar="N", help="contributions to list, 0 for all (default: 10)"
    )
    parser.add_argument(
        "--plot",
        type=file_ending(".png", ".svg", ".pdf"),
        metavar="FILE",
        help=".png, .svg or .pdf: draw them into it too (default: none)",
    )
    add_language(parser)
    add_server(parser)
    parser.set_defaults(handler=Handler(ExplainArguments, run))


def run(arguments: ExplainArguments) -> int:
    """Prints the score and its reasons, and draws them if asked to."""
    overrides = dict(arguments.overrides)
    # First of all the file: nobody is asked for what then cannot be drawn.
    with _pending(arguments.plot) as picture_file, connected_client(arguments) as client:
        customer, explanation = ask(
            client,
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
        language = arguments.language or explanation.language
        if picture_file:
            _draw(explanation, customer, language, picture_file)
    files = {"files": [str(arguments.plot)]} if arguments.plot else {}
    if arguments.json:
        answer = as_json(customer, explanation.prediction, overrides) | explanation_json(explanation)
        print(json.dumps(answer | files))
    else:
        words = words_in(language)
        print(formatting.facts(headline(customer, explanation.prediction, overrides, words)))
        print()
        print(picture(explanation, words, TextCanvas()))
        if arguments.plot:
            print(f"\n{arguments.plot}")
    return 0


@contextmanager
def _pending(file: Path | None) -> Iterator[PendingPicture | None]:
    """Makes sure that the picture can be drawn, before anybody is asked for what is in it."""
    if file is None:
        yield None
        return
    # A caller has no state folder that caches of matplotlib's could stay in.
    with TemporaryDirectory(prefix="staunch-") as folder, caches_in(Path(folder)):
        import staunch_cli.pictures.waterfall  # noqa: F401 - whoever lacks its extra learns so here

        with PendingPicture(file) as pending:
            yield pending


def _draw(explanation: "Explanation", customer: int | str, language: str, file: PendingPicture) -> None:
    from staunch_cli.pictures.waterfall import draw
    from staunch_cli.pictures.words import picture_words

    file.draw(partial(draw, explanation, customer, picture_words(language)))


def _count(text: str) -> int:
    if not text.isdecimal():
        raise ArgumentTypeError(f"expected 0 or more, got {text!r}")
    return int(text)
