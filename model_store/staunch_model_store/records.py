"""Dataclasses as JSON: written the same way each time, and read by the types of their fields."""

import json
import math
import re
import reprlib
import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from datetime import UTC, datetime
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from staunch_model_store.errors import ModelRefused

_PRIMITIVES: Mapping[type, str] = {
    str: "a text",
    bool: "true or false",
    int: "a whole number of at most 63 bits",
    float: "a finite number",
}

_KEY = 80  # letters of a key that errors quote: a manifest's author chose it


def refusal(where: str, expected: str, got: str, hint: str = "publish the version again") -> ModelRefused:
    """Returns what is said of a field of a manifest.json that is not as it should be."""
    return ModelRefused(f"manifest.json: {where}: expected {expected}, got {got}; {hint}")


def json_object(raw: bytes) -> dict[str, Any]:
    """Reads bytes as a JSON object.

    Raises:
        ModelRefused: They are anything else.
    """
    try:
        content = json.loads(raw, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise refusal("text", "a JSON object", f"bytes that do not parse ({error})") from error
    if not isinstance(content, dict):
        raise refusal("text", "a JSON object", type(content).__name__)
    return content


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is no JSON")


def encode(value: Any) -> Any:
    """Returns what JSON writes of a dataclass and of what its fields hold."""
    if is_dataclass(value):
        return {field.name: encode(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {key: encode(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [encode(item) for item in value]
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value


def decode(kind: Any, value: Any, where: str) -> Any:
    """Reads a JSON value as the type `kind`.

    Args:
        kind: The type: a dataclass, a time, a primitive, or a tuple, mapping, literal or union of such.
        value: What JSON holds.
        where: How the field is named in errors.

    Raises:
        ModelRefused: It is of another type.
    """
    if is_dataclass(kind):
        return _decode_object(kind, value, where)
    if kind is datetime:
        return _decode_time(value, where)
    decoder = _DECODERS.get(get_origin(kind), _decode_primitive)
    return decoder(kind, value, where)


def _decode_object(kind: Any, value: Any, where: str) -> Any:
    """Reads a record; a field with a default may be absent: older releases wrote manifests without it."""
    hints = get_type_hints(kind)
    needed = {field.name for field in fields(kind) if field.default is MISSING}
    if not isinstance(value, dict):
        raise refusal(where, f"the fields {sorted(hints)}", reprlib.repr(value))
    missing, unknown = sorted(needed - value.keys()), sorted(value.keys() - hints.keys())
    if missing or unknown:
        got = f"none of {missing}" if missing else f"also {reprlib.repr(unknown)}"
        raise refusal(where, f"the fields {sorted(hints)}", got)
    return kind(**{name: decode(hints[name], each, f"{where}.{name}") for name, each in value.items()})


def _decode_list(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, list):
        raise refusal(where, "a list", reprlib.repr(value))
    return tuple(decode(get_args(kind)[0], item, f"{where}[{i}]") for i, item in enumerate(value))


def _decode_map(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise refusal(where, "an object", reprlib.repr(value))
    return {key: decode(get_args(kind)[1], item, f"{where}.{key[:_KEY]}") for key, item in value.items()}


def _decode_choice(kind: Any, value: Any, where: str) -> Any:
    if value not in get_args(kind):
        raise refusal(where, f"one of {get_args(kind)}", reprlib.repr(value))
    return value


def _decode_union(kind: Any, value: Any, where: str) -> Any:
    """Takes the alternative that is the value's own type, else the first that is no None."""
    alternatives = get_args(kind)
    if value is None and type(None) in alternatives:
        return None
    return decode(type(value) if type(value) in alternatives else alternatives[0], value, where)


def _decode_time(value: Any, where: str) -> datetime:
    try:
        return datetime.fromisoformat(value)
    except (TypeError, ValueError) as error:
        raise refusal(where, "an ISO 8601 time", reprlib.repr(value)) from error


def _fits(kind: type, value: Any) -> bool:
    """Tells whether a JSON value is of a primitive type; a whole number is a number, true is neither.

    JSON's whole numbers have no end; what answers carry has 64 bits.
    """
    if isinstance(value, bool):
        return kind is bool
    if isinstance(value, int):
        return kind in (int, float) and -(2**63) <= value < 2**63
    # JSON can write half of a pair, which no answer can carry.
    return isinstance(value, kind) and not (isinstance(value, str) and re.search("[\ud800-\udfff]", value))


def _decode_primitive(kind: Any, value: Any, where: str) -> Any:
    if not _fits(kind, value) or (kind is float and not math.isfinite(value)):
        raise refusal(where, _PRIMITIVES[kind], reprlib.repr(value))
    return float(value) if kind is float else value


_DECODERS: Mapping[Any, Callable[[Any, Any, str], Any]] = {
    tuple: _decode_list,
    Mapping: _decode_map,
    Literal: _decode_choice,
    Union: _decode_union,
    types.UnionType: _decode_union,
}
