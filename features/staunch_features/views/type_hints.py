"""How a column of another type becomes a number, or true or false: SQL to copy, fit for the type."""

from dataclasses import dataclass, replace

from asyncpg.types import Attribute

import staunch_sql
from staunch_features.postgres.connection import Connection

_NUMBERS = frozenset({"int2", "int4", "int8", "float4", "float8", "numeric"})

# By the name of a type: what to do, and the expression that does it.
_BY_NAME: dict[str, tuple[tuple[str, str], ...]] = {
    **dict.fromkeys(_NUMBERS, (("cast it", "({x})::float8"),)),
    "money": (("cast it, by way of numeric", "({x})::numeric::float8"),),
    "oid": (("cast it, by way of bigint", "({x})::bigint::float8"),),
    "bool": (("cast it", "({x})::int::float8"),),
    "interval": (("count the seconds", "date_part('epoch', {x})"),),
    **dict.fromkeys(("time", "timetz"), (("count the seconds of the day", "date_part('epoch', {x})"),)),
    **dict.fromkeys(
        ("json", "jsonb"),
        (
            ("take a number out of it", "({x} ->> 'key')::float8"),
            ("or a category", "({x} ->> 'key' = 'yes')::int::float8"),
        ),
    ),
    "hstore": (
        ("take a number out of it", "({x} -> 'key')::float8"),
        ("or a category", "({x} -> 'key' = 'yes')::int::float8"),
    ),
    "bytea": (("count its bytes", "octet_length({x})::float8"),),
    **dict.fromkeys(
        ("bit", "varbit"),
        (
            ("count the bits that are set", "bit_count({x})::float8"),
            ("or take one", "get_bit({x}, 0)::float8"),
        ),
    ),
    **dict.fromkeys(
        ("inet", "cidr"),
        (
            ("say whether it lies in a network", "({x} <<= '10.0.0.0/8')::int::float8"),
            ("or of which family it is", "family({x})::float8"),
        ),
    ),
    "tsvector": (("count its words", "length({x})::float8"),),
    "point": (("take a coordinate", "({x})[0]"),),
    **dict.fromkeys(("box", "path", "circle"), (("measure it", "area({x})"),)),
}
_BY_CATEGORY: dict[str, tuple[tuple[str, str], ...]] = {
    "S": (
        ("encode a category as a number", "({x} = 'yes')::int::float8"),
        ("a text that holds numbers", "nullif({x}, '')::float8"),
    ),
    "E": (
        ("encode it, a column for a label", "({x}::text = {label})::int::float8"),
        ("or by its place among all", "array_position(enum_range(NULL::{sql}), {x}::{sql})::float8"),
    ),
}
_DATED = ("date", "timestamp", "timestamptz")
_SQL_NAMES = {
    "boolean": "bool",
    "timestamp without time zone": "timestamp",
    "timestamp with time zone": "timestamptz",
    "time without time zone": "time",
    "time with time zone": "timetz",
    "bit varying": "varbit",
    "double precision": "float8",
    "real": "float4",
    "smallint": "int2",
    "integer": "int4",
    "bigint": "int8",
}
_AGES = (
    ("count the days", "date_part('epoch', $2::timestamptz - {x}::timestamptz) / 86400"),
    ("or the seconds since 1970", "date_part('epoch', {x})"),
)
_DATES = (("count the days", "date_part('epoch', {x}) / 86400"),)
_ANY = (("say whether there is one", "({x} IS NOT NULL)::int::float8"),)
_BOUNDS = {
    **dict.fromkeys((*_NUMBERS, "date"), "(upper({x}) - lower({x}))::float8"),
    **dict.fromkeys(("timestamp", "timestamptz"), "date_part('epoch', upper({x}) - lower({x})) / 86400"),
}
_TRUE = {"S": "({x} = 'yes')", "E": "({x}::text = {label})", "N": "({x} <> 0)"}


