"""Reads the features that a request gives: by name from people, packed from programs.

Packed values are numbers alone, in the order of the version's features. Nothing here goes through them one by
one but the words of a refusal: a row, or ten thousand, is one array.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from google.protobuf.struct_pb2 import Value
from numpy.typing import NDArray

from staunch.v1.prediction_service_pb2 import PackedFeatures
from staunch_features.errors import shown
from staunch_features.views.rules import LARGEST_VALUE, MAX_KEY_BYTES, bad_values
from staunch_server.errors import Reason, Refusal, Violation
from staunch_server.models.served import Served
from staunch_server.statuses import clip, of_key
from staunch_server.types import Floats

PACKED: Literal["packed_features"] = "packed_features"
"""The field of rows without names."""

_VALUES, _DIGEST = f"{PACKED}.values", f"{PACKED}.features_digest"
_BEYOND = f"infinite, or beyond {LARGEST_VALUE:.2g} either way"
_NEVER_NULL = "never null in this view"

_NO_NUMBERS = {
    None: "a Value without a kind",  # as left by whoever misspells one: no caller means null by it
    "string_value": "a text",
    "bool_value": "a boolean",
    "list_value": "a list",
    "struct_value": "an object",
}
"""Kinds of a Value that no feature has."""


def packed_rows(served: Served, packed: PackedFeatures) -> Floats:
    """Reads rows without names: float64 (n, features), NaN is null; of which some may be bad.

    Raises:
        Refusal: FEATURES_MISMATCH.
    """
    values = np.array(packed.values, dtype=np.float64)
    width = len(served.columns)
    if packed.features_digest != served.manifest.features_digest or values.size % width:
        raise _mismatch(served, packed)
    return values.reshape(-1, width)


def packed_bytes(served: Served, packed: PackedFeatures) -> bytes:
    """Returns one row without names as little-endian float64, NaN is null; of which some may be bad.

    Taken from the message's own bytes: out of its list of numbers a row costs three times as much.

    Raises:
        Refusal: FEATURES_MISMATCH.
    """
    size = 8 * len(served.columns)
    if packed.features_digest != served.manifest.features_digest or 8 * len(packed.values) != size:
        raise _mismatch(served, packed)
    encoded = (
        packed.SerializeToString()
    )  # the values first, as its first field: a tag, their length, themselves
    start = 2 + (size > 127) + (size > 16_383) + (size > 2_097_151)
    return encoded[start : start + size]


def packed_row(served: Served, packed: PackedFeatures) -> Floats:
    """Reads one row without names: float64 (features,), NaN is null.

    Raises:
        Refusal: FEATURES_MISMATCH, FEATURE_NOT_FINITE, FEATURE_MISSING.
    """
    row: Floats = np.frombuffer(packed_bytes(served, packed), "<f8")
    if refused := bad_rows(served, row[None]):
        raise refused[0]
    return row


def bad_rows(served: Served, values: Floats) -> Mapping[int, Refusal]:
    """Finds the rows, float64 (n, features), that no model may be given; each with why Predict refuses it."""
    bad = bad_values(values, served.never_null)
    refusals: dict[bytes, Refusal] = {}  # a broken feed has the same wrong with each of ten thousand rows
    refused = {}
    for place in np.flatnonzero(bad.any(axis=1)).tolist():
        infinite = bad[place] & ~np.isnan(values[place])
        kind = bad[place].tobytes() + infinite.tobytes()
        if kind not in refusals:
            refusals[kind] = _bad_row(served, bad[place], infinite)
        refused[place] = refusals[kind]
    return refused


def refuse_absent(served: Served, values: Mapping[str, Value]) -> None:
    """Refuses named features that are not all those of the version."""
    if absent := sorted(served.columns.keys() - values.keys()):
        raise _Wrong(served, "features.values", absent).refusal(Reason.FEATURE_MISSING, "missing")


def named_values(served: Served, values: Mapping[str, Value], field: str) -> Iterator[tuple[int, float]]:
    """Reads named values as columns and float64; every name is compared before any is looked up.

    Raises:
        Refusal: FEATURE_UNKNOWN, FEATURE_TYPE_MISMATCH, FEATURE_NOT_FINITE, FEATURE_MISSING.
    """
    if unknown := sorted(values.keys() - served.columns.keys()):
        problem = "no feature of the model"
        raise _Wrong(served, field, unknown).refusal(Reason.FEATURE_UNKNOWN, problem)
    if others := sorted(name for name, value in values.items() if value.WhichOneof("kind") in _NO_NUMBERS):
        got = " or ".join(sorted({_NO_NUMBERS[values[name].WhichOneof("kind")] for name in others}))
        problem = f"{got}, where a number (a boolean is 0 or 1) or null is expected"
        raise _Wrong(served, field, others).refusal(Reason.FEATURE_TYPE_MISMATCH, problem, got=got)
    numbers = {name: _number(value) for name, value in values.items()}
    if infinite := sorted(name for name, number in numbers.items() if abs(number) > LARGEST_VALUE):
        raise _Wrong(served, field, infinite).not_finite()
    features = served.manifest.features
    null = [name for name, number in numbers.items() if math.isnan(number)]
    if never := sorted(name for name in null if not features[served.columns[name]].nullable):
        raise _Wrong(served, field, never).refusal(Reason.FEATURE_MISSING, _NEVER_NULL)
    for name, number in numbers.items():
        yield served.columns[name], number


def _number(value: Value) -> float:
    """The value; NaN, which is null as a view's NaN is, if it is null."""
    return value.number_value if value.HasField("number_value") else math.nan


