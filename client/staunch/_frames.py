"""Data frames of pandas and Arrow, in and out of a batch; neither is imported before a caller has one."""

import sys
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Generator, Iterable, Iterator, Sequence
from contextlib import aclosing, closing
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from staunch import _arguments as arguments
from staunch._batch import MOST_REASONS
from staunch._errors import BatchIncomplete
from staunch._results import RowError, Score
from staunch._wire import CustomerId, plain_id

Frame = TypeVar("Frame")

_AT_ONCE = 10_000
"""The ids that become Python objects at a time."""

_SCORES = ("probability", "risk_band", "model", "as_of", "has_warnings", "error")
_SUMS = ("base_value", "output_value", "remainder")


@dataclass(slots=True)
class _Part(Generic[Frame]):
    """A frame whose ids are under way."""

    frame: Frame
    count: int
    rows: list[Score | RowError]


class Frames(Generic[Frame]):
    """The frames of one batch: gives their ids, takes the rows, makes a scored frame of each.

    Args:
        column: The column of the ids.
        top_contributions: For how many reasons a scored frame has columns.
    """

    def __init__(self, column: str, top_contributions: int = 0) -> None:
        if not isinstance(column, str):
            raise TypeError(f"expected column as a str, got {type(column).__name__}")
        self._top = arguments.whole("top_contributions", top_contributions, 0, MOST_REASONS)
        if column in [*_SCORES, *(name for name, _ in _reasons([], self._top))]:
            raise ValueError(f"expected a column of another name than a score's, got {column!r}; rename it")
        self._column = column
        self._parts: deque[_Part[Frame]] = deque()

    def ids(self, frames: Iterable[Frame]) -> Generator[CustomerId, None, None]:
        """Yields the ids of frames.

        Raises:
            TypeError: One is no frame, or its ids are floats.
            ValueError: One has no such column, or an id is missing.
        """
        if isinstance(frames, AsyncIterable):
            raise TypeError(
                f"expected an iterable of frames, got {type(frames).__name__}; AsyncClient reads such"
            )
        if _is_frame(frames) or not isinstance(frames, Iterable):
            raise TypeError(
                f"expected an iterable of frames, got {type(frames).__name__}; "
                "a single one goes to batch_predict_frame"
            )
        for frame in frames:
            yield from self._ids(frame)

    async def ids_async(
        self, frames: Iterable[Frame] | AsyncIterable[Frame]
    ) -> AsyncGenerator[CustomerId, None]:
        """Yields the ids of frames from a source of either kind; raises as `ids` does."""
        if isinstance(frames, AsyncIterable):
            async for frame in frames:
                for customer in self._ids(frame):
                    yield customer
        else:
            for customer in self.ids(frames):
                yield customer

    def _ids(self, frame: Frame) -> Iterator[CustomerId]:
        ids: _PandasIds | _ArrowIds
        if is_pandas(frame):
            ids = _PandasIds(frame, self._column)
        elif is_arrow(frame):
            ids = _ArrowIds(frame, self._column)
        else:
            raise TypeError(
                "expected a pandas DataFrame, or an Arrow Table or RecordBatch, "
                f"got {type(frame).__module__}.{type(frame).__name__}"
            )
        _check(self._column, ids)
        self._parts.append(_Part(frame, ids.count, []))
        return ids.values()

    def take(self, row: Score | RowError) -> Iterator[Frame]:
        """Takes the next row; yields the frames that are complete with it."""
        yield from self._empty()
        part = self._parts[0]
        part.rows.append(row)
        if len(part.rows) == part.count:
            self._parts.popleft()
            yield self._scored(part)

    def rest(self) -> Iterator[Frame]:
        """Yields the frames without rows after the last row."""
        yield from self._empty()

    def _empty(self) -> Iterator[Frame]:
        while self._parts and not self._parts[0].count:
            yield self._scored(self._parts.popleft())

    def _scored(self, part: _Part[Frame]) -> Frame:
        scored = _pandas_scored if is_pandas(part.frame) else _arrow_scored
        made: Frame = scored(part.frame, self._column, part.rows, self._top)
        return made


def scored(
    scoring: Frames[Frame], rows: Generator[Score | RowError, None, None]
) -> Generator[Frame, None, None]:
    """Yields the frames of a batch as their rows come.

    Raises:
        BatchIncomplete: After the last frame: chunks failed as a whole.
    """
    incomplete = None
    with closing(rows):
        try:
            for row in rows:
                yield from scoring.take(row)
        except BatchIncomplete as error:  # every row has come, and so has every frame but empty ones
            incomplete = error
    yield from scoring.rest()
    if incomplete is not None:
        raise incomplete


