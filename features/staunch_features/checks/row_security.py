"""Says where row-level security decides which rows a view, its label or its population see.

A table whose policies let the reader see nothing looks empty: no statement fails, and its features are 0 for
everyone.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

import staunch_sql
from staunch_features.checks.tables import (
    Statement,
    code_within_functions,
    relations_named,
    relations_read,
    statements,
)
from staunch_features.errors import ViewError
from staunch_features.postgres.connection import Connection
from staunch_features.postgres.deadlines import Deadline
from staunch_features.postgres.pool import Database
from staunch_features.views.clock_words import Name, references_in
from staunch_features.views.file import FeatureView, LabelText
from staunch_features.views.sql_text import line_of_word, quoted
from staunch_features.views.types import ViewSignature

_LOOK_S = 2.0  # finding no row may take reading all of them


@dataclass(frozen=True, slots=True)
class SecuredTable:
    """A table whose row-level security applies to whoever reads it for us.

    Attributes:
        text: The view or label that reads it.
        of_population: Whether the population of the view does, and not its statement.
        schema: The table's schema.
        name: Its name.
        reader: The role to which it applies.
        is_own: Whether that is the role that runs the text.
        viewer: The view of the database through which it is read, if it is through one; else None.
        function: The function through which it is read; empty if it is through none.
        has_policy: Whether any policy may let that role see rows.
        sees_none: Whether no row of it is seen now, as far as can be found out.
    """

    text: FeatureView | LabelText
    of_population: bool
    schema: str
    name: str
    reader: str
    is_own: bool
    viewer: str | None
    function: str
    has_policy: bool
    sees_none: bool

    @property
    def is_hidden(self) -> bool:
        """Whether what is read of it says nothing: no row can ever be seen, or no id is listed."""
        return not self.has_policy or (self.of_population and self.sees_none)

    def error(self) -> ViewError:
        """What to report if it is hidden."""
        policy = "" if self.has_policy else ", and no policy lets it see any"
        return ViewError(
            file=self.text.file,
            line=None if self.of_population else self._line(),
            message=f"expected to see rows of {self._place()}, got none: its row-level security applies to "
            f"{self._who()}{policy}",
            hint=self._hint(),
        )

    def advice(self) -> str:
        """What to say if some of its rows may be seen."""
        none = ", which sees none now" if self.sees_none else ""
        return (
            f"{self.text.file}: row-level security of {self._place()} applies to {self._who()}{none}: rows "
            "that its policies hide are missing from what is computed, and nothing fails; if all are meant, "
            f"{self._hint()}"
        )

    def _place(self) -> str:
        return f"{self.schema}.{self.name}"

    def _line(self) -> int | None:
        through = self.function.partition("(")[0], self.viewer or ""
        words = (self.name, *(each.rpartition(".")[2] for each in through if each))
        lines = (line_of_word(self.text.statement, word) for word in words)
        return next((line for line in lines if line is not None), None)

    def _who(self) -> str:
        within = f", in the function {self.function}" if self.function else ""
        owner = "" if self.is_own or not self.viewer else f", the owner of the view {self.viewer}"
        return f"the role {self.reader}{owner}{within}"

    def _hint(self) -> str:
        role = quoted(self.reader)
        return (
            f"as the table's owner CREATE POLICY staunch_reads_all ON {quoted(self.schema)}."
            f"{quoted(self.name)} FOR SELECT TO {role} USING (true), "
            f"or as a superuser ALTER ROLE {role} BYPASSRLS"
        )


async def secured_tables(
    database: Database,
    view: FeatureView,
    signature: ViewSignature,
    label: LabelText | None,
    *,
    timeout_s: float,
) -> tuple[SecuredTable, ...]:
    """Finds the tables whose row-level security applies, those of the population first.

    Args:
        database: The reader's connections.
        view: The view.
        signature: Its signature.
        label: The label beside it, if there is one.
        timeout_s: How long each question may take, in seconds.

    Raises:
        ViewError: The view, its population or the label is at fault.
        DatabaseUnavailable: The database is away.
        TimeoutError: It took longer than that.
    """
    async with database.connection(Deadline.after(timeout_s)) as connection:
        found = [
            table
            for each in statements(view, signature, label)
            for table in await _secured(connection, each, timeout_s)
        ]
    # A table that several texts read is told once.
    return tuple({(each.schema, each.name, each.reader): each for each in reversed(found)}.values())[::-1]


def refuse_hidden(secured: Sequence[SecuredTable]) -> None:
    """Refuses what looks empty and is not.

    Raises:
        ViewError: A table is hidden altogether.
    """
    for each in secured:
        if each.is_hidden:
            raise each.error()


async def _secured(connection: Connection, statement: Statement, timeout_s: float) -> list[SecuredTable]:
    relations, plan = await relations_read(connection, statement, timeout_s=timeout_s)
    names = references_in(statement.own).names
    named = [
        oid for oid, each in relations.items() if {Name(each.schema, each.name), Name("", each.name)} & names
    ]
    own = await _applying(connection, statement, _Reading(list(relations), named), timeout_s)
    within: list[SecuredTable] = []
    # What functions read is in no plan unless they are spread out there, and one that is a SECURITY DEFINER
    # reads as its owner.
    codes = await code_within_functions(connection, statement, plan, timeout_s=timeout_s)
    by_reader: dict[tuple[int | None, str], dict[int, bool]] = defaultdict(dict)
    for code, relation in await relations_named(connection, codes, timeout_s=timeout_s):
        if relation.oid not in named:
            read = by_reader[code.runs_as(), code.called().name]
            read[relation.oid] = read.get(relation.oid, False) or code.kind == "function"
    for (role, function), read in by_reader.items():
        by_name = [oid for oid, is_named in read.items() if is_named]
        reading = _Reading(list(read), by_name, role, function)
        within += await _applying(connection, statement, reading, timeout_s)
    return [*within, *own]  # of a table that shows in both ways the first is told: a function was spread out


@dataclass(frozen=True, slots=True)
class _Reading:
    """What is read as one role: by number, and which of it by name; the role, None for our own; and where."""

    oids: Sequence[int]
    named: Sequence[int]
    role: int | None = None
    function: str = ""


async def _applying(
    connection: Connection, statement: Statement, reading: _Reading, timeout_s: float
) -> list[SecuredTable]:
    """Finds where row-level security applies to what is read."""
    sql = staunch_sql.query("checks/row_security")
    rows = await connection.fetch(sql, reading.oids, reading.named, reading.role, timeout=timeout_s)
    return [
        SecuredTable(
            statement.text,
            statement.of_population,
            row["schema"],
            row["name"],
            row["reader"],
            row["is_own"],
            row["viewer"],
            reading.function,
            row["has_policy"],
            row["is_own"] and not await _sees_rows(connection, row),
        )
        for row in rows
    ]


async def _sees_rows(connection: Connection, row: asyncpg.Record) -> bool:
    """Whether a row of a table is seen that has a policy for us; yes where that cannot be found out."""
    table = f"{quoted(row['schema'])}.{quoted(row['name'])}"
    try:
        sql = staunch_sql.query("checks/sees_rows").format(table=table)
        return bool(await connection.fetchval(sql, timeout=_LOOK_S))
    except (asyncpg.PostgresError, TimeoutError):  # a policy may fail by itself: the view says so then
        return True
