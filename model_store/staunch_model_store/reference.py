"""How models, versions and aliases are named: "churn", "churn@3", "churn@champion"."""

from dataclasses import dataclass

from staunch_model_store.errors import NameInvalid
from staunch_model_store.manifest import NAME

CHAMPION = "champion"
"""The alias that a model's bare name means."""

LAST_VERSION = 2**31 - 1
"""The highest number of a version: an int32 of the contract, which is a number in every language and JSON."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A parsed "name", "name@3" or "name@alias"; exactly one of `version` and `alias` is set."""

    name: str
    version: int | None
    alias: str | None


def parse_reference(text: str) -> Reference:
    """Reads "name" (its champion), "name@3" or "name@alias".

    Raises:
        NameInvalid: No model can be called that.
    """
    name, at, rest = text.partition("@")
    rest = rest if at else CHAMPION
    if NAME.fullmatch(name) and NAME.fullmatch(rest):
        return Reference(name, None, rest)
    if NAME.fullmatch(name) and is_version(rest):
        return Reference(name, int(rest), None)
    expected, got = '"name", "name@version" or "name@alias"', text[:80]
    hint = f"; versions are numbers from 1 to {LAST_VERSION}" if is_number(rest) else ""
    message = f"expected a model as {expected}, got {got!r}{hint}"
    raise NameInvalid(message, field="model", expected=expected, got=got)


def refuse_name(field: str, name: str) -> None:
    """Refuses what no model and no alias can be called.

    Raises:
        NameInvalid: It does not match `[a-z][a-z0-9_-]{0,62}`.
    """
    if not NAME.fullmatch(name):
        expected, got = NAME.pattern, name[:80]
        message = f"{field}: expected {expected}, got {got!r}"
        raise NameInvalid(message, field=field, expected=expected, got=got)


def is_version(text: str) -> bool:
    """Tells whether a text is the number of a version, from 1 to `LAST_VERSION`."""
    return is_number(text) and text[0] != "0" and len(text) <= 10 and int(text) <= LAST_VERSION


def is_number(text: str) -> bool:
    """Tells whether a text is a whole number of any length, in plain digits."""
    return text.isascii() and text.isdigit()
