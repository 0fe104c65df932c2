"""What can be said of SQL without a database, whatever hides in its strings, comments and quoted names."""

import re

import pytest

from staunch_features.views.sql_text import (
    code_of,
    has_code,
    has_parameters,
    line_at,
    line_of_column,
    line_of_word,
    other_than_reading,
    quoted,
    quoted_if_needed,
    rename,
    split_statement,
    strings_of,
)

HIDING = [
    "'a;b'",
    "E'it\\';s'",
    "'it'';s'",
    "$$a;b$$",
    "$x$ $$; $x$",
    '"a;b"',
    '"a"";b"',
    "-- a;b\n",
    "/* a;\nb */",
]


@pytest.mark.parametrize("hidden", HIDING)
def test_a_semicolon_that_hides_ends_no_statement(hidden):
    text = f"SELECT {hidden} x; SELECT 2"
    statement, offset, rest = split_statement(text)
    assert (statement, rest) == (f"SELECT {hidden} x", " SELECT 2")
    assert text[offset] == ";"


def test_a_text_without_a_semicolon_is_one_statement():
    assert split_statement("SELECT 1") == ("SELECT 1", 8, "")


@pytest.mark.parametrize(
    ("text", "answer"), [("", False), (" -- a\n/* b */\n", False), ("1", True), ("''", True)]
)
def test_blanks_and_comments_are_no_code(text, answer):
    assert has_code(text) is answer


@pytest.mark.parametrize(
    ("statement", "answer"),
    [
        ("SELECT $1", True),
        ("SELECT '$1'", False),
        ("SELECT 1 -- $1", False),
        ("SELECT $$1$$", False),
        ("a$1", False),
    ],
)
def test_parameters_are_those_of_the_code(statement, answer):
    assert has_parameters(statement) is answer


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("SELECT 1", None),
        (" (select 1)", None),
        ("DELETE FROM a", (0, "DELETE")),
        ("SELECT 1 FOR\n UPDATE", (9, "FOR UPDATE")),
        ("SELECT 'FOR UPDATE'", None),
        ('SELECT "FOR UPDATE"', None),
    ],
)
def test_what_does_more_than_read_is_named_with_its_place(statement, found):
    assert other_than_reading(statement) == found


def test_all_stays_in_its_place_when_strings_and_comments_are_blanked_out():
    text = "SELECT 'a b', \"n m\" -- c d\nFROM t;"
    assert code_of(text) == 'SELECT      , "n m"       \nFROM t;'
    assert code_of(text, quoted_names=False) == "SELECT      ,             \nFROM t;"
    assert len(code_of(text)) == len(text)


def test_lines_count_from_one():
    text = "SELECT 'a',\n  b AS \"Word\", -- word\n  word\nFROM 'x\ny'"
    assert [line_at(text, 0), line_at(text, 11), line_at(text, 12)] == [1, 1, 2]
    assert line_of_word(text, "FROM") == 4
    assert line_of_column(text, "word") == 2
    assert line_of_word("SELECT b,\n word", "word") == 2
    assert line_of_word("SELECT 'word'", "word") is None
    assert strings_of(text) == [(1, "'a'"), (4, "'x\ny'")]


def test_a_name_is_replaced_in_the_code_alone():
    pattern = re.compile(r"\bshop\.orders\b")
    statement = "SELECT 'shop.orders' FROM shop.orders -- shop.orders\nJOIN shop.orders"
    assert rename(statement, pattern, '"o"') == 'SELECT \'shop.orders\' FROM "o" -- shop.orders\nJOIN "o"'


def test_any_name_can_be_quoted():
    assert quoted('a "b"') == '"a ""b"""'


@pytest.mark.parametrize(
    ("name", "written"),
    [("orders_2", "orders_2"), ("Orders", '"Orders"'), ("2nd", '"2nd"'), ('a"b', '"a""b"')],
)
def test_a_name_is_quoted_where_it_must_be(name: str, written: str):
    assert quoted_if_needed(name) == written


def test_a_name_takes_its_place_as_it_is():
    pattern = re.compile(r"shop\.orders")
    assert rename("SELECT FROM shop.orders", pattern, r'"a\1b"') == r'SELECT FROM "a\1b"'
