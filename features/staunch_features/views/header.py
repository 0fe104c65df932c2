"""The header of a view or label, TOML in a comment, taken apart key by key, and the statement behind it."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from staunch_features.errors import CONTROL, ViewError
from staunch_features.views.sql_text import has_code, line_at, other_than_reading, split_statement

_MOST_DAYS = 36_500  # a hundred years: beyond some thousand there is no date
_OPENING = re.compile(r"\s*/\*\s*staunch\b")
_NAME = r"""(?:[\w-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*')"""
_DOTTED = rf"{_NAME}(?:[ \t]*\.[ \t]*{_NAME})*"
_KEY = re.compile(
    rf"^[ \t]*(?:\[[ \t]*(?P<table>{_DOTTED})[ \t]*\]|(?P<key>{_DOTTED})[ \t]*=)", re.MULTILINE | re.ASCII
)

OWN = ""
"""The language of what names none, where texts are sorted by language: the header's own."""

_SHOWN_LETTERS = 200  # of a value in an error
_NUMBER_KEY = re.compile(r"""(?<![\w."'])\+?(-?\d+\.\d+|(?<=\+)\d+)[ \t]*=""", re.ASCII)
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8})*")
_TOML_HINT = "mend the header; an inline table { } stands on one line"
_QUOTE_HINT = (
    'a text in another language is a key in quotes, "{key}.{language}" = ..., or all of them are written '
    "with their language: {key}.en = ..., {key}.{language} = ..."
)


def header_line(text: str, key: str) -> int | None:
    """Finds the line of a header key such as `population` or `features.age.unit` in a file's text.

    Of what stands within an entry it is the entry's line. A name may hold dots itself.
    """
    best, line = 0, None
    for number, path in _keys(text):
        shared = min(len(path), len(key))
        nearness = 2 * shared + (path == key)
        if nearness > best and f"{key}."[: shared + 1] == f"{path}."[: shared + 1]:
            best, line = nearness, number
    return line


def _keys(text: str) -> Iterator[tuple[int, str]]:
    """The line of each key of a header, and its name with those of the tables that it is in."""
    table: tuple[str, ...] = ()
    for found in _KEY.finditer(text.partition("*/")[0]):
        names = _names(found["table"] or found["key"])
        if found["table"]:
            table = names
        path = names if found["table"] else (*table, *names)
        yield line_at(text, found.end()), ".".join(path)


def _names(written: str) -> tuple[str, ...]:
    """The names of a dotted key, bare or in either of TOML's quotes."""
    names, inner = [], tomllib.loads(f"{written} = 0")
    while isinstance(inner, dict):
        ((name, inner),) = inner.items()
        names.append(name)
    return tuple(names)


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

    def as_prose(self, value: object, key: str, *, may_be_empty: bool = False) -> str:
        """Returns the value if it is a text for people, of lines that a terminal shows and does not obey."""
        text = self.as_string(value, key, may_be_empty=may_be_empty)
        if found := CONTROL.search(text.replace("\n", " ").replace("\t", " ")):
            raise self.error(key, f"expected a text without the control character {found[0]!r}", text)
        return text

    def as_line(self, value: object, key: str, most: int | None = None, *, may_be_empty: bool = False) -> str:
        """Returns the value, without blanks around it, if it is one line of at most so many letters."""
        text = self.as_prose(value, key, may_be_empty=may_be_empty).strip()
        if CONTROL.search(text) or (most is not None and len(text) > most):
            limit = "" if most is None else f" of at most {most} letters"
            raise self.error(key, f"expected one line{limit}", value)
        return text

    def as_strings(self, value: object, key: str, *, least: int = 0) -> tuple[str, ...]:
        """Returns the value if it is a list of texts, at least so many."""
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.error(key, "expected a list of texts", value)
        if len(value) < least:
            raise self.error(key, "expected one text or more", value)
        return tuple(value)

    def take_own_language(self) -> str:
        """Takes the language that the header's texts are in where they name none."""
        return self.as_language(self.string("language", "en"), "language")

    def take_by_language(self, texts: Mapping[str, type], own: str) -> dict[str, dict[str, Any]]:
        """Takes the header's own texts, each in all its languages, as `by_language` gives them."""
        written = [key for key in self.values if key.partition(".")[0] in texts]
        return self.by_language({key: self.values.pop(key) for key in written}, texts, own)

    def as_language(self, value: str, key: str, other_than: str = "") -> str:
        """Returns a BCP 47 tag in small letters, if it is one and not the header's own."""
        if not _LANGUAGE.fullmatch(value) or value.lower() == other_than:
            other = f" and not the header's own, {other_than}" if other_than else ""
            raise self.error(key, f'expected a language such as "fr" or "fr-CA"{other}', value)
        return value.lower()

    def by_language(
        self, entry: Mapping[str, Any], texts: Mapping[str, type], own: str, where: str = ""
    ) -> dict[str, dict[str, Any]]:
        """Sorts what an entry holds by language: `"title.fr" = ...`, and `title.fr = ...` beside `title.en`.

        Args:
            entry: Key to value.
            texts: The keys that may be given in a language, and of what kind their values are.
            own: The header's own language.
            where: What stands before the keys in errors, `features.age.`; empty for the header's own.

        Returns:
            Language to key to value; OWN for what names no language, or the header's own.
        """
        sorted_by: dict[str, dict[str, Any]] = {OWN: {}}
        for key, language, value in _languages(entry, texts):
            if strange := _no_language(key, value, texts):
                raise self.error(f"{where}{key}", 'expected a language such as "fr" or "fr-CA"', strange)
            spoken = OWN if language == own else language
            named = f"{where}{key}.{language}" if language else f"{where}{key}"
            if key in sorted_by.setdefault(spoken, {}):
                raise self.error(named, f"the text in {language or own} is given twice", value)
            sorted_by[spoken][key] = value
        return sorted_by

    def error(self, key: str, problem: str, got: object, hint: str = "") -> ViewError:
        """Returns the error of a key, with its line."""
        shown = "nothing" if got is None else repr(got)
        if len(shown) > _SHOWN_LETTERS:
            shown = f"{shown[:_SHOWN_LETTERS]}…"
        return ViewError(
            file=self.file,
            line=header_line(self.text, key),
            message=f"header key {key}: {problem}, got {shown}",
            hint=hint or "write the header as in docs/views.md",
        )