async def async_scored(
    scoring: Frames[Frame], rows: AsyncGenerator[Score | RowError, None]
) -> AsyncGenerator[Frame, None]:
    """Yields the frames of a batch as `scored` does."""
    incomplete = None
    async with aclosing(rows):
        try:
            async for row in rows:
                for frame in scoring.take(row):
                    yield frame
        except BatchIncomplete as error:
            incomplete = error
    for frame in scoring.rest():
        yield frame
    if incomplete is not None:
        raise incomplete


def only(frames: Generator[Frame, None, None]) -> Frame:
    """Gives the one frame of a batch.

    Raises:
        BatchIncomplete: Chunks failed as a whole; it holds the frame.
    """
    with closing(frames):
        frame = next(frames)
        try:
            next(frames, None)
        except BatchIncomplete as error:
            error.scored = frame
            raise
        return frame


async def async_only(frames: AsyncGenerator[Frame, None]) -> Frame:
    """Gives the one frame of a batch as `only` does."""
    async with aclosing(frames):
        frame = await anext(frames)
        try:
            await anext(frames, None)
        except BatchIncomplete as error:
            error.scored = frame
            raise
        return frame


def _loaded(frame: object, library: str, *kinds: str) -> bool:
    """Says whether a value is of a class of a library, which is loaded if it is."""
    module = sys.modules.get(library)
    return module is not None and isinstance(frame, tuple(getattr(module, kind) for kind in kinds))


def is_pandas(frame: object) -> bool:
    """Says whether it is a pandas DataFrame."""
    return _loaded(frame, "pandas", "DataFrame")


def is_arrow(frame: object) -> bool:
    """Says whether it is an Arrow Table or RecordBatch."""
    return _loaded(frame, "pyarrow", "Table", "RecordBatch")


def _is_frame(frame: object) -> bool:
    return is_pandas(frame) or is_arrow(frame)


def _check(column: str, ids: "_PandasIds | _ArrowIds") -> None:
    """Refuses a column that holds what is no id, or ids of two kinds, in any of its rows.

    Its type says enough only where it is one of numbers or of text; behind "object", a category or a
    dictionary anything may stand, in the last row too.
    """
    firsts: dict[type, tuple[int, object]] = {}
    for row, value in enumerate(ids.values()):
        if type(value) not in firsts:
            firsts[type(value)] = row, value
    plain = [_plain(column, row, value) for row, value in firsts.values()]
    numbers, keys = ([x for x in plain if isinstance(x, kind)] for kind in (int, str))
    if numbers and keys:
        raise TypeError(f"expected numbers or keys in {column!r}, got both: {numbers[0]} and {keys[0]!r}")


def _plain(column: str, row: int, value: object) -> int | str:
    if value is None:  # in the dictionary of an Arrow column, whose own rows are all valid then
        raise _missing(column, row, "cast the column to the type of its values, then filter it")
    try:
        return plain_id(value)
    except TypeError as error:
        raise TypeError(f"{error}, in row {row} of {column!r}, from 0") from None


class _PandasIds:
    """The ids of a DataFrame, in a column or a level of its index."""

    def __init__(self, frame: Any, column: str) -> None:
        self._ids = _pandas_column(frame, column)
        self.count = len(self._ids)
        if self._ids.dtype.kind == "f" and self.count:
            raise _floats(
                column, f'{self._ids.dtype}: read them with dtype={{"{column}": "Int64"}} or as text'
            )
        missing = self._ids.isna().to_numpy().nonzero()[0]
        if len(missing):
            raise _missing(column, int(missing[0]), f'frame.dropna(subset=["{column}"])')

    def values(self) -> Iterator[CustomerId]:
        """Yields them as Python has them."""
        for start in range(0, self.count, _AT_ONCE):
            yield from self._ids.iloc[start : start + _AT_ONCE].tolist()


def _pandas_column(frame: Any, column: str) -> Any:
    if column not in frame.columns and column in frame.index.names:
        return frame.index.get_level_values(column).to_series()
    if list(frame.columns).count(column) != 1:
        raise _no_column(column, [*map(str, frame.columns)])
    return frame[column]


