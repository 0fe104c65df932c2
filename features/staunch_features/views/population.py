"""What a population lists: ids of the view's own type, or of one that becomes it without a loss."""

import staunch_sql
from staunch_features.errors import ViewError
from staunch_features.postgres.connection import Connection
from staunch_features.postgres.deadlines import Deadline
from staunch_features.views.file import FeatureView
from staunch_features.views.header import header_line
from staunch_features.views.sql_errors import view_errors
from staunch_features.views.type_hints import TypeFacts, type_facts
from staunch_features.views.types import SQL_TYPES

_INTEGERS = frozenset({"int2", "int4", "int8", "oid"})
_TEXTS = ("S", "E")  # PostgreSQL's letters for texts and enums

_HINTS = {
    "int64": "a cast would round, or join two ids: write it where it loses nothing, "
    "SELECT (...)::bigint FROM ... WHERE ... = trunc(...) for numbers, WHERE ... ~ '^[1-9][0-9]*$' for texts",
    "text": "write it as the view's keys are written: SELECT (...)::text",
    "uuid": "write it as the view's keys are written: SELECT (...)::uuid",
}


async def population_cast(connection: Connection, view: FeatureView, id_type: str, deadline: Deadline) -> str:
    """Returns the cast that gives a population's ids as callers send them, `::bigint`; it loses nothing.

    Args:
        connection: Where to ask.
        view: The view.
        id_type: The type of its ids: `int64`, `text` or `uuid`.
        deadline: Until when the questions may take together.

    Raises:
        ViewError: The population is no SQL, or lists what such an id is not: a cast by us would round 7.4 to
            7 or read `007` as 7, and somebody else would be scored.
        TimeoutError: The answers did not come in time.
    """
    sql = staunch_sql.query("views/read_population").format(cast="", statement=view.population)
    with view_errors(view, sql):
        statement = await connection.prepare(sql, timeout=deadline.left_or_raise())
    (column,) = statement.get_attributes()
    facts = await type_facts(connection, column, timeout_s=deadline.left_or_raise())
    if not _is_exact(id_type, facts):
        raise ViewError(
            file=view.file,
            line=header_line(view.text, "population"),
            message=f"expected the population to list ids as {SQL_TYPES[id_type]}, as $1 has them, "
            f"got {facts.sql}",
            hint=_HINTS[id_type],
        )
    return f"::{SQL_TYPES[id_type]}" + ("::text" if id_type == "uuid" else "")


def _is_exact(id_type: str, facts: TypeFacts) -> bool:
    """Whether each value of a type is one id, and no two of them the same."""
    if id_type == "int64":
        return facts.name in _INTEGERS
    if id_type == "uuid":
        return facts.name == "uuid"
    return facts.category in _TEXTS or facts.name in _INTEGERS or facts.name == "uuid"
