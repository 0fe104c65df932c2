"""Worlds for the tests: one that all may read, and one's own."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest

from staunch_features.postgres.connection import Connection, connect
from staunch_local.simulation.background.reference import ReferenceData, read_reference
from staunch_local.simulation.world import WorldReport, write_world

ORIGIN = datetime(2026, 11, 22, 15, 30, tzinfo=UTC)
KEYS = {
    "staunch.customers": "customer_id",
    "staunch.customer_addresses": "customer_id, address_id",
    "staunch.subscriptions": "customer_id, subscription_id",
    "staunch.subscription_terms": "customer_id, subscription_id, term_id",
    "staunch.transactions": "customer_id, transaction_id",
    "staunch.support_tickets": "customer_id, ticket_id",
    "simulation.hazards": "customer_id, month",
}

Write = Callable[..., Awaitable[WorldReport]]


@pytest.fixture(scope="session")
def origin() -> datetime:
    """A usual `until`."""
    return ORIGIN


@pytest.fixture(scope="session")
def world_database(database_factory: Callable[..., Any]) -> Any:
    """A database with a world of 4,000 customers, for reading only."""
    made = database_factory()
    _run(write_world(made.owner_url, customers=4000, seed=7, until=ORIGIN))
    return made


@pytest.fixture(scope="session")
def reference(world_database: Any) -> ReferenceData:
    """The reference rows of a migrated database."""

    async def read() -> ReferenceData:
        connection = await connect(world_database.owner_url)
        try:
            return await read_reference(connection)
        finally:
            await connection.close()

    return _run(read())


@pytest.fixture(scope="session")
def _scratch(database_factory: Callable[..., Any]) -> Any:
    return database_factory()


@pytest.fixture
def empty(_scratch: Any) -> Callable[[], Awaitable[Any]]:
    """Gives the tests' own database with no customer and no world in it: `await empty()`."""

    async def emptied() -> Any:
        connection = await connect(_scratch.owner_url)
        await connection.execute(f"TRUNCATE {', '.join(KEYS)}, simulation.worlds")
        await connection.close()
        return _scratch

    return emptied


def _run(work: Any) -> Any:
    """Runs a coroutine in a loop of its own, whether or not one runs here."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


@pytest.fixture
async def world(world_database: Any) -> Any:
    """A connection to the common world, as owner."""
    connection = await connect(world_database.owner_url, read_only=True)
    yield connection
    await connection.close()


@pytest.fixture
def write(origin: datetime) -> Write:
    """Writes a small world: `await write(database, until=…)`."""

    async def write_small(database: Any, **arguments: Any) -> WorldReport:
        usual = {"customers": 120, "seed": 3, "until": origin}
        return await write_world(database.owner_url, **{**usual, **arguments})

    return write_small


@pytest.fixture
def fingerprint() -> Callable[[Any], Awaitable[dict[str, str]]]:
    """Digests every row of every table the world fills, as PostgreSQL's binary COPY gives them."""

    async def digest(database: Any) -> dict[str, str]:
        connection = await connect(database.owner_url)
        try:
            return {table: await _digest(connection, table, key) for table, key in KEYS.items()}
        finally:
            await connection.close()

    return digest


async def _digest(connection: Connection, table: str, key: str) -> str:
    seen = hashlib.sha256()

    async def read(data: bytes) -> None:
        seen.update(data)

    count = await connection.copy_from_query(
        f"SELECT * FROM {table} ORDER BY {key}", output=read, format="binary"
    )
    return f"{count} {seen.hexdigest()}"
