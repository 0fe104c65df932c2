"""What the database says of a feature view or a label: parameters, columns, types, functions used.

Everything here reads the prepared statement and the plan; nothing is executed, so a view is known
before its first row is.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import asyncpg
from asyncpg.types import Attribute

import staunch_sql
from staunch_features.database import Connection
from staunch_features.errors import ViewError
from staunch_features.sql_text import line_at, strings_of
from staunch_features.view import FeatureView, LabelText, header_line

SQL_TYPES: Final = {"int64": "bigint", "text": "text", "uuid": "uuid"}
"""The key types a view may have: our name -> SQL's."""

_ID_TYPES: Final = {"int8": "int64", "text": "text", "uuid": "uuid"}
# What reads the clock without being volatile: the same within a transaction, another tomorrow.
_CLOCKS: Final = frozenset({"now", "transaction_timestamp", "statement_timestamp"})
_CLOCK_WORDS: Final = re.compile(r"\b(?:CURRENT_(?:DATE|TIME|TIMESTAMP)|LOCALTIME(?:STAMP)?)\b")
_CLOCK_STRINGS: Final = frozenset({"now", "today", "yesterday", "tomorrow"})
_BESIDE_CLOCKS: Final = frozenset({"am", "pm", "utc", "gmt", "z"})  # 'today 04:05 UTC' is a time too
_WORD: Final = r'(?:[a-z_][a-z0-9_$]*|"[^"]+")'
_CALL: Final = re.compile(rf"({_WORD}(?:\.{_WORD})?)\(")
_LITERAL: Final = re.compile(r"'(?:[^']|'')*'")
# Classes of SQLSTATE that blame the statement and not the database.
_FAULTS_OF_THE_TEXT: Final = ("0A", "20", "21", "22", "25", "2F", "34", "38", "39", "42", "54", "P0")
_MENDS: Final = {
    "22012": "divide by nullif(..., 0), which gives null",
    "25006": "a view only reads: write a SELECT",
    "42501": "as the tables' owner, GRANT USAGE ON SCHEMA and GRANT SELECT ON what it reads to the reader",
    "42P18": "cast every parameter: $1::bigint[] (or text[], uuid[]) and $2::timestamptz",
    "42725": "cast what it is called with, for example $1::bigint[]",
    "42883": "see that it exists, and cast its operands, for example $1::text[] for a text key",
    "42601": "mend the SQL; a view is one SELECT",
    "42P01": "name the table with its schema and see that it is there; `staunch migrate` makes our own",
}


@dataclass(frozen=True, slots=True)
class FeatureColumn:
    """One feature as the database returns it.

    Attributes:
        name: The column's name.
        type: ``number``, a float64.
        nullable: Whether null is a value like others.
        unit: The unit, empty for a plain number.
        description: What it means, in one sentence.
    """

    name: str
    type: str
    nullable: bool
    unit: str
    description: str


@dataclass(frozen=True, slots=True)
class ViewSignature:
    """What a feature view takes and gives.

    Attributes:
        id_type: ``int64``, ``text`` or ``uuid``.
        id_column: The name of the first column.
        uses_as_of: Whether the text has a second parameter, the as-of time.
        features: The feature columns in the statement's order.
        has_eligible: Whether the text returns ``_eligible``; without it every row is eligible.
        features_digest: ``sha256:`` and the hex digest of the ordered names and types.
    """

    id_type: str
    id_column: str
    uses_as_of: bool
    features: tuple[FeatureColumn, ...]
    has_eligible: bool
    features_digest: str


async def read_signature(connection: Connection, view: FeatureView, *, timeout_s: float) -> ViewSignature:
    """Asks the database what a view is; runs nothing of it.

    Raises:
        ViewError: The text is no valid view: which rule it breaks, where, and the mend.
    """
    with blame(view, view.statement):
        statement = await connection.prepare(view.statement, timeout=timeout_s)
    # What writes cannot stand within a SELECT, so it is refused for what it is, before any right is asked.
    reading = staunch_sql.query("within_select").format(statement=view.statement)
    with blame(view, reading):
        await connection.prepare(reading, timeout=timeout_s)
    id_type, uses_as_of = _parameters(view, [p.name for p in statement.get_parameters()])
    columns = statement.get_attributes()
    _check_columns(view, columns, id_type)
    arguments: tuple[object, ...] = ([], datetime.now(UTC)) if uses_as_of else ([],)
    await _refuse_clocks(connection, view, view.statement, arguments, timeout_s=timeout_s)
    features = _features(view, columns[1:])
    return ViewSignature(
        id_type=id_type,
        id_column=columns[0].name,
        uses_as_of=uses_as_of,
        features=features,
        has_eligible=any(column.name == "_eligible" for column in columns),
        features_digest=features_digest(features),
    )


