"""Which index a plan asks for, said before anything runs; and that the index said is the one wanted."""

import pytest

from staunch_features.checks.index_advice import index_advice
from staunch_features.postgres.connection import connect
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
CREATE TABLE cdnow.wide AS SELECT n::bigint AS id, {wide} FROM generate_series(1, 20000) AS n;
ANALYZE cdnow.small;
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
PLAIN = "CREATE INDEX ON cdnow.purchases (customer_id) INCLUDE (cds)"
WANTED = "CREATE INDEX ON cdnow.purchases (customer_id, bought_on) INCLUDE (cds, dollars)"


@pytest.fixture(scope="module")
def cdnow(database_factory):
    return database_factory(template="template1")


@pytest.fixture
async def made(cdnow):
    """A database with big tables and no index, as its owner and as the reader."""
    owner = await connect(cdnow.owner_url)
    if await owner.fetchval("SELECT to_regclass('cdnow.purchases') IS NULL"):
        await owner.execute(TABLES.replace("{wide}", ", ".join(f"n AS c{n}" for n in range(40))))
    database = Database(cdnow.reader_url, size=1)
    yield owner, database
    await database.close()
    await owner.close()


def view(statement: str):
    return parse_view("cdnow", HEADER + statement, "features/cdnow.sql")


async def advised(database, statement: str, label=None) -> list[str]:
    text = view(statement)
    signature = await FeatureSource(database, text).signature(5)
    return [each.note for each in await index_advice(database, text, signature, label, timeout_s=5)]


@pytest.mark.parametrize(
    ("statement", "note"),
    [
        (LATERAL, f"cdnow.purchases is read whole for each id: {WANTED}"),
        (
            EACH.format(
                sql_type="bigint", expression="max(p.cds) FROM cdnow.purchases p WHERE u.id = p.customer_id"
            ),
            f"cdnow.purchases is read whole for each id: {PLAIN}",
        ),
        (
            "SELECT customer_id AS id, sum(cds)::float8 AS a FROM cdnow.purchases\n"
            "WHERE customer_id = ANY ($1::bigint[]) GROUP BY 1",
            f"cdnow.purchases is read whole by each call: {PLAIN}",
        ),
        (
            EACH.format(sql_type="bigint", expression="avg(p.cds) FROM cdnow.purchases p"),
            "cdnow.purchases is read whole by each call: index it by the id and the time",
        ),
        (
            EACH.format(
                sql_type="text", expression='o."order" FROM cdnow."Odd Names" o WHERE o."Key" = u.id LIMIT 1'
            ),
            'cdnow."Odd Names" is read whole for each id: '
            'CREATE INDEX ON cdnow."Odd Names" ("Key") INCLUDE ("order")',
        ),
        (
            EACH.format(
                sql_type="text",
                expression="max(p.cds) FROM cdnow.purchases p WHERE p.customer_id::text = u.id",
            ),
            "cdnow.purchases is read whole for each id: "
            "CREATE INDEX ON cdnow.purchases (((customer_id)::text)) INCLUDE (customer_id, cds)",
        ),
        (
            EACH.format(
                sql_type="bigint",
                expression="max(w.c0) FROM cdnow.wide w WHERE w.id = u.id AND w IS NOT NULL",
            ),
            "cdnow.wide is read whole for each id: CREATE INDEX ON cdnow.wide (id)",
        ),
    ],
)
async def test_a_big_table_that_is_read_whole_is_told_with_the_index_it_wants(made, statement, note):
    assert await advised(made[1], statement) == [note]


async def test_a_partitioned_table_is_told_once_by_its_own_name(made):
    statement = """SELECT u.id, (SELECT count(*) FROM cdnow.parts AS p WHERE p.id = u.id)::float8 AS a
FROM unnest($1::bigint[]) AS u (id)"""
    (note,) = await advised(made[1], statement)
    assert note == "cdnow.parts is read whole for each id: CREATE INDEX ON cdnow.parts (id)"


async def test_small_tables_may_be_read_whole(made):
    statement = "SELECT s.id, 1::float8 AS a FROM cdnow.small AS s WHERE s.id = ANY ($1::bigint[])"
    assert await advised(made[1], statement) == []


async def test_the_label_is_read_too(made):
    label = parse_label("cdnow", LABEL, "labels/cdnow.sql")
    assert await advised(made[1], LATERAL, label) == [f"cdnow.purchases is read whole for each id: {WANTED}"]
    assert await advised(made[1], NOTHING_READ, label) == [
        "cdnow.purchases is read whole by each call: CREATE INDEX ON cdnow.purchases (customer_id, bought_on)"
    ]


async def test_a_label_is_content_with_an_index_that_finds_its_rows(made):
    owner, database = made
    label = parse_label(
        "cdnow", LABEL.replace("p.bought_on >", "p.note <> '' AND p.bought_on >"), "cdnow.sql"
    )
    await owner.execute("CREATE INDEX partly ON cdnow.purchases (customer_id, bought_on)")
    await owner.execute("ANALYZE cdnow.purchases")
    try:
        assert await advised(database, NOTHING_READ, label) == []
    finally:
        await owner.execute("DROP INDEX cdnow.partly")


async def test_the_index_that_is_told_is_used_alone_and_then_nothing_is_told(made):
    owner, database = made
    await owner.execute("CREATE INDEX partly ON cdnow.purchases (customer_id)")
    await owner.execute("ANALYZE cdnow.purchases")
    (note,) = await advised(database, LATERAL)
    assert note.endswith(f"let an index INCLUDE all columns read: {WANTED}")
    assert "cdnow.purchases is read by Bitmap Heap Scan" in note or "by Index Scan" in note
    await owner.execute("DROP INDEX cdnow.partly")
    await owner.execute(WANTED)
    await owner.execute("VACUUM ANALYZE cdnow.purchases")
    assert await advised(database, LATERAL) == []
    await owner.execute("DROP INDEX cdnow.purchases_customer_id_bought_on_cds_dollars_idx")
