"""What the catalogue of the database says of a table and of its columns."""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import asyncpg

import staunch_sql
from staunch_features.errors import DraftError
from staunch_features.postgres.connection import Connection

_LISTED = 8  # names in a message
_SEARCHED = ("staunch", "public")  # the schemas that need not be named


@dataclass(frozen=True, slots=True)
class Unique:
    """What no two rows of a table share.

    Attributes:
        is_primary: Whether it is the primary key.
        columns: Its columns.
    """

    is_primary: bool
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Relation:
    """A table, or anything else that has rows.

    Attributes:
        oid: Its number in the catalogue.
        schema: Its schema's name.
        name: Its name.
        kind: PostgreSQL's letter for what it is.
        sql: Both as they stand in SQL.
        comment: What its owner says of it; empty if nothing.
        rows_hidden: Whether row-level security decides which rows the reader sees.
        unique: What no two rows of it share.
    """

    oid: int
    schema: str
    name: str
    kind: str
    sql: str
    comment: str
    rows_hidden: bool
    unique: tuple[Unique, ...] = ()


@dataclass(frozen=True, slots=True)
class Column:
    """A column of it.

    Attributes:
        name: Its name.
        sql: The name as it stands in SQL.
        type: The type below all domains, as the catalogue calls it: `int4`, `_text`.
        category: The catalogue's letter for the kind of type.
        declared: The type as it was declared.
        never_null: Whether it is declared so.
        readable: Whether the reader may select it.
        labels: The labels of an enum in their order.
        refers_to: The table whose rows it names; empty if none.
        comment: What its owner says of it; empty if nothing.
    """

    name: str
    sql: str
    type: str
    category: str
    declared: str
    never_null: bool
    readable: bool
    labels: tuple[str, ...]
    refers_to: str
    comment: str


async def find_relation(connection: Connection, wanted: str, *, timeout_s: float) -> Relation:
    """Finds a table by what a person typed: with its schema or without, quoted or not, in any case.

    Raises:
        DraftError: There is none, there are several, or the reader may not read it.
    """
    rows = await connection.fetch(staunch_sql.query("drafts/relations"), timeout=timeout_s)
    found = _named(rows, wanted)
    if not found:
        raise DraftError(_not_found(wanted, [_name(row) for row in rows]))
    row = found[0]
    # The search path comes first in the list; beyond it no schema is nearer than another.
    if row["schema"] not in _SEARCHED and len(found) > 1:
        names = _some(_name(each) for each in found)
        raise DraftError(f"expected one table {wanted}, got {names}: name it with its schema")
    if not row["readable"]:
        reader = await connection.fetchval("SELECT quote_ident(current_user)", timeout=timeout_s)
        raise DraftError(_not_readable(row, reader))
    indexes = await connection.fetch(
        staunch_sql.query("drafts/unique_indexes"), row["oid"], timeout=timeout_s
    )
    return Relation(
        row["oid"],
        row["schema"],
        row["name"],
        row["kind"],
        row["sql"],
        " ".join(row["comment"].split()),
        row["rows_hidden"],
        tuple(Unique(index["is_primary"], tuple(index["columns"])) for index in indexes),
    )


def _named(rows: Sequence[asyncpg.Record], wanted: str) -> list[asyncpg.Record]:
    """The tables that a name can mean, exact ones first; the rest only if none is."""
    schema, name = _parts(wanted)
    for same in (str, str.lower):
        names = {(same(schema), same(name)), ("", same(wanted))}
        found = [
            row for row in rows if names & {(same(row["schema"]), same(row["name"])), ("", same(row["name"]))}
        ]
        if found:
            return found
    return []


async def columns_of(connection: Connection, relation: Relation, *, timeout_s: float) -> tuple[Column, ...]:
    """Lists the columns of a table in their order."""
    rows = await connection.fetch(staunch_sql.query("drafts/columns"), relation.oid, timeout=timeout_s)
    return tuple(Column(**{**row, "labels": tuple(row["labels"])}) for row in rows)


def find_column(columns: Sequence[Column], wanted: str, flag: str) -> Column:
    """Finds a column by what a person typed, in any case if that is clear.

    Args:
        columns: Those of the table.
        wanted: Its name.
        flag: The flag that it was typed after, for messages.

    Raises:
        DraftError: There is none.
    """
    bare = _unquoted(wanted)
    for same in (str, str.lower):
        found = [column for column in columns if same(column.name) in (same(wanted), same(bare))]
        if len(found) == 1:
            return found[0]
    raise DraftError(f"{flag} {wanted}: {_no_column(wanted, [column.name for column in columns])}")


def _no_column(wanted: str, names: Sequence[str]) -> str:
    near = _near(wanted, names)
    some = near or names
    return f"expected a column of the table, found none; {_verb(near) if near else 'it has'} {_some(some)}"


def _parts(wanted: str) -> tuple[str, str]:
    """Splits schema and name at the dot outside of quotes; the first is empty without one."""
    inside = False
    for place, letter in enumerate(wanted):
        inside ^= letter == '"'
        if letter == "." and not inside:
            return _unquoted(wanted[:place]), _unquoted(wanted[place + 1 :])
    return "", _unquoted(wanted)


def _unquoted(name: str) -> str:
    is_quoted = len(name) > 1 and name[0] == name[-1] == '"'
    return name[1:-1].replace('""', '"') if is_quoted else name


def _name(row: asyncpg.Record) -> str:
    return str(row["name"] if row["schema"] in _SEARCHED else f"{row['schema']}.{row['name']}")


def _not_found(wanted: str, names: Sequence[str]) -> str:
    if not names:
        return f"expected a table {wanted}, found none: the database has no tables at all"
    near = _near(wanted, names)
    some = near or names
    return (
        f"expected a table {wanted}, found none; {_verb(near) if near else 'there are'} {_some(some)}: "
        "name one of them, with its schema if need be"
    )


def _not_readable(row: asyncpg.Record, reader: str) -> str:
    table = row["sql"]
    return (
        f"the reader may not read {table}: as its owner, GRANT USAGE ON SCHEMA {row['schema_sql']} "
        f"TO {reader}; GRANT SELECT ON {table} TO {reader}"
    )


def _near(wanted: str, names: Sequence[str]) -> list[str]:
    """The names most like the wanted one, in any case, the nearest first."""
    by_small = {name.lower(): name for name in reversed(names)}
    return [by_small[one] for one in difflib.get_close_matches(wanted.lower(), by_small, n=3, cutoff=0.7)]


def _verb(near: Sequence[str]) -> str:
    return "near it is" if len(near) == 1 else "near it are"


def _some(names: Iterable[str]) -> str:
    """Names a few of them, and how many more there are."""
    listed = list(names)
    more = f" and {len(listed) - _LISTED} more" if len(listed) > _LISTED else ""
    return ", ".join(listed[:_LISTED]) + more
