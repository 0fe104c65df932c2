"""What the tests of this room share: the churn view over a database of its own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg
import pytest
from tests.features.churn.reference import Rules

import staunch_sql
from staunch_features.postgres.connection import connect
from staunch_features.postgres.pool import Database
from staunch_features.views.file import FeatureView, LabelText, load_label, load_view, parse_label, parse_view
from staunch_features.views.source import FeatureSource
from staunch_local.postgres.cluster import READER


@dataclass
class Churn:
    """The churn view over a migrated database, written to by its owner and read by the reader."""

    owner: asyncpg.Connection
    database: Database
    source: FeatureSource
    label: LabelText
    rules: Rules


@pytest.fixture(scope="session")
def churn_database(database_factory):
    """One database for all generated histories; each has customer ids of its own."""
    return database_factory()


@asynccontextmanager
async def churn_over(test_database) -> AsyncIterator[Churn]:
    owner = await connect(test_database.owner_url)
    database = Database(test_database.reader_url, size=2)
    view = load_view("churn", [staunch_sql.FEATURES_FOLDER])
    label = load_label("churn", [staunch_sql.LABELS_FOLDER])
    yield Churn(owner, database, FeatureSource(database, view), label, await _rules(owner))
    await database.close()
    await owner.close()


@pytest.fixture
async def churn(churn_database) -> AsyncIterator[Churn]:
    """The churn view over the database of generated histories."""
    async with churn_over(churn_database) as made:
        yield made


@pytest.fixture
def churn_on():
    """Makes the churn view over a database: `async with churn_on(database) as churn`."""
    return churn_over


async def _rules(owner: asyncpg.Connection) -> Rules:
    forever = "'9999-12-31 23:59:59.999999+00'::timestamptz"
    return Rules(
        province_rules=[
            dict(row)
            for row in await owner.fetch(
                "SELECT province_code, rule, value, valid_from, "
                f"least(valid_to, {forever}) AS valid_to FROM staunch.province_rules"
            )
        ],
        cancellation_rules=[
            {**row, "valid_to": row["until"]}
            for row in await owner.fetch(
                f"SELECT *, least(valid_to, {forever}) AS until FROM staunch.cancellation_rules"
            )
        ],
        tiers={row["plan_code"]: row["tier"] for row in await owner.fetch("SELECT * FROM staunch.plans")},
    )


@pytest.fixture
def churn_view() -> FeatureView:
    return load_view("churn", [staunch_sql.FEATURES_FOLDER])


HEADER = """/* staunch
description = "A client."
entity = "client"
population = "SELECT 1"
[features]
a = { description = "A.", null = "never" }
b = { description = "B.", unit = "CAD", null = "not told" }
*/
"""
LABEL_HEADER = """/* staunch
description = "Left."
horizon_days = 90
gap_days = 7
observation_days = 9
*/
"""


@dataclass
class Clients:
    """Three clients in tables of the user's own, keyed by bigint, text and uuid, and their visits.

    b is null for the third client. A visit becomes known up to six hours after it happened.
    """

    owner: asyncpg.Connection
    database: Database

    def view(
        self,
        statement: str | None = None,
        *,
        id_type="bigint",
        a="c.a",
        population="SELECT 1",
        times="[features]",
    ) -> FeatureView:
        """A view of a (never null) and b over one of the tables; the second client is not eligible."""
        statement = statement or (
            f"SELECT u.id, ({a})::float8 AS a, c.b, c.a <> 20 AS _eligible, $2::timestamptz AS _moment\n"
            f"FROM unnest($1::{id_type}[]) u(id) JOIN clients_{id_type} c ON c.id = u.id"
        )
        header = HEADER.replace("SELECT 1", population).replace("[features]", times)
        return parse_view("clients", header + statement, "clients.sql")

    def source(self, statement: str | None = None, **options) -> FeatureSource:
        return FeatureSource(self.database, self.view(statement, **options))

    def label(self, statement: str) -> LabelText:
        return parse_label("left", LABEL_HEADER + statement, "left.sql")


@pytest.fixture(scope="session")
def clients_database(database_factory):
    made = database_factory(template="template1")
    asyncio.run(_make_clients(made.owner_url))
    return made


@pytest.fixture
async def clients(clients_database) -> AsyncIterator[Clients]:
    owner = await connect(clients_database.owner_url)
    database = Database(clients_database.reader_url, size=2)
    yield Clients(owner, database)
    await database.close()
    await owner.close()


async def _make_clients(url: str) -> None:
    owner = await connect(url)
    ids = {
        "bigint": "n",
        "text": """(ARRAY['a', 'b c', 'ü''"\\'])[n]""",
        "uuid": "lpad(n::text, 32, '0')::uuid",
    }
    for id_type, key in ids.items():
        await owner.execute(
            f"CREATE TABLE public.clients_{id_type} AS SELECT ({key})::{id_type} AS id, 10 * n::float8 AS a, "
            "nullif(n, 3)::float8 AS b FROM generate_series(1, 3) AS n"
        )
    await owner.execute(
        "CREATE TABLE public.visits AS SELECT 1 + n % 3::bigint AS client, floor(n / 100.0)::float8 AS rank, "
        "timestamptz '2026-01-01' + n * interval '1 hour' AS at, "
        "timestamptz '2026-01-01' + (n + n % 7) * interval '1 hour' AS known_at "
        "FROM generate_series(1, 500) AS n"
    )
    await owner.execute("CREATE VIEW public.hidden_clock AS SELECT date_part('epoch', now()) AS b")
    await owner.execute(
        "CREATE FUNCTION public.inlined_clock() RETURNS float8 LANGUAGE sql STABLE "
        "AS $$ SELECT date_part('epoch', now()) $$"
    )
    await owner.execute(
        "CREATE FUNCTION public.counted() RETURNS float8 LANGUAGE plpgsql AS $$ BEGIN RETURN 1; END $$"
    )
    await owner.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {READER}")
    await owner.execute("CREATE TABLE public.secret (word text)")
    await owner.close()
