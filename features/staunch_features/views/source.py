"""From ids and a moment to a matrix of features, by one SQL statement."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import asyncpg
import numpy as np
from numpy.typing import NDArray

import staunch_sql
from staunch_features.errors import CONTROL, RowNotAsked, RowsNotUnique, ViewError
from staunch_features.postgres.connection import Connection
from staunch_features.postgres.deadlines import Deadline
from staunch_features.postgres.pool import Database
from staunch_features.views.file import FeatureView, LabelText
from staunch_features.views.population import population_cast
from staunch_features.views.rules import ELIGIBLE_IS_NULL, bad_values, refuse_nulls, value_problem
from staunch_features.views.signature import check_label, label_sql, read_signature
from staunch_features.views.sql_errors import view_errors
from staunch_features.views.sql_text import line_of_column, quoted
from staunch_features.views.types import SQL_TYPES, FeatureBatch, Id, LabelBatch, ViewSignature

# array_send of a two-dimensional float8[]: 12 bytes of head and two dimensions of 8, then for each
# element its length and its eight bytes, all big-endian (PostgreSQL: src/backend/utils/adt/arrayfuncs.c).
_MATRIX_HEAD_BYTES = 28
_ELEMENT = np.dtype([("length", ">i4"), ("value", ">f8")])

# So few rows are taken apart at once; more in a thread: 2,000 hold up all other calls for 1 ms.
_INLINE_IDS = 64

_WHY_LENGTH = 200  # characters of `_why` that are read: a clause, and no document


class FeatureSource:
    """Reads a feature view's rows; the same text for one id and for ten thousand.

    Args:
        database: The readers' pool.
        view: The view.
    """

    def __init__(self, database: Database, view: FeatureView) -> None:
        self.view = view
        self._database = database
        self._signature: ViewSignature | None = None
        self._sql = ""
        self._not_nullable = np.empty(0, dtype=np.bool_)  # which features must not be null

    async def signature(self, deadline: Deadline) -> ViewSignature:
        """Reads what the view takes and gives from the prepared statement; asks the database once.

        Args:
            deadline: Until when connection and questions may take together.

        Raises:
            ViewError: The text is no valid view.
            DatabaseUnavailable: The database is away.
            TimeoutError: It took longer than that.
        """
        if self._signature is None:
            # Both: asyncpg may ask more than once for one statement, each time with the whole of its timeout.
            async with self._database.connection(deadline) as connection, deadline.timeout():
                signature = await read_signature(connection, self.view, deadline=deadline)
                sql = packed_sql(self.view, signature)
                with view_errors(self.view, sql):
                    await connection.prepare(sql, timeout=deadline.left_or_raise())
            self._not_nullable = np.array([not column.nullable for column in signature.features])
            self._sql, self._signature = sql, signature
        return self._signature

    async def warm(self, deadline: Deadline) -> None:
        """Runs the view for nobody on each connection: one that is new plans and reads catalogues first.

        Args:
            deadline: Until when it may take.

        Raises:
            ViewError, DatabaseUnavailable, TimeoutError: As `signature`.
        """
        signature = await self.signature(deadline)
        arguments: list[Any] = [[], datetime.now(UTC)] if signature.uses_as_of else [[]]

        async def run(connection: Connection) -> None:
            with view_errors(self.view, self._sql):
                await connection.fetch(self._sql, *arguments, timeout=deadline.left_or_raise())

        await self._database.warm(run, deadline)

    async def fetch(self, ids: Sequence[Id], as_of: datetime | None, *, deadline: Deadline) -> FeatureBatch:
        """Reads the features of many ids in one statement. Cancelling the task cancels the query.

        Args:
            ids: Canonical ids (see `rules.canonical_id`), in any order, duplicates allowed.
            as_of: The moment; None is the moment the query is sent. None for a view without as-of time.
            deadline: Until when connection and query may take together.

        Raises:
            ValueError: An as-of time for a view that has none.
            RowsNotUnique: There are two rows for one id.
            RowNotAsked: There is a row for another id.
            ViewError: The view is at fault.
            DatabaseUnavailable: The database is away.
            TimeoutError: The rows did not come in time.
        """
        signature = await self.signature(deadline)
        if as_of is not None and not signature.uses_as_of:
            raise ValueError(f"expected no as-of time: view {self.view.name} has none, got {as_of}")
        async with self._database.connection(deadline) as connection:
            arguments: list[Any] = [_in_key_order(ids)]
            if signature.uses_as_of:
                as_of = as_of or datetime.now(UTC)
                arguments.append(as_of)
            with view_errors(self.view, self._sql):
                rows = await connection.fetch(self._sql, *arguments, timeout=deadline.left_or_raise())
        returned, matrix = rows[0]
        packed = (self.view, signature, ids, as_of, returned or [], matrix, self._not_nullable)
        if len(ids) <= _INLINE_IDS:
            return _unpack(*packed)
        return await asyncio.to_thread(_unpack, *packed)

    async def population(self, chunk: int, *, timeout_s: float = 60) -> AsyncGenerator[list[Id], None]:
        """Lists every candidate id in the view's own order, through a cursor; see `rules.check_population`.

        Args:
            chunk: How many ids at a time.
            timeout_s: How long one chunk may take, and what comes before the first, in seconds.

        Raises:
            ViewError: The population's SQL is at fault, or it lists a null or what is no id of the view.
            DatabaseUnavailable: The database is away.
        """
        deadline = Deadline.after(timeout_s)
        id_type = (await self.signature(deadline)).id_type
        async with self._database.connection(deadline) as connection, connection.transaction(readonly=True):
            sql = staunch_sql.query("views/read_population").format(
                cast=await population_cast(connection, self.view, id_type, deadline),
                statement=self.view.population,
            )
            with view_errors(self.view, sql):
                cursor = await connection.cursor(sql, timeout=timeout_s)
                while rows := await cursor.fetch(chunk, timeout=timeout_s):
                    ids = [row["id"] for row in rows]
                    refuse_nulls(self.view, ids)
                    yield ids

    async def labels(
        self, label: LabelText, ids: Sequence[Id], as_of: datetime | None, *, timeout_s: float = 600
    ) -> LabelBatch:
        """Reads what became of the ids after the as-of time.

        Args:
            label: The label; its header says where the outcome window lies.
            ids: Canonical ids, in any order, duplicates allowed.
            as_of: The moment; None for a view without as-of time.
            timeout_s: How long the query may take, and what comes before it, in seconds.

        Raises:
            ViewError: The label is at fault.
            DatabaseUnavailable: The database is away.
            TimeoutError: The labels did not come in time.
        """
        deadline = Deadline.after(timeout_s)  # of all that is asked before; the query has its own time
        id_type = (await self.signature(deadline)).id_type
        sql = label_sql(label, id_type)
        async with self._database.connection(deadline) as connection:
            await check_label(connection, label, sql, id_type, deadline=deadline)
            window = outcome_window(label, as_of)
            with view_errors(label, sql), _groups_that_fit(label):
                rows = await connection.fetch(
                    sql, list(dict.fromkeys(ids)), as_of, *window, timeout=timeout_s
                )
        return _labels(label, ids, rows)


async def read_whys(
    database: Database,
    view: FeatureView,
    signature: ViewSignature,
    ids: Sequence[Id],
    as_of: datetime | None,
    *,
    deadline: Deadline,
) -> dict[Id, str]:
    """Reads why ids are not eligible, apart from their features, so that who is pays nothing for it.

    Args:
        database: Where to read.
        view: The view.
        signature: Its signature.
        ids: Canonical ids, each once.
        as_of: The moment; None for a view without as-of time.
        deadline: Until when connection and query may take together.

    Returns:
        Of each id that has a row then what `_why` says, in one line; empty where that is null, or not there.

    Raises:
        ViewError: The view is at fault.
        DatabaseUnavailable: The database is away.
        TimeoutError: The rows did not come in time.
    """
    key = quoted(signature.id_column) + ("::text" if signature.id_type == "uuid" else "")
    why = 'asked."_why"' if signature.has_why else "NULL::text"
    sql = staunch_sql.query("views/read_whys").format(
        id=key, why=why, length=_WHY_LENGTH, statement=view.statement
    )
    arguments = (list(ids), as_of) if signature.uses_as_of else (list(ids),)
    async with database.connection(deadline) as connection:
        with view_errors(view, sql):
            rows = await connection.fetch(sql, *arguments, timeout=deadline.left_or_raise())
    return {row["id"]: _clause(row["why"] or "") for row in rows}


def _clause(text: str) -> str:
    """What may stand in the middle of a message: one line, without what a terminal would obey."""
    return " ".join(CONTROL.sub(" ", text).split()).rstrip(".")


@contextmanager
def _groups_that_fit(label: LabelText) -> Iterator[None]:
    """Refuses a `_group` of dates that lie before the year 1 or after 9999: asyncpg cannot read them."""
    try:
        yield
    except (OverflowError, ValueError) as error:
        if isinstance(error, (asyncpg.PostgresError, asyncpg.InterfaceError)):
            raise
        raise ViewError(
            file=label.file,
            line=line_of_column(label.statement, "_group"),
            message=f"expected _group to be a text or a number, got what cannot be read: {error}",
            hint="cast it: (...)::text AS _group",
            for_log="expected _group to be a text or a number, got what cannot be read",
        ) from error


def outcome_window(label: LabelText, as_of: datetime | None) -> tuple[datetime | None, datetime | None]:
    """Returns the start and the end of a label's outcome window; both None without an as-of time.

    The window is open at its start and closed at its end: (t + gap, t + gap + horizon].
    """
    if as_of is None:
        return None, None
    opens = as_of + timedelta(days=label.gap_days)
    return opens, opens + timedelta(days=label.horizon_days)


def _in_key_order(ids: Sequence[Id]) -> list[Id]:
    """Each id once, sorted: neighbours share index pages, which saves a quarter of the time of 10,000."""
    return sorted(cast("set[int]", set(ids)))  # one type or the other, never both


def packed_sql(view: FeatureView, signature: ViewSignature) -> str:
    """Wraps a view's statement so that its rows come back as one array of ids and one matrix.

    A null element would break the stride of the matrix, so nulls travel as NaN, which is missing too.
    """
    columns = [f"coalesce(packed.{quoted(column.name)}, 'NaN'::float8)" for column in signature.features]
    if signature.has_eligible:
        columns.append("""coalesce(packed."_eligible"::int::float8, 'NaN'::float8)""")
    key = quoted(signature.id_column) + ("::text" if signature.id_type == "uuid" else "")
    return staunch_sql.query("views/pack_features").format(
        id=key, columns=", ".join(columns), statement=view.statement
    )


def _unpack(  # noqa: PLR0913 - a record of them would cost each call
    view: FeatureView,
    signature: ViewSignature,
    ids: Sequence[Id],
    as_of: datetime | None,
    returned: list[Id],
    matrix: bytes,
    not_nullable: NDArray[np.bool_],
) -> FeatureBatch:
    """Takes the matrix apart. Alone, a customer pays for each step here, so there are few."""
    if not returned:
        return _no_rows(signature, len(ids), as_of)
    # Rows come in the database's order, by id and once each: `places` puts them into the caller's, twice if
    # asked twice. An id that was not found takes the last row (-1) for a moment, and then all NaN.
    width = len(signature.features)
    places = _row_of_each_id(view, signature, ids, returned)
    rows = _matrix(matrix, len(returned), width + signature.has_eligible)[places].astype(np.float64)
    found = np.array([place >= 0 for place in places])
    if -1 in places:
        rows[~found] = np.nan
    values = rows[:, :width]
    batch = FeatureBatch(values, found, rows[:, width] == 1 if signature.has_eligible else found, as_of)
    bad = bad_values(values, not_nullable)
    if bad.any():
        batch.problems.update(_problems(signature, batch, bad))
    if signature.has_eligible and np.isnan(rows[:, width]).any():
        untold = np.flatnonzero(np.isnan(rows[:, width]) & found)
        batch.problems.update(dict.fromkeys(untold.tolist(), ELIGIBLE_IS_NULL))
    return batch


def _no_rows(signature: ViewSignature, count: int, as_of: datetime | None) -> FeatureBatch:
    nowhere = np.zeros(count, dtype=np.bool_)
    return FeatureBatch(np.full((count, len(signature.features)), np.nan), nowhere, nowhere, as_of)


def _matrix(matrix: bytes, rows: int, columns: int) -> NDArray[np.float64]:
    flat = np.frombuffer(matrix, dtype=_ELEMENT, offset=_MATRIX_HEAD_BYTES)["value"]
    return flat.reshape(rows, columns)


def _row_of_each_id(
    view: FeatureView, signature: ViewSignature, ids: Sequence[Id], returned: Sequence[Id]
) -> list[int]:
    """Finds the returned row of each id asked for; -1 where there is none."""
    rows = {key: row for row, key in enumerate(returned)}
    if len(rows) != len(returned):
        twice = next(key for row, key in enumerate(returned) if rows[key] != row)
        raise RowsNotUnique(
            file=view.file,
            line=None,
            message=f"expected one row for each id, got more than one for {twice!r}",
            hint="join one-to-many tables inside a LATERAL or sub-query that aggregates them",
            for_log="expected one row for each id, got more than one for some",
        )
    if unasked := rows.keys() - set(ids):
        raise RowNotAsked(
            file=view.file,
            line=None,
            message=f"expected rows for the ids in $1 only, got one for {next(iter(unasked))!r}",
            hint=f"begin with unnest($1::{SQL_TYPES[signature.id_type]}[]) and join the rest to it"
            + ("; a key is compared byte for byte" if signature.id_type == "text" else ""),
            for_log="expected rows for the ids in $1 only, got one for another",
        )
    return [rows.get(key, -1) for key in ids]


def _problems(signature: ViewSignature, batch: FeatureBatch, bad: NDArray[np.bool_]) -> dict[int, str]:
    found: dict[int, str] = {}
    for row, column in np.argwhere(bad & batch.eligible[:, None]):
        name, value = signature.features[column].name, batch.values[row, column]
        found.setdefault(int(row), value_problem(name, value))
    return found


def _labels(label: LabelText, ids: Sequence[Id], rows: Sequence[asyncpg.Record]) -> LabelBatch:
    # str() of asyncpg's uuid is the canonical form; bigint and text stay what they are.
    found = {row[0] if isinstance(row[0], int) else str(row[0]): row for row in rows if row[1] is not None}
    if len(found) != sum(row[1] is not None for row in rows):
        raise ViewError(
            file=label.file,
            line=None,
            message=f"expected one row for each id, got more than one for {_first_duplicate(rows)!r}",
            hint="aggregate before joining",
            for_log="expected one row for each id, got more than one for some; aggregate before joining",
        )
    return LabelBatch(
        known=np.array([key in found for key in ids], dtype=np.bool_),
        values=np.array([key in found and found[key][1] for key in ids], dtype=np.bool_),
        groups=[_group(found.get(key)) for key in ids],
    )


def _first_duplicate(rows: Sequence[asyncpg.Record]) -> Id:
    """The first id that has a second row with an answer."""
    counts = Counter(row[0] for row in rows if row[1] is not None)
    key = counts.most_common(1)[0][0]
    return key if isinstance(key, int) else str(key)


def _group(row: asyncpg.Record | None) -> str | None:
    return str(row[2]) if row is not None and len(row) > 2 and row[2] is not None else None
