"""Every command gets its flags as one typed dataclass: names and types agree, for all commands."""

from argparse import ArgumentParser, ArgumentTypeError, _SubParsersAction
from collections.abc import Iterator
from dataclasses import FrozenInstanceError, dataclass, fields
from datetime import UTC, date, datetime
from pathlib import Path
from typing import get_type_hints

import pytest
from pydantic import TypeAdapter

from staunch_cli.main import COMMANDS, command_parser
from staunch_cli.shared.arguments import Handler, day, file_ending, moment, seconds

SERVER = "--server localhost:1 --timeout 2.5"
MODEL = "--model churn@3 --as-of 2026-06-01"
DATABASE = "--database-url postgresql://a --database-reader-url postgresql://b --state-folder s"
CUSTOMER = f"42 --key --set age=20 --set income=null --json {MODEL} {SERVER}"
VIEW = f"gym --as-of 2026-06-01 --timeout 5 --views v {DATABASE}"
# For each command the words that it needs, and words that give every flag of its own.
WORDS = {
    "run": ("", f"{DATABASE} --insecure-bind --port 1 --transport aio"),
    "serve": ("", f"{DATABASE} --simulate --workers 2"),
    "migrate": ("", DATABASE),
    "simulate": ("", f"--customers 5 --seed 7 --until 2026-11-01 --drift-from 2026-01-01 {DATABASE}"),
    "psql": ("", f"--reader {DATABASE} -- -c TABLE"),
    "train": (
        "",
        "--view gym --name g --learner xgboost --until 2026-11-01 --seed 7 --alias new --move-alias "
        f"--leak-limit 0.8 --allow-leak a --allow-leak b --offer-cost-cad 50 --store m {DATABASE}",
    ),
    "view check": ("gym", f"{VIEW} --plan"),
    "view show": ("gym", VIEW),
    "view new": (
        "things",
        "shop.things --name gym --key id --label left=yes --time joined_at --force --timeout 5 --views v "
        f"{DATABASE}",
    ),
    "view plot": ("gym", f"{VIEW} --out gym.png --feature a --feature b --language fr"),
    "predict": ("42", f"{CUSTOMER} --features"),
    "explain": ("key", f"{CUSTOMER} --top 3 --plot why.png"),
    "models": ("", SERVER),
    "models list": ("", "churn"),
    "models show": ("", "churn@3"),
    "models alias": ("churn champion 3", "churn champion 3 --expect 2"),
    "models verify": ("", "churn --write --store m"),
    "models delete-alias": ("churn next", "churn next --expect 2"),
    "models reload": ("", ""),
    "top": ("", "--every 5 --once --json --metrics-host ::1 --metrics-port 9"),
    "score": (
        "--out scores.csv",
        f"--out scores.parquet --ids - --chunk-rows 10 {MODEL} {SERVER} --store m --views v {DATABASE}",
    ),
}


def leaves(name: str, parser: ArgumentParser) -> Iterator[tuple[str, ArgumentParser]]:
    """Every parser below this one that leads to a handler, by its words."""
    if parser.get_default("handler") is not None:
        yield name, parser
    for action in parser._actions:
        if isinstance(action, _SubParsersAction):
            for word, branch in action.choices.items():
                yield from leaves(f"{name} {word}".strip(), branch)


def parsers() -> dict[str, ArgumentParser]:
    return {name: parser for chosen in COMMANDS for name, parser in leaves("", command_parser(chosen))}


def parsed_arguments(*words: str) -> object:
    parsed = command_parser(words[0]).parse_args(words)
    return parsed.handler.arguments(parsed)


def test_every_command_and_action_is_tried_here():
    assert parsers().keys() == WORDS.keys()


@pytest.mark.parametrize("name", WORDS)
def test_every_flag_has_a_field_and_every_field_a_flag_and_the_types_are_those_declared(name):
    for words in WORDS[name]:
        arguments = parsed_arguments(*name.split(), *words.split())
        assert type(arguments) is parsers()[name].get_default("handler").kind
        for field, declared in get_type_hints(type(arguments)).items():
            TypeAdapter(declared).validate_python(getattr(arguments, field), strict=True)


@pytest.mark.parametrize("name", WORDS)
def test_arguments_cannot_be_changed(name):
    arguments = parsed_arguments(*name.split(), *WORDS[name][0].split())
    with pytest.raises(FrozenInstanceError):
        setattr(arguments, fields(arguments)[0].name, None)


@pytest.mark.parametrize("dest", ["weight", "colour"])
def test_a_flag_without_a_field_and_a_field_without_a_flag_fail_at_once(dest):
    @dataclass(frozen=True)
    class Wanted:
        size: int

    parser = ArgumentParser()
    parser.add_argument("--size" if dest == "weight" else "--other", type=int, dest="size")
    parser.add_argument("--more", dest=dest)
    handler = Handler(Wanted, lambda wanted: wanted.size)
    with pytest.raises(TypeError, match=dest):
        handler(parser.parse_args(["--more", "1"]))
    with pytest.raises(TypeError, match="size"):
        handler(ArgumentParser().parse_args([]))


def test_a_handler_returns_what_its_command_returns():
    parser = ArgumentParser()
    parser.add_argument("--size", type=int)
    parser.set_defaults(handler=Handler(dict, lambda given: given["size"]))
    parsed = parser.parse_args(["--size", "7"])
    assert parsed.handler(parsed) == 7


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("2026-06-01", datetime(2026, 6, 1, tzinfo=UTC)),
        ("2026-06-01T12:00+02:00", datetime(2026, 6, 1, 10, tzinfo=UTC)),
    ],
)
def test_a_moment_is_in_utc_unless_it_says_otherwise(text, read):
    assert moment(text) == read


def test_a_day_is_a_date():
    assert day("2026-06-30") == date(2026, 6, 30)


@pytest.mark.parametrize(("text", "read"), [("1e-9", 1e-9), ("999999.9", 999999.9), ("10", 10.0)])
def test_seconds_lie_between_0_and_a_million(text, read):
    assert seconds(text) == read


@pytest.mark.parametrize("text", ["0", "-1", "1e6", "1000001", "inf", "nan", "soon", ""])
def test_seconds_that_nobody_can_wait_are_refused(text):
    with pytest.raises(ArgumentTypeError, match="expected seconds above 0 and below 1000000, got"):
        seconds(text)


def test_files_are_taken_by_their_ending():
    read = file_ending(".png", ".svg", ".pdf")
    assert read("a/b.svg") == Path("a/b.svg")
    for text in ("b.jpg", "png", "b.PNG"):
        with pytest.raises(
            ArgumentTypeError, match=r"expected a file that ends in \.png, \.svg or \.pdf, got"
        ):
            read(text)


@pytest.mark.parametrize("text", ["0001-01-01T00:00+14:00", "9999-12-31T23:00-05:00"])
def test_a_moment_that_no_calendar_in_utc_has_is_refused(text):
    with pytest.raises(ArgumentTypeError, match="expected a time of the years 1 to 9999 in UTC"):
        moment(text)


@pytest.mark.parametrize(("read", "text"), [(moment, "soon"), (day, "2026-06-31"), (day, "today")])
def test_times_that_are_none_are_refused_with_an_example(read, text):
    with pytest.raises(ArgumentTypeError, match=r"expected a (time|date) such as 2026-06-"):
        read(text)
