"""The columns that a view declares as time columns: which moment each tells, and in which zone.

Of `timestamp` and `date` PostgreSQL does not know where on earth they were written down. All our
connections are in UTC, so they are read as UTC unless the header says otherwise:
`"opened AT TIME ZONE 'America/Toronto'"`.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import staunch_sql
from staunch_features.checks.tables import Statement, Table, find_table, relations_read, statements
from staunch_features.errors import ViewError
from staunch_features.postgres.connection import Connection
from staunch_features.postgres.deadlines import Deadline
from staunch_features.postgres.pool import Database
from staunch_features.views.file import FeatureView, LabelText
from staunch_features.views.header import header_line
from staunch_features.views.planner import nodes_in, strings_in
from staunch_features.views.sql_errors import view_errors
from staunch_features.views.sql_text import line_of_word, quoted
from staunch_features.views.types import ViewSignature

_ZONED = re.compile(r"(?P<column>.+?)\s+AT\s+TIME\s+ZONE\s+'(?P<zone>[^']+)'", re.IGNORECASE)
_COMPARABLE = frozenset({"timestamptz", "timestamp", "date"})  # with a moment, without any cast
_WITHOUT_ZONE = {"timestamp": "a timestamp without time zone", "date": "a date"}
_ZONE = "::timestamp with time zone"
_COMPARES = "(?:<=|>=|<>|<|>|=|-)"
_CAST = "(?:::(?:timestamp without time zone|date))"
_ELSEWHERE = r"(?!\)*(?:::[a-z ]+)?\)* AT TIME ZONE)"
_SHIFT = "(?: [-+] '[^']*'::interval)?"
# What gives back a time of its argument's kind.
_KEEPS = "max|min|date_trunc|date_bin|COALESCE|GREATEST|LEAST|any_value"
_EPOCH = r"(?:EXTRACT\(epoch FROM |date_part\('epoch'::text, )\(*"
# Whole, so that what is moved to a zone is not taken for the moment that it is made from.
_MOMENT = rf"'[^']*'{_ZONE}(?>{_SHIFT})"
_SUBPLAN = re.compile(r"\((?P<plan>(?:Init|Sub)Plan \d+)\)(?:\.col(?P<column>\d+))?|(?P<result>\$\d+)")
_UTC = frozenset({"UTC", "ETC/UTC", "GMT", "Z"})
_SAMPLED_ROWS = 100_000  # so many rows of a table tell where its middle lies
_NO_ZONE = re.compile('time zone ".*" not recognized')
_DEPTH = 3  # so many parts of a plan within parts are followed, and brackets within brackets
_LAST_DAY = "date '294275-12-31'"  # later ones are dates, but no timestamps


@dataclass(frozen=True, slots=True)
class TimeColumn:
    """A column that tells when a row happened or became known.

    Attributes:
        name: The column.
        written: The same as SQL takes it, in quotes if it needs them.
        type: PostgreSQL's name of its type.
        zone: The zone in which it was written down, if the header says so; else it is read as UTC.
    """

    name: str
    written: str
    type: str
    zone: str | None

    @property
    def declared(self) -> str:
        """As it stands in the header, in quotes."""
        return f'"{_zoned(self.name, self.zone) if self.zone else self.name}"'

    def moment(self, table: str) -> str:
        """The moment that it tells, as SQL; `table` is what the table is called there."""
        column = f"{table}.{quoted(self.name)}"
        if self.zone is not None:
            zone = self.zone.replace("'", "''")
            value = f"({column}::timestamp AT TIME ZONE '{zone}')"
        else:
            value = column if self.type == "timestamptz" else f"{column}::timestamptz"
        if self.type == "date":
            return f"(CASE WHEN {column} > {_LAST_DAY} THEN 'infinity'::timestamptz ELSE {value} END)"
        return value

    def not_after(self, table: str, moment: str) -> str:
        """The condition that a row is not known to be later than a moment, as SQL."""
        # Without a cast where it needs none: dates beyond all timestamps can be compared, but not cast.
        comparable = self.zone is None and self.type in _COMPARABLE
        value = f"{table}.{quoted(self.name)}" if comparable else self.moment(table)
        return f"({value} > {moment}) IS NOT TRUE"


@dataclass(frozen=True, slots=True)
class Middle:
    """Where the middle of a time column lies.

    Attributes:
        moment: A moment that has rows behind it; None if there is none.
        rows: How many rows were looked at.
        known: How many of them have a time.
        endless: How many of these are infinitely late.
    """

    moment: datetime | None
    rows: int
    known: int
    endless: int


async def declared_tables(
    connection: Connection, view: FeatureView, *, timeout_s: float
) -> list[tuple[Table, tuple[TimeColumn, ...]]]:
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
        tables.append((table, tuple(_declared(view, name, table, column) for column in columns)))
    return tables


async def middle_of(  # noqa: PLR0913 - one query's parts
    connection: Connection,
    view: FeatureView,
    name: str,
    table: Table,
    column: TimeColumn,
    now: datetime,
    timeout_s: float,
) -> Middle:
    """Finds a moment up to `now` in a declared column of the table `name` with rows behind it.

    Raises:
        ViewError: The column tells no time.
    """
    sql = staunch_sql.query("checks/middle_time").format(
        moment=column.moment("sampled"), table=table.sql, sampling=table.sampling(_SAMPLED_ROWS)
    )
    try:
        with view_errors(view, sql):
            (row,) = await connection.fetch(sql, now, timeout=timeout_s)
    except ViewError as error:
        raise time_column_error(view, name, column.name, error.message) from error
    return Middle(row["middle"], row["rows"], row["known"], row["endless"])


def zone_advice(view: FeatureView, declared: Sequence[tuple[Table, Sequence[TimeColumn]]]) -> Iterator[str]:
    """Says which declared columns tell no zone and are read as UTC."""
    for name, (table, columns) in zip(view.time_columns, declared, strict=True):
        for column in columns:
            if column.zone is None and column.type in _WITHOUT_ZONE:
                place = f"{view.file}:{header_line(view.text, f'time_columns.{name}')}"
                yield f"{place}: {_unzoned(table, column)}"


async def read_as_utc(
    database: Database,
    view: FeatureView,
    signature: ViewSignature,
    label: LabelText | None,
    *,
    timeout_s: float,
) -> tuple[str, ...]:
    """Says which columns without a zone meet a moment in a view or its label, and are read as UTC there.

    Args:
        database: The reader's connections.
        view: The view.
        signature: Its signature.
        label: The label beside it, if there is one.
        timeout_s: How long each question may take, in seconds.

    Returns:
        One note a column, without those that the header declares without a zone, or in UTC.

    Raises:
        ViewError: The view, its population or the label is at fault.
        DatabaseUnavailable: The database is away.
        TimeoutError: It took longer than that.
    """
    async with database.connection(Deadline.after(timeout_s)) as connection:
        declared = {
            (table.full_name, column.name): column
            for table, columns in await declared_tables(connection, view, timeout_s=timeout_s)
            for column in columns
        }
        notes = []
        for statement in statements(view, signature, label):
            _, plan = await relations_read(connection, statement, timeout_s=timeout_s)
            for table, column in await _read_as_utc(connection, plan, timeout_s):
                known = declared.get((table.full_name, column.name))
                if known is None or (known.zone is not None and known.zone.upper() not in _UTC):
                    notes.append(_compared_as_utc(statement, table, known or column))
    return tuple(dict.fromkeys(notes))


async def _read_as_utc(connection: Connection, plan: Any, timeout_s: float) -> list[tuple[Table, TimeColumn]]:
    """Finds the columns of type timestamp or date that a plan compares with a moment, or makes one of."""
    scans = {
        (node["Alias"], node["Schema"], node["Relation Name"])
        for node in nodes_in(plan)
        if "Alias" in node and "Relation Name" in node
    }
    tables = {
        alias: await find_table(connection, f"{quoted(schema)}.{quoted(name)}", timeout_s=timeout_s)
        for alias, schema, name in sorted(scans)
    }
    of_type: dict[str, list[tuple[str, Table, TimeColumn]]] = {}
    for alias, table in tables.items():
        if table is not None:
            for column in zip(table.columns, table.written, table.types, strict=True):
                shown = rf'(?<![\w."])"?{re.escape(alias)}"?\.{re.escape(column[1])}(?![\w."])'
                of_type.setdefault(column[2], []).append((shown, table, TimeColumn(*column, None)))
    moments = [shown for shown, *_ in of_type.get("timestamptz", ())]
    expressions = _expressions(plan)
    return [
        (table, column)
        for sql_type in _WITHOUT_ZONE
        for shown, table, column in of_type.get(sql_type, ())
        if any(meets.search(each) for meets in [_meets(shown, moments)] for each in expressions)
        or any(re.search(_EPOCH + shown, each) and re.search(_EPOCH + _MOMENT, each) for each in expressions)
    ]


def _expressions(plan: Any) -> set[str]:
    """All that a plan says, with what a part of it gives in place of that part's number."""
    given: dict[str, Sequence[str]] = {}
    for node in nodes_in(plan):
        name, _, results = node.get("Subplan Name", "").partition(" (returns ")  # so until PostgreSQL 16
        given[name] = node.get("Output", ())
        given |= {
            result: [output]
            for result, output in zip(results.rstrip(")").split(","), given[name], strict=False)
        }

    def written_out(found: re.Match[str]) -> str:
        outputs = given.get(found["plan"] or found["result"], ())
        place = int(found["column"] or 1) - 1
        if place >= len(outputs):
            return found[0]
        return outputs[place] if outputs[place].startswith("(") else f"({outputs[place]})"

    expressions = set(strings_in(plan))
    for _ in range(_DEPTH):
        expressions = {_SUBPLAN.sub(written_out, each) for each in expressions}
    return expressions


