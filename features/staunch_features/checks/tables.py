"""Tables as the database knows them, and those that a view reads."""

from dataclasses import dataclass
from datetime import UTC, datetime

import staunch_sql
from staunch_features.postgres.connection import Connection
from staunch_features.postgres.deadlines import Deadline
from staunch_features.postgres.pool import Database
from staunch_features.views.file import FeatureView, LabelText
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
        types: PostgreSQL's name of each column's type; of a domain, of the type that it is made over.
        oid: The database's number of it.
    """

    schema: str
    name: str
    root: str
    kind: str
    rows: float
    columns: tuple[str, ...]
    types: tuple[str, ...]
    oid: int

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
        tuple(row["types"]),
        row["oid"],
    )


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
