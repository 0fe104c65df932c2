"""Rows as PostgreSQL's binary COPY wants them, encoded column by column.

A row is its number of fields (int16), and for each field its length in bytes (int32, -1 for null) and its
bytes, all big-endian. Row by row in Python that costs microseconds a value, and a world has hundreds of
millions. So each column is laid out as a matrix of bytes, a row of it as wide as the longest value, beside
a mask of the bytes that count; the columns side by side, masked, are the stream.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from staunch_local.simulation.background.arrays import Bools, Bytes, Ints
from staunch_local.simulation.background.clock import NEVER, NEVER_DAY
from staunch_local.simulation.background.tables import WorldColumn, WorldTable
from staunch_local.simulation.rows.rows import ColumnArrays

Labels = Mapping[str, Sequence[str]]
"""The texts of label columns whose labels come from the database."""

_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"
_CHUNK_ROWS = 32_768
_FORMATS = {"bigint": ">i8", "int": ">i4", "float8": ">f8", "date": ">i4", "time": ">i8", "uuid": "V16"}
_NULLS = {"time": NEVER, "date": NEVER_DAY}


def encode(table: WorldTable, columns: ColumnArrays, labels: Labels) -> Iterator[bytes]:
    """Encodes rows as the stream of one COPY ... (FORMAT binary), in pieces of bounded size.

    Args:
        table: Which columns, in which order.
        columns: Their values. Text is UTF-8 in arrays of bytes, UUIDs are 16 raw bytes.
        labels: Texts of the label columns that bring none.
    """
    rows = len(next(iter(columns.values())))
    yield _HEADER
    for start in range(0, rows, _CHUNK_ROWS):
        piece = {name: values[start : start + _CHUNK_ROWS] for name, values in columns.items()}
        yield _encode(table.columns, piece, labels)
    yield _TRAILER


def _encode(columns: Sequence[WorldColumn], values: ColumnArrays, labels: Labels) -> bytes:
    """Lays each row out with room for its longest values, then cuts what is not used."""
    # A mask picks the elements of a matrix row after row, which is the order of the stream.
    fields = [_field(column, values[column.name], labels) for column in columns]
    rows = len(values[columns[0].name])
    edges = np.cumsum([2, *(content.shape[1] for content, _ in fields)])
    out = np.empty((rows, edges[-1]), dtype=np.uint8)
    used = np.ones((rows, edges[-1]), dtype=np.bool_)
    out[:, :2] = _big_endian(np.array([len(columns)]), ">i2")
    for (content, kept), start, end in zip(fields, edges[:-1], edges[1:], strict=True):
        out[:, start:end] = content
        if kept is not None:
            used[:, start:end] = kept
    return out[used].tobytes()


def _field(column: WorldColumn, values: NDArray[np.generic], labels: Labels) -> tuple[Bytes, Bools | None]:
    """Returns a column's bytes, each value after its length, and which of them count (None: all)."""
    if column.kind == "text":
        return _texts(values)
    if column.kind == "label":
        content, kept = _texts(
            np.array([text.encode() for text in column.labels or labels[column.name]] + [b""])
        )
        # Each text is encoded once and taken by position; -1, null, takes the last: length -1 and no bytes.
        content[-1, :4], kept[-1, 4:] = 255, False
        return content[values], kept[values]
    fixed = _big_endian(values, _FORMATS[column.kind])
    content = np.empty((len(values), 4 + fixed.shape[1]), dtype=np.uint8)
    content[:, :4] = _big_endian(np.array([fixed.shape[1]]), ">i4")
    content[:, 4:] = fixed
    if not column.nullable:
        return content, None
    # Four bytes of 255 are the length -1.
    null = values == _NULLS.get(column.kind, -1)
    content[null, :4] = 255
    kept = np.ones(content.shape, dtype=np.bool_)
    kept[null, 4:] = False
    return content, kept


def _texts(values: NDArray[np.generic]) -> tuple[Bytes, Bools]:
    width = values.dtype.itemsize
    lengths: Ints = np.char.str_len(values.astype(np.bytes_))
    content = np.empty((len(values), 4 + width), dtype=np.uint8)
    content[:, :4] = _big_endian(lengths, ">i4")
    content[:, 4:] = np.ascontiguousarray(values).view(np.uint8).reshape(len(values), width)
    return content, np.arange(-4, width) < lengths[:, None]


def _big_endian(values: NDArray[np.generic], form: str) -> Bytes:
    whole = np.ascontiguousarray(values).astype(form)
    return whole.view(np.uint8).reshape(len(values), whole.dtype.itemsize)
