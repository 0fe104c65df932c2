"""Which words of a text read the clock, and which only look like it."""

import pytest

from staunch_features.views.clock_words import references_in, references_in_expression

CALLS = ["now", "transaction_timestamp", "statement_timestamp"]
WORDS = ["CURRENT_DATE", "CURRENT_TIME", "CURRENT_TIMESTAMP", "LOCALTIME", "LOCALTIMESTAMP"]


def clocks(text: str) -> list[str]:
    return [clock for _, clock in references_in(text).clocks]


@pytest.mark.parametrize("call", CALLS)
def test_a_call_that_reads_the_clock_is_found_in_texts_and_plans(call):
    assert clocks(f"SELECT {call}()") == clocks(f"SELECT pg_catalog.{call} ()") == [call]
    assert references_in_expression(f"({call}() - a)").clocks == ((1, call),)
    assert clocks(f"SELECT shop.{call}()") == clocks(f"SELECT {call}") == []


@pytest.mark.parametrize("word", WORDS)
def test_a_word_that_reads_the_clock_is_found_in_any_case(word):
    assert clocks(f"SELECT {word}") == clocks(f"SELECT {word.lower()}::text") == [word]
    assert clocks(f'SELECT "{word}", a_{word}, {word}_a') == []


@pytest.mark.parametrize("word", ["now", "today", "yesterday", "tomorrow"])
@pytest.mark.parametrize(
    "beside", ["", " 04:05", " 4:05 am", " 4:05 PM", " 04:05 utc", " 04:05 GMT", " 04:05Z"]
)
def test_a_string_that_is_a_moment_is_found(word, beside):
    assert clocks(f"SELECT '{word}{beside}'::timestamptz") == [f"'{word}{beside}'"]


@pytest.mark.parametrize("text", ["", "utc", "04:05 am", "now or never", "what is new today"])
def test_a_string_with_other_words_or_none_of_these_is_no_moment(text):
    assert clocks(f"SELECT '{text}'") == []


@pytest.mark.parametrize("one", ["a", "f(1, 2)", "(a)", "x[1, 2]", "f((1, 2), 3)", "f(1)"])
def test_the_age_of_one_argument_reads_the_clock_and_that_of_two_does_not(one):
    assert clocks(f"SELECT age({one})") == ["age with one argument"]
    assert clocks(f"SELECT age({one}, b)") == clocks(f"SELECT age(b, {one})") == []
    assert clocks(f"SELECT shop.age({one})") == []
    assert references_in_expression(f"age({one})").clocks == ()
