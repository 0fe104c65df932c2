"""Brings a database's schema to the newest version."""

from collections.abc import Sequence

import asyncpg

import staunch_sql
from staunch_features.errors import MigrationError
from staunch_features.postgres.advisory_locks import PATIENCE_S, take_lock
from staunch_features.postgres.connection import Connection
from staunch_features.postgres.progress import Progress, silent
from staunch_sql import Migration


async def migrate(
    connection: Connection,
    steps: Sequence[Migration] | None = None,
    *,
    progress: Progress = silent,
    patience_s: float = PATIENCE_S,
) -> list[Migration]:
    """Applies the migrations that the database lacks, each in a transaction of its own.

    Two that run at once wait for each other: an advisory lock lets one in at a time.

    Args:
        connection: As the role that is to own the schema; not read-only.
        steps: The migrations in order; those of `staunch_sql` by default.
        progress: Told once if another migrates for longer than `patience_s`.
        patience_s: How long a wait for another is nobody's business, in seconds.

    Returns:
        The migrations that were applied, in order; none if the schema was up to date.

    Raises:
        MigrationError: The role may not, an applied migration was edited or is unknown to us, or one
            failed; those before it stay applied, it and those after it are not.
    """
    wanted = staunch_sql.migrations() if steps is None else steps
    await take_lock(connection, "schema/lock_migrations", "staunch migrate", progress, patience_s=patience_s)
    try:
        await _prepare(connection)
        applied = await connection.fetch(staunch_sql.query("schema/applied_migrations"))
        _compare(wanted, [(row["version"], row["name"], row["sha256"]) for row in applied])
        missing = list(wanted[len(applied) :])
        for step in missing:
            await _apply(connection, step)
        return missing
    finally:
        if not connection.is_closed():
            await connection.execute(staunch_sql.query("schema/unlock_migrations"))


async def _prepare(connection: Connection) -> None:
    try:
        await connection.execute(staunch_sql.query("schema/create_schema_migrations"))
    except asyncpg.PostgresError as error:
        raise MigrationError(
            f"cannot prepare the schema staunch: {error}; migrate as the owner of the database"
        ) from error


def _compare(wanted: Sequence[Migration], applied: Sequence[tuple[int, str, str]]) -> None:
    if len(applied) > len(wanted):
        version, name, _ = applied[len(wanted)]
        raise MigrationError(
            f"the database has migration {version:04d}_{name}, which this version of Staunch does not know; "
            "use the version that applied it, or a newer one"
        )
    for step, (version, name, sha256) in zip(wanted, applied, strict=False):
        if (step.version, step.sha256) != (version, sha256):
            raise MigrationError(
                f"expected migration {version:04d}_{name} as it was applied (sha256 {sha256[:12]}…), got "
                f"{step.version:04d}_{step.name} (sha256 {step.sha256[:12]}…); applied migrations are never "
                "edited: restore the file and put the change into a new one"
            )


async def _apply(connection: Connection, step: Migration) -> None:
    try:
        async with connection.transaction():
            await connection.execute(step.sql)
            record = staunch_sql.query("schema/record_migration")
            await connection.execute(record, step.version, step.name, step.sha256)
    except asyncpg.PostgresError as error:
        raise MigrationError(f"migration {step.version:04d}_{step.name} failed: {error}") from error