def _bad_row(served: Served, bad: NDArray[np.bool_], infinite: NDArray[np.bool_]) -> Refusal:
    """Refuses a row as named values are: for what is not finite first, then for nulls."""
    is_null = not infinite.any()
    columns = np.flatnonzero(bad if is_null else infinite).tolist()
    names = [served.manifest.features[column].name for column in columns]
    wrong = _Wrong(served, _VALUES, names, [f"{_VALUES}[{column}]" for column in columns])
    return wrong.refusal(Reason.FEATURE_MISSING, _NEVER_NULL) if is_null else wrong.not_finite()


def _mismatch(served: Served, packed: PackedFeatures) -> Refusal:
    """Refuses values that were not packed for the version."""
    expected, got = served.manifest.features_digest, packed.features_digest
    wrong = Violation(_DIGEST, "is not that of the version")
    wanted, came = f"features_digest {expected}", f"features_digest {got or 'none'}"
    if got == expected:
        expected, got = f"{len(served.columns)} for each row", str(len(packed.values))
        wrong = Violation(_VALUES, "are not as many as the features")
        wanted, came = f"values, {expected},", f"{got} values"
    hint = "GetModel gives the order of the features and their digest: pack the values again"
    message = f"{PACKED}: expected {wanted} of {served.name}, got {came}; {hint}."
    metadata = {"model": served.name, "field": wrong.field, "expected": expected, "got": got}
    return Refusal(Reason.FEATURES_MISMATCH, message, [wrong], metadata=metadata)


@dataclass(frozen=True, slots=True)
class _Wrong:
    """Features of a request that cannot be meant.

    Attributes:
        served: The version.
        field: The field that they stand in.
        names: Their names.
        paths: Where each stands; as keys of the field if that is not said.
    """

    served: Served
    field: str
    names: Sequence[str]
    paths: Sequence[str] = ()

    def not_finite(self) -> Refusal:
        return self.refusal(Reason.FEATURE_NOT_FINITE, _BEYOND, limit=f"{LARGEST_VALUE:.2g}")

    def refusal(self, reason: Reason, problem: str, **metadata: str) -> Refusal:
        some = ", ".join(shown(clip(name, MAX_KEY_BYTES)) for name in self.names[:5])
        more = f" and {len(self.names) - 5} more" if len(self.names) > 5 else ""
        message = f"{self.field}: {problem}: {some}{more}"
        paths = self.paths or [of_key(self.field, name) for name in self.names]
        wrong = [Violation(path, f"is {problem}") for path in paths]
        metadata |= {"model": self.served.name, "field": wrong[0].field, "count": str(len(wrong))}
        hint = "GetModel lists the features and whether they can be null"
        return Refusal(reason, f"{message}; {hint}.", wrong, metadata=metadata)
