"""What the tests of this room share: the churn view over a database of its own, and its helpers' folder."""

import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

import staunch_sql

# The reference and the generated histories are modules beside the tests.
sys.path.insert(0, str(Path(__file__).parent))

from churn_reference import Rules

from staunch_features.database import Database, connect
from staunch_features.source import FeatureSource
from staunch_features.view import FeatureView, LabelText, load_label, load_view


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


@pytest.fixture
async def churn(churn_database) -> AsyncIterator[Churn]:
    owner = await connect(churn_database.owner_url)
    database = Database(churn_database.reader_url, size=2)
    view = load_view("churn", [staunch_sql.FEATURES_FOLDER])
    label = load_label("churn", [staunch_sql.LABELS_FOLDER])
    yield Churn(owner, database, FeatureSource(database, view), label, await _rules(owner))
    await database.close()
    await owner.close()


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
