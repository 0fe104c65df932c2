"""Tables of a test's own, and views drafted from them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest
from tests.harness.databases import TestDatabase

from staunch_features.checks.check import check_view
from staunch_features.checks.findings import ViewCheck
from staunch_features.drafts.draft import Drafted, Wishes, draft_view
from staunch_features.postgres.connection import connect
from staunch_features.postgres.deadlines import Deadline
from staunch_features.postgres.pool import Database
from staunch_features.views.file import FeatureView, parse_label, parse_view
from staunch_features.views.source import FeatureSource
from staunch_features.views.types import Id
from staunch_local.postgres.cluster import READER


@dataclass
class Shop:
    """A database whose tables come and go: the owner makes them, the reader drafts from them."""

    owner: "asyncpg.Connection[asyncpg.Record]"
    database: Database

    async def make(self, sql: str) -> None:
        """Runs SQL as the owner and lets the reader in."""
        await self.owner.execute(sql)
        await self.owner.execute(f"GRANT USAGE ON SCHEMA shop TO {READER}")
        await self.owner.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA shop TO {READER}")

    async def table(self, columns: str, rows: int = 200, name: str = "shop.things") -> None:
        """Makes a table of columns computed from `n`, with the key `id` and the answer `churned`."""
        await self.make(
            f"CREATE TABLE {name} AS SELECT n AS id, n % 4 = 0 AS churned, {columns} "
            f"FROM generate_series(1, {rows}) AS n; ALTER TABLE {name} ADD PRIMARY KEY (id)"
        )

    async def draft(self, table: str = "shop.things", **wishes: Any) -> Drafted:
        """Drafts a view."""
        return await draft_view(self.database, Wishes(table, **wishes), timeout_s=60)

    async def checked(self, table: str = "shop.things", **wishes: Any) -> Drafted:
        """Drafts a view that `view check` must find good."""
        drafted = await self.draft(table, **wishes)
        assert (await self.check(drafted)).errors == ()
        return drafted

    async def check(self, drafted: Drafted) -> ViewCheck:
        """Checks what was drafted."""
        label = parse_label(drafted.name, drafted.label, "labels/x.sql")
        return await check_view(self.database, view_of(drafted), label)

    async def values(self, drafted: Drafted, name: str, ids: list[Id]) -> list[float | None]:
        """The values of a feature, None for null."""
        moment = None if drafted.draft.clock.time is None else datetime.now(UTC)
        batch = await FeatureSource(self.database, view_of(drafted)).fetch(
            ids, moment, deadline=Deadline.after(10)
        )
        place = list(view_of(drafted).features).index(name)
        return [None if value != value else float(value) for value in batch.values[:, place]]


def view_of(drafted: Drafted) -> FeatureView:
    """The drafted view as its file would be read."""
    return parse_view(drafted.name, drafted.view, "features/x.sql")


def left_out(drafted: Drafted) -> dict[str, str]:
    """The columns that are no features, with why."""
    return dict(drafted.draft.left_out)


@pytest.fixture(scope="session")
def shop_database(database_factory):
    """One database for all drafts."""
    return database_factory(template="template1")


@pytest.fixture
async def shop(shop_database) -> AsyncIterator[Shop]:
    """The database with an empty schema `shop`."""
    async with opened_shop(shop_database) as shop:
        yield shop


@asynccontextmanager
async def opened_shop(place: TestDatabase) -> AsyncIterator[Shop]:
    """An empty schema `shop` in a database, for the block."""
    owner = await connect(place.owner_url)
    await owner.execute("DROP SCHEMA IF EXISTS shop CASCADE; CREATE SCHEMA shop")
    database = Database(place.reader_url, size=1)
    yield Shop(owner, database)
    await database.close()
    await owner.execute("DROP SCHEMA shop CASCADE")
    await owner.close()
