"""What the commands that call a server take: ids of 64 bits, keys as they are typed, overrides."""

from argparse import ArgumentParser, ArgumentTypeError

import pytest

from staunch._connection import USUAL_SERVER
from staunch_cli.shared.call_arguments import DEFAULT_SERVER, add_server, customer_id, override


@pytest.mark.parametrize("number", [0, 42, -1, 2**63 - 1, -(2**63)])
def test_digits_of_at_most_64_bits_are_a_number(number):
    assert customer_id(str(number)) == (str(number), number)


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 10**30])
def test_a_number_of_more_than_64_bits_is_refused(number):
    with pytest.raises(ArgumentTypeError, match=f"expected an id of at most 64 bits, got {number}"):
        customer_id(str(number))


@pytest.mark.parametrize("text", ["7590-X", "4 2", "4.2", "", "٤٢"])
def test_all_else_is_a_key(text):
    assert customer_id(text) == (text, text)


@pytest.mark.parametrize(
    ("text", "read"),
    [("age=20", ("age", 20.0)), ("age=-1e3", ("age", -1000.0)), ("age=null", ("age", None))],
)
def test_an_override_is_a_number_or_missing(text, read):
    assert override(text) == read


@pytest.mark.parametrize("text", ["age", "=1", "age=", "age=old", 'age="1"', "age=[1]"])
def test_an_override_that_is_neither_is_refused(text):
    with pytest.raises(ArgumentTypeError, match="expected NAME=NUMBER or NAME=null, got"):
        override(text)


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
