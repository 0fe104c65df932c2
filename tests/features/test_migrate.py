"""Migrations: applied once, in order, and never edited."""

import dataclasses

import pytest

import staunch_sql
from staunch_features.database import connect
from staunch_features.errors import MigrationError
from staunch_features.migrate import migrate


async def test_a_migrated_database_needs_no_migration(database):
    connection = await connect(database.owner_url)
    assert await migrate(connection) == []
    await connection.close()
