"""Why hiding a table's later rows would prove nothing: its rows can be read past what hides them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import staunch_sql
from staunch_features.checks.tables import Reads, Relation, Table
from staunch_features.checks.time_columns import Middle, TimeColumn
from staunch_features.errors import ViewError
from staunch_features.postgres.connection import Connection
from staunch_features.views.sql_text import quoted_if_needed


@dataclass(frozen=True, slots=True)
class Untried:
    """A table or a function of which it was not tried whether the view looks ahead by it.

    Attributes:
        what: The table with its schema, or the function.
        why: Why it was not tried.
        hint: How to get it tried; empty if there is nothing to do.
    """

    what: str
    why: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Relative:
    """By what else the rows of a table can be read.

    Attributes:
        relation: It.
        how: `itself`, a `part` of the table, a `whole` that it is a part of, or a `reader`: a view.
        columns: Its columns.
        uses: The numbers of what it is made from; empty for a table.
    """

    relation: Relation
    how: str
    columns: tuple[str, ...]
    uses: frozenset[int]


async def relatives(connection: Connection, oid: int, *, timeout_s: float) -> list[Relative]:
    """Lists by what else the rows of a table can be read, the table itself among it.

    Args:
        connection: Where to ask.
        oid: The table's number.
        timeout_s: How long it may take, in seconds.
    """
    rows = await connection.fetch(staunch_sql.query("checks/relatives"), oid, timeout=timeout_s)
    return [
        Relative(Relation.of_row(row), row["how"], tuple(row["columns"]), frozenset(row["uses"]))
        for row in rows
    ]


def obstacle(
    table: Table,
    columns: Sequence[TimeColumn],
    related: Sequence[Relative],
    reads: Reads,
    left: Mapping[int, Relation],
) -> Untried | None:
    """Finds what reads a table past what hides its later rows; None if nothing does.

    Args:
        table: The table.
        columns: Its declared time columns.
        related: By what else its rows can be read.
        reads: What the view reads.
        left: What it still reads with the table, and with what else is hidden, out of the way.
    """
    if functions := [
        reads.by_function[each.relation.oid] for each in related if each.relation.oid in reads.by_function
    ]:
        return through_function(table.full_name, functions[0])
    if not any(each.relation.oid in reads.relations for each in related):
        return Untried(table.full_name, "the view's text does not read it")
    found = [each for each in related if each.relation.oid in left]
    if readers := [each for each in found if each.how == "reader"]:
        return _through_view(table, columns, _outermost(readers))
    for how, why in _PAST.items():
        for each in found:
            if each.how == how:
                name = each.relation.full_name
                declared = _declaration(each, columns)
                return Untried(table.full_name, why[0].format(name), why[1].format(declared, table.full_name))
    return None


def through_function(name: str, function: str) -> Untried:
    """What a function reads cannot be hidden from it."""
    return Untried(
        name,
        f"it is read through the function {function}, from which its later rows cannot be hidden",
        f"read {name} in the view's own text in place of the function",
    )


def unreadable_function(name: str, why: str) -> Untried:
    """Says of a function that nobody knows what it reads.

    Args:
        name: The function.
        why: What it is or does that hides it.
    """
    return Untried(
        f"function {name}",
        f"it {why}, so what it reads does not show",
        "read that in the view's own text in place of the function",
    )


def refused(table: Table, error: ViewError) -> Untried:
    """Says of a table that the database refuses the text without its later rows."""
    return Untried(
        table.full_name,
        f"without its later rows {error.message.removeprefix('the database refuses it: ')}",
        f"read it as a plain {table.full_name} AS a_name, and give no WITH the name of a table",
    )


def no_moment(table: Table, columns: Sequence[TimeColumn], middles: Sequence[Middle]) -> Untried | None:
    """Says of a table why there is no moment to look ahead from; None if there is one."""
    if any(middle.moment for middle in middles):
        return None
    names = ", ".join(column.name for column in columns)
    if not any(middle.rows for middle in middles):
        return Untried(table.full_name, "no rows of it were found")
    if not any(middle.known for middle in middles):
        return Untried(table.full_name, f"{names} is null in every row")
    return Untried(table.full_name, f"{names} lies before the year 1 in every row")


# In this order: what a whole is made of is read with it.
_PAST = {
    "whole": ("it is read as a part of {}, whose later rows are not hidden", "add {} to [time_columns]"),
    "itself": (
        "its name stands in the text in a way that is not understood",
        "write it as {1} where it is read",
    ),
    "part": ("its part {} is read by its own name", "add {} to [time_columns] too, or read {} alone"),
}


def _through_view(table: Table, columns: Sequence[TimeColumn], view: Relative) -> Untried:
    kind = "materialized view" if view.relation.kind == "m" else "database view"
    name = view.relation.full_name
    return Untried(
        table.full_name,
        f"it is read through the {kind} {name}, which shows its later rows all the same",
        f"add {_declaration(view, columns)} to [time_columns], or read {table.full_name} in "
        f"the view's own text in place of {name}",
    )


def _outermost(readers: Sequence[Relative]) -> Relative:
    """The view that no other of them is made from: the one that the text names."""
    used = {oid for each in readers for oid in each.uses}
    return next((each for each in readers if each.relation.oid not in used), readers[0])


def _declaration(reader: Relative, columns: Sequence[TimeColumn]) -> str:
    """A line of `[time_columns]` for what reads a table: with the table's own columns if it has them."""
    name = ".".join(map(quoted_if_needed, (reader.relation.schema, reader.relation.name)))
    mark = "'" if '"' in name else '"'  # TOML takes either
    same = all(column.name in reader.columns for column in columns)
    own = ", ".join(column.declared for column in columns) if same else '"its time column"'
    return f"{mark}{name}{mark} = [{own}]"
