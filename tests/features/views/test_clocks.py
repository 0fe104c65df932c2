"""Clocks and chance within the functions and views of the database that a text uses."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from staunch_features.errors import ViewError
from staunch_features.postgres.deadlines import Deadline
from staunch_features.views.clock_words import references_in

FROM = "FROM unnest($1::bigint[]) u(id) JOIN clients_bigint c ON c.id = u.id"
Make = Callable[[str], Awaitable[None]]


@pytest.fixture
async def make(clients) -> AsyncIterator[Make]:
    """Runs statements that make things in the schema `hidden`, which is gone after the test."""
    await clients.owner.execute("CREATE SCHEMA hidden; GRANT USAGE ON SCHEMA hidden TO PUBLIC")
    await clients.owner.execute(
        "ALTER DEFAULT PRIVILEGES IN SCHEMA hidden GRANT SELECT ON TABLES TO staunch_reader"
    )
    yield clients.owner.execute
    await clients.owner.execute("DROP SCHEMA hidden CASCADE")


def function(name: str, body: str, kind: str = "STABLE", language: str = "plpgsql") -> str:
    """A function of nothing or of a moment that gives a float8."""
    if language == "plpgsql":
        body = f"BEGIN RETURN {body}; END"
    returned = "RETURNS float8" if "(" in name else "() RETURNS float8"
    return f"CREATE FUNCTION hidden.{name} {returned} LANGUAGE {language} {kind} AS $body$ {body} $body$;"


async def refusal(clients, b: str, joined: str = "") -> ViewError:
    """What a view is told whose third line gives the feature b."""
    source = clients.source(f"SELECT c.id, c.a,\n  {b} AS b\n{FROM}{joined}")
    with pytest.raises(ViewError) as caught:
        await source.signature(Deadline.after(5))
    assert caught.value.file == "clients.sql"
    return caught.value


async def passes(clients, b: str, joined: str = "") -> None:
    await clients.source(f"SELECT c.id, c.a,\n  {b} AS b\n{FROM}{joined}").signature(Deadline.after(5))


NOW = "date_part('epoch', now())"
CLOCKS = {
    "now in": NOW,
    "now in ": "date_part('epoch', pg_catalog . NOW ( ))",
    "transaction_timestamp in": "date_part('epoch', transaction_timestamp())",
    "clock_timestamp in": "date_part('epoch', clock_timestamp())",
    "random in": "random()",
    "CURRENT_DATE in": "date_part('day', current_date)",
    "LOCALTIMESTAMP in": "date_part('day', LocalTimestamp)",
    "'today' in": "date_part('day', 'today'::date)",
    "age with one argument in": "date_part('year', age('2000-01-01'::timestamptz))",
}


@pytest.mark.parametrize("kind", ["STABLE", "IMMUTABLE"])
@pytest.mark.parametrize("message", CLOCKS)
async def test_a_function_that_reads_a_clock_inside_is_refused_by_name(clients, make, message, kind):
    await make(function("days", CLOCKS[message], kind))
    error = await refusal(clients, "hidden.days()")
    assert error.message.startswith(f"{message.strip()} function hidden.days() answers differently")
    assert error.line == 10
    assert "let the function take the moment as an argument" in error.hint


@pytest.mark.parametrize(
    "body", ["-- now()\n 1", "/* current_date */ 1", "length('now() is it')", "1 -- random()\n"]
)
async def test_comments_and_strings_count_as_little_within_a_function_as_in_a_view(clients, make, body):
    await make(function("days", body))
    await passes(clients, "hidden.days()")
    await passes(clients, f"({body})::float8")


async def test_an_honest_function_of_a_moment_passes(clients, make):
    await make(function("days(t timestamptz)", "date_part('day', age(t, '2000-01-01'::timestamptz))"))
    await passes(clients, "hidden.days($2::timestamptz)")


async def test_a_clock_is_found_through_functions_that_call_functions(clients, make):
    await make(function("inner_most", NOW))
    await make(function("middle", "hidden.inner_most() + hidden.outer_most()"))
    await make(function("outer_most", "hidden.middle()"))
    error = await refusal(clients, "hidden.outer_most()")
    assert error.line == 10
    assert (
        "now in function hidden.inner_most() used by function hidden.middle() used by "
        "function hidden.outer_most() answers differently" in error.message
    )


async def test_a_name_without_a_schema_is_looked_up_by_the_functions_own_search_path(clients, make):
    await make(function("inner_most", NOW))
    await make(function("outer_most", "inner_most()", "STABLE SET search_path = public, hidden"))
    assert "hidden.inner_most()" in str(await refusal(clients, "hidden.outer_most()"))


async def test_a_body_that_is_stored_parsed_is_read_too(clients, make):
    await make(function("inner_most", NOW))
    await make(
        "CREATE FUNCTION hidden.outer_most(n float8) RETURNS float8 LANGUAGE sql STABLE "
        "BEGIN ATOMIC SELECT sum(hidden.inner_most()) FROM clients_bigint WHERE b < n; END"
    )
    assert "inner_most() used by function hidden.outer_most(double" in str(
        await refusal(clients, "hidden.outer_most(c.a)")
    )


async def test_an_aggregate_is_what_its_functions_are(clients, make):
    await make(function("step(a float8, b float8)", f"a + {NOW}"))
    await make("CREATE AGGREGATE hidden.total(float8) (sfunc = hidden.step, stype = float8)")
    error = await refusal(clients, "hidden.total(c.a) OVER ()")
    assert "now in function hidden.step(double precision,double precision) used by function" in error.message


async def test_a_function_declared_volatile_is_told_how_to_be_declared(clients, make):
    await make(function("days", "1", "VOLATILE"))
    error = await refusal(clients, "hidden.days()")
    assert "function hidden.days() is VOLATILE and may answer differently" in error.message
    assert "ALTER FUNCTION hidden.days() STABLE" in error.hint
    await make("ALTER FUNCTION hidden.days() STABLE")
    await passes(clients, "hidden.days()")


async def test_a_view_of_the_database_is_refused_for_what_is_taken_from_it(clients, make):
    await make("CREATE VIEW hidden.inner_most AS SELECT now() AS t, 1::float8 AS one")
    await make("CREATE VIEW hidden.outer_most AS SELECT t, one FROM hidden.inner_most")
    await passes(clients, "v.one", "\n, hidden.outer_most v")
    error = await refusal(clients, "date_part('day', v.t)", "\n, hidden.outer_most v")
    assert error.message.startswith("now in view hidden.inner_most used by view hidden.outer_most answers")
    assert error.line == 12
    assert "read the tables behind that view" in error.hint


async def test_a_function_within_a_view_of_the_database_is_told_with_the_view(clients, make):
    await make(function("days", NOW))
    await make("CREATE VIEW hidden.visited AS SELECT hidden.days() AS b, 1::float8 AS one")
    await passes(clients, "v.one", "\n, hidden.visited v")
    error = await refusal(clients, "v.b", "\n, hidden.visited v")
    assert "now in function hidden.days() used by view hidden.visited answers" in error.message
    assert error.line == 12


async def test_a_function_that_is_worked_out_beforehand_is_found_in_a_view_of_the_database(clients, make):
    await make(function("today", NOW, "IMMUTABLE"))
    await make("CREATE VIEW hidden.visited AS SELECT hidden.today() AS b")
    error = await refusal(clients, "v.b", "\n, hidden.visited v")
    assert "now in function hidden.today() used by view hidden.visited answers" in error.message


async def test_a_view_that_a_function_reads_is_looked_into(clients, make):
    await make("CREATE VIEW hidden.visited AS SELECT now() AS t")
    await make(function("days", "(SELECT date_part('day', t) FROM hidden.visited)"))
    error = await refusal(clients, "hidden.days()")
    assert "now in view hidden.visited used by function hidden.days() answers" in error.message
    assert error.line == 10


async def test_a_clock_that_no_plan_shows_is_found_in_the_text(clients):
    error = await refusal(clients, "date_part('day', v.t)", ",\n(VALUES (now()), (now())) AS v (t)")
    assert (error.line, error.message.split()[0]) == (12, "now")


async def test_a_sample_of_rows_is_as_random_as_it_is(clients):
    error = await refusal(clients, "s.b", " JOIN clients_bigint s TABLESAMPLE system (50) ON s.id = u.id")
    assert "system answers differently" in error.message


async def test_a_label_is_looked_into_likewise(clients, make):
    await make(function("days", NOW))
    label = clients.label(
        "SELECT id, a > hidden.days() AS left FROM clients_bigint WHERE id = ANY ($1::bigint[])"
    )
    with pytest.raises(ViewError, match=r"now in function hidden\.days\(\)") as caught:
        await clients.source().labels(label, [1], None)
    assert (caught.value.file, caught.value.line) == ("left.sql", 7)
    assert "use $3 and $4" in caught.value.hint


def test_what_a_text_says_is_told_by_line():
    said = references_in(
        'SELECT a AS now (b),\n"now"(), x.now(), localtime,\n -- now()\n AGE(f(1, 2)), age(1, 2)'
    )
    assert said.clocks == ((2, "LOCALTIME"), (2, "now"), (4, "age with one argument"))
    assert {name.word for name in said.calls} == {"now", "age", "f"}
    assert ("x", "now") in said.calls
    assert not re.findall("current", str(said.names))
