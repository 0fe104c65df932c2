"""Which column is the key, and what is refused as one."""

import pytest
from tests.features.drafts.conftest import Shop, opened_shop, view_of
from tests.harness.databases import DatabaseFactory

from staunch_features.errors import DraftError

_KEYS = {
    "smallint": "n::smallint",
    "bigint": "n::bigint",
    "numeric": "n::numeric",
    "text": "'K ' || n",
    "varchar": "('K' || n)::varchar(9)",
    "char": "('K' || n)::char(9)",
    "uuid": "lpad(n::text, 32, '0')::uuid",
    "name": "('K' || n)::name",
}


@pytest.mark.parametrize("kind", _KEYS)
async def test_a_primary_key_of_each_type_is_looked_up_by_its_index(shop: Shop, kind: str) -> None:
    rows = 20_000 if kind == "bigint" else 5_000
    await shop.make(
        f"CREATE TABLE shop.things AS SELECT {_KEYS[kind]} AS the_key, n % 4 = 0 AS churned, n AS size "
        f"FROM generate_series(1, {rows}) AS n; ALTER TABLE shop.things ADD PRIMARY KEY (the_key);"
        "ANALYZE shop.things"
    )
    drafted = await shop.draft()
    check = await shop.check(drafted)
    assert (check.errors, check.found, drafted.draft.key.why) == ((), min(rows, 10_000), "the primary key")
    if kind != "name":
        assert {scan.kind for scan in check.plan.scans} <= {"Index Scan", "Index Only Scan"}


@pytest.mark.parametrize("kind", ["text", "varchar(9)", "char(9)", "name"])
async def test_a_key_is_looked_up_as_it_stands(shop: Shop, kind: str) -> None:
    await shop.make(
        f"CREATE TABLE shop.things AS SELECT (n::text)::{kind} AS the_key, n % 4 = 0 AS churned, n AS size "
        "FROM generate_series(1, 200) AS n; ALTER TABLE shop.things ADD PRIMARY KEY (the_key)"
    )
    drafted = await shop.checked()
    asked = ["7", "7 ", " 7", "007", "7.0", "7" + " " * 8]
    assert await shop.values(drafted, "size", asked) == [7, *[None] * 5]


async def test_a_unique_column_is_the_key_where_there_is_no_primary_one(shop: Shop) -> None:
    await shop.make(
        "CREATE TABLE shop.things AS SELECT 'm' || n AS mail, n AS number, n % 2 AS churned, n % 7 AS size "
        "FROM generate_series(1, 100) AS n; ALTER TABLE shop.things ADD UNIQUE (mail)"
    )
    key = (await shop.checked()).draft.key
    assert (key.column.name, key.why) == ("mail", "unique by an index")


async def test_a_column_named_as_a_key_is_one_if_its_rows_agree(shop: Shop) -> None:
    await shop.make(
        'CREATE TABLE shop.things AS SELECT n % 5 AS group_id, n AS "thingID", n % 2 AS churned, '
        "n % 7 AS size FROM generate_series(1, 100) AS n"
    )
    key = (await shop.checked()).draft.key
    assert key.column.name == "thingID"
    assert key.why.endswith('CREATE UNIQUE INDEX ON shop.things ("thingID")')


async def test_the_key_that_is_named_is_taken_whatever_the_database_says(shop: Shop) -> None:
    await shop.table("'x' || n AS mail, n AS size")
    drafted = await shop.checked(key="MAIL")
    assert (drafted.draft.key.column.name, drafted.draft.key.sql_type) == ("mail", "text")
    assert "id" not in view_of(drafted).features


@pytest.mark.parametrize(
    ("key", "error"),
    [
        (
            "kind",
            "--key kind: expected one row a key, got 200 rows of 3 keys: .* holds one row for each kind",
        ),
        (
            "nowhere",
            "--key nowhere: expected a column of the table, found none; it has id, churned, kind, day",
        ),
        ("Days", "--key Days: expected a column of the table, found none; near it is day"),
        ("day", "--key day: expected an integer, a text or a uuid that the reader may read, got date"),
        ("below", "--key below: expected keys of 1 or more, got none in 200 rows"),
        ("blank", "--key blank: expected keys of 1 to 64 bytes, got none in 200 rows"),
    ],
)
async def test_what_can_be_no_key_is_refused_with_the_way(shop: Shop, key: str, error: str) -> None:
    await shop.table("1 + n % 3 AS kind, date '2024-01-01' AS day, -n AS below, ''::text AS blank")
    with pytest.raises(DraftError, match=error):
        await shop.draft(key=key)


@pytest.mark.parametrize(
    ("keyed", "error"),
    [
        ("", "it has no primary key, .* ALTER TABLE shop.things ADD COLUMN row_id"),
        ("ADD PRIMARY KEY (a, day)", r"its primary key \(a, day\) is none of these"),
        ("ADD PRIMARY KEY (day)", r"its primary key \(day\) is none of these"),
    ],
)
async def test_a_table_without_a_key_says_what_a_key_is_and_how_to_get_one(
    shop: Shop, keyed: str, error: str
) -> None:
    await shop.make(
        "CREATE TABLE shop.things AS SELECT n % 3 AS a, date '2024-01-01' + n AS day, n % 2 AS churned "
        "FROM generate_series(1, 100) AS n"
    )
    if keyed:
        await shop.owner.execute(f"ALTER TABLE shop.things {keyed}")
    with pytest.raises(DraftError, match=f"cannot tell which column .* {error}"):
        await shop.draft()
    await shop.make("CREATE VIEW shop.seen AS SELECT a, churned FROM shop.things")
    with pytest.raises(DraftError, match="let the view have such a column"):
        await shop.draft("shop.seen")


@pytest.mark.parametrize("encoding", ["UTF8", "LATIN1", "SQL_ASCII"])
async def test_the_longest_key_is_counted_as_a_call_carries_it_whatever_the_database_writes(
    database_factory: DatabaseFactory, encoding: str
) -> None:
    """Thirty-three of é are 66 bytes in UTF-8, and 33 in LATIN1."""
    async with opened_shop(database_factory("template0", encoding)) as shop:
        await shop.make(
            "CREATE TABLE shop.things AS SELECT CASE WHEN n > 3 THEN n::text WHEN n > 1 THEN "
            "repeat('é', 29 + n) ELSE repeat('é', 33) END AS code, n % 4 = 0 AS churned, n AS size "
            "FROM generate_series(1, 100) AS n; ALTER TABLE shop.things ADD PRIMARY KEY (code)"
        )
        assert (await shop.checked()).draft.key.left_out == 1


async def test_keys_that_are_no_text_of_a_call_are_refused_in_words(
    database_factory: DatabaseFactory,
) -> None:
    async with opened_shop(database_factory("template0", "SQL_ASCII")) as shop:
        await shop.make(
            "SET client_encoding = 'SQL_ASCII'; CREATE TABLE shop.things AS SELECT "
            "CASE WHEN n > 1 THEN n::text ELSE E'\\xe9' END AS code, n % 4 = 0 AS churned, n AS size "
            "FROM generate_series(1, 100) AS n; ALTER TABLE shop.things ADD PRIMARY KEY (code)"
        )
        with pytest.raises(
            DraftError, match=r'^code: expected keys .* got .* for encoding "UTF8": 0xe9; name'
        ):
            await shop.draft()