@dataclass(frozen=True, slots=True)
class TypeFacts:
    """What the database knows of a column's type.

    Attributes:
        name: As the catalogue has it, `int4`.
        sql: As SQL has it, with a schema where it needs one.
        category: PostgreSQL's letter for its kind.
        column: The column, as SQL writes it.
        element: The letter for its elements; None of what is no array.
        element_name: Their type's name, `money`; None of what is no array.
        label: The first label of an enum, as a literal; else None.
        bound: The name of the type of a range's ends; else None.
        field: A field of a composite type, a number if there is one; else None.
    """

    name: str
    sql: str
    category: str
    column: str
    element: str | None
    element_name: str | None
    label: str | None
    bound: str | None
    field: str | None


async def type_facts(connection: Connection, column: Attribute, *, timeout_s: float) -> TypeFacts:
    """Asks the database what a column's type is."""
    sql = staunch_sql.query("views/type_facts")
    (row,) = await connection.fetch(sql, column.type.oid, column.name, timeout=timeout_s)
    return TypeFacts(**row)


def number_hint(facts: TypeFacts, *, named: bool, uses_as_of: bool) -> str:
    """Says what makes a number of a column.

    Args:
        facts: Of its type.
        named: Whether the column has a name of the user's.
        uses_as_of: Whether the view takes an as-of time, by which ages can be counted.
    """
    first, *others = (
        f"{what}: {_written(expression, facts, named=named)}"
        for what, expression in _ways_to_number(facts, uses_as_of)
    )
    return "; ".join([first + ("" if named else ", and name it with AS"), *others])


def boolean_hint(facts: TypeFacts) -> str:
    """Says what makes true or false of a column."""
    expression = _TRUE.get(facts.category, "({x} IS NOT NULL)")
    if facts.name in ("json", "jsonb"):
        expression = "({x} ->> 'key')::boolean"
    if facts.name == "money":
        expression = "({x}::numeric <> 0)"
    return f"make true or false of it: {_written(expression, facts, named=True)}"


def cast_hint(source: str, target: str) -> str | None:
    """Says how to get from a type to another to which it has no cast, both as SQL has them.

    A type of the user's is taken for an enum, or for what has a text at least. None if nobody knows.
    """
    name = _SQL_NAMES.get(source, source)
    category = "A" if source.endswith("[]") else ""
    facts = TypeFacts(name, source, category, "...", None, None, "'yes'", None, None)
    if target == "boolean":
        return boolean_hint(replace(facts, category="N" if name in _NUMBERS else category))
    if target not in ("double precision", "numeric", "integer", "bigint", "real", "smallint"):
        return None
    if name not in (*_BY_NAME, *_DATED) and not category:
        facts = replace(facts, category="E")
    return number_hint(facts, named=True, uses_as_of=False)


def _ways_to_number(facts: TypeFacts, uses_as_of: bool) -> tuple[tuple[str, str], ...]:
    if facts.name in _DATED:
        return _AGES if uses_as_of else _DATES
    if facts.bound:
        return (("measure it", _BOUNDS[facts.bound]),) if facts.bound in _BOUNDS else _ANY
    if facts.category == "A":
        return _ways_of_array(facts)
    if facts.field:
        return (("take a field of it, and then as its type wants", "({x}).{field}"),)
    return _BY_NAME.get(facts.name) or _BY_CATEGORY.get(facts.category) or _ANY


def _ways_of_array(facts: TypeFacts) -> tuple[tuple[str, str], ...]:
    count = ("count its elements", "cardinality({x})::float8")
    if facts.element == "N":
        # Money and oids are numbers to PostgreSQL, but have no cast of their own.
        by_way_of = {"money": "::numeric", "oid": "::bigint"}.get(facts.element_name or "", "")
        return count, ("or take one", f"({{x}})[1]{by_way_of}::float8")
    if facts.element == "S":
        return count, ("or say whether it holds one", "('yes' = ANY ({x}))::int::float8")
    return (count,)


def _written(expression: str, facts: TypeFacts, *, named: bool) -> str:
    return expression.format(
        x=facts.column if named else "...", sql=facts.sql, label=facts.label, field=facts.field
    )
