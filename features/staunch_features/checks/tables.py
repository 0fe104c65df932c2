"""Tables as the database knows them, and those that a statement reads.

The statement is planned and not run. Planning locks whatever it reads, also below the views of the database,
so the locks of the transaction are the list. Functions are read by their texts: no plan shows what they read.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import asyncpg

import staunch_sql
from staunch_features.postgres.connection import Connection
from staunch_features.postgres.deadlines import Deadline
from staunch_features.postgres.pool import Database
from staunch_features.views.clock_words import Name, references_in, references_in_expression
from staunch_features.views.file import FeatureView, LabelText
from staunch_features.views.planner import planned, strings_in, tables_in
from staunch_features.views.reached_code import Code, reached_code
from staunch_features.views.signature import label_sql
from staunch_features.views.source import FeatureSource
from staunch_features.views.sql_text import quoted
from staunch_features.views.types import ViewSignature

_VIEW = "v"


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
        written: The same as SQL and EXPLAIN write them, in quotes where they need them.
        types: PostgreSQL's name of each column's type; of a domain, of the type that it is made over.
        readable: The columns that the reader may read.
        oid: The database's number of it.
    """

    schema: str
    name: str
    root: str
    kind: str
    rows: float
    columns: tuple[str, ...]
    written: tuple[str, ...]
    types: tuple[str, ...]
    readable: tuple[str, ...]
    oid: int

    @property
    def sql(self) -> str:
        """Its name in SQL, with the schema."""
        return f"{quoted(self.schema)}.{quoted(self.name)}"

    @property
    def full_name(self) -> str:
        """Its name with its schema, for messages."""
        return f"{self.schema}.{self.name}"

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
        tuple(row["written"]),
        tuple(row["types"]),
        tuple(name for name, may in zip(row["columns"], row["readable"], strict=True) if may),
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
    async with database.connection(Deadline.after(timeout_s)) as connection:
        plans = [
            await planned(connection, each.text, each.sql, each.arguments, timeout_s=timeout_s)
            for each in statements(view, signature, label)
            if not each.of_population
        ]
    return frozenset(table for plan in plans for table in tables_in(plan))


@dataclass(frozen=True, slots=True)
class Relation:
    """A table, a view of the database, or whatever else has rows.

    Attributes:
        oid: The database's number of it.
        schema: Its schema's name.
        name: Its name.
        kind: PostgreSQL's letter for what it is.
        wholes: The numbers of the tables whose partition or child it is.
    """

    oid: int
    schema: str
    name: str
    kind: str
    wholes: frozenset[int] = frozenset()

    @classmethod
    def of_row(cls, row: asyncpg.Record, wholes: Sequence[int] = ()) -> "Relation":
        """As the database lists it."""
        return cls(row["oid"], row["schema"], row["name"], row["kind"], frozenset(wholes))

    @property
    def full_name(self) -> str:
        """Its name with its schema, for messages."""
        return f"{self.schema}.{self.name}"

    @property
    def has_rows_of_its_own(self) -> bool:
        """Whether it is no view, which only shows the rows of others."""
        return self.kind != _VIEW


@dataclass(frozen=True, slots=True)
class Reads:
    """What a statement reads.

    Attributes:
        relations: By their numbers: the tables, and the views through which it reads them.
        by_function: Of each relation that only the text of a function names, the function, by number.
        function_relations: These relations.
        opaque: The functions of which it cannot be seen what they read, with the reason.
    """

    relations: Mapping[int, Relation]
    by_function: Mapping[int, str]
    function_relations: tuple[Relation, ...]
    opaque: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement that may be planned, and whose it is.

    Attributes:
        text: The view or label at fault if it is refused.
        own: What stands in its file.
        sql: What is sent: that, perhaps with something around or within it.
        arguments: One for each parameter, none of them null.
    """

    text: FeatureView | LabelText
    own: str
    sql: str
    arguments: tuple[object, ...]

    @property
    def of_population(self) -> bool:
        """Whether it lists a view's population."""
        return self.own != self.text.statement


