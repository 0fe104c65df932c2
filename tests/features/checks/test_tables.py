"""Tables as the database knows them."""

from dataclasses import replace

import pytest

from staunch_features.checks.tables import Table, find_table, tables_read
from staunch_features.postgres.deadlines import Deadline


async def test_a_table_is_found_with_its_columns_and_about_its_rows(clients):
    async with clients.database.connection(Deadline.after(5)) as connection:
        table = await find_table(connection, "visits", timeout_s=5)
        assert await find_table(connection, "absent", timeout_s=5) is None
    assert (table.schema, table.name, table.root, table.kind) == ("public", "visits", "public.visits", "r")
    assert table.columns == ("client", "rank", "at", "known_at")
    assert table.types == ("int8", "float8", "timestamptz", "timestamptz")
    assert table.rows == pytest.approx(500, rel=0.5)


async def test_a_domain_over_a_domain_is_of_the_type_below(clients):
    await clients.owner.execute(
        "CREATE DOMAIN moment AS timestamp; CREATE DOMAIN late AS moment CHECK (VALUE > '2000-01-01'); "
        "CREATE TABLE dated (at late, day date)"
    )
    table = await find_table(clients.owner, "dated", timeout_s=5)
    assert table.types == ("timestamp", "date")
    await clients.owner.execute("DROP TABLE dated; DROP DOMAIN late, moment")


async def test_columns_are_written_as_sql_takes_them(clients):
    await clients.owner.execute('CREATE TABLE worded (id int, "end" int, timestamp int, "When it was" int)')
    table = await find_table(clients.owner, "worded", timeout_s=5)
    assert table.columns == ("id", "end", "timestamp", "When it was")
    assert table.written == ("id", '"end"', '"timestamp"', '"When it was"')
    await clients.owner.execute("DROP TABLE worded")


async def test_a_view_and_its_label_read_their_tables_also_through_a_database_view(clients):
    await clients.owner.execute(
        "CREATE VIEW calls AS SELECT client AS id FROM visits; GRANT SELECT ON calls TO PUBLIC"
    )
    label = clients.label("SELECT calls.id, true AS left FROM calls")
    view = clients.view()
    assert await tables_read(clients.database, view, None, timeout_s=5) == {"public.clients_bigint"}
    both = await tables_read(clients.database, view, label, timeout_s=5)
    assert both == {"public.clients_bigint", "public.visits"}
    await clients.owner.execute("DROP VIEW calls")


def test_a_sample_is_cut_from_tables_alone_and_never_more_than_the_whole():
    table = Table("s", "t", "s.t", "r", 1_000_000, ("id",), ("id",), ("int8",), ("id",), 1)
    assert table.sampling(100_000) == "TABLESAMPLE SYSTEM (10.000000) REPEATABLE (0)"
    assert table.sampling(1_000_000) == "TABLESAMPLE SYSTEM (100.000000) REPEATABLE (0)"
    assert table.sampling(2_000_000) == "TABLESAMPLE SYSTEM (100.000000) REPEATABLE (0)"
    assert replace(table, rows=0).sampling(10) == "TABLESAMPLE SYSTEM (100.000000) REPEATABLE (0)"
    assert [replace(table, kind=kind).sampling(10) != "" for kind in "rpmvf"] == [
        True,
        True,
        True,
        False,
        False,
    ]


def test_a_name_is_quoted_for_sql():
    assert Table("s", 'a "b"', "s.t", "r", 1, (), (), (), (), 1).sql == '"s"."a ""b"""'
