"""What is said of a column that is no number: each expression that is offered makes one of it."""

import re
from datetime import UTC, datetime

import pytest
from tests.harness.databases import execute

from staunch_features.errors import ViewError
from staunch_features.postgres.deadlines import Deadline
from staunch_features.views.rules import row_hint
from staunch_local.postgres.cluster import READER

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
MOST_STEPS = 3  # a field of a row is cast next, an infinite date left out after that

# By column: its type, and a value of a first and of a second row; a third holds null.
COLUMNS = {
    "small": ("int2", "1", "-5"),
    "whole": ("int4", "1", "-5"),
    "big": ("int8", "1", "9223372036854775807"),
    "single": ("real", "1.5", "Infinity"),
    "exact": ("numeric", "1.5", "NaN"),
    "price": ("money", "1.50", "-2"),
    "number": ("oid", "1", "5"),
    "yes": ("boolean", "t", "f"),
    "day": ("date", "2026-01-01", "infinity"),
    "naive": ("timestamp", "2026-01-01", "-infinity"),
    "moment": ("timestamptz", "2026-01-01Z", "infinity"),
    "hour": ("time", "12:00", "23:59"),
    "hour_there": ("timetz", "12:00Z", "23:59+01"),
    "span": ("interval", "1 day", "-1 year"),
    "note": ("json", '{"key": 1}', "[]"),
    "doc": ("jsonb", '{"key": "1"}', "1"),
    "raw": ("bytea", "abc", ""),
    "bits": ("bit(8)", "10101010", "00000000"),
    "more_bits": ("varbit", "101", "1"),
    "address": ("inet", "10.1.2.3", "::1"),
    "network": ("cidr", "10.0.0.0/8", "::/0"),
    "card": ("macaddr", "08:00:2b:01:02:03", "08:00:2b:01:02:04"),
    "words": ("tsvector", "a b", ""),
    "place": ("point", "(1,2)", "(0,0)"),
    "frame": ("box", "(1,2),(0,0)", "(1,2),(0,0)"),
    "round": ("circle", "<(1,2),3>", "<(1,2),3>"),
    "shape": ("polygon", "((0,0),(1,1),(1,0))", "((0,0),(1,1),(1,0))"),
    "position": ("pg_lsn", "0/0", "0/1"),
    "other_key": ("uuid", "6f9619ff-8b86-d011-b42d-00cf4fc964ff", "6f9619ff-8b86-d011-b42d-00cf4fc964f0"),
    "word": ("text", "1", ""),
    "select": ("varchar(9)", "1.5", ""),
    "padded": ("char(5)", "2", ""),
    "Naïve Name": ("name", "1e3", ""),
    "letter": ('"char"', "x", "y"),
    "tier": ("type_hints.tier", "gold", "o'clock"),
    "cents": ("type_hints.cents", "1", "2"),
    "domain_of_tier": ("type_hints.any_tier", "gold", "o'clock"),
    "numbers": ("int[]", "{1,2}", "{}"),
    "texts": ("text[]", "{yes,b}", "{}"),
    "prices": ("money[]", "{1.50,2}", "{}"),
    "keys_of_others": ("oid[]", "{1,2}", "{}"),
    "tiers": ("type_hints.tier[]", "{gold}", "{}"),
    "days": ("date[]", "{2026-01-01}", "{infinity}"),
    "pair": ("type_hints.pair", '(a,"2026-01-01",3)', "(b,,)"),
    "dates_of": ("type_hints.dates_of", "(2026-01-01)", "(infinity)"),
    "whole_range": ("int4range", "[1,5)", "empty"),
    "exact_range": ("numrange", "[1,5)", "(,5)"),
    "day_range": ("daterange", "[2026-01-01,2026-02-01)", "(,)"),
    "time_range": ("tstzrange", "[2026-01-01,2026-02-01)", "[2026-01-01,infinity)"),
    "naive_range": ("tsrange", "[2026-01-01,2026-02-01)", "empty"),
    "text_range": ("type_hints.texts", "[a,b)", "empty"),
    "ranges": ("int4multirange", "{[1,5)}", "{}"),
}
TYPES = """
DROP SCHEMA IF EXISTS type_hints CASCADE;
CREATE SCHEMA type_hints;
CREATE TYPE type_hints.tier AS ENUM ('o''clock', 'gold');
CREATE DOMAIN type_hints.cents AS numeric(20, 4) CHECK (value >= 0);
CREATE DOMAIN type_hints.any_tier AS type_hints.tier;
CREATE TYPE type_hints.pair AS (name text, day date, "Nth" int);
CREATE TYPE type_hints.dates_of AS (day date);
CREATE TYPE type_hints.texts AS RANGE (subtype = text);
"""
ROWS = "unnest($1::bigint[]) u(id) JOIN type_hints.odd AS o ON o.id = u.id"
WHEN = "\nWHERE $2::timestamptz IS NOT NULL"