def statements(view: FeatureView, signature: ViewSignature, label: LabelText | None) -> Iterator[Statement]:
    """Lists what is sent for a view: its population, the view itself, and the label beside it."""
    now = datetime.now(UTC)
    listed = staunch_sql.query("views/read_population").format(cast="", statement=view.population)
    yield Statement(view, view.population, listed, ())
    yield Statement(view, view.statement, view.statement, ([], now) if signature.uses_as_of else ([],))
    if label is not None:
        sql = label_sql(label, signature.id_type)
        yield Statement(label, label.statement, sql, ([], now, now, now))


async def relations_read(
    connection: Connection, statement: Statement, *, timeout_s: float
) -> tuple[dict[int, Relation], Any]:
    """Lists the relations that a statement reads, by number, and gives its plan.

    Args:
        connection: Where to ask; it is in no transaction.
        statement: The statement.
        timeout_s: How long each question may take, in seconds.

    Raises:
        ViewError: The statement is at fault.
    """
    async with connection.transaction(readonly=True):
        plan = await planned(
            connection, statement.text, statement.sql, statement.arguments, timeout_s=timeout_s
        )
        rows = await connection.fetch(staunch_sql.query("checks/relations_locked"), timeout=timeout_s)
    return {row["oid"]: Relation.of_row(row, row["wholes"]) for row in rows}, plan


async def reads_of(connection: Connection, view: FeatureView, *, timeout_s: float) -> Reads:
    """Lists what a view with an as-of time reads, also through functions.

    Args:
        connection: Where to ask; it is in no transaction.
        view: The view.
        timeout_s: How long each question may take, in seconds.

    Raises:
        ViewError: The view is at fault.
    """
    statement = Statement(view, view.statement, view.statement, ([], datetime.now(UTC)))
    relations, plan = await relations_read(connection, statement, timeout_s=timeout_s)
    within = await code_within_functions(connection, statement, plan, timeout_s=timeout_s)
    named = await relations_named(connection, within, timeout_s=timeout_s)
    return Reads(
        relations,
        {relation.oid: code.called().name for code, relation in reversed(named)},
        tuple({relation.oid: relation for _, relation in named}.values()),
        {code.name: code.opaque for code in within if code.opaque},
    )


async def code_within_functions(
    connection: Connection, statement: Statement, plan: Any, *, timeout_s: float
) -> list[Code]:
    """Lists the functions that a statement calls, and what those use in turn: no plan shows what that reads.

    Args:
        connection: Where to ask.
        statement: The statement.
        plan: Its plan.
        timeout_s: How long it may take, in seconds.
    """
    shown = set(strings_in(plan))
    calls = frozenset[Name]().union(*(references_in_expression(each).calls for each in shown))
    reached = await reached_code(connection, references_in(statement.own), calls, Deadline.after(timeout_s))
    return [code for code in reached if code.function()]


async def relations_named(
    connection: Connection, codes: Sequence[Code], *, timeout_s: float
) -> list[tuple[Code, Relation]]:
    """Finds what the texts of functions name, and what they are known to use, each with who does.

    Args:
        connection: Where to ask.
        codes: What is within functions.
        timeout_s: How long it may take, in seconds.
    """
    names = [(name, place) for place, code in enumerate(codes) for name in code.tables]
    uses = [(oid, place) for place, code in enumerate(codes) for kind, oid in code.uses if kind == "view"]
    rows = await connection.fetch(
        staunch_sql.query("checks/named_relations"),
        [name.schema for name, _ in names],
        [name.word for name, _ in names],
        [oid for oid, _ in uses],
        [place for _, place in names],
        [place for _, place in uses],
        timeout=timeout_s,
    )
    return [(codes[row["text"]], Relation.of_row(row)) for row in rows]
