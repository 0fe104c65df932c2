"""Packing many rows: data frames by the names of columns, arrays in order, lists of rows."""

import math
import struct
from decimal import Decimal
from typing import Any

import numpy
import pandas
import pyarrow
import pytest

from staunch import FeatureSchema

SCHEMA = FeatureSchema(("a", "b", "hours"))
NAN = math.nan
COLUMNS = {"hours": [3.0, 6.0], "id": ["x", "y"], "b": [None, 5], "a": [True, False]}
WANTED = [[1, NAN, 3], [0, 5, 6]]


def rows(given: Any) -> list[list[float]]:
    return [list(struct.unpack("<3d", row.values)) for row in SCHEMA.pack_rows(given)]


@pytest.mark.parametrize(
    "given",
    [
        pandas.DataFrame(COLUMNS),
        pandas.DataFrame(COLUMNS).convert_dtypes(),
        pandas.DataFrame(COLUMNS, dtype="object"),
        pandas.DataFrame(COLUMNS).astype({"hours": "float32"}).set_index("id"),
        pandas.DataFrame(COLUMNS).convert_dtypes(dtype_backend="pyarrow"),
        pyarrow.table(COLUMNS),
        pyarrow.RecordBatch.from_pydict(COLUMNS),
        pyarrow.concat_tables([pyarrow.table(COLUMNS).slice(0, 1), pyarrow.table(COLUMNS).slice(1)]),
        pyarrow.table(COLUMNS | {"b": pyarrow.array([None, Decimal(5)])}),
        numpy.array(WANTED),
        numpy.array(WANTED, order="F"),
        numpy.array(WANTED, dtype="float32"),
        WANTED,
        iter([[True, None, 3], {"a": 0, "b": 5, "hours": 6}]),
    ],
)
def test_rows_of_any_form_are_the_same(given: Any) -> None:
    assert numpy.array_equal(rows(given), WANTED, equal_nan=True)


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        (pandas.DataFrame({"a": [1], "b": [2]}), ValueError, "one column 'hours' .* got the columns a, b"),
        (pandas.DataFrame([[1, 2, 3, 4]], columns=["a", "a", "b", "hours"]), ValueError, "one column 'a'"),
        (pandas.DataFrame({"a": ["1"], "b": [1], "hours": [1]}), TypeError, "feature 'a', got str"),
        (
            pandas.DataFrame({"a": pandas.to_datetime(["2026-01-01"]), "b": [1], "hours": [1]}),
            TypeError,
            "feature 'a', got Timestamp",
        ),
        (
            pandas.DataFrame({"a": pandas.Categorical(["x"]), "b": [1], "hours": [1]}),
            TypeError,
            "encode a category as the feature view does.*the column is of type category",
        ),
        (pyarrow.table({"a": ["1"], "b": [1], "hours": [1]}), TypeError, "feature 'a', got str"),
        (pyarrow.table({"a": [1]}), ValueError, "one column 'b' .* got the columns a"),
        (numpy.zeros((2, 4)), ValueError, r"shape \(rows, 3\), got \(2, 4\)"),
        (numpy.zeros(3), ValueError, r"shape \(rows, 3\), got \(3,\)"),
        (numpy.array([["1", "2", "3"]]), TypeError, "expected an array of numbers, got one of <U1"),
        ({"a": 1, "b": 2, "hours": 3}, TypeError, "got dict; a single row goes to pack"),
        (None, TypeError, "got NoneType"),
        ([1, 2, 3], TypeError, "got int; several rows"),
    ],
)
def test_what_is_no_rows_is_refused_by_the_name_of_what_is_wrong(
    given: Any, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        SCHEMA.pack_rows(given)


def test_large_whole_numbers_are_rounded_as_float_rounds_them() -> None:
    large = 2**53 + 1
    frame = {"a": [large], "b": [1], "hours": [1]}
    assert {rows(one)[0][0] for one in (pandas.DataFrame(frame), pyarrow.table(frame), [[large, 1, 1]])} == {
        float(large)
    }


def test_no_rows_are_no_rows() -> None:
    assert rows([]) == rows(numpy.zeros((0, 3))) == []