def _meets(column: str, moments: Sequence[str]) -> re.Pattern[str]:
    """A pattern of a column that is compared with a moment, or made one of, as EXPLAIN shows it.

    Args:
        column: A pattern of the column.
        moments: Patterns of the columns that are moments.
    """
    shifted = rf"{column}{_SHIFT}"
    kept = rf"\b(?:{_KEEPS})\((?:'[^']*'::\w+, )*{_enclosed(shifted)}{_CAST}?(?:, [^()]*)?\)"
    value = rf"{_enclosed(f'(?:{kept}|{shifted})')}{_CAST}?"
    # Whoever casts the as-of time has its day or hour in UTC; what is cast of a column is nobody's moment.
    now = rf"(?:\bdate_trunc\('[^']*'::text, )?\(*{_MOMENT}{_ELSEWHERE}"
    others = "".join(rf"|{each}(?!\)*(?: AT TIME ZONE|::))" for each in moments)
    after = rf"{value} {_COMPARES} \(*(?:{now}{others})"
    earlier = "|".join((rf"{_MOMENT}(?:\)*{_CAST})?", *moments))
    before = rf"(?:{earlier})\)* {_COMPARES} {value}{_ELSEWHERE}"
    return re.compile(rf"{value}\)*{_ZONE}|{before}|{after}")


