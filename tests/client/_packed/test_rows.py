"""Packed rows as they travel: the message that protobuf would make, in chunks that fit."""

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from staunch._packed import _rows
from staunch._packed._rows import PackedRow, PackedRows
from staunch.v1 import prediction_service_pb2 as pb

ROW = struct.pack("<3d", 1, math.nan, -0.0)


@given(
    st.lists(st.lists(st.floats(), min_size=3, max_size=3), min_size=1, max_size=60),
    st.text(st.characters(codec="utf-8"), max_size=200),
)
def test_the_message_is_the_one_that_protobuf_makes(rows: list[list[float]], digest: str) -> None:
    made = _rows.message([PackedRow(struct.pack("<3d", *row), digest) for row in rows])
    values = [value for row in rows for value in row]
    wanted = pb.PackedFeatures(values=values, features_digest=digest)
    assert made.SerializeToString() == wanted.SerializeToString()


def test_rows_are_given_out_one_by_one_by_number_or_by_what_they_are_called() -> None:
    assert [*PackedRows(ROW * 2, "d", 3)] == [PackedRow(ROW, "d", 0), PackedRow(ROW, "d", 1)]
    assert [one.customer for one in PackedRows(ROW * 2, "d", 3, ["x", "y"])] == ["x", "y"]
    assert (len(PackedRows(ROW * 2, "d", 3)), len(PackedRows(b"", "d", 3))) == (2, 0)


def test_as_many_rows_travel_in_a_message_as_fit() -> None:
    rows = [*PackedRows(b"\0" * (8 * 59 * 5000), "sha256:" + "0" * 64, 59)]
    chunks = [*_rows.chunks(rows)]
    assert [len(names) for names, _ in chunks] == [2219, 2219, 562]
    assert [name for names, _ in chunks for name in names] == [*range(5000)]
    sizes = [request.ByteSize() for _, request in chunks]
    assert 2**20 - 2000 < max(sizes) <= 2**20 - 500  # the rest is for a model's name and a language


def test_other_things_among_rows_are_refused() -> None:
    with pytest.raises(TypeError, match="expected ids or packed rows, got both in one batch: 42 beside rows"):
        list(_rows.chunks([PackedRow(ROW, "d"), 42]))
    with pytest.raises(ValueError, match="packed by one schema, got several"):
        list(_rows.chunks([PackedRow(ROW, "d"), PackedRow(ROW, "e")]))
