"""However a table's name is written, the stand-in is read in its place, and no other table's."""

import pytest
from tests.features.checks.visits import HONEST, LEAKING, TIMES, VISITS

from staunch_features.checks.look_ahead import probe_tables


async def looked(clients, statement: str, times: str = TIMES):
    return await probe_tables(clients.database, clients.view(statement, times=times), [1, 2, 3], timeout_s=5)


@pytest.mark.parametrize(
    "table",
    [
        "PUBLIC.Visits AS visits",
        "ONLY public.visits",
        "ONLY (public.visits)",
        "public.visits * AS visits",
        "(TABLE public.visits) AS visits",
        "(TABLE visits) AS visits",
        "(WITH visits AS (SELECT * FROM visits) SELECT * FROM visits) AS visits",
        "(WITH visits AS (SELECT * FROM public.visits AS v) SELECT * FROM visits) AS visits",
        "(WITH v AS MATERIALIZED (SELECT * FROM public.visits) SELECT * FROM v) AS visits",
    ],
)
@pytest.mark.parametrize(("seen", "changed"), [(HONEST, ()), (LEAKING, ("a", "b"))])
async def test_a_name_is_understood_in_every_spelling(clients, table, seen, changed):
    found = await looked(clients, VISITS.format(table=table, seen=seen))
    assert [probe.changed for probe in found.probes] == [changed], found.untried


@pytest.mark.parametrize(
    "table",
    [
        'U&"public".U&"visits" AS visits',
        '"public" /* so */ . "visits"',
        "public.visits TABLESAMPLE SYSTEM (100) REPEATABLE (1)",
        "(WITH RECURSIVE visits AS (SELECT * FROM public.visits) SELECT * FROM visits) AS visits",
    ],
)
@pytest.mark.parametrize("seen", [HONEST, LEAKING])
async def test_what_is_not_understood_is_never_called_unchanged(clients, table, seen):
    found = await looked(clients, VISITS.format(table=table, seen=seen))
    honest = [probe for probe in found.probes if not probe.changed]
    assert not honest or seen == HONEST
    assert [probe.table for probe in found.probes] + [each.what for each in found.untried] == [
        "public.visits"
    ]


async def test_a_table_of_the_same_name_elsewhere_stays_what_it_is(clients):
    await clients.owner.execute(
        "CREATE SCHEMA other; CREATE TABLE other.visits AS SELECT * FROM visits; "
        'CREATE TABLE other."Visits" AS SELECT client FROM visits; '
        "GRANT USAGE ON SCHEMA other TO PUBLIC; GRANT SELECT ON ALL TABLES IN SCHEMA other TO PUBLIC"
    )
    a = "count(*) + (SELECT count(*) FROM visits AS v WHERE v.client = u.id AND v.at <= $2::timestamptz)"
    a += '+ (SELECT count(*) FROM other."Visits" AS v WHERE v.client = u.id)'
    times = TIMES.replace("visits", '"other.visits"')
    for seen, changed in ((HONEST, ()), ("visits.client > 0", ("a", "b"))):
        statement = VISITS.format(table="other.visits AS visits", seen=seen).replace("count(*)", a)
        found = await looked(clients, statement, times)
        assert [probe.changed for probe in found.probes] == [changed]
        assert found.undeclared == ("other.Visits", "public.visits")
    await clients.owner.execute("DROP SCHEMA other CASCADE")


async def test_a_name_that_needs_quotes_is_understood(clients):
    await clients.owner.execute(
        'CREATE SCHEMA "Odd one"; CREATE TABLE "Odd one"."visits-""2""!" AS SELECT * FROM visits; '
        'GRANT USAGE ON SCHEMA "Odd one" TO PUBLIC; GRANT SELECT ON ALL TABLES IN SCHEMA "Odd one" TO PUBLIC'
    )
    table = '"Odd one"."visits-""2""!"'
    times = f"[time_columns]\n'{table}' = ['at']\n[features]"
    for seen, changed in ((HONEST, ()), (LEAKING, ("a", "b"))):
        found = await looked(clients, VISITS.format(table=f"{table} AS visits", seen=seen), times)
        assert [probe.changed for probe in found.probes] == [changed], found.untried
    await clients.owner.execute('DROP SCHEMA "Odd one" CASCADE')


async def test_columns_that_the_reader_may_not_read_are_in_nobodys_way(clients):
    await clients.owner.execute(
        "CREATE TABLE partly AS SELECT *, 1 AS secret FROM visits; "
        "GRANT SELECT (client, rank, at, known_at) ON partly TO PUBLIC"
    )
    times = TIMES.replace("visits", "partly")
    for seen, changed in ((HONEST, ()), (LEAKING, ("a", "b"))):
        found = await looked(clients, VISITS.format(table="partly AS visits", seen=seen), times)
        assert [probe.changed for probe in found.probes] == [changed], found.untried
    await clients.owner.execute("DROP TABLE partly")


async def test_names_in_strings_and_comments_are_left_alone(clients):
    statement = VISITS.format(table="visits /* public.visits */", seen=HONEST)
    statement = statement.replace("count(*)", "count(*) + length('public.visits')")
    assert [probe.changed for probe in (await looked(clients, statement)).probes] == [()]
