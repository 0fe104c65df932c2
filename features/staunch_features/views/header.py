"""The header of a view or label, TOML in a comment, taken apart key by key, and the statement behind it."""

import json
import re
import tomllib
from dataclasses import dataclass
from typing import Any

from staunch_features.errors import ViewError
from staunch_features.views.sql_text import has_code, line_at, other_than_reading, split_statement

_MOST_DAYS = 36_500  # a hundred years: beyond some thousand there is no date
_OPENING = re.compile(r"\s*/\*\s*staunch\b")


def header_line(text: str, key: str) -> int | None:
    """Finds the line of a header key such as `population` or `features.age` in a file's text."""
    table, _, name = key.partition(".")
    header = text.partition("*/")[0]
    # A name may hold dots itself; of features.age.null the entry is `age`.
    for entry in (name, name.rpartition(".")[0]) if table == "features" else (name,):
        if found := list(re.finditer(_key_pattern(table, entry), header, re.MULTILINE)):
            # A feature may be called like another key, and [features] comes last.
            match = found[-1] if key.startswith("features.") else found[0]
            return line_at(header, match.end())
    return None


def _key_pattern(table: str, name: str) -> str:
    """What an entry begins with, its name bare or in either of TOML's quotes."""
    word = name or table
    spelled = {word, f"'{word}'", json.dumps(word), json.dumps(word, ensure_ascii=False)}
    words = "|".join(sorted(map(re.escape, spelled)))
    pattern = rf"^\s*(?:{words})\s*[=.]"
    return (
        rf"{pattern}|^\s*\[\s*features\s*\.\s*(?:{words})\s*\]" if table == "features" and name else pattern
    )


@dataclass(slots=True)
class Header:
    """The TOML of one file while it is being taken apart, and the statement behind it.

    Attributes:
        file: Where the text came from, for messages.
        text: The file up to the end of the header.
        values: What has not been taken yet, by key.
        statement: The SQL statement alone, without its semicolon, on the same lines as in the file.
    """

    file: str
    text: str
    values: dict[str, Any]
    statement: str

    @classmethod
    def read(cls, text: str, file: str) -> "Header":
        """Parses the header of a file and cuts off its statement.

        Raises:
            ViewError: The header is missing or no TOML, or there is not exactly one statement that reads.
        """
        opening = _OPENING.match(text)
        end = text.find("*/")
        if not opening or end < 0:
            raise ViewError(
                file=file,
                line=1,
                message="expected the file to begin with a comment /* staunch ... */ that describes it",
                hint="begin the file with /* staunch, the header as TOML, and */",
            )
        # PostgreSQL nests comments: an opening inside would swallow the statement.
        if "/*" in text[opening.end() : end]:
            raise ViewError(
                file=file,
                line=line_at(text, text.index("/*", opening.end())),
                message="a comment opens inside the header",
                hint="write the header without /*",
            )
        values = _toml(text, opening.end(), end, file)
        # Blank lines stand in for the header, so that the database's positions are the file's lines.
        statement = "\n" * text.count("\n", 0, end) + _one_statement(text, end + 2, file)
        return cls(file, text[:end], values, statement)

    def string(self, key: str, default: str | None = None) -> str:
        """Takes a text that is not blank; an absent one is the default, if there is one."""
        return self.as_string(self.values.pop(key, default), key)

    def days(self, key: str) -> int:
        """Takes a whole number of days, at most a hundred years of them; absent ones are none."""
        value = self.values.pop(key, 0)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MOST_DAYS:
            raise self.error(key, f"expected a whole number of days from 0 to {_MOST_DAYS}", value)
        return value

    def table(self, key: str) -> dict[str, Any]:
        """Takes a table; an absent one is empty."""
        value = self.values.pop(key, {})
        if not isinstance(value, dict):
            raise self.error(key, "expected a table", value)
        return value

    def refuse_unknown_keys(self) -> None:
        """Refuses a key that nobody took."""
        for key, value in self.values.items():
            raise self.error(key, "no such key", value)

    def as_string(self, value: object, key: str, *, may_be_empty: bool = False) -> str:
        """Returns the value if it is a text."""
        if not isinstance(value, str) or not (may_be_empty or value.strip()):
            raise self.error(key, "expected a text", value)
        return value

    def as_strings(self, value: object, key: str, *, least: int = 0) -> tuple[str, ...]:
        """Returns the value if it is a list of texts, at least so many."""
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.error(key, "expected a list of texts", value)
        if len(value) < least:
            raise self.error(key, "expected one text or more", value)
        return tuple(value)

    def error(self, key: str, problem: str, got: object) -> ViewError:
        """Returns the error of a key, with its line."""
        return ViewError(
            file=self.file,
            line=header_line(self.text, key),
            message=f"header key {key}: {problem}, got {'nothing' if got is None else repr(got)}",
            hint="write the header as in docs/views.md",
        )


def _toml(text: str, start: int, end: int, file: str) -> dict[str, Any]:
    try:
        # The blank lines keep the line numbers of TOML's own errors right.
        return tomllib.loads("\n" * text.count("\n", 0, start) + text[start:end])
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"at line (\d+)", str(error))
        raise ViewError(
            file=file,
            line=int(found[1]) if found else line_at(text, end),
            message=f"the header is no valid TOML: {error}",
            hint="mend the header; an inline table { } stands on one line",
        ) from error


def _one_statement(text: str, start: int, file: str) -> str:
    """Cuts the statement from its last semicolon on and refuses a second one, or none."""
    statement, end, rest = split_statement(text[start:])
    if has_code(rest):
        raise ViewError(
            file=file,
            line=line_at(text, start + end),
            message="expected one statement, found more after the semicolon",
            hint="keep one SELECT; put helpers into WITH",
        )
    if not has_code(statement):
        raise ViewError(
            file=file,
            line=line_at(text, start),
            message="expected a SELECT behind the header, found nothing",
            hint="write the statement after the comment",
        )
    if other := other_than_reading(statement):
        raise ViewError(
            file=file,
            line=line_at(text, start + other[0]),
            message=f"expected a SELECT that only reads, got {other[1]}",
            hint="write one SELECT, WITH ... SELECT if need be; it is run by a role that can only read",
        )
    return statement.rstrip()
