"""Which big tables each call reads whole, said before anything runs, and no more once there is an index."""

import pytest

from staunch_features.checks.index_advice import BIG_TABLE_ROWS, index_advice, whole_table_notes
from staunch_features.checks.tables import Table
from staunch_features.postgres.connection import connect
from staunch_features.postgres.deadlines import Deadline
from staunch_features.postgres.pool import Database
from staunch_features.views.file import parse_label, parse_view
from staunch_features.views.source import FeatureSource

TABLES = """
CREATE SCHEMA cdnow;
CREATE TABLE cdnow.purchases AS
SELECT n % 3000 + 1::bigint AS customer_id, timestamp '1997-01-01' + n % 500 * interval '1 day' AS bought_on,
       n % 7 AS cds, n % 50 + 1.5 AS dollars, 'note ' || n AS note FROM generate_series(1, 20000) AS n;
CREATE TABLE cdnow."Odd Names" AS
SELECT ('k' || n)::varchar AS "Key", n AS "order", n AS spare FROM generate_series(1, 20000) AS n;
CREATE TABLE cdnow.parts (id bigint, at timestamptz) PARTITION BY RANGE (id);
CREATE TABLE cdnow.part_1 PARTITION OF cdnow.parts FOR VALUES FROM (0) TO (20000);
CREATE TABLE cdnow.part_2 PARTITION OF cdnow.parts FOR VALUES FROM (20000) TO (40000);
INSERT INTO cdnow.parts SELECT n, timestamptz '2026-01-01Z' FROM generate_series(1, 39000) AS n;
CREATE TABLE cdnow.small AS SELECT n::bigint AS id FROM generate_series(1, 9000) AS n;
ANALYZE;
GRANT USAGE ON SCHEMA cdnow TO staunch_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA cdnow TO staunch_reader;
"""
HEADER = """/* staunch
description = "A customer."
entity = "customer"
population = "SELECT DISTINCT customer_id FROM cdnow.purchases"
[time_columns]
"cdnow.purchases" = ["bought_on"]
[features]
a = { description = "A.", null = "none" }
*/
"""
LABEL = """/* staunch
description = "Buys no more."
horizon_days = 90
gap_days = 0
observation_days = 90
*/
SELECT u.id, NOT EXISTS (
  SELECT FROM cdnow.purchases AS p
  WHERE p.customer_id = u.id AND p.bought_on > $3::timestamptz AND p.bought_on <= $4::timestamptz
) AS left
FROM unnest($1::bigint[]) AS u (id)
"""
LATERAL = """SELECT u.id, v.a FROM unnest($1::bigint[]) AS u (id)
CROSS JOIN LATERAL (
  SELECT sum(p.dollars)::float8 AS a FROM cdnow.purchases AS p
  WHERE p.customer_id = u.id AND p.bought_on <= $2::timestamptz AND p.cds > 0
) AS v"""
EACH = "SELECT u.id, (SELECT {expression})::float8 AS a FROM unnest($1::{sql_type}[]) AS u (id)"
NOTHING_READ = (
    "SELECT u.id, 1::float8 AS a FROM unnest($1::bigint[]) AS u (id) WHERE $2::timestamptz IS NOT NULL"
)
INDEX = "CREATE INDEX wanted ON cdnow.purchases (customer_id, bought_on)"
NOTE = (
    "{table} has about {rows} rows and is read whole by each call: an index on the columns that its rows are "
    "found by, mostly the id and the time, would help"
)
PURCHASES = NOTE.format(table="cdnow.purchases", rows="20,000")


@pytest.fixture(scope="module")
def cdnow(database_factory):
    return database_factory(template="template1")


@pytest.fixture
async def made(cdnow):
    """A database with big tables and no index, as its owner and as the reader."""
    owner = await connect(cdnow.owner_url)
    if await owner.fetchval("SELECT to_regclass('cdnow.purchases') IS NULL"):
        await owner.execute(TABLES)
    database = Database(cdnow.reader_url, size=1)
    yield owner, database
    await database.close()
    await owner.close()


def view(statement: str):
    return parse_view("cdnow", HEADER + statement, "features/cdnow.sql")


