"""What can be said of SQL without a database: where strings and comments are, and where it ends."""

import re

MAX_NAME_BYTES = 63
"""The longest name that PostgreSQL keeps whole."""

# What can hide a semicolon or a word: comments, strings, dollar quotes, quoted names.
_TOKEN = re.compile(
    r"(?P<comment>--[^\n]*|/\*.*?\*/)"
    r"|(?P<string>[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$)"
    r'|(?P<name>"(?:[^"]|"")*")'
    r"|(?P<semicolon>;)",
    re.DOTALL,
)

_PLAIN_NAME = re.compile(r"[a-z_][a-z0-9_]*")
_FIRST_WORD = re.compile(r"[^\s(]\w*")
_READING = frozenset({"SELECT", "WITH", "VALUES", "TABLE"})
_LOCKS_ROWS = re.compile(r"\bFOR\s+(?:NO\s+KEY\s+)?UPDATE\b|\bFOR\s+(?:KEY\s+)?SHARE\b", re.IGNORECASE)


def line_at(text: str, offset: int) -> int:
    """Returns the line, from 1, on which a character stands."""
    return text.count("\n", 0, offset) + 1


def split_statement(text: str) -> tuple[str, int, str]:
    """Splits a text at its first semicolon: what stands before, the semicolon's offset, what stands after."""
    for token in _TOKEN.finditer(text):
        if token["semicolon"]:
            return text[: token.start()], token.start(), text[token.end() :]
    return text, len(text), ""


def has_code(text: str) -> bool:
    """Returns whether a text holds anything but blanks and comments."""
    return bool(_TOKEN.sub(lambda m: "" if m["comment"] else m[0], text).strip())


def has_parameters(statement: str) -> bool:
    """Returns whether a statement takes $1 or others."""
    return re.search(r"(?<![\w$])\$\d", code_of(statement)) is not None


def other_than_reading(statement: str) -> tuple[int, str] | None:
    """Finds what makes a statement no SELECT that only reads, as (offset, words); None if nothing does."""
    code = code_of(statement, quoted_names=False)
    if (first := _FIRST_WORD.search(code)) and first[0].upper() not in _READING:
        return first.start(), first[0]
    locks = _LOCKS_ROWS.search(code)
    return (locks.start(), " ".join(locks[0].split())) if locks else None


def strings_of(statement: str) -> list[tuple[int, str]]:
    """Lists the string literals of a statement as (line, literal with its quotes)."""
    found = (m for m in _TOKEN.finditer(statement) if m["string"])
    return [(line_at(statement, m.start()), m[0]) for m in found]


def code_of(text: str, *, quoted_names: bool = True) -> str:
    """Blanks out comments, strings and, if told to, quoted names; all else stays in its place."""
    return _TOKEN.sub(
        lambda m: m[0] if m["semicolon"] or (m["name"] and quoted_names) else re.sub(r"\S", " ", m[0]), text
    )


def line_of_word(statement: str, word: str) -> int | None:
    """Finds the first line on which a word stands outside of strings and comments."""
    return _line_of(statement, rf"(?<!\w){re.escape(word)}\b")


def line_of_column(statement: str, name: str) -> int | None:
    """Finds the line on which a column is given its name, or else the first that has the name."""
    named = _line_of(statement, rf"\bAS\s+(?:{re.escape(quoted(name))}|{re.escape(name)}\b)")
    return line_of_word(statement, name) if named is None else named


def _line_of(statement: str, pattern: str) -> int | None:
    found = re.search(pattern, code_of(statement), re.IGNORECASE)
    return line_at(statement, found.end() - 1) if found else None


def rename(statement: str, pattern: re.Pattern[str], name: str) -> str:
    """Replaces a pattern by a name wherever it stands outside of strings and comments."""
    pieces, end = [], 0
    for token in _TOKEN.finditer(statement):
        if token["comment"] or token["string"]:
            pieces += [pattern.sub(lambda _: name, statement[end : token.start()]), token[0]]
            end = token.end()
    return "".join([*pieces, pattern.sub(lambda _: name, statement[end:])])


def quoted(name: str) -> str:
    """A name as SQL takes it, whatever it is."""
    return '"' + name.replace('"', '""') + '"'


def quoted_if_needed(name: str) -> str:
    """A name as people and PostgreSQL write it: quoted where it must be; words of SQL aside."""
    return name if _PLAIN_NAME.fullmatch(name) else quoted(name)
