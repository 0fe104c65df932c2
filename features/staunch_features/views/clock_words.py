"""Which words of SQL read the clock: the one place where that is decided, for every text alike."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from staunch_features.views.sql_text import code_of, line_at, strings_of

# What reads the clock without being volatile: the same within a transaction, another tomorrow.
_CLOCKS = frozenset({"now", "transaction_timestamp", "statement_timestamp"})
_BUILT_IN = ("", "pg_catalog")
_CLOCK_WORDS = re.compile(
    r'(?<!["\w])(?:CURRENT_(?:DATE|TIME|TIMESTAMP)|LOCALTIME(?:STAMP)?)(?!["\w])', re.IGNORECASE
)
_CLOCK_STRINGS = frozenset({"now", "today", "yesterday", "tomorrow"})
_BESIDE_CLOCKS = frozenset({"am", "pm", "utc", "gmt", "z"})  # 'today 04:05 UTC' is a time too

_WORD = r'(?:[^\W\d][\w$]*|"(?:[^"]|"")+")'
_NAME = rf"(?<![\w$.])(?:(?P<schema>{_WORD})\s*\.\s*)?(?P<word>{_WORD})"
_NAMES = re.compile(_NAME)
# `AS visits (a, b)` names columns and calls nothing.
_CALLS = re.compile(rf"(?P<alias>\bAS\s+)?{_NAME}\s*\(", re.IGNORECASE)
# What follows a comma may be a column: then it is named where it need not be.
_TABLES = re.compile(rf"(?:\b(?:FROM|JOIN|TABLE|ONLY)\b\s*\(*|,)\s*(?:ONLY\s+)?{_NAME}", re.IGNORECASE)


class Name(NamedTuple):
    """What a text calls something: with a schema, or with none and so by the search path."""

    schema: str
    word: str


@dataclass(frozen=True, slots=True)
class References:
    """What one text says.

    Attributes:
        clocks: What reads the clock by itself, with its line from 1, in the text's order.
        calls: The functions called, and whatever else stands before an opening bracket.
        names: Every name: tables, views, columns and words of SQL.
    """

    clocks: tuple[tuple[int, str], ...]
    calls: frozenset[Name]
    names: frozenset[Name]


def references_in(text: str) -> References:
    """Reads a text: a statement, the body of a function, the definition of a view."""
    code = code_of(text)
    calls = _calls(code)
    clocks = [*_clock_strings(text), *_clock_words(code), *_clock_calls(code, calls), *_ages(code, calls)]
    return References(tuple(sorted(clocks)), _called(calls), frozenset(map(_name, _NAMES.finditer(code))))


def references_in_expression(text: str) -> References:
    """Reads an expression of a plan, where a string is a value and the `age` until today is spread out."""
    code = code_of(text)
    calls = _calls(code)
    return References((*_clock_words(code), *_clock_calls(code, calls)), _called(calls), frozenset())


def tables_in_body(text: str) -> frozenset[Name]:
    """Lists what the body of a function may read: the names that stand where tables do."""
    code = code_of(text)
    return frozenset(map(_name, _TABLES.finditer(code)))


def _clock_strings(text: str) -> Iterator[tuple[int, str]]:
    for line, literal in strings_of(text):
        words = set(re.findall("[a-z]+", literal.lstrip("eE").lower()))
        if words & _CLOCK_STRINGS and words <= _CLOCK_STRINGS | _BESIDE_CLOCKS:
            yield line, literal


def _clock_words(code: str) -> Iterator[tuple[int, str]]:
    for found in _CLOCK_WORDS.finditer(code):
        yield line_at(code, found.start()), found[0].upper()


def _clock_calls(code: str, calls: list[re.Match[str]]) -> Iterator[tuple[int, str]]:
    for found in calls:
        schema, word = _name(found)
        if word in _CLOCKS and schema in _BUILT_IN:
            yield line_at(code, found.start("word")), word


def _ages(code: str, calls: list[re.Match[str]]) -> Iterator[tuple[int, str]]:
    """Finds `age` with one argument, which is the time until today; with two it reads no clock."""
    for found in calls:
        schema, word = _name(found)
        if word == "age" and schema in _BUILT_IN and _is_alone(code, found.end()):
            yield line_at(code, found.start("word")), "age with one argument"


def _is_alone(code: str, start: int) -> bool:
    """Whether one argument stands in the brackets that have just opened."""
    depth = 1
    for place in range(start, len(code)):
        depth += (code[place] in "([") - (code[place] in ")]")
        if depth == 0:
            return True
        if depth == 1 and code[place] == ",":
            return False
    return True


def _called(calls: list[re.Match[str]]) -> frozenset[Name]:
    return frozenset(map(_name, calls))


def _calls(code: str) -> list[re.Match[str]]:
    return [found for found in _CALLS.finditer(code) if not found["alias"]]


def _name(found: re.Match[str]) -> Name:
    return Name(_folded(found["schema"] or ""), _folded(found["word"]))


def _folded(word: str) -> str:
    """As the database reads it: quoted as it stands, otherwise in small letters."""
    return word[1:-1].replace('""', '"') if word.startswith('"') else word.lower()
