"""Which column is the key: named by a person, or else the one that the database or its rows show to be it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import asyncpg

import staunch_sql
from staunch_features.drafts.catalogue import Column, Relation, find_column
from staunch_features.drafts.names import plain_name
from staunch_features.errors import DraftError
from staunch_features.postgres.connection import Connection
from staunch_features.views.rules import MAX_KEY_BYTES, can_be_asked_sql

_KEY_TYPES: Mapping[str, tuple[str, str]] = {
    **dict.fromkeys(("int2", "int4", "int8"), ("bigint", can_be_asked_sql("int64", "t.{key}"))),
    "numeric": (
        "bigint",
        can_be_asked_sql("int64", "t.{key}")
        + " AND t.{key} = trunc(t.{key}) AND t.{key} < 9223372036854775808",
    ),
    **dict.fromkeys(
        ("text", "varchar", "bpchar", "citext", "name"),
        ("text", can_be_asked_sql("text", "t.{key}::text")),
    ),
    "uuid": ("uuid", can_be_asked_sql("uuid", "t.{key}")),
}
"""Of a type in the catalogue the type of a view's key, and which of its values a call can name."""

_COMPARED: Mapping[str, tuple[str, str]] = {
    # By the index, which knows no blanks at the end, and then as the key stands: `7 ` is not `7`.
    "bpchar": ("t.{key}", "u.key::bpchar AND t.{key}::text = u.key"),
    "citext": ("t.{key}::text", "u.key"),
    "name": ("t.{key}::text", "u.key"),
}
"""How a key is looked up where `=` alone would compare other than the column's own index does."""

_MOST_ROWS = 0.9  # a column that names fewer of them is no guess

_KEY_ENDINGS = ("id", "key", "no", "nr", "number", "num", "code", "uuid")


@dataclass(frozen=True, slots=True)
class Key:
    """The column that callers name.

    Attributes:
        column: The column.
        sql_type: `bigint`, `text` or `uuid`.
        usable: SQL that is true where a call can name it.
        left_out: In how many rows none can.
        rows: How many rows there are.
        why: How it was found, for people.
    """

    column: Column
    sql_type: str
    usable: str
    left_out: int
    rows: int
    why: str

    @property
    def lookup(self) -> str:
        """The condition that finds the row of `u.key`."""
        left, right = _COMPARED.get(self.column.type, ("t.{key}", "u.key"))
        return f"{left} = {right}".format(key=self.column.sql)

    @property
    def listed(self) -> str:
        """The column in the population, as the key's own type."""
        is_exact = self.column.declared == self.sql_type
        return self.column.sql if is_exact else f"{self.column.sql}::{self.sql_type}"


async def choose_key(
    connection: Connection,
    relation: Relation,
    columns: Sequence[Column],
    wanted: str | None,
    *,
    timeout_s: float,
) -> Key:
    """Chooses the key, and counts that no two rows share it.

    Args:
        connection: Where to count.
        relation: The table.
        columns: Its columns.
        wanted: The column that a person named; None to guess.
        timeout_s: How long a statement may take, in seconds.

    Raises:
        DraftError: None can be chosen, or the one that was named cannot be.
    """
    if wanted is not None:
        column = find_column(columns, wanted, "--key")
        if column.type not in _KEY_TYPES or not column.readable:
            raise DraftError(
                f"--key {wanted}: expected an integer, a text or a uuid that the reader may read, got "
                f"{column.declared}: name another column, or cast it in a view of the database"
            )
        counts = await _count(connection, relation, column, timeout_s)
        if not counts.known or counts.known != counts.different:
            raise DraftError(_bad_key(column, counts))
        return _key(column, counts, "as --key says")
    for column, why in _candidates(relation, columns):
        if column.type in _KEY_TYPES and column.readable:
            counts = await _count(connection, relation, column, timeout_s)
            if counts.known == counts.different and counts.known >= _MOST_ROWS * counts.rows:
                return _key(column, counts, why)
    raise DraftError(_no_key(relation))


def _key(column: Column, counts: "_Counts", why: str) -> Key:
    sql_type, usable = _KEY_TYPES[column.type]
    usable = usable.format(key=column.sql)
    return Key(column, sql_type, usable, counts.rows - counts.known, counts.rows, why)


def _candidates(relation: Relation, columns: Sequence[Column]) -> Iterator[tuple[Column, str]]:
    by_name = {column.name: column for column in columns}
    for each in relation.unique:
        if len(each.columns) == 1:
            yield by_name[each.columns[0]], "the primary key" if each.is_primary else "unique by an index"
    # A partitioned table's key holds more than one column; a view has none, and a loaded file mostly neither.
    parts = [by_name[name] for each in relation.unique if len(each.columns) > 1 for name in each.columns]
    named = sorted(
        (column for column in columns if _is_named_as_key(column)),
        key=lambda column: plain_name(column.name, "") != f"{plain_name(relation.name, '').rstrip('s')}_id",
    )
    index = f": CREATE UNIQUE INDEX ON {relation.sql} ({{}})" if relation.kind in "rm" else ""
    for column in dict.fromkeys([*parts, *named]):
        yield column, f"no two rows share it, though no index says so{index.format(column.sql)}"


def _is_named_as_key(column: Column) -> bool:
    name = plain_name(column.name, "")
    return name.split("_")[-1] in _KEY_ENDINGS or name.endswith(("id", "key"))


@dataclass(frozen=True, slots=True)
class _Counts:
    """How many rows there are, in how many a call can name the key, how many different keys those have."""

    rows: int
    known: int
    different: int


async def _count(connection: Connection, relation: Relation, column: Column, timeout_s: float) -> _Counts:
    sql = staunch_sql.query("drafts/key_facts").format(
        usable=_KEY_TYPES[column.type][1].format(key=column.sql), key=f"t.{column.sql}", table=relation.sql
    )
    try:
        row = await connection.fetchrow(sql, timeout=timeout_s)
    except (asyncpg.CharacterNotInRepertoireError, asyncpg.UntranslatableCharacterError) as error:
        raise DraftError(
            f"{column.name}: expected keys of characters that UTF-8 has, got {error}; "
            "name another column, --key"
        ) from error
    return _Counts(*(row or (0, 0, 0)))


def _bad_key(column: Column, counts: _Counts) -> str:
    if not counts.known:
        right = {
            "bigint": "of 1 or more",
            "text": f"of 1 to {MAX_KEY_BYTES} bytes",
            "uuid": "that are not null",
        }
        return (
            f"--key {column.name}: expected keys {right[_KEY_TYPES[column.type][0]]}, got none in "
            f"{counts.rows:,} rows: name another column"
        )
    return (
        f"--key {column.name}: expected one row a key, got {counts.known:,} rows of {counts.different:,} "
        f"keys: name another column, or make a view of the database that holds one row for each "
        f"{column.name} and draft from that"
    )


def _no_key(relation: Relation) -> str:
    primary = next((", ".join(each.columns) for each in relation.unique if each.is_primary), "")
    has = f"its primary key ({primary}) is none of these" if primary else "it has no primary key"
    otherwise = (
        "let the view have such a column"
        if relation.kind == "v"
        else f"let it have one, ALTER TABLE {relation.sql} ADD COLUMN row_id bigint GENERATED ALWAYS AS "
        "IDENTITY PRIMARY KEY"
    )
    return (
        f"cannot tell which column of {relation.sql} is the key that a call names, one of integers, texts "
        f"or uuids that no two rows share: {has}, and no column whose name ends in id, key, number or code "
        f"is different in all rows. Name one, --key COLUMN; if there is none, {otherwise}"
    )