def _enclosed(pattern: str) -> str:
    """The pattern in any brackets but those of a call: as many as close it open it."""
    counts = range(1, _DEPTH + 1)
    bracketed = (rf'(?<![\w"])\({{{n}}}{pattern}\){{{n}}}' for n in counts)
    return f"(?:{'|'.join((pattern, *bracketed))})"


def _compared_as_utc(statement: Statement, table: Table, column: TimeColumn) -> str:
    text = statement.text
    line = line_of_word(text.statement, column.name)
    place = text.file if line is None or statement.of_population else f"{text.file}:{line}"
    value = _timestamp(column)
    there = _zoned(value, column.zone or "America/Toronto")
    where = f"{place}: {table.full_name}.{column.name} is {_WITHOUT_ZONE[column.type]} and is compared as "
    read = f"{where}{'its midnight in ' if column.type == 'date' else ''}UTC"
    if column.zone is not None:
        return f"{read}, but [time_columns] says {column.zone}: compare {there}"
    return (
        f"{read}: if it was written down elsewhere, compare {there}, with your zone; if in UTC, "
        f"{_zoned(value, 'UTC')}"
    )


def endless_advice(table: Table, columns: Sequence[TimeColumn], middles: Sequence[Middle]) -> Iterator[str]:
    """Says of a column that is infinite that it does not say when a row happened."""
    for column, middle in zip(columns, middles, strict=True):
        if middle.endless:
            yield (
                f"{table.full_name}.{column.name} is infinity in {middle.endless:,} of {middle.rows:,} rows: "
                "[time_columns] names what says when a row happened or became known, not until when it holds"
            )


def time_column_error(view: FeatureView, name: str, column: str, why: str) -> ViewError:
    """What is said of a declared column of the table `name` that tells no time."""
    hint = "name the columns that say when a row happened or became known"
    if _NO_ZONE.search(why):
        hint = "write the zone as pg_timezone_names lists it, 'America/Toronto'"
    return _header_error(view, name, f"expected {column} to be a time column of {name}: {why}", hint)


def _declared(view: FeatureView, name: str, table: Table, declared: str) -> TimeColumn:
    # A column may be called anything: what is no column's name may be one with its zone.
    zoned = None if declared in table.columns else _ZONED.fullmatch(declared)
    column, zone = (zoned["column"], zoned["zone"]) if zoned else (declared, None)
    if column not in table.columns:
        raise time_column_error(view, name, column, f"its columns are {', '.join(table.columns)}")
    place = table.columns.index(column)
    sql_type = table.types[place]
    if zone is not None and sql_type == "timestamptz":
        why = "it is a timestamptz, which tells its moment by itself, so AT TIME ZONE has nothing to add"
        raise time_column_error(view, name, declared, why)
    return TimeColumn(column, table.written[place], sql_type, zone)


def _unzoned(table: Table, column: TimeColumn) -> str:
    there, utc = _zoned(column.name, "America/Toronto"), _zoned(column.name, "UTC")
    return (
        f"{table.schema}.{table.name}.{column.name} is {_WITHOUT_ZONE[column.type]} and is read as "
        f"{'its midnight in ' if column.type == 'date' else ''}UTC: if it was written down elsewhere, "
        f"compare {_zoned(_timestamp(column), 'America/Toronto')} with $2::timestamptz, with your zone, "
        f'and declare "{there}"; if in UTC, declare "{utc}"'
    )


def _timestamp(column: TimeColumn) -> str:
    """A column without a zone as SQL that AT TIME ZONE may follow."""
    return f"{column.written}::timestamp" if column.type == "date" else column.written


def _zoned(column: str, zone: str) -> str:
    return f"{column} AT TIME ZONE '{zone}'"


def _header_error(view: FeatureView, name: str, message: str, hint: str) -> ViewError:
    line = header_line(view.text, f"time_columns.{name}")
    return ViewError(file=view.file, line=line, message=message, hint=hint)
