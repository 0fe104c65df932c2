"""From when to when there are rows, by the time columns that a view declares.

A label such as "no purchase in the outcome window" is true of everyone where the rows end before the window
does, and features that look back a year say little in the first one. Neither shows in any single row.
"""

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import staunch_sql
from staunch_features.checks.tables import Table
from staunch_features.checks.time_columns import TimeColumn, declared_tables, time_column_error
from staunch_features.errors import ViewError
from staunch_features.postgres.deadlines import Deadline
from staunch_features.postgres.pool import Database
from staunch_features.views.file import FeatureView, LabelText
from staunch_features.views.sql_errors import view_errors

_SAMPLED_ROWS = 1_000_000  # of a bigger table; a day of many is hardly missed
_TIMEOUT_S = 10.0  # a column: what takes longer is left out
_QUIET_SHARE = 0.1  # of the horizon: weekends and holidays are quiet too
_QUIET = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Span:
    """When the first and the last row happened or became known."""

    first: datetime
    last: datetime

    def next_day(self) -> date:
        """The day after the last row: the outcome of all that is before it is known."""
        return self.last.date() + timedelta(days=1)

    def ends_before(self, closes: datetime, label: LabelText) -> bool:
        """Whether the rows end so long before an outcome window does that its label tells a lie.

        So long is a tenth of the horizon, and a day at least: rows may be few on a quiet day.
        """
        return closes - self.last > max(_QUIET, _QUIET_SHARE * timedelta(days=label.horizon_days))

    def outcome_warning(self, closes: datetime) -> str:
        """Says what is wrong with an outcome window that ends at `closes`."""
        return (
            f"the last row is of {self.last:%Y-%m-%d} by [time_columns], but outcomes are looked for until "
            f"{closes:%Y-%m-%d}: where rows are missing, what a label says of them is not true"
        )


async def data_span(
    database: Database, view: FeatureView, now: datetime, *, timeout_s: float = _TIMEOUT_S
) -> Span | None:
    """Finds the first and the last moment in all declared time columns together, not after `now`.

    Of a big table a sample tells; a column that takes too long is left out.

    Args:
        database: The reader's connections.
        view: The view.
        now: What is later has not happened yet: it is planned.
        timeout_s: How long each column may take, in seconds.

    Returns:
        The span; None if there are no such columns, or no rows.

    Raises:
        ViewError: A declared table or column is not there or tells no time.
        DatabaseUnavailable: The database is away.
    """
    async with database.connection(Deadline.after(timeout_s)) as connection:
        tables = await declared_tables(connection, view, timeout_s=timeout_s)
    found = []
    for name, (table, columns) in zip(view.time_columns, tables, strict=True):
        for column in columns:
            with suppress(TimeoutError):
                found += await _span(database, view, name, table, column, now, timeout_s)
    if not found:
        return None
    return Span(min(span.first for span in found), max(span.last for span in found))


async def _span(  # noqa: PLR0913 - one query's parts
    database: Database,
    view: FeatureView,
    name: str,
    table: Table,
    column: TimeColumn,
    now: datetime,
    timeout_s: float,
) -> list[Span]:
    sql = staunch_sql.query("checks/time_span").format(
        moment=column.moment("sampled"), table=table.sql, sampling=table.sampling(_SAMPLED_ROWS)
    )
    try:
        async with database.connection(Deadline.after(timeout_s)) as connection:
            with view_errors(view, sql):
                row = await connection.fetchrow(sql, now, timeout=timeout_s)
    except ViewError as error:
        raise time_column_error(view, name, column.name, error.message) from error
    if row is None or row["first"] is None:
        return []
    return [Span(row["first"].astimezone(UTC), row["last"].astimezone(UTC))]