def _languages(entry: Mapping[str, Any], texts: Mapping[str, type]) -> Iterator[tuple[str, str, Any]]:
    """Key, language and value of all that an entry holds; the language is empty where none is named."""
    for written, value in entry.items():
        key, _, language = written.partition(".")
        if key in texts and _LANGUAGE.fullmatch(language):
            yield key, language.lower(), value
        elif written in texts and _is_by_language(value, texts[written]):
            yield from ((written, each.lower(), text) for each, text in value.items())
        else:
            yield written, "", value


def _no_language(key: str, value: object, texts: Mapping[str, type]) -> str:
    """What stands where a key names a language and is none, as in `title.fr_CA`; empty if nothing does."""
    written, _, language = key.partition(".")
    if language and written in texts:
        return language
    if isinstance(value, dict) and texts.get(key) not in (None, dict):
        return next((each for each in value if not _LANGUAGE.fullmatch(each)), "")
    return ""


def _is_by_language(value: object, kind: type) -> bool:
    """Whether a table holds a value for each language, of a kind that may be a table itself."""
    if not isinstance(value, dict) or not value or not all(map(_LANGUAGE.fullmatch, value)):
        return False
    return kind is not dict or all(isinstance(each, dict) for each in value.values())


def _toml(text: str, start: int, end: int, file: str) -> dict[str, Any]:
    try:
        # The blank lines keep the line numbers of TOML's own errors right.
        return tomllib.loads("\n" * text.count("\n", 0, start) + text[start:end])
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"at line (\d+)", str(error))
        line, hint = _language_hint(text[:end])
        raise ViewError(
            file=file,
            line=int(found[1]) if found else line or line_at(text, end),
            message=f"the header is no valid TOML: {error}",
            hint=hint or _number_hint(text[:end], found) or _TOML_HINT,
        ) from error


def _language_hint(header: str) -> tuple[int | None, str]:
    """Where and how to mend a header that says `title = ...` and `title.fr = ...`, which TOML forbids."""
    for found in re.finditer(r"""(?<![\w."'])([a-z]+)\.([a-z]{2}(?:-\w+)?)\s*=""", header):
        line = line_at(header, found.end())
        begins = rf"(?<![\w.]){found[1]}\s*="
        same_line = re.search(begins, header.split("\n")[line - 1])
        if same_line or re.search(rf"^\s*{begins}", header, re.MULTILINE):
            return line, _QUOTE_HINT.format(key=found[1], language=found[2])
    return None, ""


def _number_hint(header: str, found: re.Match[str] | None) -> str:
    """How to mend `{ 0 = "none", 0.5 = "half" }`, which TOML reads as tables; on the line of its error."""
    for number in _NUMBER_KEY.finditer(header):
        if found is not None and line_at(header, number.end()) == int(found[1]):
            return f'a number with a point is written in quotes, and none has a plus: "{number[1]}" = ...'
    return ""


def _one_statement(text: str, start: int, file: str) -> str:
    """Cuts the statement from its last semicolon on and refuses a second one, or none."""
    statement, end, rest = split_statement(text[start:])
    place, problem, hint = 0, "", ""
    if has_code(rest):
        place, problem = end, "expected one statement, found more after the semicolon"
        hint = "keep one SELECT; put helpers into WITH"
    elif not has_code(statement):
        problem = "expected a SELECT behind the header, found nothing"
        hint = "write the statement after the comment"
    elif other := other_than_reading(statement):
        place, problem = other[0], f"expected a SELECT that only reads, got {other[1]}"
        hint = "write one SELECT, WITH ... SELECT if need be; it is run by a role that can only read"
    if problem:
        raise ViewError(file=file, line=line_at(text, start + place), message=problem, hint=hint)
    return statement.rstrip()
