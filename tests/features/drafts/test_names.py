"""Names and texts as SQL, TOML and a reader take them."""

import tomllib

import pytest

from staunch_features.drafts.names import (
    comment,
    literal,
    plain_name,
    prose,
    shown,
    toml,
    unused_name,
    words_of,
)


@pytest.mark.parametrize(
    ("name", "plain", "words"),
    [
        ("TotalCharges", "total_charges", "Total charges"),
        ("customerID", "customer_id", "Customer id"),
        ("MOSTYPE", "mostype", "MOSTYPE"),
        ("Kündigung am", "kundigung_am", "Kündigung am"),
        ("1st", "n1st", "1st"),
        ("_eligible", "eligible", "Eligible"),
        ("日本", "column", "日本"),
        ('"; DROP', "drop", '"; DROP'),
        ("x" * 70, "x" * 63, "X" + "x" * 69),
    ],
)
def test_any_name_has_a_plain_one_and_words(name: str, plain: str, words: str) -> None:
    assert (plain_name(name, "column"), words_of(name)) == (plain, words)


def test_a_name_that_is_used_gets_a_number_and_stays_short_enough() -> None:
    assert unused_name("a", set()) == "a"
    assert unused_name("a", {"a", "a_2"}) == "a_3"
    assert unused_name("x" * 63, {"x" * 63}) == "x" * 61 + "_2"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain",
        'say "x"',
        "it's",
        "both ' and \"",
        "a*/b",
        "/*/",
        "*/*",
        "back\\slash",
        "two\nlines\x7f\x00",
    ],
)
def test_toml_gives_the_text_back_and_holds_no_mark_of_a_comment(text: str) -> None:
    written = f"a = {toml(text)}"
    assert tomllib.loads(written) == {"a": text}
    assert "*/" not in written
    assert "/*" not in written
    assert "\n" not in written


@pytest.mark.parametrize("text", ["plain", "a */ b", "/*/", "two\nlines\x00\x7f\u2028"])
def test_a_comment_is_one_line_that_ends_nothing(text: str) -> None:
    written = comment(text)
    assert tomllib.loads(written) == {}
    assert "*/" not in written
    assert "/*" not in written


def test_prose_holds_nothing_that_a_terminal_obeys() -> None:
    written = prose("a\r\nb\x1bc\x9bd\u202ee")
    assert tomllib.loads(f"a = {written}") == {"a": "a  b c d e"}


@pytest.mark.parametrize(
    ("value", "seen"), [("pro", "pro"), ("One year", "One year"), ("a, b", "'a, b'"), ("", "''")]
)
def test_a_value_stands_in_quotes_where_it_would_run_into_words(value: str, seen: str) -> None:
    assert shown(value) == seen
    assert literal("it's") == "'it''s'"
