"""Packing single rows: by name or in order, with what is missing; and what cannot be packed."""

import hashlib
import math
import struct
from datetime import datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import numpy
import pandas
import pytest

from staunch import FeatureSchema, PackedRow
from staunch._packed._rows import features_digest

SCHEMA = FeatureSchema(("a", "b", "hours"))


def numbers(row: PackedRow) -> list[float]:
    return list(struct.unpack(f"<{len(row.values) // 8}d", row.values))


@pytest.mark.parametrize(
    "values",
    [
        {"hours": 3, "a": 1, "b": None},
        {"a": True, "b": math.nan, "hours": Decimal(3)},
        [1, None, 3],
        (numpy.float32(1), pandas.NA, numpy.int64(3)),
        numpy.array([1, numpy.nan, 3]),
        pandas.Series({"b": None, "a": 1, "hours": 3}),
    ],
)
def test_a_row_is_packed_in_order_with_nan_for_what_is_missing(values: Any) -> None:
    packed = SCHEMA.pack(values, "k")
    assert (packed.features_digest, packed.customer) == (SCHEMA.digest, "k")
    first, second, third = numbers(packed)
    assert (first, math.isnan(second), third) == (1, True, 3)


@pytest.mark.parametrize(
    ("values", "error", "words"),
    [
        ({"a": 1, "b": 2}, ValueError, "each of 3 features and no other, got absent: hours"),
        ({"a": 1, "b": 2, "hours": 3, "c": 4}, ValueError, "got unknown: c"),
        ({"a": 1, "B": 2, "hours": 3}, ValueError, "got absent: b; unknown: B"),
        ({"a": "1", "b": 2, "hours": 3}, TypeError, "expected a number or None for feature 'a', got str"),
        ([1, 2], ValueError, "expected 3 values, one for each feature in order, got 2"),
        ([1, 2, "x"], TypeError, "for feature 'hours', got str"),
        ([1, 2, datetime.now()], TypeError, "for feature 'hours', got datetime"),
        ("123", TypeError, "by name or in order, got str; several rows go to pack_rows"),
        (None, TypeError, "got NoneType"),
        (numpy.zeros((1, 3)), ValueError, "got 1"),
        (numpy.zeros((3, 2)), TypeError, "for feature 'a', got list"),
        ([1, 2, 10**400], ValueError, "feature 'hours'"),
    ],
)
def test_what_is_no_row_is_refused_by_name(values: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        SCHEMA.pack(values)


def test_the_digest_is_that_of_the_documented_json() -> None:
    text = b'[["a","number"],["\\u00e9","number"]]'
    assert features_digest(["a", "é"]) == "sha256:" + hashlib.sha256(text).hexdigest()
    assert FeatureSchema(("a", "é")).digest == features_digest(["a", "é"])
    assert features_digest(["a", "b"]) != features_digest(["b", "a"])


def test_a_schema_is_made_of_names_or_of_a_model_that_tells_its_features() -> None:
    model: Any = SimpleNamespace(
        features=[SimpleNamespace(name="x"), SimpleNamespace(name="y")], features_digest="sha256:1"
    )
    assert FeatureSchema.of(model) == FeatureSchema(("x", "y"), "sha256:1")
    listed: Any = SimpleNamespace(features=(), reference="churn@3")
    with pytest.raises(ValueError, match="expected churn@3 as get_model gives it, got one without features"):
        FeatureSchema.of(listed)
    names: Any
    for names in ("abc", ()):
        with pytest.raises(ValueError, match="expected the names of one or more features"):
            FeatureSchema(names)


def test_rows_are_called_as_asked_and_there_must_be_as_many_names() -> None:
    rows = SCHEMA.pack_rows([[1, 2, 3], {"a": 4, "b": 5, "hours": 6}], customers=["x", numpy.int64(7)])
    assert [(row.customer, numbers(row)) for row in rows] == [("x", [1, 2, 3]), (7, [4, 5, 6])]
    with pytest.raises(ValueError, match="expected a customer for each of 1 rows, got 2"):
        SCHEMA.pack_rows([[1, 2, 3]], customers=[1, 2])
    with pytest.raises(TypeError, match="got one str"):
        SCHEMA.pack_rows([[1, 2, 3]], customers="x")
