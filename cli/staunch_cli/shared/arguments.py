"""From words to typed arguments: each command has a frozen dataclass with a field for each of its flags."""

import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Generic, TypeVar

_Arguments = TypeVar("_Arguments")


@dataclass(frozen=True)
class Handler(Generic[_Arguments]):
    """What a parser leads to, set by `parser.set_defaults(handler=Handler(ScoreArguments, run))`.

    Attributes:
        kind: The dataclass of the command; its fields are named as the parser's `dest`s are.
        run: Does the work and returns the exit code.
    """

    kind: type[_Arguments]
    run: Callable[[_Arguments], int]

    def __call__(self, parsed: Namespace) -> int:
        """Runs the command with what was parsed."""
        return self.run(self.arguments(parsed))

    def arguments(self, parsed: Namespace) -> _Arguments:
        """Returns what was parsed; raises TypeError if the flags and the fields of `kind` disagree."""
        return self.kind(**{name: value for name, value in vars(parsed).items() if name != "handler"})


class CommandParser(ArgumentParser):
    """A parser that refuses a word too many itself, so that its own usage stands above the refusal.

    Attributes:
        written_out: Gives the words that the words of a command are short for; as they stand unless set.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.written_out: Callable[[Sequence[str]], Sequence[str]] = lambda words: words

    def parse_known_args(  # type: ignore[override]  # the base is overloaded for namespaces of other kinds
        self, args: Sequence[str] | None = None, namespace: Namespace | None = None
    ) -> tuple[Namespace, list[str]]:
        """Parses as `ArgumentParser` does, and ends with exit code 2 if words are left over."""
        words = sys.argv[1:] if args is None else args
        parsed, unknown = super().parse_known_args(self.written_out(words), namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return parsed, unknown


def add_json(parser: ArgumentParser, *, default: object = False) -> None:
    """Adds --json; read as `json`."""
    parser.add_argument(
        "--json",
        action="store_true",
        default=default,
        help="print one JSON object (docs/command.md) in place of text; progress goes to standard error",
    )


def moment(text: str) -> datetime:
    """Reads an ISO 8601 date or time and gives it in UTC, which is the zone of one without any.

    Raises:
        ArgumentTypeError: It is none, or lies before the year 1 or after the year 9999 in UTC.
    """
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"expected a time such as 2026-06-01T12:00, got {text!r}") from None
    try:
        return read.astimezone(UTC) if read.tzinfo else read.replace(tzinfo=UTC)
    except OverflowError:
        raise ArgumentTypeError(f"expected a time of the years 1 to 9999 in UTC, got {text!r}") from None


def day(text: str) -> date:
    """Reads an ISO 8601 date.

    Raises:
        ArgumentTypeError: It is none.
    """
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"expected a date such as 2026-06-30, got {text!r}") from None


def seconds(text: str) -> float:
    """Reads a number of seconds, above 0 and below 1,000,000.

    Raises:
        ArgumentTypeError: It is none.
    """
    try:
        read = float(text)
    except ValueError:
        read = 0.0
    if not 0 < read < 1e6:
        raise ArgumentTypeError(f"expected seconds above 0 and below 1000000, got {text!r}")
    return read


def add_timeout(parser: ArgumentParser) -> None:
    """Adds --timeout, the seconds that one statement may take; read as `timeout_s`."""
    parser.add_argument(
        "--timeout",
        dest="timeout_s",
        type=seconds,
        default=60.0,
        metavar="S",
        help="seconds that a statement may take (default: 60)",
    )


def file_ending(*endings: str) -> Callable[[str], Path]:
    """Returns a reader of file names that refuses other endings than these, such as ".csv"."""
    expected = f"{', '.join(endings[:-1])} or {endings[-1]}"

    def read(text: str) -> Path:
        path = Path(text)
        if path.suffix not in endings:
            raise ArgumentTypeError(f"expected a file that ends in {expected}, got {text!r}")
        return path

    return read