class _ArrowIds:
    """The ids of a Table or RecordBatch."""

    def __init__(self, frame: Any, column: str) -> None:
        import pyarrow

        if frame.schema.names.count(column) != 1:
            raise _no_column(column, frame.schema.names)
        self._ids = frame.column(column)
        self.count = frame.num_rows
        if pyarrow.types.is_floating(self._ids.type) and self.count:
            raise _floats(column, f"{self._ids.type}: cast them to int64 or text")
        if self._ids.null_count:
            first = self._ids.is_null().to_pylist().index(True)
            raise _missing(column, first, f'frame.filter(frame["{column}"].is_valid())')

    def values(self) -> Iterator[CustomerId]:
        """Yields them as Python has them."""
        for start in range(0, self.count, _AT_ONCE):
            yield from self._ids.slice(start, _AT_ONCE).to_pylist()


def arrow_numbers(column: Any) -> bytes | None:
    """Returns a column of Arrow as little-endian float64, NaN for null; None if it holds no numbers."""
    import pyarrow

    if not (pyarrow.types.is_floating(column.type) or pyarrow.types.is_integer(column.type)):
        return None
    # Unsafely, which rounds as `float` does.
    numbers = column.cast(pyarrow.float64(), safe=False).fill_null(float("nan"))
    encoded: bytes = numbers.to_numpy(zero_copy_only=False).astype("<f8").tobytes()
    return encoded


def _no_column(column: str, names: Sequence[str]) -> ValueError:
    got = ", ".join(names) or "none"
    return ValueError(f"expected one column of ids called {column!r}, got {got}: name another with column=")


def _floats(column: str, hint: str) -> TypeError:
    return TypeError(f"expected ids in {column!r} as whole numbers or text, got {hint}")


def _missing(column: str, row: int, hint: str) -> ValueError:
    return ValueError(
        f"expected an id in every row of {column!r}, got none in row {row}, from 0; leave it out: {hint}"
    )


def _scores(rows: Sequence[Score | RowError], top: int) -> Iterator[tuple[str, list[Any]]]:
    """Yields each column of scores by name: None where a row has none."""
    scores = [row if isinstance(row, Score) else None for row in rows]
    yield "probability", [score and score.probability for score in scores]
    yield "risk_band", [score and score.risk_band.value for score in scores]
    yield "model", [score and str(score.model) for score in scores]
    yield "as_of", [score and score.as_of for score in scores]
    yield "has_warnings", [score and score.has_warnings for score in scores]
    yield "error", [row.reason if isinstance(row, RowError) else None for row in rows]
    yield from _reasons(scores, top)


def _reasons(scores: Sequence[Score | None], top: int) -> Iterator[tuple[str, list[Any]]]:
    """Yields each column of reasons by name: None where a row has none, or none so far down."""
    if not top:
        return
    why = [score and score.explanation for score in scores]
    for place in range(top):
        listed = [one.contributions[place : place + 1] if one else () for one in why]
        reasons = [found[0] if found else None for found in listed]
        yield f"reason_{place + 1}", [one and one.title for one in reasons]
        yield f"reason_{place + 1}_feature", [one and one.feature for one in reasons]
        yield f"reason_{place + 1}_value", [one and one.value for one in reasons]
        yield f"reason_{place + 1}_label", [(one and one.value_label) or None for one in reasons]
        yield f"reason_{place + 1}_contribution", [one and one.contribution for one in reasons]
    for name in _SUMS:
        yield name, [one and getattr(one, name) for one in why]


# The columns that are neither numbers nor texts, as pandas calls their types.
_PANDAS_KINDS = {"as_of": "datetime64[us, UTC]", "has_warnings": "boolean"}


def _is_number(name: str) -> bool:
    return name == "probability" or name in _SUMS or name.endswith(("_value", "_contribution"))


def _pandas_scored(frame: Any, column: str, rows: Sequence[Score | RowError], top: int) -> Any:
    import pandas

    made = {column: frame[column]} if column in frame.columns else {}
    for name, values in _scores(rows, top):
        kind = "float64" if _is_number(name) else _PANDAS_KINDS.get(name, "string")
        # An array, since a Series would be aligned by the labels of the index, which may come twice.
        made[name] = pandas.Series(values, dtype=kind).array
    return pandas.DataFrame(made, index=frame.index)


def _arrow_scored(frame: Any, column: str, rows: Sequence[Score | RowError], top: int) -> Any:
    import pyarrow

    kinds = {"as_of": pyarrow.timestamp("us", tz="UTC"), "has_warnings": pyarrow.bool_()}
    columns = {column: frame.column(column)}
    for name, values in _scores(rows, top):
        kind = pyarrow.float64() if _is_number(name) else kinds.get(name, pyarrow.string())
        columns[name] = pyarrow.array(values, kind)
    return type(frame).from_pydict(columns)
