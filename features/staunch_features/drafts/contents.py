"""What the rows of a table hold: some of them as texts, and of all what a few cannot show."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

import staunch_sql
from staunch_features.checks.tables import Table, find_table
from staunch_features.drafts.catalogue import Column, Relation
from staunch_features.errors import DraftError
from staunch_features.postgres.connection import Connection
from staunch_features.views.rules import LARGEST_VALUE

SAMPLE_ROWS = 10_000
"""About how many rows are looked at one by one."""

COUNTED_ROWS = 1_000_000
"""About how many rows nulls and the like are counted in."""

REALS = frozenset({"float4", "float8", "numeric"})
"""The types that have NaN and infinities, as the catalogue calls them."""

TIMES = frozenset({"date", "timestamp", "timestamptz"})
"""The types of a moment."""

LARGEST = float(f"{LARGEST_VALUE:.1e}")
"""The largest value of a feature, either way, rounded down to two digits, which people can read: 3.4e38."""

_LONGEST_TEXT = 400  # letters: what is longer is no category, and need not be read whole
_COLUMNS_AT_ONCE = 400  # a SELECT may have 1,664


@dataclass(frozen=True, slots=True)
class Facts:
    """What was counted of a column.

    Attributes:
        nulls: In how many rows it is null.
        nans: In how many it is NaN.
        beyond: In how many it is infinite, larger than a feature may be, or in no year from 1 to 9999.
        last: The last day before tomorrow, for a moment; None if there is none.
    """

    nulls: int = 0
    nans: int = 0
    beyond: int = 0
    last: date | None = None


@dataclass(frozen=True, slots=True)
class Contents:
    """What the rows hold.

    Attributes:
        sampled: How many rows were read as texts.
        texts: Their values by column, None for null.
        facts: What was counted of each column.
    """

    sampled: int
    texts: Mapping[str, Sequence[str | None]]
    facts: Mapping[str, Facts]


async def read_contents(
    connection: Connection, relation: Relation, columns: Sequence[Column], rows: int, *, timeout_s: float
) -> Contents:
    """Reads and counts the columns that may be read.

    Args:
        connection: Where to read.
        relation: The table.
        columns: Its columns.
        rows: How many rows it has.
        timeout_s: How long a statement may take, in seconds.

    Raises:
        DraftError: There are no rows.
        TimeoutError: The database took longer than that for a statement.
    """
    found = await find_table(connection, relation.sql, timeout_s=timeout_s)
    if found is None:
        raise DraftError(f"expected the table {relation.sql}, it is gone")
    table = replace(found, rows=rows)  # counted, and not as the planner guesses
    readable = [column for column in columns if column.readable]
    sample = await connection.fetch(_sample_sql(relation, table, readable), timeout=timeout_s)
    if not sample:
        raise DraftError(_no_rows(relation))
    texts = {
        column.name: [row[place] for row in sample] for place, column in enumerate(readable)
    }  # by place: a table may have a column called as another one is cast
    facts: dict[str, Facts] = {}
    for begin in range(0, len(readable), _COLUMNS_AT_ONCE):
        some = readable[begin : begin + _COLUMNS_AT_ONCE]
        facts |= await _counted(connection, relation, table, some, timeout_s)
    return Contents(len(sample), texts, facts)


def _sample_sql(relation: Relation, table: Table, columns: Sequence[Column]) -> str:
    return staunch_sql.query("drafts/sample_rows").format(
        columns=", ".join(map(_as_text, columns)),
        table=relation.sql,
        sampling=table.sampling(SAMPLE_ROWS),
        most=2 * SAMPLE_ROWS,
    )


def _as_text(column: Column) -> str:
    whole = f"t.{column.sql}::text"
    return whole if column.type in ("json", "jsonb") else f"left({whole}, {_LONGEST_TEXT})"


async def _counted(
    connection: Connection, relation: Relation, table: Table, columns: Sequence[Column], timeout_s: float
) -> dict[str, Facts]:
    asked = [(column, field, sql) for column in columns for field, sql in _questions(column)]
    sql = staunch_sql.query("drafts/column_facts").format(
        facts=", ".join(sql for _, _, sql in asked),
        table=relation.sql,
        sampling=table.sampling(COUNTED_ROWS),
    )
    row = await connection.fetchrow(sql, timeout=timeout_s)
    answers: dict[str, dict[str, int | date | None]] = {column.name: {} for column in columns}
    for (column, field, _), value in zip(asked, row or (), strict=True):
        answers[column.name][field] = value
    return {name: Facts(**values) for name, values in answers.items()}  # type: ignore[arg-type]


def in_calendar(column: Column) -> str:
    """The condition that a moment lies in a year of four digits: no infinity does, nor what no cast takes."""
    return f"(t.{column.sql} BETWEEN '0001-01-01' AND '9999-12-31')"


def _questions(column: Column) -> Iterator[tuple[str, str]]:
    """Yields what to ask of a column: the field of `Facts`, and the SQL."""
    value = f"t.{column.sql}"
    yield "nulls", f"count(*) - count({value})"
    if column.type in REALS:
        yield "nans", f"count(*) FILTER (WHERE {value} = 'NaN')"
        yield "beyond", f"count(*) FILTER (WHERE abs({value}) > {LARGEST} AND {value} <> 'NaN')"
    if column.type == "interval":
        yield "beyond", f"count(*) FILTER (WHERE NOT isfinite({value}))"
    if column.type in TIMES:
        yield "beyond", f"count(*) FILTER (WHERE NOT {in_calendar(column)})"
        yield (
            "last",
            f"(max({value}) FILTER (WHERE {in_calendar(column)} AND {value} < current_date + 1))::date",
        )


def _no_rows(relation: Relation) -> str:
    if relation.rows_hidden:
        return (
            f"{relation.sql} shows the reader no row: its row-level security decides, so give the reader a "
            "policy, or BYPASSRLS"
        )
    return f"expected rows in {relation.sql}, got none: fill it, the draft follows what it holds"
