"""A setting's value in words: what its field takes, what came, and never a password of it."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from staunch_server.setting_names import PREFIX, nearest

SOCKET_ADDRESS = "unix:/?[A-Za-z0-9._@+,=:~-][A-Za-z0-9._/@+,=:~-]{0,97}"
"""What gRPC reads without escapes, and the kernel has room for with a worker's number behind it."""


def line_of(problem: Mapping[str, Any], fields: Mapping[str, FieldInfo], config: Path) -> str:
    """Returns what is wrong with a value, in one line: where it stands, what is expected, what came.

    Args:
        problem: One of pydantic's errors.
        fields: Every setting by name.
        config: The file that may hold keys which are no setting.
    """
    name = "_".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        near = nearest(name.lower().removeprefix(PREFIX.lower()), fields)
        hint = f"did you mean {near}?" if near else "docs/settings.md lists those there are."
        return f"{config} holds the key {name}, which is no setting: {hint}"
    if name not in fields:  # such as one element of what is no list
        name = str(problem["loc"][0])
    field = fields[name]
    wanted, came = expected(name, field), _came(field, problem)
    return f"{PREFIX}{name.upper()} (setting {name}): expected {wanted}, got {came}."


def expected(name: str, field: FieldInfo) -> str:
    """Returns what a setting takes, in words, such as "a whole number from 0 to 65535"."""
    kind = field.annotation
    if get_origin(kind) is Literal:
        return _alternatives(get_args(kind))
    kinds = get_args(kind) or (kind,)
    if bool in kinds:
        return "true or false"
    if int in kinds or float in kinds:
        number = "a whole number" if int in kinds else "a number"
        return number + _range(field.metadata)
    if SecretStr in kinds:
        return "postgresql://ROLE:PASSWORD@HOST:PORT/DATABASE"
    if Path in kinds:
        return "a folder; leave it out for the default"
    return _TEXTS.get(name, "an address of this machine, such as 127.0.0.1")


_TEXTS = {
    "default_model": "the name of a model: a letter from a to z, then letters, digits, - and _, 63 at most",
    "listen": "unix:PATH, such as unix:/run/staunch.sock, the path of 1 to 99 letters, digits and ._/@+,=:~-",
}
"""What settings take that are plain text to pydantic."""


def _alternatives(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"


def _range(metadata: Sequence[object]) -> str:
    """The bounds of a number in words; each piece of pydantic's metadata has one of them."""
    bounds = {bound: getattr(each, bound) for each in metadata for bound in _BOUNDS if hasattr(each, bound)}
    low = f" from {bounds['ge']}" if "ge" in bounds else f" above {bounds['gt']}" if "gt" in bounds else ""
    if "le" not in bounds:
        return f"{low} on" if low else ""
    return f"{low} to {bounds['le']}" if "ge" in bounds else f"{low} and at most {bounds['le']}"


_BOUNDS = ("ge", "gt", "le")
_SECRETS_OF_A_URL = re.compile(r"(?<=//)[^/\s]*@|(?i:password)=[^\s&'\"]*")


def _came(field: FieldInfo, problem: Mapping[str, Any]) -> str:
    """What came, as far as it may be shown: whatever looks like a URL may hold a password."""
    if SecretStr in get_args(field.annotation):
        return "something else (not shown, since it may hold a password)"
    return _SECRETS_OF_A_URL.sub("…", repr(problem["input"]))