async def advised(database, statement: str, label=None) -> list[str]:
    text = view(statement)
    signature = await FeatureSource(database, text).signature(Deadline.after(5))
    return list(await index_advice(database, text, signature, label, timeout_s=5))


@pytest.mark.parametrize(
    ("statement", "note"),
    [
        (LATERAL, PURCHASES),
        (
            EACH.format(
                sql_type="bigint", expression="max(p.cds) FROM cdnow.purchases p WHERE u.id = p.customer_id"
            ),
            PURCHASES,
        ),
        (
            "SELECT customer_id AS id, sum(cds)::float8 AS a FROM cdnow.purchases\n"
            "WHERE customer_id = ANY ($1::bigint[]) GROUP BY 1",
            PURCHASES,
        ),
        (EACH.format(sql_type="bigint", expression="avg(p.cds) FROM cdnow.purchases p"), PURCHASES),
        (
            EACH.format(
                sql_type="text",
                expression="max(p.cds) FROM cdnow.purchases p WHERE p.customer_id::text = u.id",
            ),
            PURCHASES,
        ),
        (
            EACH.format(
                sql_type="text", expression='max(o."order") FROM cdnow."Odd Names" o WHERE o."Key" = u.id'
            ),
            NOTE.format(table='cdnow."Odd Names"', rows="20,000"),
        ),
    ],
)
async def test_a_big_table_that_is_read_whole_is_told_with_its_rows(made, statement, note):
    assert await advised(made[1], statement) == [note]


async def test_a_table_that_is_read_whole_twice_is_told_once(made):
    once = "SELECT max(p.cds) FROM cdnow.purchases p WHERE p.customer_id = u.id"
    both = f"({once} AND p.cds > 1)::float8 + ({once})::float8"
    statement = f"SELECT u.id, {both} AS a FROM unnest($1::bigint[]) AS u (id)"
    assert await advised(made[1], statement) == [PURCHASES]


async def test_a_partitioned_table_is_told_once_by_its_own_name_with_the_rows_of_all_parts(made):
    statement = """SELECT u.id, (SELECT count(*) FROM cdnow.parts AS p WHERE p.id = u.id)::float8 AS a
FROM unnest($1::bigint[]) AS u (id)"""
    assert await advised(made[1], statement) == [NOTE.format(table="cdnow.parts", rows="39,000")]


async def test_small_tables_may_be_read_whole(made):
    statement = "SELECT s.id, 1::float8 AS a FROM cdnow.small AS s WHERE s.id = ANY ($1::bigint[])"
    assert await advised(made[1], statement) == []


def test_a_table_is_big_from_ten_thousand_rows_on_its_partitions_counted_together():
    def table(name: str, root: str, rows: float) -> Table:
        return Table("s", name, root, "r", rows, ("id",), ("id",), ("int8",), ("id",), 1)

    assert BIG_TABLE_ROWS == 10_000
    assert whole_table_notes([table("a", "s.a", 9_999)]) == ()
    assert whole_table_notes([table("a", "s.a", 10_000)]) == (NOTE.format(table="s.a", rows="10,000"),)
    parts = [table("p1", "s.p", 9_999), table("p2", "s.p", 1), table("a", "s.a", 9_999)]
    assert whole_table_notes(parts) == (NOTE.format(table="s.p", rows="10,000"),)


async def test_the_label_is_read_too(made):
    label = parse_label("cdnow", LABEL, "labels/cdnow.sql")
    assert await advised(made[1], LATERAL, label) == [PURCHASES]
    assert await advised(made[1], NOTHING_READ, label) == [PURCHASES]


async def test_with_an_index_on_the_id_and_the_time_nothing_is_told(made):
    owner, database = made
    label = parse_label(
        "cdnow", LABEL.replace("p.bought_on >", "p.note <> '' AND p.bought_on >"), "cdnow.sql"
    )
    await owner.execute(INDEX)
    try:
        assert await advised(database, NOTHING_READ, label) == []
        assert await advised(database, LATERAL) == []
    finally:
        await owner.execute("DROP INDEX cdnow.wanted")
