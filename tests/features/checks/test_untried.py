"""Rows that can be read past what hides them: never "nothing changed", but what is in the way."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from tests.features.checks.visits import HONEST, LEAKING, TIMES, VISITS

from staunch_features.checks.look_ahead import LookAhead, probe_tables
from staunch_features.postgres.connection import connect
from staunch_local.postgres.cluster import SUPERUSER

Make = Callable[[str], Awaitable[None]]
Look = Callable[..., Awaitable[LookAhead]]
THROUGH = "it is read through the {0}, which shows its later rows all the same"
FUNCTION = "it is read through the function {0}, from which its later rows cannot be hidden"


@pytest.fixture
async def make(clients) -> AsyncIterator[Make]:
    """Runs statements that make things in the schema `past`, which is gone after the test."""
    await clients.owner.execute("CREATE SCHEMA past; GRANT USAGE ON SCHEMA past TO PUBLIC")
    await clients.owner.execute(
        "ALTER DEFAULT PRIVILEGES IN SCHEMA past GRANT SELECT ON TABLES TO staunch_reader"
    )
    yield clients.owner.execute
    await clients.owner.execute("DROP SCHEMA past CASCADE")


@pytest.fixture
def look(clients) -> Look:
    """Looks ahead with a view over `table`, whose header declares `visits` and what else is wanted."""

    async def found(table: str, *more: str, seen: str = HONEST, a: str = "count(*)") -> LookAhead:
        statement = VISITS.format(table=f"{table} AS visits", seen=seen).replace("count(*)", a)
        times = TIMES.replace("[features]", "\n".join((*more, "[features]")))
        view = clients.view(statement, times=times)
        return await probe_tables(clients.database, view, [1, 2, 3], timeout_s=5)

    return found


COPY = "SELECT client, rank, at, known_at FROM visits"
AGAIN = COPY.replace("visits", "past.v")
MAKES = {
    "database view past.v": f"CREATE VIEW past.v AS {COPY}",
    "database view past.visits": f"CREATE VIEW past.visits AS {COPY}",
    "database view past.w": f"CREATE VIEW past.v AS {COPY}; CREATE VIEW past.w AS {AGAIN}",
    "database view past.Odd one": f'CREATE VIEW past."Odd one" AS {COPY}',
    "materialized view past.m": f"CREATE MATERIALIZED VIEW past.m AS {COPY}",
    "materialized view past.n": f"CREATE VIEW past.v AS {COPY}; CREATE MATERIALIZED VIEW past.n AS {AGAIN}",
}


@pytest.mark.parametrize("seen", [HONEST, LEAKING])
@pytest.mark.parametrize("through", MAKES)
async def test_a_table_read_through_a_view_is_not_tried_until_the_view_is_declared(make, look, through, seen):
    await make(MAKES[through])
    name = through.partition("past.")[2]
    found = await look(f'past."{name}"', seen=seen)
    (untried,) = found.untried
    assert (untried.what, untried.why) == ("public.visits", THROUGH.format(through))
    key = f"'past.\"{name}\"'" if " " in name else f'"past.{name}"'
    declaration = f'{key} = ["at", "known_at"]'
    assert untried.hint.startswith(
        f"add {declaration} to [time_columns], or read public.visits in the view's"
    )
    assert found.probes == ()
    found = await look(f'past."{name}"', declaration, seen=seen)
    assert {probe.table for probe in found.probes} == {"public.visits", f"past.{name}"}
    assert {probe.changed for probe in found.probes} == {() if seen == HONEST else ("a", "b")}
    assert (found.untried, found.undeclared) == ((), ())


async def test_a_view_whose_columns_are_others_is_asked_for_its_own(make, look):
    await make("CREATE VIEW past.v AS SELECT client, rank, at AS moment FROM visits")
    (untried,) = (await look("past.v", seen=LEAKING)).untried
    assert untried.hint.startswith('add "past.v" = ["its time column"] to [time_columns]')


async def test_a_table_read_twice_is_tried_only_if_both_ways_can_be_hidden(make, look):
    await make(f"CREATE VIEW past.v AS {COPY}")
    beside = f"count(*) + (SELECT count(*) FROM past.v AS visits WHERE client = u.id AND {HONEST})"
    (untried,) = (await look("visits", a=beside)).untried
    assert untried.why == THROUGH.format("database view past.v")
    found = await look("visits", '"past.v" = ["at"]', a=beside)
    assert [probe.changed for probe in found.probes] == [(), ()]


async def test_what_only_a_view_leads_to_is_named_once(make, look):
    await make("CREATE TABLE past.other (client bigint, rank float8, at timestamptz)")
    await make("CREATE VIEW past.v AS SELECT client, rank, at, at AS known_at FROM past.other")
    found = await look("past.v", '"past.v" = ["at"]')
    assert found.undeclared == ()
    (untried,) = [each for each in found.untried if each.what == "public.visits"]
    assert (untried.why, untried.hint) == ("the view's text does not read it", "")
    assert (await look("past.v")).undeclared == ("past.other",)


PARTS = (
    "CREATE TABLE past.whole (LIKE visits) PARTITION BY RANGE (at); "
    "CREATE TABLE past.early PARTITION OF past.whole FOR VALUES FROM ('2026-01-01') TO ('2026-01-10'); "
    "CREATE TABLE past.late PARTITION OF past.whole DEFAULT; INSERT INTO past.whole SELECT * FROM visits"
)


@pytest.mark.parametrize("seen", [HONEST, LEAKING])
async def test_the_parts_of_a_probed_table_are_probed_with_it(make, look, seen):
    await make(PARTS)
    found = await look("past.whole", '"past.whole" = ["at", "known_at"]', seen=seen)
    (probe,) = found.probes
    assert (probe.table, probe.changed) == ("past.whole", () if seen == HONEST else ("a", "b"))
    assert found.undeclared == ()
    assert (await look("past.whole", seen=seen)).undeclared == ("past.whole",)


async def test_a_part_read_by_its_own_name_is_named(make, look):
    await make(PARTS)
    found = await look("past.early", '"past.whole" = ["at"]')
    (untried,) = [each for each in found.untried if each.what == "past.whole"]
    assert untried.why == "its part past.early is read by its own name"
    assert untried.hint == 'add "past.early" = ["at"] to [time_columns] too, or read past.whole alone'
    found = await look("past.early", '"past.whole" = ["at"]', '"past.early" = ["at"]')
    assert {probe.table for probe in found.probes} == {"past.whole", "past.early"}


async def test_a_part_that_is_read_with_its_whole_is_named(make, look):
    await make(PARTS)
    found = await look("past.whole", '"past.early" = ["at"]')
    (untried,) = [each for each in found.untried if each.what == "past.early"]
    assert untried.why == "it is read as a part of past.whole, whose later rows are not hidden"
    assert untried.hint == 'add "past.whole" = ["at"] to [time_columns]'


async def test_a_child_that_inherits_is_a_part(make, look):
    await make(
        "CREATE TABLE past.child () INHERITS (public.visits); INSERT INTO past.child SELECT * FROM visits"
    )
    assert [probe.changed for probe in (await look("visits")).probes] == [()]
    (untried,) = (await look("past.child")).untried
    assert untried.why == "its part past.child is read by its own name"


BODY = "SELECT count(*)::float8 FROM {0} WHERE client = n"
SQL = "RETURNS float8 LANGUAGE sql STABLE"
SCALAR = f"{SQL} AS $$ {BODY.format('visits')} $$"
FUNCTIONS = {
    "inlined": "RETURNS SETOF float8 LANGUAGE sql STABLE AS $$ SELECT rank FROM visits WHERE client = n $$",
    "scalar": SCALAR,
    "quoted": SCALAR.replace("visits", 'public . "visits"'),
    "by path": SCALAR.replace(" AS ", " SET search_path = public AS "),
    "immutable": SCALAR.replace("STABLE", "IMMUTABLE"),
    "plpgsql": f"RETURNS float8 LANGUAGE plpgsql STABLE AS $$ BEGIN RETURN ({BODY.format('visits')}); END $$",
    "atomic": f"{SQL} BEGIN ATOMIC {BODY.format('visits')}; END",
    "view": SCALAR.replace("visits", "past.v"),
    "second": f"{SQL} AS $$ SELECT c.a FROM clients_bigint c, visits v LIMIT 1 $$",
}


@pytest.mark.parametrize("kind", FUNCTIONS)
async def test_a_table_that_a_function_reads_is_not_tried(make, look, kind):
    await make(f"CREATE VIEW past.v AS {COPY}; CREATE FUNCTION past.seen(n bigint) {FUNCTIONS[kind]}")
    call = "(SELECT sum(s) FROM past.seen(u.id) AS s)" if kind == "inlined" else "past.seen(u.id)"
    found = await look("visits", a=f"count(*) + {call}")
    untried = {each.what: each for each in found.untried}
    assert untried["public.visits"].why == FUNCTION.format("past.seen(bigint)")
    assert untried["public.visits"].hint == (
        "read public.visits in the view's own text in place of the function"
    )
    assert found.probes == ()


async def test_a_function_within_a_function_or_a_view_is_named_by_the_one_that_is_called(make, look):
    await make(f"CREATE FUNCTION past.innermost(n bigint) {FUNCTIONS['plpgsql']}")
    await make(f"CREATE FUNCTION past.outermost(n bigint) {SQL} AS 'SELECT past.innermost(n) + 1'")
    (untried,) = (await look("visits", a="count(*) + past.outermost(u.id)")).untried
    assert untried.why == FUNCTION.format("past.outermost(bigint)")
    await make("CREATE VIEW past.v AS SELECT id, past.innermost(id) AS n FROM clients_bigint")
    found = await look("visits", a="count(*) + (SELECT max(n) FROM past.v WHERE v.id = u.id)")
    assert FUNCTION.format("past.innermost(bigint)") in {each.why for each in found.untried}


async def test_what_only_a_function_reads_is_named_though_nothing_is_declared_of_it(make, look):
    await make("CREATE TABLE past.other (client bigint)")
    await make(f"CREATE FUNCTION past.seen(n bigint) {FUNCTIONS['plpgsql'].replace('visits', 'past.other')}")
    found = await look("visits", a="count(*) + past.seen(u.id)")
    assert [(each.what, each.why) for each in found.untried] == [
        ("past.other", FUNCTION.format("past.seen(bigint)"))
    ]
    assert [probe.changed for probe in found.probes] == [()]


async def test_what_a_function_executes_as_a_string_does_not_show(make, look):
    await make(
        "CREATE FUNCTION past.seen(n bigint) RETURNS float8 LANGUAGE plpgsql STABLE AS "
        "$$ DECLARE f float8; BEGIN EXECUTE 'SELECT 1' INTO f; RETURN f; END $$"
    )
    (untried,) = (await look("visits", a="count(*) + past.seen(u.id)")).untried
    assert (untried.what, untried.why) == (
        "function past.seen(bigint)",
        "it executes a string, so what it reads does not show",
    )
    assert untried.hint == "read that in the view's own text in place of the function"


async def test_a_function_of_its_arguments_alone_is_in_nobodys_way(make, look):
    await make(f"CREATE FUNCTION past.twice(visits float8) {SQL} AS 'SELECT 2 * visits'")
    found = await look("visits", a="past.twice(count(*))")
    assert ([probe.changed for probe in found.probes], found.untried) == ([()], ())


async def test_a_foreign_table_is_hidden_like_any_other(make, look, clients, postgres):
    name = await clients.owner.fetchval("SELECT current_database()")
    superuser = await connect(postgres.url_for(name, SUPERUSER))
    await superuser.execute(
        "CREATE EXTENSION IF NOT EXISTS file_fdw; CREATE SERVER files FOREIGN DATA WRAPPER file_fdw; "
        "CREATE FOREIGN TABLE past.far (client bigint, rank float8, at timestamptz, known_at timestamptz) "
        "SERVER files OPTIONS (program 'for n in 1 2; do echo $n,$n,2026-01-0${n}Z,2026-01-0${n}Z; done', "
        "format 'csv'); GRANT SELECT ON past.far TO PUBLIC"
    )
    try:
        for seen, changed in ((HONEST, ()), (LEAKING, ("a", "b"))):
            found = await look("past.far", '"past.far" = ["at"]', seen=seen)
            assert [probe.changed for probe in found.probes] == [changed]
    finally:
        await superuser.execute("DROP FOREIGN TABLE past.far; DROP SERVER files")
        await superuser.close()


@pytest.mark.parametrize(
    ("at", "why"),
    [
        ("NULL::timestamptz", "at is null in every row"),
        ("'-infinity'::timestamptz", "at lies before the year 1 in every row"),
    ],
)
async def test_a_column_without_a_moment_is_no_proof(make, look, at, why):
    await make(f"CREATE TABLE past.t AS SELECT client, rank, {at} AS at, known_at FROM visits")
    found = await look("past.t", '"past.t" = ["at"]', seen=LEAKING)
    assert {(each.what, each.why) for each in found.untried} >= {("past.t", why)}
    await make("TRUNCATE past.t")
    found = await look("past.t", '"past.t" = ["at"]', seen=LEAKING)
    assert ("past.t", "no rows of it were found") in {(each.what, each.why) for each in found.untried}


async def test_ids_without_a_row_at_the_moment_are_no_proof(make, look):
    await make("CREATE TABLE past.t AS SELECT 77 AS client, rank, at, known_at FROM visits")
    found = await look("past.t", '"past.t" = ["at"]', seen=HONEST + " GROUP BY visits.client")
    assert (
        "none of the 3 ids tried has a row as of" in {each.what: each for each in found.untried}["past.t"].why
    )
