"""Checks what a caller gives, before anything is sent; no I/O.

One rule for every parameter: a value of a type that it never takes is a TypeError, a value of its type that
can never be sent a ValueError, and both name the parameter, what came and what to give. What can be sent goes
to the server, which alone knows its views and models, and comes back as an `InvalidRequest` with its reason.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, SupportsFloat, SupportsIndex, TypeGuard

from staunch._results import Model, ModelReference

Metadata = Mapping[str, str | bytes]
"""What travels beside a request: text, or bytes under a key that ends with "-bin"."""

ModelName = str | ModelReference | Model
"""What names a model: "churn", "churn@3", "churn@champion", or what an answer named."""

INT32 = 2**31 - 1

LONGEST_S = 1e9
"""31 years, which is for ever here: the library's clock overflows beyond ten times that."""

# By the letters of numpy: its texts, times, complex numbers and records have a __float__ too.
_KINDS_OF_NUMBERS = "biuf"

MOST_TAG_LETTERS = 35
"""The longest language tag that the server reads, as long as BCP 47 asks for at least."""

_TAG = re.compile(r"[A-Za-z]{2,8}(?:[-_][A-Za-z0-9]{1,8})*")
_KEY = re.compile(r"[0-9a-z_.-]+")
_VALUE = re.compile(r"[\x20-\x7e]*")
_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")
_OURS = {"content-type", "content-length", "te", "user-agent"}
_OF_CONNECTIONS = {"connection", "host", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"}


def is_language_tag(text: str) -> bool:
    """Tells whether the server takes a text as a BCP 47 tag, such as "fr", "fr-CA" or "fr_CA"."""
    return len(text) <= MOST_TAG_LETTERS and _TAG.fullmatch(text) is not None


def whole(name: str, value: object, least: int, most: int) -> int:
    """Returns a whole number within bounds; numpy's count as such.

    Raises:
        TypeError: It is no whole number, or a bool.
        ValueError: It is out of bounds.
    """
    if isinstance(value, bool) or not isinstance(value, SupportsIndex):
        raise TypeError(f"expected a whole number as {name}, got {value!r}")
    number = value.__index__()
    if not least <= number <= most:
        raise ValueError(f"expected {name} of {least} to {most}, got {number}")
    return number


def seconds(name: str, value: object) -> float:
    """Returns seconds above 0, at most `LONGEST_S`, which is what infinity means.

    Raises:
        TypeError: It is no number, or a bool.
        ValueError: It is not above 0, or not a number.
    """
    if _is_bool(value) or not _is_scalar(value):
        raise TypeError(f"expected {name} as a number of seconds, got {value!r}")
    try:
        found = float(value)
    except OverflowError:
        return LONGEST_S
    except ValueError as error:
        raise ValueError(f"expected {name} above 0, got {value!r}: {error}") from None
    if not found > 0:
        raise ValueError(f"expected {name} above 0, got {found:g}; leave it out for the usual one")
    return min(found, LONGEST_S)


def optional_seconds(name: str, value: object) -> float | None:
    """Returns seconds as `seconds` does; None stays None."""
    return None if value is None else seconds(name, value)


def flag(name: str, value: object) -> bool:
    """Returns True or False; numpy's count as such.

    Raises:
        TypeError: It is neither.
    """
    if _is_bool(value):
        return bool(value)
    raise TypeError(f"expected True or False as {name}, got {value!r}")


def _is_bool(value: object) -> bool:
    return isinstance(value, bool) or type(value).__name__ in {"bool", "bool_"}


def text(name: str, value: object) -> str:
    """Returns text that can be sent.

    Raises:
        TypeError: It is no str.
        ValueError: It holds half a character, which has no form in UTF-8.
    """
    if not isinstance(value, str):
        raise TypeError(f"expected {name} as a str, got {type(value).__name__}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"expected {name} as text of whole characters, got {value!r}") from None
    return value


def model_name(model: object) -> str:
    """Returns how requests name a model: `prediction.model` is as good as "churn@3".

    Raises:
        TypeError: It names none.
        ValueError: As for `text`.
    """
    if isinstance(model, Model):
        model = model.reference
    if isinstance(model, ModelReference):
        model = str(model)
    if not isinstance(model, str):
        raise TypeError(
            'expected model as "name", "name@version" or "name@alias", or as what an answer named, '
            f"got {type(model).__name__}"
        )
    return text("model", model)


def number(name: str, value: object) -> float | None:
    """Returns a feature's value as a float; None is a missing value.

    Raises:
        TypeError: It is neither a number nor None.
        ValueError: It is beyond every float.
    """
    if _is_missing(value):
        return None
    if not _is_scalar(value):
        raise TypeError(
            f"expected a number or None for feature {name!r}, got {type(value).__name__}; "
            "encode a category as the feature view does, and give None where a value is missing"
        )
    try:
        return float(value)
    except (OverflowError, ValueError) as error:
        raise ValueError(f"expected a number for feature {name!r}, got {value!r}: {error}") from None


def _is_scalar(value: object) -> TypeGuard[SupportsFloat]:
    """Says whether a value of any library is one number: not text, no time, not an array of some."""
    kind = getattr(getattr(value, "dtype", None), "kind", "f")
    return isinstance(value, SupportsFloat) and getattr(value, "ndim", 0) == 0 and kind in _KINDS_OF_NUMBERS


def _is_missing(value: object) -> bool:
    """Says whether a value of any library is none: pandas.NA, numpy.ma.masked, Arrow's null."""
    if value is None or type(value).__name__ in {"NAType", "MaskedConstant"}:
        return True
    return getattr(value, "is_valid", None) is False


def features(name: str, values: object) -> dict[str, float | None]:
    """Returns features by name: of a dict, a pandas Series, or any other mapping.

    Raises:
        TypeError: It is no mapping, a name is no str, or a value neither a number nor None.
        ValueError: A name cannot be sent, or a value is beyond every float.
    """
    if not isinstance(values, Mapping) and not (hasattr(values, "keys") and hasattr(values, "__getitem__")):
        raise TypeError(f"expected {name} as a dict of values by feature, got {type(values).__name__}")
    given: dict[Any, Any] = dict(values)
    return {text(f"a feature of {name}", key): number(key, value) for key, value in given.items()}


def ids(customers: object, *also: type) -> None:
    """Refuses what is no source of ids though a loop over it gives something.

    Args:
        customers: What the caller gave.
        also: What counts as a source beside an Iterable.

    Raises:
        TypeError: It is text, a mapping, a table, or nothing that a loop can read.
    """
    kind = type(customers).__name__
    if isinstance(customers, str | bytes | bytearray):
        raise TypeError(f"expected customers as an iterable of ids, got one {kind}; put it into a list")
    if isinstance(customers, Mapping):
        raise TypeError(
            f"expected customers as an iterable of ids, got a {kind}; give its keys() or values()"
        )
    if hasattr(customers, "columns"):
        raise TypeError(
            f"expected customers as an iterable of ids, got a {kind}; give its column, "
            "or the whole to batch_predict_frame"
        )
    if not isinstance(customers, (Iterable, *also)):
        hint = "; AsyncClient reads such" if hasattr(customers, "__aiter__") else ""
        raise TypeError(f"expected customers as an iterable of ids, got {kind}{hint}")


def metadata(given: object) -> dict[str, str | bytes]:
    """Returns metadata with keys in lower case; no message shows a value, which may be a secret.

    Raises:
        TypeError: It is no mapping of str to str, or to bytes under a key that ends with "-bin".
        ValueError: A key or value that HTTP/2 does not carry or that the library sets itself.
    """
    if not isinstance(given, Mapping):
        raise TypeError(f"expected metadata as a dict of str, got {type(given).__name__}")
    found: dict[str, str | bytes] = {}
    for key, value in given.items():
        lower = _metadata_key(key)
        if lower in found:
            raise ValueError(f"expected each key of metadata once, got {lower!r} in two spellings")
        found[lower] = _metadata_value(lower, value)
    return found


def _metadata_key(key: object) -> str:
    if not isinstance(key, str):
        raise TypeError(f"expected the keys of metadata as str, got {key!r}")
    lower = key.lower()
    if not key.isascii() or not _KEY.fullmatch(lower):
        raise ValueError(
            f"expected a key of metadata of ASCII letters, digits, '-', '_' and '.', got {key!r}"
        )
    if lower.startswith("grpc-") or lower in _OURS:
        raise ValueError(f"expected no key of metadata that gRPC sets itself, got {key!r}")
    if lower in _OF_CONNECTIONS:
        raise ValueError(f"expected no key of metadata that is of connections, got {key!r}")
    return lower


def _metadata_value(key: str, value: object) -> str | bytes:
    if key.endswith("-bin"):
        if not isinstance(value, bytes):
            raise TypeError(
                f"expected metadata {key!r} as bytes, as its -bin says, got {type(value).__name__}"
            )
        return value
    if not isinstance(value, str):
        raise TypeError(f"expected metadata {key!r} as a str, got {type(value).__name__}")
    if key == "x-request-id" and not _REQUEST_ID.fullmatch(value):
        raise ValueError("expected metadata 'x-request-id' of 1 to 128 visible ASCII characters, got another")
    if not _VALUE.fullmatch(value):
        raise ValueError(
            f"expected metadata {key!r} of printable ASCII characters, got another; "
            "is there a line break at its end? Bytes go under a key that ends with -bin"
        )
    return value