async def check_label(
    connection: Connection, label: LabelText, sql: str, id_type: str, *, timeout_s: float
) -> None:
    """Refuses a label that is no label: its columns, and what reads the clock; runs nothing of it.

    Args:
        connection: Where to ask.
        label: The label.
        sql: Its statement as it is sent, with the four parameters of a label.
        id_type: The type of the view's ids.
        timeout_s: How long each question may take, in seconds.

    Raises:
        ViewError: What was expected and what the statement returns or calls.
    """
    with blame(label, sql):
        statement = await connection.prepare(sql, timeout=timeout_s)
    _check_label_columns(label, statement.get_attributes(), id_type)
    now = datetime.now(UTC)
    await _refuse_clocks(connection, label, sql, ([], now, now, now), timeout_s=timeout_s)


def _check_label_columns(label: LabelText, columns: Sequence[Attribute], id_type: str) -> None:
    types = [_ID_TYPES.get(column.type.name, column.type.name) for column in columns]
    names = [column.name for column in columns]
    if types[:2] == [id_type, "bool"] and names[2:] in ([], ["_group"]):
        return
    got = ", ".join(f"{column.name} {column.type.name}" for column in columns) or "none"
    raise ViewError(
        file=label.file,
        line=None,
        message=f"expected the columns id {SQL_TYPES[id_type]}, label boolean and perhaps _group, got {got}",
        mend="return the view's id first and the boolean second, both cast, and nothing else but _group",
    )


async def _refuse_clocks(
    connection: Connection,
    text: FeatureView | LabelText,
    sql: str,
    arguments: Sequence[object],
    *,
    timeout_s: float,
) -> None:
    """Refuses a text whose answer depends on the moment or on chance: ``now()``, ``random()`` and the like.

    The plan is asked (EXPLAIN VERBOSE), so what hides in a SQL view or an inlined function is found too.
    None of the `arguments` is null: the planner drops what a null decides, and with it what it calls.
    """
    for line, literal in strings_of(text.statement):
        words = set(re.findall("[a-z]+", literal.lstrip("eE").lower()))
        if words & _CLOCK_STRINGS and words <= _CLOCK_STRINGS | _BESIDE_CLOCKS:
            raise _clock(text, line, literal)
    explain = f"EXPLAIN (VERBOSE, FORMAT JSON) {sql}"
    with blame(text, explain):
        plan = await connection.fetchval(explain, *arguments, timeout=timeout_s)
    names, words = _calls(json.loads(plan))
    found = await connection.fetch(staunch_sql.query("volatile_functions"), sorted(names), timeout=timeout_s)
    if suspects := [*(row["name"] for row in found), *(names & _CLOCKS), *words]:
        raise _clock(text, _line_of(text.statement, suspects[0]), suspects[0])


def features_digest(features: Iterable[FeatureColumn]) -> str:
    """Digests the ordered names and types: ``sha256:`` and 64 hex digits."""
    text = json.dumps([[column.name, column.type] for column in features], separators=(",", ":"))
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


@contextmanager
def blame(text: FeatureView | LabelText, sql: str) -> Iterator[None]:
    """Turns what the database says against a text into a ViewError with the file's own line.

    Args:
        text: The view or label.
        sql: What was sent: the text's statement, perhaps with something around it.
    """
    try:
        yield
    except asyncpg.PostgresError as error:
        code = str(error.sqlstate or "")
        if not code.startswith(_FAULTS_OF_THE_TEXT):
            raise
        raise ViewError(
            file=text.file,
            line=_line_of_error(text, sql, error),
            message=f"the database refuses it: {error.args[0]}",
            mend=_MENDS.get(code, getattr(error, "hint", None) or "mend the SQL"),
        ) from error


def _line_of_error(text: FeatureView | LabelText, sql: str, error: asyncpg.PostgresError) -> int | None:
    position, before = getattr(error, "position", None), sql.find(text.statement)
    if isinstance(text, FeatureView) and before < 0 and text.population in sql:
        return header_line(text.text, "population")
    if position is None or before < 0:
        return None
    line = line_at(sql, int(position) - 1) - sql.count("\n", 0, before)
    return min(max(line, 1), text.text.count("\n") + 1)


