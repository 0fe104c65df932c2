"""Turns what the database says against a text of the user's into an error with the file's own line."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import asyncpg

from staunch_features.errors import ViewError
from staunch_features.views.file import FeatureView, LabelText
from staunch_features.views.header import header_line
from staunch_features.views.sql_text import line_at
from staunch_features.views.type_hints import cast_hint

# Classes of SQLSTATE that blame the statement and not the database.
_FAULTS_OF_THE_TEXT = ("0A", "20", "21", "22", "25", "2F", "34", "38", "39", "42", "54", "P0")
_NOT_READ = "22P02"
_HINTS = {
    "0A000": "a view is one SELECT that only reads; mend the SQL",
    "22003": "a number is too large for its type: cast to float8 before multiplying or summing",
    "22007": "a cast from text to a time cannot read it: use to_timestamp(..., format) or a CASE",
    "22008": "a date or time is out of range: leave out what is infinite, "
    "CASE WHEN isfinite(...) THEN ... END, and see the casts and what is added to them",
    "22021": "the database keeps bytes that are no UTF-8: leave them out, WHERE ... ~ '^[ -~]*$'",
    "22P05": "the database's encoding has no such character: spell it with what it has",
    "22012": "divide by nullif(..., 0), which gives null",
    "2201E": "take the logarithm of nullif(..., 0), or of greatest(..., 1)",
    "2201F": "take the root or the power of greatest(..., 0)",
    _NOT_READ: "a cast from text cannot read it: (... = 'yes')::int::float8 for a category, "
    "nullif(..., '')::float8 for numbers with blanks, "
    "CASE WHEN ... ~ '^[-+]?[0-9]+([.][0-9]+)?$' THEN (...)::float8 END for numbers among words",
    "21000": "a sub-query in brackets gives one value: aggregate in it, or ORDER BY ... LIMIT 1",
    "25006": "a view only reads: write a SELECT",
    "54011": "a view has at most 1,664 columns: keep the features that tell most",
    "42501": "as the tables' owner, GRANT USAGE ON SCHEMA and GRANT SELECT ON what it reads to the reader",
    "42P18": "cast every parameter: $1::bigint[] (or text[], uuid[]) and $2::timestamptz",
    "42725": "cast what it is called with, for example $1::bigint[]",
    "42883": "see that it exists, and cast its operands, for example $1::text[] for a text key",
    "42601": "mend the SQL; a view is one SELECT",
    "42P01": "name the table with its schema and see that it is there; `staunch migrate` makes our own",
}
# What one code says of several things is told apart by its words.
_BY_MESSAGE = (
    (
        re.compile("is out of range for type (?:double precision|real)$"),
        "leave out what a feature cannot hold before it is cast: "
        "CASE WHEN abs((...)::numeric) <= 3.4e38 THEN round((...)::numeric, 300)::float8 END",
    ),
    (
        re.compile("^value out of range: (?:over|under)flow$"),
        "bound what goes in, as in exp(greatest(-88, least(..., 88))); multiply as numeric, and leave out "
        "what is too large; cast to float8 and not to real",
    ),
    (
        re.compile("^query would be affected by row-level security policy"),
        "row_security is off for the reader: as the table's owner CREATE POLICY ... FOR SELECT TO the reader "
        "USING (true), or as a superuser ALTER ROLE ... BYPASSRLS",
    ),
    (
        re.compile("^unrecognized configuration parameter"),
        "the SQL, a function or a policy of row-level security asks for a setting that no connection of ours "
        "has: write current_setting('...', true), or make a policy for the reader that asks for none",
    ),
    (
        re.compile("^cannot cast jsonb "),
        "take the text of it: (... ->> 'key')::float8",
    ),
)
_CANNOT_CAST = re.compile("^cannot cast type (?P<source>.+) to (?P<target>.+)$")
_MESSAGE_LENGTH = 200
_QUOTE_NO_ROW = ("0A", "25", "42", "54")  # they speak of the text alone; the others may quote values of rows


@contextmanager
def view_errors(text: FeatureView | LabelText, sql: str) -> Iterator[None]:
    """Turns what the database says against a text into a ViewError with the file's own line.

    Args:
        text: The view or label.
        sql: What was sent: the text's statement, perhaps with something around it.
    """
    try:
        yield
    except asyncpg.PostgresError as error:
        code = str(error.sqlstate or "")
        if not code.startswith(_FAULTS_OF_THE_TEXT):
            raise
        words = str(error.args[0])
        known = f"; {_HINTS[code]}" if code in _HINTS else ""
        raise ViewError(
            file=text.file,
            line=_line_of_error(text, sql, error),
            message=f"the database refuses it: {_first_line(words)}",
            hint=_hint_of_words(words) or _hint(text, sql, code, getattr(error, "hint", None)),
            for_log=None
            if code.startswith(_QUOTE_NO_ROW)
            else f"the database refuses it: SQLSTATE {code}{known}",
        ) from error


@contextmanager
def in_time(text: FeatureView | LabelText, timeout_s: float, hints: Sequence[str]) -> Iterator[None]:
    """Turns an answer that does not come in time into a ViewError with the text's file.

    Args:
        text: The view or label.
        timeout_s: How long it was given, in seconds.
        hints: What its plan says of the tables it reads whole; empty if it reads none.
    """
    try:
        yield
    except TimeoutError as error:
        raise ViewError(
            file=text.file,
            line=None,
            message=f"expected an answer within {timeout_s:g} s, got none",
            hint="; ".join(hints) or "see by EXPLAIN what it reads, and index that by the key and the time",
        ) from error


def _first_line(message: str) -> str:
    """A message alone: what quotes the statement may quote all the rest of it."""
    first, *more = message.splitlines()
    if len(first) > _MESSAGE_LENGTH:  # a number may have as many digits
        half = _MESSAGE_LENGTH // 2
        first = f"{first[:half]} … {first[-half:]}"
    return f"{first} …" if more else first


def _hint_of_words(message: str) -> str | None:
    if cast := _CANNOT_CAST.match(message):
        return cast_hint(cast["source"], cast["target"])
    return next((hint for words, hint in _BY_MESSAGE if words.search(message)), None)


def _hint(text: FeatureView | LabelText, sql: str, code: str, hint: str | None) -> str:
    if _is_population(text, sql):
        known = None if code == _NOT_READ else _HINTS.get(code)
        return known or hint or "let the population be one SELECT of the ids, of the type of $1"
    return _HINTS.get(code) or hint or "mend the SQL"


def _is_population(text: FeatureView | LabelText, sql: str) -> bool:
    return isinstance(text, FeatureView) and text.statement not in sql and text.population in sql


def _line_of_error(text: FeatureView | LabelText, sql: str, error: asyncpg.PostgresError) -> int | None:
    position, before = getattr(error, "position", None), sql.find(text.statement)
    if _is_population(text, sql):
        return header_line(text.text, "population")
    if position is None or before < 0:
        return None
    line = line_at(sql, int(position) - 1) - sql.count("\n", 0, before)
    return min(max(line, 1), text.text.count("\n") + 1)
