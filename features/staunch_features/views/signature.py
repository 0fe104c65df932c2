"""What the database says of a feature view or a label: parameters, columns, types, functions used.

Everything here reads the prepared statement and the plan; nothing is executed, so a view is known
before its first row is.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from asyncpg.types import Attribute

import staunch_sql
from staunch_features.errors import ViewError, shown
from staunch_features.postgres.connection import Connection
from staunch_features.postgres.deadlines import Deadline
from staunch_features.views.clocks import refuse_clocks
from staunch_features.views.file import ELIGIBLE, FeatureView, LabelText
from staunch_features.views.header import header_line
from staunch_features.views.sql_errors import view_errors
from staunch_features.views.sql_text import MAX_NAME_BYTES, code_of, line_of_column, line_of_word, quoted
from staunch_features.views.type_hints import boolean_hint, number_hint, type_facts
from staunch_features.views.types import SQL_TYPES, FeatureColumn, ViewSignature

# What PostgreSQL calls a column that has no name: by its last cast, or by what it is made with.
_NAMELESS = frozenset(
    {"?column?", "case", "coalesce", "greatest", "least", "nullif", "array", "row", "exists"}
    | {"bool", "int2", "int4", "int8", "float4", "float8", "numeric", "text", "varchar"}
    | {"date", "timestamp", "timestamptz", "interval"}
)
_LABEL_PARAMETERS = 4
_ID_TYPES = {"int8": "int64", "text": "text", "uuid": "uuid"}


async def read_signature(connection: Connection, view: FeatureView, *, deadline: Deadline) -> ViewSignature:
    """Asks the database what a view is; runs nothing of it.

    Args:
        connection: Where to ask.
        view: The view.
        deadline: Until when all questions may take together.

    Raises:
        ViewError: The text is no valid view: which rule it breaks, where, and the mend.
        TimeoutError: The answers did not come in time.
    """
    with view_errors(view, view.statement):
        statement = await connection.prepare(view.statement, timeout=deadline.left_or_raise())
    # What writes cannot stand within a SELECT, so it is refused for what it is, before any right is asked.
    reading = staunch_sql.query("views/within_select").format(statement=view.statement)
    with view_errors(view, reading):
        await connection.prepare(reading, timeout=deadline.left_or_raise())
    id_type, uses_as_of = _parameters(view, [p.name for p in statement.get_parameters()])
    columns = statement.get_attributes()
    _check_columns(view, columns, id_type)
    await _check_eligible(connection, view, columns, deadline)
    arguments: tuple[object, ...] = ([], datetime.now(UTC)) if uses_as_of else ([],)
    await refuse_clocks(connection, view, view.statement, arguments, deadline=deadline)
    named = [column for column in columns[1:] if not column.name.startswith("_")]
    await _check_types(connection, view, named, uses_as_of=uses_as_of, deadline=deadline)
    _refuse_differences(view, [column.name for column in named])
    features = tuple(_column(view, column.name) for column in named)
    return ViewSignature(
        id_type=id_type,
        id_column=columns[0].name,
        uses_as_of=uses_as_of,
        features=features,
        has_eligible=any(column.name == "_eligible" for column in columns),
        has_why=any(column.name == "_why" for column in columns),
        features_digest=features_digest(features),
    )


def label_sql(label: LabelText, id_type: str) -> str:
    """Returns a label's statement as it is sent, with its four parameters.

    Args:
        label: The label.
        id_type: The type of the view's ids.
    """
    return staunch_sql.query("views/read_labels").format(
        ids=f"{SQL_TYPES[id_type]}[]", statement=label.statement
    )


async def check_label(
    connection: Connection, label: LabelText, sql: str, id_type: str, *, deadline: Deadline
) -> None:
    """Refuses a label that is no label: its columns, and what reads the clock; runs nothing of it.

    Args:
        connection: Where to ask.
        label: The label.
        sql: Its statement as it is sent, with the four parameters of a label.
        id_type: The type of the view's ids.
        deadline: Until when all questions may take together.

    Raises:
        ViewError: What was expected and what the statement returns or calls.
        TimeoutError: The answers did not come in time.
    """
    with view_errors(label, sql):
        statement = await connection.prepare(sql, timeout=deadline.left_or_raise())
    _check_label_parameters(label, len(statement.get_parameters()))
    await _check_label_columns(connection, label, statement.get_attributes(), id_type, deadline)
    now = datetime.now(UTC)
    await refuse_clocks(connection, label, sql, ([], now, now, now), deadline=deadline)


def check_horizon(signature: ViewSignature, label: LabelText) -> None:
    """Refuses a label that looks ahead beside a view that knows no time, and the other way round.

    Raises:
        ViewError: That is so; with the line of the label's header.
    """
    if bool(label.horizon_days) == signature.uses_as_of:
        return
    if signature.uses_as_of:
        message = "expected an outcome window, since the view takes an as-of time, got horizon_days = 0"
        hint = "say how many days ahead the label looks, or let the view take $1 alone"
    else:
        message = (
            f"the label looks {label.horizon_days} days ahead, but the view has no as-of time, so its "
            "features could know the answer"
        )
        hint = "let the view take $2::timestamptz, or declare horizon_days = 0"
    line = header_line(label.text, "horizon_days")
    raise ViewError(file=label.file, line=line, message=message, hint=hint)


def _check_label_parameters(label: LabelText, count: int) -> None:
    if count > _LABEL_PARAMETERS:
        raise ViewError(
            file=label.file,
            line=line_of_word(label.statement, f"${count}"),
            message=f"expected the parameters $1 to ${_LABEL_PARAMETERS}, got ${count}",
            hint="$1 are the ids, $2 the as-of time, $3 and $4 the start and end of the outcome window",
        )


async def _check_label_columns(
    connection: Connection,
    label: LabelText,
    columns: Sequence[Attribute],
    id_type: str,
    deadline: Deadline,
) -> None:
    types = [_ID_TYPES.get(column.type.name, column.type.name) for column in columns]
    names = [column.name for column in columns]
    if types[:2] == [id_type, "bool"] and names[2:] in ([], ["_group"]):
        return
    # What is named is what to mend first.
    wrong, hint = (
        names[-1] if names else "",
        "return the key first, the answer second, and only _group beside",
    )
    if names and types[0] != id_type:
        wrong, hint = names[0], f"return the key first, as the view has it: (...)::{SQL_TYPES[id_type]}"
    elif len(names) > 1 and types[1] != "bool":
        facts = await type_facts(connection, columns[1], timeout_s=deadline.left_or_raise())
        wrong, hint = names[1], boolean_hint(facts)
    got = ", ".join(f"{shown(column.name)} {column.type.name}" for column in columns) or "none"
    raise ViewError(
        file=label.file,
        line=line_of_column(label.statement, wrong) if wrong else None,
        message=f"expected the columns id {SQL_TYPES[id_type]}, label boolean and perhaps _group, got {got}",
        hint=hint,
    )


def features_digest(features: Iterable[FeatureColumn]) -> str:
    """Digests the ordered names and types: `sha256:` and 64 hex digits."""
    text = json.dumps([[column.name, column.type] for column in features], separators=(",", ":"))
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def _parameters(view: FeatureView, names: list[str]) -> tuple[str, bool]:
    id_type = _ID_TYPES.get(names[0].removesuffix("[]")) if names and names[0].endswith("[]") else None
    if id_type and names[1:] in ([], ["timestamptz"]):
        return id_type, len(names) == 2
    raise ViewError(
        file=view.file,
        line=None,
        message=f"expected the parameters $1 bigint[], text[] or uuid[] and perhaps $2 timestamptz, "
        f"got {', '.join(names) or 'none'}",
        hint="read the ids with unnest($1::bigint[]) and cast the as-of time: $2::timestamptz",
    )


def _check_columns(view: FeatureView, columns: Sequence[Attribute], id_type: str) -> None:
    names = [column.name for column in columns]
    wrong, problem, hint = "", "", ""
    if not columns or _ID_TYPES.get(columns[0].type.name) != id_type:
        wrong = columns[0].name if columns else ""
        got = f"{wrong} {columns[0].type.name}" if columns else "no column"
        problem = f"expected the id as first column, {SQL_TYPES[id_type]} as in $1, got {got}"
        hint = f"return the key first, cast as $1 is: (...)::{SQL_TYPES[id_type]}"
    elif duplicates := sorted({name for name in names if names.count(name) > 1}):
        wrong = duplicates[0]
        problem = f"expected each column once, got {', '.join(map(shown, duplicates))} more than once"
        hint = "give each column of the outermost SELECT a name of its own, with AS"
    if problem:
        line = line_of_column(view.statement, wrong) if wrong else None
        raise ViewError(file=view.file, line=line, message=problem, hint=hint)


async def _check_eligible(
    connection: Connection, view: FeatureView, columns: Sequence[Attribute], deadline: Deadline
) -> None:
    """Refuses `_eligible` and `_why` of other types, and what says more of `_eligible` where it is not."""
    types = {column.name: column for column in columns}
    belongs, why = types.get("_eligible"), types.get("_why")
    line, problem, hint = line_of_column(view.statement, "_why"), "", "return _eligible, true or false, too"
    # The type of what decides comes first, then what hangs on it.
    if belongs and belongs.type.name != "bool":
        line = line_of_column(view.statement, "_eligible")
        problem = f"expected _eligible boolean, got {belongs.type.name}"
        hint = boolean_hint(await type_facts(connection, belongs, timeout_s=deadline.left_or_raise()))
    elif why and why.type.name != "text":
        problem = f"expected _why text, got {why.type.name}"
        hint = "cast it: (...)::text AS _why, null for who is eligible"
    elif why and not belongs:
        problem = "expected _eligible beside _why, which says why somebody is not, got _why alone"
    elif not belongs and view.eligible not in ("", ELIGIBLE):
        line = header_line(view.text, "eligible")
        problem = "the header says who is eligible, but the view returns no _eligible, so all are"
        hint = "return _eligible, true or false; or take the line out of the header"
    if problem:
        raise ViewError(file=view.file, line=line, message=problem, hint=hint)


async def _check_types(
    connection: Connection,
    view: FeatureView,
    columns: Sequence[Attribute],
    *,
    uses_as_of: bool,
    deadline: Deadline,
) -> None:
    """Refuses the first feature that is no number as it stands, and says what makes one of it."""
    for column in columns:
        if column.type.name != "float8":
            facts = await type_facts(connection, column, timeout_s=deadline.left_or_raise())
            raise ViewError(
                file=view.file,
                line=line_of_column(view.statement, column.name),
                message=f"expected feature {shown(column.name)} as float8, got {column.type.name}",
                hint=number_hint(facts, named=_is_named(view, column.name), uses_as_of=uses_as_of),
            )


def _refuse_differences(view: FeatureView, names: Sequence[str]) -> None:
    """Refuses columns that the header does not describe, and entries of it that are no columns."""
    missing = [name for name in names if name not in view.features]
    unknown = [name for name in view.features if name not in names]
    if not missing and not unknown:
        return
    nameless = [name for name in missing if not _is_named(view, name)]
    line = line_of_column(view.statement, missing[0]) if missing and not nameless else None
    if line is None and unknown:
        line = header_line(view.text, f"features.{unknown[0]}")
    raise ViewError(
        file=view.file,
        line=line,
        message="expected the header to describe exactly the feature columns; "
        f"not described: {', '.join(map(shown, missing)) or 'none'}; "
        f"described, not returned: {', '.join(map(shown, unknown)) or 'none'}",
        hint=_difference_hint(nameless, missing, unknown),
    )


def _difference_hint(nameless: Sequence[str], missing: Sequence[str], unknown: Sequence[str]) -> str:
    if nameless:
        named = f"name it with AS, (...) AS {(unknown or ['name'])[0]}"
        return f"{nameless[0]} is what PostgreSQL calls a column without a name: {named}"
    for name in unknown:
        if name.startswith("_"):
            return f"columns that begin with _ are no features: call it {name.lstrip('_') or 'otherwise'}"
        if any(name != other and name.startswith(other) for other in missing) and _is_cut(name):
            return f"PostgreSQL cuts a name after {MAX_NAME_BYTES} bytes: use a shorter one"
        if name.lower() in missing:
            return f'PostgreSQL reads a name in small letters unless it is quoted: AS "{name}"'
    return "add or remove the entries under [features], or the columns"


def _is_cut(name: str) -> bool:
    return len(name.encode()) > MAX_NAME_BYTES


def _is_named(view: FeatureView, column: str) -> bool:
    """Whether the name is the user's own, and not what PostgreSQL makes of an expression."""
    code = code_of(view.statement)
    name = rf"(?:{re.escape(quoted(column))}|{re.escape(column)}\b)"
    if re.search(rf"(?:\bAS\s+|\.\s*){name}", code, re.IGNORECASE):
        return True
    called = re.search(rf"(?<![\w.]){re.escape(column)}\s*\(", code, re.IGNORECASE)
    return column not in _NAMELESS and called is None


def _column(view: FeatureView, name: str) -> FeatureColumn:
    doc = view.features[name]
    return FeatureColumn(name, "number", doc.nullable, doc.unit, doc.description)