@pytest.fixture(scope="module", autouse=True)
def odd(clients_database):
    """A table with a column of each type, and one of each enum, domain, row and range of ours."""
    columns = ", ".join(f'"{name}" {kind}' for name, (kind, _, _) in COLUMNS.items())
    rows = ", ".join(
        f"({row}, {', '.join(f'$v${each[row]}$v$::{each[0]}' for each in COLUMNS.values())})"
        for row in (1, 2)
    )
    execute(
        clients_database.owner_url,
        f"{TYPES} CREATE TABLE type_hints.odd (id bigint, {columns}); "
        f"INSERT INTO type_hints.odd VALUES {rows}; "
        f"INSERT INTO type_hints.odd (id) VALUES (3); GRANT USAGE ON SCHEMA type_hints TO {READER}; "
        f"GRANT SELECT ON type_hints.odd TO {READER}",
    )


async def hint_for(clients, expression: str, *, dated: bool, name: str = "b") -> str:
    """What is said of a feature made by an expression, over all rows of the table; nothing if it is good."""
    statement = f"SELECT u.id, 1::float8 AS a,\n  {expression} AS {name}\nFROM {ROWS}{WHEN * dated}"
    source = clients.source(statement)
    try:
        batch = await source.fetch([1, 2, 3], NOON if dated else None, deadline=Deadline.after(5))
    except ViewError as error:
        return error.hint
    return next((row_hint(problem) for problem in batch.problems.values()), "")


def offered(hint: str, expression: str) -> list[str]:
    """The expressions that a hint offers, with what the column is in the place of its name."""
    ways = [re.fullmatch(r"[^:]+: (.*)", way) for way in hint.split("; ")]
    assert all(ways), hint
    return [re.sub(r"\bb\b|\.\.\.", lambda _: expression, way[1]) for way in ways]


@pytest.mark.parametrize("dated", [True, False])
@pytest.mark.parametrize("column", COLUMNS)
async def test_every_expression_that_a_hint_offers_makes_a_feature(clients, column, dated):
    tried = [f'o."{column}"']
    hints = [await hint_for(clients, tried[0], dated=dated)]
    assert hints[0]
    for _ in range(MOST_STEPS):
        assert dated or not any("$2" in hint for hint in hints)
        tried = [
            way
            for expression, hint in zip(tried, hints, strict=True)
            if hint
            for way in offered(hint, expression)
        ]
        hints = [await hint_for(clients, way, dated=dated) for way in tried]
    assert not any(hints), list(zip(tried, hints, strict=True))


async def test_a_hint_writes_the_column_as_sql_does(clients):
    for name in ('"select"', '"Two Words"', "plain"):
        assert await hint_for(clients, "o.whole", dated=False, name=name) == f"cast it: ({name})::float8"


@pytest.mark.parametrize(
    "column", ["yes", "price", "day", "naive", "moment", "hour", "span", "tier", "numbers", "pair", "address"]
)
async def test_a_cast_that_there_is_not_is_told_as_a_column_without_one_is(clients, column):
    first = f"o.{column}"
    tried, hints = [first], [await hint_for(clients, f"{first}::float8", dated=False)]
    assert "mend" not in hints[0]
    for _ in range(MOST_STEPS):
        tried = [
            way for one, hint in zip(tried, hints, strict=True) if hint for way in offered(hint, one)[:1]
        ]
        hints = [await hint_for(clients, way, dated=False) for way in tried]
    assert not any(hints), list(zip(tried, hints, strict=True))


