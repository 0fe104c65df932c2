"""Puts something else in place of tables that a view's text reads: a WITH before it, of the same name.

Names with a schema would reach past the WITH, so they lose it. What cannot be reached so, since it stands in
a view of the database or in a function, goes on reading the table: whoever stands something in asks what is
still read.
"""

import re
from collections.abc import Callable, Sequence, Set
from dataclasses import replace

import staunch_sql
from staunch_features.checks.tables import Table
from staunch_features.checks.time_columns import TimeColumn
from staunch_features.views.file import FeatureView
from staunch_features.views.sql_text import code_of, quoted, rename

_FOLDED = re.compile(r"[a-z_][a-z0-9_$]*")


def with_stand_ins(
    view: FeatureView, tables: Sequence[Table], body: Callable[[Table, str], str], shadowed: Set[int]
) -> FeatureView:
    """Returns the view with something in place of tables.

    Args:
        view: The view.
        tables: The tables.
        body: Writes what stands in: of a table and the name that it goes by.
        shadowed: The numbers of the tables whose names alone mean other tables.
    """
    statement, bodies, taken = view.statement, list[str](), set[str]()
    for table in tables:
        full, name = _full_name(table), quoted(table.name)
        own_with = _is_own_with(statement, table.name) and full.search(code_of(statement))
        if table.oid in shadowed or own_with or name in taken:
            name = quoted(f"staunch_seen_{len(bodies)}")
        taken.add(name)
        bodies.append(body(table, name).strip())
        statement = rename(statement, full, name)
    return replace(
        view,
        statement=staunch_sql.query("checks/stand_ins").format(
            stand_ins=",\n".join(bodies), statement=statement
        ),
    )


def seen_rows(table: Table, name: str, columns: Sequence[TimeColumn]) -> str:
    """Stands for a table without the rows that are later than the as-of time."""
    return staunch_sql.query("checks/stand_in_seen_rows").format(
        name=name,
        table=table.sql,
        # What the reader may not read, the text does not read either.
        columns=_columns(table.readable),
        seen=" AND ".join(column.not_after("seen_rows", "$2::timestamptz") for column in columns),
    )


def no_table(table: Table, name: str) -> str:
    """Stands for a table and reads nothing."""
    return staunch_sql.query("checks/stand_in_no_table").format(
        name=name, table=table.sql, columns=_columns(table.columns)
    )


def _columns(names: Sequence[str]) -> str:
    return ", ".join(f"seen_rows.{quoted(name)}" for name in names)


def _full_name(table: Table) -> re.Pattern[str]:
    """The table's name with its schema, however it may be written."""
    return re.compile(rf'(?<![\w$."]){_written(table.schema)}\s*\.\s*{_written(table.name)}(?![\w$"])')


def _is_own_with(statement: str, name: str) -> bool:
    """Whether the text has a WITH of that name itself."""
    begins = rf"{_written(name)}\s*(?:\([^()]*\)\s*)?AS\s+(?:(?:NOT\s+)?MATERIALIZED\s*)?\("
    return re.search(rf'(?<![\w$."])(?:{begins})', code_of(statement), re.IGNORECASE) is not None


def _written(name: str) -> str:
    """A pattern of how a name may be written: quoted, and in letters of any size if it needs no quotes."""
    exact = re.escape(quoted(name))
    return f"(?:{exact}|(?i:{re.escape(name)}))" if _FOLDED.fullmatch(name) else exact
