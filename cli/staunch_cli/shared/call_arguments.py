"""Arguments of the commands that call a server: which server, which model, which customer."""

import json
import math
import os
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from staunch_cli.shared.arguments import add_json, moment, seconds
from staunch_cli.shared.id_columns import whole_number

DEFAULT_SERVER = "127.0.0.1:50051"


@dataclass(frozen=True)
class ServerArguments:
    """Which server to call, as "host:port", and how many seconds to wait for it."""

    server: str
    timeout_s: float


@dataclass(frozen=True)
class ModelArguments:
    """Which model answers, empty for the server's default, as of when, None for now."""

    model: str
    as_of: datetime | None


class GivenCustomer(NamedTuple):
    """A customer as typed.

    Attributes:
        text: What was typed, byte for byte: the key, if the model's ids are keys.
        id: The number that the text says, if the model's ids are numbers; the text if it says none.
    """

    text: str
    id: int | str


@dataclass(frozen=True)
class CustomerArguments(ModelArguments):
    """Whom to score, what to change about them, and how to print it.

    Attributes:
        given: The customer as typed.
        key: Whether it is a key whatever it looks like.
        overrides: Features by name with the values to use instead; None is missing.
        json: Whether to print one JSON object.
    """

    given: GivenCustomer
    key: bool
    overrides: Sequence[tuple[str, float | None]]
    json: bool

    @property
    def meanings(self) -> tuple[int | str, ...]:
        """Whom the words can mean, the likeliest first: the model's ids, and not our guess, decide."""
        readings = (self.given.text,) if self.key else (self.given.id, self.given.text)
        return tuple(dict.fromkeys(readings))


def add_server(parser: ArgumentParser, *, default: str | None = None) -> None:
    """Adds the flags of ServerArguments.

    Args:
        parser: Of a command.
        default: What both are if they are not given; None for what their help says.
    """
    group = parser.add_argument_group("server")
    server = os.environ.get("STAUNCH_SERVER") or DEFAULT_SERVER
    group.add_argument(
        "--server",
        default=default or server,
        metavar="HOST:PORT",
        help=f"the server, or unix:PATH; also as STAUNCH_SERVER (default: {server})".replace("%", "%%"),
    )
    group.add_argument(
        "--timeout",
        dest="timeout_s",
        type=seconds,
        default=default or 10.0,
        metavar="S",
        help="seconds to wait for an answer (default: 10)",
    )


def add_language(parser: ArgumentParser, default: str = "the model's own") -> None:
    """Adds the flag of the language in which features are named to people; its help names the default."""
    parser.add_argument(
        "--language",
        type=_language,
        default="",
        metavar="CODE",
        help=f'"fr" or "fr-CA": titles, units and labels in that language (default: {default})',
    )


def _language(text: str) -> str:
    from staunch._arguments import is_language_tag

    if text and not is_language_tag(text):
        raise ArgumentTypeError(f'expected a language such as "fr" or "fr-CA", got {text!r}')
    return text


def add_model(parser: ArgumentParser) -> None:
    """Adds the flags of ModelArguments."""
    parser.add_argument(
        "--model",
        default="",
        metavar="NAME",
        help='"churn", "churn@3" or "churn@champion" (default: the server\'s)',
    )
    parser.add_argument(
        "--as-of",
        type=moment,
        metavar="TIME",
        help="what was known then, ISO 8601, UTC unless it says otherwise (default: now)",
    )


def add_customer(parser: ArgumentParser) -> None:
    """Adds the flags of CustomerArguments."""
    parser.add_argument("given", type=customer_id, metavar="customer", help="the customer's id or key")
    parser.add_argument("--key", action="store_true", help="the customer is a key, whatever it looks like")
    parser.add_argument(
        "--set",
        dest="overrides",
        type=override,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="what if this feature had this value (null: missing)? may be repeated (default: as it is)",
    )
    add_model(parser)
    add_json(parser)


def customer_id(text: str) -> GivenCustomer:
    """Reads a customer: a whole number of 64 bits may be an id, and every text a key.

    Raises:
        ArgumentTypeError: The terminal gave bytes that are no text.
    """
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ArgumentTypeError(f"expected a customer's key as text in UTF-8, got {text!r}")
    number = whole_number(text)
    return GivenCustomer(text, number if number is not None and -(2**63) <= number < 2**63 else text)


def override(text: str) -> tuple[str, float | None]:
    """Reads a feature and the value to use instead; None is missing, and so is NaN.

    Raises:
        ArgumentTypeError: It is not NAME=NUMBER or NAME=null.
    """
    # The last one, since a name may hold it and a number does not.
    name, equals, value = text.rpartition("=")
    try:
        read = None if value.lower() == "nan" else json.loads(value)
    except json.JSONDecodeError:
        read = value
    if not name or not equals or not (read is None or isinstance(read, int | float)):
        # A person knows a coded value by its label, "ON".
        is_word = name and value[:1].isalpha()
        hint = ": what number a label has, `staunch models show` says" if is_word else ""
        raise ArgumentTypeError(f"expected NAME=NUMBER or NAME=null, got {text!r}{hint}")
    try:
        return name, None if read is None else float(read)
    except OverflowError:
        return name, math.inf  # which the server refuses by the feature's name
