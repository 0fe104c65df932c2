"""What the commands that call a server share: flags, the client, plain words where there is no server."""

import json
import os
import re
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from staunch_cli.shared.errors import CommandError

if TYPE_CHECKING:
    from staunch import Client, StaunchError

DEFAULT_SERVER = "127.0.0.1:50051"


def add_server(parser: ArgumentParser) -> None:
    """Adds the flags that say which server to call."""
    group = parser.add_argument_group("server")
    server = os.environ.get("STAUNCH_SERVER", DEFAULT_SERVER)
    group.add_argument(
        "--server", default=server, metavar="HOST:PORT", help=f"also as STAUNCH_SERVER (default: {server})"
    )
    group.add_argument(
        "--timeout", type=_seconds, default=10.0, metavar="S", help="seconds to wait (default: 10)"
    )


def add_model(parser: ArgumentParser) -> None:
    """Adds the flags that say which model answers, as of when."""
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
        help="what was known then, ISO 8601, UTC unless it says otherwise",
    )


def add_customer(parser: ArgumentParser) -> None:
    """Adds the flags that say whom to score, and what to change about them."""
    parser.add_argument("customer", type=customer_id, help="the customer's id or key")
    parser.add_argument("--key", action="store_true", help="the customer is a key, even if it is all digits")
    parser.add_argument(
        "--set",
        dest="overrides",
        type=_override,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="what if this feature had this value (null: missing)? may be repeated",
    )
    add_model(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def subject(args: Namespace) -> int | str:
    """Gives the customer of the flags, as a number or a key."""
    given: int | str = args.customer
    return str(given) if args.key else given


@contextmanager
def client(args: Namespace) -> Iterator["Client"]:
    """Gives a client of the chosen server.

    Raises:
        CommandError: Nothing answers there, or a key of digits alone was taken for a number.
    """
    from staunch import Client, InvalidRequest, Unavailable

    with Client(args.server, timeout_s=args.timeout) as made:
        try:
            yield made
        except Unavailable as error:
            raise explained(error, args.server) from error
        except InvalidRequest as error:
            sent_number = "customer" in args and isinstance(subject(args), int)
            if error.reason != "ID_TYPE_MISMATCH" or not sent_number:
                raise
            message = f"{args.customer} was taken for a number, and the ids of this model are keys: add --key"
            raise CommandError(message) from error


def explained(error: "StaunchError", server: str) -> Exception:
    """Gives the error in plain words if there was no server to say it."""
    if error.reason:
        return error
    advice = "start it with `staunch run`, or name another with --server"
    return CommandError(f"nothing answers at {server}: {advice} ({error.message})")


def customer_id(text: str) -> int | str:
    """Reads a customer: digits are a number, all else is a key.

    Raises:
        ArgumentTypeError: The number has more than 64 bits.
    """
    if not re.fullmatch(r"[+-]?[0-9]+", text):
        return text
    if not -(2**63) <= int(text) < 2**63:
        raise ArgumentTypeError(f"expected an id of at most 64 bits, got {text}")
    return int(text)


def moment(text: str) -> datetime:
    """Reads an ISO 8601 date or time; without a zone it is UTC.

    Raises:
        ArgumentTypeError: It is none.
    """
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"expected a time such as 2026-06-01T12:00, got {text!r}") from None
    return read if read.tzinfo else read.replace(tzinfo=UTC)


def _override(text: str) -> tuple[str, float | None]:
    name, equals, value = text.partition("=")
    try:
        read = json.loads(value)
    except json.JSONDecodeError:
        read = value
    if not name or not equals or not (read is None or isinstance(read, int | float)):
        raise ArgumentTypeError(f"expected NAME=NUMBER or NAME=null, got {text!r}")
    return name, None if read is None else float(read)


def _seconds(text: str) -> float:
    try:
        read = float(text)
    except ValueError:
        read = 0.0
    if not 0 < read < 1e6:
        raise ArgumentTypeError(f"expected seconds above 0, got {text!r}")
    return read
