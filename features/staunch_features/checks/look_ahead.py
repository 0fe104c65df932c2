"""Proves on real rows that a feature view sees nothing from after its as-of time.

For each table with declared time columns the view runs twice as of a moment in the middle of the table:
as it is, and with every later row hidden behind a WITH of the same name. A view that compares times as it
should cannot tell the difference. Nothing is written and nothing is locked.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np

import staunch_sql
from staunch_features.checks.tables import Table
from staunch_features.checks.time_columns import TimeColumn, declared_tables, time_column_error
from staunch_features.errors import ViewError
from staunch_features.postgres.connection import Connection
from staunch_features.postgres.deadlines import Deadline
from staunch_features.postgres.pool import Database
from staunch_features.views.file import FeatureView
from staunch_features.views.source import FeatureSource
from staunch_features.views.sql_errors import view_errors
from staunch_features.views.sql_text import quoted, rename
from staunch_features.views.types import Id

_SAMPLED_ROWS = 100_000  # so many rows of a table tell where its middle lies


@dataclass(frozen=True, slots=True)
class Probe:
    """What the features as of a moment do when the later rows of one table are hidden.

    Attributes:
        table: The table with its schema.
        as_of: The moment; about half of the table's rows are later, or more.
        changed: The features that changed, which therefore look ahead; `_eligible` may be among them.
    """

    table: str
    as_of: datetime
    changed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Middle:
    """Where the middle of a time column lies.

    Attributes:
        moment: A moment that has rows behind it; None if there is none.
        rows: How many rows were looked at.
        known: How many of them have a time.
        endless: How many of these are infinitely late.
    """

    moment: datetime | None
    rows: int
    known: int
    endless: int


async def probe_tables(
    database: Database,
    view: FeatureView,
    ids: Sequence[Id],
    *,
    timeout_s: float,
    now: datetime | None = None,
) -> tuple[Probe, ...]:
    """Probes each table that declares time columns and has rows.

    Args:
        database: The reader's connections.
        view: A view with an as-of time.
        ids: Canonical ids to try.
        timeout_s: How long each statement may take, in seconds.
        now: What is later has not happened yet, so that no probe looks from there; None is this moment.

    Raises:
        ViewError: A declared table or column is not there, or the view is at fault.
    """
    now = now or datetime.now(UTC)
    async with database.connection(Deadline.after(timeout_s)) as connection:
        tables = await declared_tables(connection, view, timeout_s=timeout_s)
        middles = [
            [await _middle(connection, view, name, table, column, now, timeout_s) for column in columns]
            for name, (table, columns) in zip(view.time_columns, tables, strict=True)
        ]
    probes = []
    for (table, columns), found in zip(tables, middles, strict=True):
        as_of = next((middle.moment for middle in found if middle.moment), None)
        if as_of is not None:
            changed = await _changed(database, view, _hidden(view, table, columns), ids, as_of, timeout_s)
            probes.append(Probe(f"{table.schema}.{table.name}", as_of, changed))
    return tuple(probes)


async def _middle(  # noqa: PLR0913 - one query's parts
    connection: Connection,
    view: FeatureView,
    name: str,
    table: Table,
    column: TimeColumn,
    now: datetime,
    timeout_s: float,
) -> Middle:
    sql = staunch_sql.query("checks/middle_time").format(
        moment=column.moment("sampled"), table=table.sql, sampling=table.sampling(_SAMPLED_ROWS)
    )
    try:
        with view_errors(view, sql):
            (row,) = await connection.fetch(sql, now, timeout=timeout_s)
    except ViewError as error:
        raise time_column_error(view, name, column.name, error.message) from error
    return Middle(row["middle"], row["rows"], row["known"], row["endless"])


def _hidden(view: FeatureView, table: Table, columns: Sequence[TimeColumn]) -> FeatureView:
    """The same view without what is later in one table; names with a schema would reach past the WITH."""
    full = rf'"?\b{re.escape(table.schema)}"?\s*\.\s*"?{re.escape(table.name)}\b"?'
    name = quoted(table.name)
    statement = staunch_sql.query("checks/hide_later_rows").format(
        name=name,
        table=table.sql,
        seen=" AND ".join(column.not_after("seen_rows", "$2::timestamptz") for column in columns),
        statement=rename(view.statement, re.compile(full, re.IGNORECASE), name),
    )
    return replace(view, statement=statement)


async def _changed(
    database: Database,
    view: FeatureView,
    hidden: FeatureView,
    ids: Sequence[Id],
    as_of: datetime,
    timeout_s: float,
) -> tuple[str, ...]:
    source = FeatureSource(database, view)
    before = await source.fetch(ids, as_of, deadline=Deadline.after(timeout_s))
    after = await FeatureSource(database, hidden).fetch(ids, as_of, deadline=Deadline.after(timeout_s))
    same = (before.values == after.values) | (np.isnan(before.values) & np.isnan(after.values))
    names = [column.name for column in (await source.signature(Deadline.after(timeout_s))).features]
    changed = [name for name, equal in zip(names, same.all(axis=0), strict=True) if not equal]
    if not np.array_equal(before.eligible, after.eligible):
        changed.append("_eligible")
    return tuple(changed)
