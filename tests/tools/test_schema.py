"""The dump of the schema is what the migrations make."""

import pytest
from tests.harness.databases import DatabaseFactory
from tools.schema import DUMPED_BY_MAJOR, dump_schema

import staunch_sql
from staunch_local.postgres.binaries import find_binaries


@pytest.mark.skipif(find_binaries().major != DUMPED_BY_MAJOR, reason="another pg_dump words it differently")
def test_the_committed_schema_is_what_the_migrations_make(database_factory: DatabaseFactory) -> None:
    expected = dump_schema(database_factory().owner_url)
    assert staunch_sql.SCHEMA_FILE.read_text() == expected, "run `make schema`"


def test_the_committed_schema_knows_the_digest_of_every_migration() -> None:
    schema = staunch_sql.SCHEMA_FILE.read_text()
    for step in staunch_sql.migrations():
        assert f"-- {step.version:04d}_{step.name} {step.sha256}\n" in schema, (
            "an applied migration was edited"
        )
