"""A small shop whose customers leave for a reason: training's own world, independent of the shipped view."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from tests.model_store.model_examples import LEARNERS, Fitted

from staunch_features.postgres.connection import connect
from staunch_features.postgres.pool import Database
from staunch_features.views.file import FeatureView, LabelText, parse_label, parse_view
from staunch_features.views.source import FeatureSource

CUSTOMERS = 1500
BEGINS = datetime(2024, 1, 1, tzinfo=UTC)
ENDS = datetime(2026, 1, 1, tzinfo=UTC)

_TABLES = """
CREATE SCHEMA shop;
CREATE TABLE shop.customers (id bigint PRIMARY KEY, person text, joined_at timestamptz, ended_at timestamptz);
CREATE TABLE shop.purchases (id bigint, at timestamptz, amount float8);
CREATE INDEX ON shop.purchases (id, at);
CREATE TABLE shop.flat (key text PRIMARY KEY, income float8, visits float8, noise float8, left_us boolean);
GRANT USAGE ON SCHEMA shop TO staunch_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA shop TO staunch_reader;
"""

_VIEW = """/* staunch
description = "A customer of the shop at a moment."
entity = "customer"
population = "SELECT id FROM shop.customers ORDER BY id"
[features]
tenure_days = {{ title = "Customer for", unit = "days", description = "Days here.", null = "never" }}
last_amount = {{ unit = "CAD", description = "The last purchase.", window = "45 days", null = "no purchase" }}
mean_amount = {{ unit = "CAD", description = "The mean purchase.", null = "no purchase" }}
{doc}
*/
SELECT c.id,
       (date_part('epoch', $2::timestamptz) - date_part('epoch', c.joined_at)) / 86400 AS tenure_days,
       (SELECT p.amount FROM shop.purchases p
        WHERE p.id = c.id AND p.at <= $2::timestamptz AND p.at > $2::timestamptz - interval '45 days'
        ORDER BY p.at DESC LIMIT 1) AS last_amount,
       (SELECT avg(p.amount ORDER BY p.at) FROM shop.purchases p
        WHERE p.id = c.id AND p.at <= $2::timestamptz) AS mean_amount,
       {column}
       (c.ended_at IS NULL OR c.ended_at > $2::timestamptz) AS _eligible
FROM unnest($1::bigint[]) AS u (id)
JOIN shop.customers c ON c.id = u.id AND c.joined_at <= $2::timestamptz
"""

_LABEL = """/* staunch
description = "The customer leaves within the horizon."
horizon_days = {horizon_days}
gap_days = {gap_days}
observation_days = 365
*/
SELECT c.id, coalesce(c.ended_at > $3::timestamptz AND c.ended_at <= $4::timestamptz, false) AS left_us,
       c.person AS _group
FROM unnest($1::bigint[]) AS u (id)
JOIN shop.customers c ON c.id = u.id AND c.joined_at <= $2::timestamptz
"""

_FLAT_VIEW = """/* staunch
description = "A customer in a flat table without dates."
entity = "customer"
population = "SELECT key FROM shop.flat ORDER BY key"
[features]
income = { unit = "CAD", description = "Income.", null = "not told" }
visits = { unit = "visits", description = "Visits.", null = "never", labels = { 0 = "none" } }
noise = { description = "Nothing.", null = "not told" }
*/
SELECT f.key, f.income, f.visits, f.noise FROM shop.flat f JOIN unnest($1::text[]) AS u (key) ON f.key = u.key
"""

_FLAT_LABEL = """/* staunch
description = "The customer left."
horizon_days = 0
gap_days = 0
observation_days = 0
*/
SELECT f.key, f.left_us FROM shop.flat f JOIN unnest($1::text[]) AS u (key) ON f.key = u.key
"""


@dataclass(frozen=True)
class Shop:
    """A database with the shop in it, and texts that read it."""

    owner_url: str
    reader_url: str

    def view(self, doc: str = "", column: str = "") -> FeatureView:
        """The dated view; `doc` and `column` (with a comma) add one feature."""
        return parse_view("shop", _VIEW.format(doc=doc, column=column), "shop.sql")

    def label(self, gap_days: int = 0, horizon_days: int = 60) -> LabelText:
        return parse_label(
            "leaves", _LABEL.format(gap_days=gap_days, horizon_days=horizon_days), "leaves.sql"
        )

    def flat_view(self) -> FeatureView:
        return parse_view("flat", _FLAT_VIEW, "flat.sql")

    def flat_label(self) -> LabelText:
        return parse_label("left", _FLAT_LABEL, "left.sql")

    def source(self, view: FeatureView) -> FeatureSource:
        return FeatureSource(Database(self.reader_url, size=1), view)


@pytest.fixture(params=LEARNERS)
def fitted(request: pytest.FixtureRequest) -> Fitted:
    """Each learner in turn, shallow and deep."""
    return LEARNERS[request.param]()


@pytest.fixture(scope="session")
def shop(database_factory: Callable[..., Any]) -> Shop:
    database = database_factory()
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, _fill(database.owner_url)).result()
    return Shop(database.owner_url, database.reader_url)


async def _fill(url: str) -> None:
    connection = await connect(url)
    await connection.execute(_TABLES)
    customers, purchases = _histories()
    copy = connection.copy_records_to_table
    await copy("customers", schema_name="shop", records=customers)
    await copy("purchases", schema_name="shop", records=purchases)
    await copy("flat", schema_name="shop", records=_flat())
    await connection.execute("ANALYZE shop.customers; ANALYZE shop.purchases; ANALYZE shop.flat")
    await connection.close()


def _histories() -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """A customer's mood drifts from month to month; low moods buy little and leave."""
    rng = np.random.default_rng(20)
    customers, purchases = [], []
    for number in range(1, CUSTOMERS + 1):
        joined = now = BEGINS + timedelta(days=float(rng.uniform(0, 500)))
        mood, ended = float(rng.normal()), None
        while now < ENDS and ended is None:
            purchases.append((number, now, float(np.round(np.exp(3 + 0.5 * mood + rng.normal(0, 0.2)), 2))))
            mood += float(rng.normal(0, 0.3))
            if rng.random() < 1 / (1 + np.exp(3.3 + 1.3 * mood)):
                ended = now + timedelta(days=float(rng.uniform(0, 30)))
            now += timedelta(days=30)
        # Every tenth customer has a second number: one person, two ids.
        customers.append((number, f"person {number - (number % 10 == 0)}", joined, ended))
    return customers, purchases


def _flat() -> list[tuple[Any, ...]]:
    rng = np.random.default_rng(21)
    income, visits = rng.normal(5, 1, CUSTOMERS), rng.poisson(3, CUSTOMERS)
    left = rng.random(CUSTOMERS) < 1 / (1 + np.exp(0.5 + visits - 0.4 * income))
    told = rng.random(CUSTOMERS) > 0.2
    return [
        (
            f"C-{n:05d}",
            float(income[n]) if told[n] else None,
            float(visits[n]),
            float(rng.normal()),
            bool(left[n]),
        )
        for n in range(CUSTOMERS)
    ]