def _parameters(view: FeatureView, names: list[str]) -> tuple[str, bool]:
    id_type = _ID_TYPES.get(names[0].removesuffix("[]")) if names and names[0].endswith("[]") else None
    if id_type and names[1:] in ([], ["timestamptz"]):
        return id_type, len(names) == 2
    raise ViewError(
        file=view.file,
        line=None,
        message=f"expected the parameters $1 bigint[], text[] or uuid[] and perhaps $2 timestamptz, "
        f"got {', '.join(names) or 'none'}",
        mend="read the ids with unnest($1::bigint[]) and cast the as-of time: $2::timestamptz",
    )


def _check_columns(view: FeatureView, columns: Sequence[Attribute], id_type: str) -> None:
    names = [column.name for column in columns]
    problem = None
    if not columns or _ID_TYPES.get(columns[0].type.name) != id_type:
        got = f"{columns[0].name} {columns[0].type.name}" if columns else "no column"
        problem = f"expected the id as first column, {SQL_TYPES[id_type]} as in $1, got {got}"
    elif twice := sorted({name for name in names if names.count(name) > 1}):
        problem = f"expected each column once, got {', '.join(twice)} more than once"
    elif wrong := [c for c in columns if c.name == "_eligible" and c.type.name != "bool"]:
        problem = f"expected _eligible boolean, got {wrong[0].type.name}"
    if problem:
        raise ViewError(
            file=view.file,
            line=None,
            message=problem,
            mend="name and cast the columns of the outermost SELECT",
        )


def _features(view: FeatureView, columns: Sequence[Attribute]) -> tuple[FeatureColumn, ...]:
    columns = [column for column in columns if not column.name.startswith("_")]
    for column in columns:
        if column.type.name != "float8":
            raise ViewError(
                file=view.file,
                line=_line_of(view.statement, column.name),
                message=f"expected feature {column.name} as float8, got {column.type.name}",
                mend=_cast(column.name),
            )
    names = [column.name for column in columns]
    missing, unknown = set(names) - set(view.features), set(view.features) - set(names)
    if missing or unknown:
        raise ViewError(
            file=view.file,
            line=None,
            message="expected the header to describe exactly the feature columns; "
            f"not described: {', '.join(sorted(missing)) or 'none'}; "
            f"described, not returned: {', '.join(sorted(unknown)) or 'none'}",
            mend="add or remove the entries under [features]",
        )
    return tuple(_column(view, name) for name in names)


def _cast(column: str) -> str:
    if column == "?column?":  # PostgreSQL's name for what has none
        return "cast it and name it: (...)::float8 AS name"
    return f"cast it: ({column})::float8; encode a category as a number"


def _column(view: FeatureView, name: str) -> FeatureColumn:
    doc = view.features[name]
    return FeatureColumn(name, "number", doc.nullable, doc.unit, doc.description)


def _calls(plan: Any) -> tuple[set[str], set[str]]:
    """Finds in a plan the functions called and the words that read the clock."""
    texts = [_LITERAL.sub("", text) for text in _texts(plan)]
    names = {name.replace('"', "") for text in texts for name in _CALL.findall(text)}
    words = {word for text in texts for word in _CLOCK_WORDS.findall(text)}
    return names, words


def _texts(plan: Any) -> Iterator[str]:
    if isinstance(plan, str):
        yield plan
    for part in plan.values() if isinstance(plan, dict) else plan if isinstance(plan, list) else ():
        yield from _texts(part)


def _line_of(statement: str, word: str) -> int | None:
    found = re.search(rf"\b{re.escape(word)}\b", statement, re.IGNORECASE)
    return line_at(statement, found.start()) if found else None


def _clock(text: FeatureView | LabelText, line: int | None, name: str) -> ViewError:
    moment, differ = "the as-of time $2::timestamptz", "training and serving would differ"
    if isinstance(text, LabelText):
        moment, differ = "$3 and $4, where the outcome window begins and ends,", "no label could be had twice"
    return ViewError(
        file=text.file,
        line=line,
        message=f"{name} answers differently at another time, so {differ}",
        mend=f"use {moment} for the moment, and nothing that is random",
    )
