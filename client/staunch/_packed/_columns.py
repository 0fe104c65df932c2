"""Numbers out of arrays, data frames and lists, in the order of a schema; no library is imported for it."""

import struct
from collections.abc import Collection, Iterable, Mapping, Sequence
from math import nan
from typing import Any

from staunch import _arguments as arguments
from staunch._frames import arrow_numbers, is_arrow, is_pandas
from staunch._wire import plain_id

_NUMBERS = "biuf"  # numpy's letters, pandas' nullable types have them too


def packed(rows: Any, names: Sequence[str]) -> bytes | None:
    """Returns the rows of a data frame or an array (rows, features), packed; None if it is neither.

    Raises:
        TypeError: A column holds other than numbers.
        ValueError: A feature has no column, or several; or an array has another shape.
    """
    if is_pandas(rows) or is_arrow(rows):
        column = _pandas_column if is_pandas(rows) else _arrow_column
        return _transposed([column(rows, name) for name in names])
    if hasattr(rows, "dtype") and hasattr(rows, "shape"):
        return _array(rows, names)
    return None


def rows_of(rows: Any) -> Iterable[Any]:
    """Returns an iterable of rows.

    Raises:
        TypeError: It is none, or one row.
    """
    if isinstance(rows, str | bytes | Mapping) or not isinstance(rows, Iterable):
        raise TypeError(
            f"expected a data frame, an array or an iterable of rows, got {type(rows).__name__}; "
            "a single row goes to pack"
        )
    return rows


def in_order(values: Any, names: Sequence[str]) -> list[float | None]:
    """Returns the values of one row that is given in order.

    Raises:
        TypeError: It is no such row, or a value is neither a number nor None.
        ValueError: It has more values or less.
    """
    if isinstance(values, str | bytes) or not isinstance(values, Collection):
        raise TypeError(
            f"expected the values of a row by name or in order, got {type(values).__name__}; "
            "several rows go to pack_rows"
        )
    if len(values) != len(names):
        raise ValueError(f"expected {len(names)} values, one for each feature in order, got {len(values)}")
    listed = values.tolist() if hasattr(values, "tolist") else values
    return [arguments.number(name, value) for name, value in zip(names, listed, strict=True)]


def customers(given: Iterable[Any]) -> list[int | str]:
    """Returns ids as int or str.

    Raises:
        TypeError: They are no iterable of ids.
    """
    arguments.ids(given)
    return [plain_id(customer) for customer in given]


def _array(rows: Any, names: Sequence[str]) -> bytes:
    if rows.dtype.kind not in _NUMBERS:
        raise TypeError(f"expected an array of numbers, got one of {rows.dtype}")
    if len(rows.shape) != 2 or rows.shape[1] != len(names):
        raise ValueError(f"expected an array of shape (rows, {len(names)}), got {tuple(rows.shape)}")
    encoded: bytes = rows.astype("<f8").tobytes()
    return encoded


def _pandas_column(frame: Any, name: str) -> bytes:
    if list(frame.columns).count(name) != 1:
        raise _no_column(name, list(frame.columns))
    column = frame[name]
    if column.dtype.kind in _NUMBERS:
        encoded: bytes = column.to_numpy(dtype="<f8", na_value=nan).tobytes()
        return encoded
    return _plain_column(name, column.dtype, column.tolist())


def _arrow_column(frame: Any, name: str) -> bytes:
    if frame.schema.names.count(name) != 1:
        raise _no_column(name, frame.schema.names)
    column = frame.column(name)
    encoded = arrow_numbers(column)
    return _plain_column(name, column.type, column.to_pylist()) if encoded is None else encoded


def _plain_column(name: str, kind: object, values: Sequence[Any]) -> bytes:
    """Packs values of any type one by one, which says of the first that is no number which it is."""
    try:
        numbers = [arguments.number(name, value) for value in values]
    except TypeError as error:
        raise TypeError(f"{error} (the column is of type {kind})") from None
    return struct.pack(f"<{len(numbers)}d", *[nan if number is None else number for number in numbers])


def _transposed(columns: Sequence[bytes]) -> bytes:
    """Returns packed columns as packed rows."""
    made = bytearray(sum(map(len, columns)))
    view, width = memoryview(made).cast("q"), len(columns)
    for place, column in enumerate(columns):
        view[place::width] = memoryview(column).cast("q")
    return bytes(made)


def _no_column(name: str, names: Sequence[object]) -> ValueError:
    got = ", ".join(map(str, names[:10])) or "none"
    return ValueError(f"expected one column {name!r} for the feature of that name, got the columns {got}")
