"""A migrated database that all tests of the SQL share, each in a transaction that is rolled back."""

import pytest

from staunch_features.postgres.connection import connect


@pytest.fixture(scope="session")
def sql_database(database_factory):
    return database_factory()


@pytest.fixture
async def owner(sql_database):
    """The owner's connection; what a test writes is gone after it."""
    connection = await connect(sql_database.owner_url)
    transaction = connection.transaction()
    await transaction.start()
    yield connection
    await transaction.rollback()
    await connection.close()


@pytest.fixture
async def reader(sql_database):
    connection = await connect(sql_database.reader_url)
    yield connection
    await connection.close()