async def test_a_cast_to_boolean_that_there_is_not_becomes_a_comparison(clients):
    source = clients.source("SELECT u.id, 1::float8 AS a, 1::float8 AS b FROM unnest($1::bigint[]) u(id)")
    for column, way in (("big", "(... <> 0)"), ("tier", "(... IS NOT NULL)"), ("day", "(... IS NOT NULL)")):
        label = clients.label(f"SELECT u.id, o.{column}::boolean AS left FROM {ROWS}")
        with pytest.raises(ViewError) as caught:
            await source.labels(label, [1], None)
        assert caught.value.hint == f"make true or false of it: {way}"


async def test_what_float8_cannot_hold_is_left_out_as_it_is_told(clients):
    for value in ("1e400", "1e-400", "-1e400"):
        for expression in (f"('{value}' || '')::float8", f"({value}::numeric * o.whole)::float8"):
            hint = await hint_for(clients, expression, dated=False)
            way = re.search(r"CASE .* END", hint)[0].replace("...", expression.removesuffix("::float8"))
            assert await hint_for(clients, way, dated=False) == ""


async def test_what_overflows_is_bounded_as_it_is_told(clients):
    hint = await hint_for(clients, "exp(o.whole * 1e5::float8)", dated=False)
    way = re.search(r"exp\(.*?\)\)\)", hint)[0].replace("...", "o.whole * 1e5::float8")
    assert await hint_for(clients, way, dated=False) == ""


async def test_numbers_among_words_are_read_as_it_is_told(clients):
    expression = "(CASE o.id WHEN 1 THEN '-1.5' WHEN 2 THEN 'n/a' END)"
    hint = await hint_for(clients, f"({expression} || '')::float8", dated=False)
    way = re.search(r"CASE .* END", hint)[0].replace("...", expression)
    assert await hint_for(clients, way, dated=False) == ""


async def test_a_number_in_jsonb_that_may_be_a_text_is_taken_as_text(clients):
    hint = await hint_for(clients, "(o.doc -> 'key')::float8", dated=False)
    assert await hint_for(clients, hint.partition(": ")[2].replace("...", "o.doc"), dated=False) == ""


LABELS = {
    "whole": "(b <> 0)",
    "exact": "(b <> 0)",
    "price": "(b::numeric <> 0)",
    "word": "(b = 'yes')",
    "tier": "(b::text = 'o''clock')",
    "day": "(b IS NOT NULL)",
    "doc": "(b ->> 'key')::boolean",
}


@pytest.mark.parametrize("column", LABELS)
async def test_a_label_that_is_no_boolean_is_told_how_to_become_one(clients, column):
    source = clients.source("SELECT u.id, 1::float8 AS a, 1::float8 AS b FROM unnest($1::bigint[]) u(id)")
    label = "SELECT u.id,\n  {expression} AS b FROM " + ROWS
    with pytest.raises(ViewError) as caught:
        await source.labels(clients.label(label.format(expression=f"o.{column}")), [1, 2, 3], None)
    assert (caught.value.line, caught.value.hint) == (8, f"make true or false of it: {LABELS[column]}")
    (mended,) = offered(caught.value.hint, f"o.{column}")
    labels = await source.labels(clients.label(label.format(expression=mended)), [1, 2, 3], None)
    assert labels.known[0]


async def test_the_answer_is_named_where_a_group_stands_beside_it(clients):
    source = clients.source("SELECT u.id, 1::float8 AS a, 1::float8 AS b FROM unnest($1::bigint[]) u(id)")
    label = clients.label("SELECT u.id,\n  1 AS left,\n 'x' AS _group FROM unnest($1::bigint[]) u(id)")
    with pytest.raises(ViewError, match=r"left int4, _group text; make true or false of it") as caught:
        await source.labels(label, [1], None)
    assert caught.value.line == 8
