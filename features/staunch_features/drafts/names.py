"""Names and texts as SQL, TOML and a reader take them, whatever the table's own names are."""

import json
import re
import unicodedata
from collections.abc import Container

from staunch_features.errors import CONTROL
from staunch_features.views.sql_text import MAX_NAME_BYTES

_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_PLAIN_VALUE = re.compile(r"\w(?:[\w .+/-]*\w)?")


def plain_name(name: str, otherwise: str) -> str:
    """Returns a name of small letters, digits and underscores: `TotalCharges` is `total_charges`.

    Args:
        name: Any name.
        otherwise: What to use if nothing of it is left.
    """
    letters = unicodedata.normalize("NFKD", _HUMP.sub("_", name)).encode("ascii", "ignore").decode().lower()
    plain = re.sub(r"[^a-z0-9]+", "_", letters).strip("_")
    if plain[:1].isdigit():
        plain = f"n{plain}"
    return plain[:MAX_NAME_BYTES].rstrip("_") or otherwise


def unused_name(name: str, used: Container[str]) -> str:
    """Returns the name, or one that begins like it, so that it is none of those that are used."""
    number, candidate = 1, name[:MAX_NAME_BYTES].rstrip("_")
    while candidate in used:
        number += 1
        candidate = f"{name[: MAX_NAME_BYTES - 1 - len(str(number))].rstrip('_')}_{number}"
    return candidate


def words_of(name: str) -> str:
    """Returns a column's name as words for a sentence: `TotalCharges` is `Total charges`."""
    words = re.sub(r"[_\s]+", " ", _HUMP.sub(" ", name)).strip() or name
    lower = words.lower() if any(letter.islower() for letter in words) else words
    return lower[:1].upper() + lower[1:]


def literal(text: str) -> str:
    """Returns a text as SQL takes it."""
    return "'" + text.replace("'", "''") + "'"


def shown(value: str) -> str:
    """Returns a value as a reader takes it: in quotes where it would run into the words around it."""
    return value if _PLAIN_VALUE.fullmatch(value) else literal(value)


def toml(text: str) -> str:
    """Returns a text as TOML takes it, without what would open or close a comment of SQL."""
    if '"' in text and not re.search(r"['\x00-\x1f\x7f]|\*/|/\*", text):
        return f"'{text}'"
    escaped = json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
    return re.sub(r"(?<=\*)/|/(?=\*)", r"\\u002F", escaped)


def prose(text: str) -> str:
    """Returns a text for people as TOML takes it, without what a terminal would obey."""
    return toml(CONTROL.sub(" ", text))


def comment(text: str) -> str:
    """Returns a line of a comment in TOML, without what would end it or the comment of SQL around it."""
    line = "".join(letter if letter.isprintable() else " " for letter in text)
    return "# " + re.sub(r"(?<=\*)(?=/)|(?<=/)(?=\*)", " ", line)
