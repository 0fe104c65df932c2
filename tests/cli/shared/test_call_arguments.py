"""What the commands that call a server take: ids of 64 bits, keys as they are typed, overrides."""

from argparse import ArgumentParser, ArgumentTypeError

import pytest

from staunch._connection import USUAL_SERVER
from staunch_cli.shared.arguments import Handler
from staunch_cli.shared.call_arguments import (
    DEFAULT_SERVER,
    CustomerArguments,
    add_customer,
    add_server,
    customer_id,
    override,
)


@pytest.mark.parametrize("number", [0, 42, -1, 2**63 - 1, -(2**63)])
def test_digits_of_at_most_64_bits_are_a_number(number):
    assert customer_id(str(number)) == (str(number), number)


@pytest.mark.parametrize("digits", [str(2**63), str(-(2**63) - 1), "1" + "0" * 30, "9" * 5000])
def test_a_number_of_more_than_64_bits_is_no_id_and_may_be_a_key(digits):
    assert customer_id(digits) == (digits, digits)


@pytest.mark.parametrize(
    ("words", "meanings"),
    [
        (["42"], (42, "42")),
        (["007"], (7, "007")),
        ([" 7"], (7, " 7")),
        (["-0"], (0, "-0")),
        (["007", "--key"], ("007",)),
        (["7590-X"], ("7590-X",)),
        (["9" * 20], ("9" * 20,)),
    ],
)
def test_what_is_typed_may_be_a_number_or_the_key_as_it_stands(words, meanings):
    parser = ArgumentParser()
    add_customer(parser)
    parser.set_defaults(handler=Handler(CustomerArguments, lambda _: 0))
    parsed = parser.parse_args(words)
    assert parsed.handler.arguments(parsed).meanings == meanings


@pytest.mark.parametrize("text", ["7590-X", "4 2", "4.2", "", "٤٢"])
def test_all_else_is_a_key(text):
    assert customer_id(text) == (text, text)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("age=20", ("age", 20.0)),
        ("age=-1e3", ("age", -1000.0)),
        ("age=null", ("age", None)),
        ("age=nan", ("age", None)),  # missing, as everywhere
        ("age=NaN", ("age", None)),
        ("a=b=1", ("a=b", 1.0)),
        ("age=1" + "0" * 400, ("age", float("inf"))),
    ],
)
def test_an_override_is_a_number_or_missing(text, read):
    assert override(text) == read


@pytest.mark.parametrize("text", ["age", "=1", "age=", "age=old", 'age="1"', "age=[1]"])
def test_an_override_that_is_neither_is_refused(text):
    with pytest.raises(ArgumentTypeError, match="expected NAME=NUMBER or NAME=null, got"):
        override(text)


@pytest.mark.parametrize(
    ("text", "is_word"), [("province=ON", True), ("a=5,3", False), ("a=", False), ("=x", False)]
)
def test_who_sets_a_label_is_told_where_its_number_stands(text, is_word):
    with pytest.raises(ArgumentTypeError) as caught:
        override(text)
    assert ("`staunch models show` says" in str(caught.value)) == is_word


def test_the_server_is_that_of_the_environment_unless_a_flag_names_one(monkeypatch):
    def server(*words: str) -> str:
        parser = ArgumentParser()
        add_server(parser)
        return str(parser.parse_args(words).server)

    monkeypatch.delenv("STAUNCH_SERVER", raising=False)
    assert server() == DEFAULT_SERVER
    monkeypatch.setenv("STAUNCH_SERVER", "")
    assert server() == DEFAULT_SERVER == USUAL_SERVER
    monkeypatch.setenv("STAUNCH_SERVER", "there:1")
    assert server() == "there:1"
    assert server("--server", "here:2") == "here:2"
