"""Tables as the database knows them: those whose time columns a view declares, those that it reads."""

from dataclasses import dataclass
from datetime import UTC, datetime

import staunch_sql
from staunch_features.errors import ViewError
from staunch_features.postgres.connection import Connection
from staunch_features.postgres.deadlines import Deadline
from staunch_features.postgres.pool import Database
from staunch_features.views.file import FeatureView, LabelText
from staunch_features.views.header import header_line
from staunch_features.views.planner import planned, tables_in
from staunch_features.views.signature import SQL_TYPES
from staunch_features.views.source import FeatureSource
from staunch_features.views.sql_text import quoted


@dataclass(frozen=True, slots=True)
class Table:
    """A table, a view of the database, or anything else that has rows.

    Attributes:
        schema: Its schema's name.
        name: Its name.
        root: The name in SQL, with the schema, of the table whose partition it is, or its own.
        kind: PostgreSQL's letter for what it is.
        rows: About how many rows it holds; 0 where nobody counts, as for a view.
        columns: Its columns in their order.
    """

    schema: str
    name: str
    root: str
    kind: str
    rows: float
    columns: tuple[str, ...]

    @property
    def sql(self) -> str:
        """Its name in SQL, with the schema."""
        return f"{quoted(self.schema)}.{quoted(self.name)}"

    def sampling(self, most: int) -> str:
        """What stands behind it in FROM, so that about `most` rows are read and the same ones each time."""
        # Only tables can be sampled; a view is read as a whole.
        percent = min(100.0, 100 * most / max(self.rows, 1))
        return f"TABLESAMPLE SYSTEM ({percent:.6f}) REPEATABLE (0)" if self.kind in "rpm" else ""


async def find_table(connection: Connection, name: str, *, timeout_s: float) -> Table | None:
    """Finds a table by the name that stands in SQL; None if there is none."""
    row = await connection.fetchrow(staunch_sql.query("checks/table_facts"), name, timeout=timeout_s)
    if row is None:
        return None
    return Table(
        row["schema"],
        row["name"],
        row["root"],
        row["kind"],
        row["rows"],
        tuple(row["columns"]),
    )


async def declared_tables(
    connection: Connection, view: FeatureView, *, timeout_s: float
) -> list[tuple[Table, tuple[str, ...]]]:
    """Finds the tables of a view's `[time_columns]`, each with the columns declared, in the header's order.

    Raises:
        ViewError: A table or a column is not there.
    """
    tables = []
    for name, columns in view.time_columns.items():
        table = await find_table(connection, name, timeout_s=timeout_s)
        if table is None:
            hint = "name a table that the reader may see, with its schema if need be"
            raise _header_error(view, name, f"expected a table {name}, found none", hint)
        for column in columns:
            if column not in table.columns:
                raise time_column_error(view, name, column, f"its columns are {', '.join(table.columns)}")
        tables.append((table, columns))
    return tables


async def tables_read(
    database: Database, view: FeatureView, label: LabelText | None, *, timeout_s: float
) -> frozenset[str]:
    """Lists the tables, with their schemas; without those that only a function reads that is not inlined.

    Args:
        database: The reader's connections.
        view: The view.
        label: The label beside it, if there is one.
        timeout_s: How long each statement may take, in seconds.

    Raises:
        ViewError: The view or the label is at fault.
        DatabaseUnavailable: The database is away.
        TimeoutError: It took longer than that.
    """
    signature = await FeatureSource(database, view).signature(Deadline.after(timeout_s))
    now = datetime.now(UTC)
    arguments: tuple[object, ...] = ([], now) if signature.uses_as_of else ([],)
    async with database.connection(Deadline.after(timeout_s)) as connection:
        plan = await planned(connection, view, view.statement, arguments, timeout_s=timeout_s)
        found = set(tables_in(plan))
        if label:
            sql = staunch_sql.query("views/read_labels").format(
                ids=f"{SQL_TYPES[signature.id_type]}[]", statement=label.statement
            )
            plan = await planned(connection, label, sql, ([], now, now, now), timeout_s=timeout_s)
            found.update(tables_in(plan))
    return frozenset(found)


def time_column_error(view: FeatureView, name: str, column: str, why: str) -> ViewError:
    """What is said of a declared column of the table `name` that tells no time."""
    hint = "name the columns that say when a row happened or became known"
    return _header_error(view, name, f"expected {column} to be a time column of {name}: {why}", hint)


def _header_error(view: FeatureView, name: str, message: str, hint: str) -> ViewError:
    line = header_line(view.text, f"time_columns.{name}")
    return ViewError(file=view.file, line=line, message=message, hint=hint)
