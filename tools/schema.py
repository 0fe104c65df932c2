"""Writes `schema.sql`: what all migrations together amount to, as pg_dump sees it.

Run by `make schema` after a migration was added; a test compares the file with a migrated database.
"""

import asyncio
import os
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import staunch_sql
from staunch_features.postgres.connection import opened
from staunch_features.postgres.migrations import migrate
from staunch_local.postgres.binaries import find_binaries
from staunch_local.postgres.server import EmbeddedPostgres

DUMPED_BY_MAJOR = 18
"""The PostgreSQL whose pg_dump writes the file; others word the same schema differently."""

_HEAD = """\
-- The schema that all migrations together amount to. Written by `make schema`, never by hand.
-- A test compares it with a migrated database, and these digests with the migrations' files.
"""

# Session settings and remarks, which say nothing about the schema; \\restrict carries a random word.
_NOISE = ("--", "SET ", "SELECT pg_catalog.set_config", "\\restrict", "\\unrestrict")


def dump_schema(owner_url: str) -> str:
    """Returns the normalised dump of a migrated database, headed by the digests of all migrations.

    Raises:
        subprocess.CalledProcessError: Pg_dump failed; its words are on standard error.
    """
    where = urlsplit(owner_url)
    place = [f"--host={where.hostname}", f"--port={where.port}", f"--username={where.username}"]
    command = [find_binaries().path("pg_dump"), "--schema-only", "--no-owner", *place, where.path.lstrip("/")]
    environment = {**os.environ, "PGPASSWORD": where.password or ""}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    digests = [f"-- {step.version:04d}_{step.name} {step.sha256}" for step in staunch_sql.migrations()]
    return _HEAD + "\n".join(digests) + "\n\n" + _normalised(done.stdout)


def _normalised(dump: str) -> str:
    """Drops the noise and keeps one blank line between statements."""
    lines = [line.rstrip() for line in dump.splitlines() if not line.startswith(_NOISE)]
    kept = [line for line, before in zip(lines, ["", *lines], strict=False) if line or before]
    return "\n".join(kept).strip() + "\n"


def main() -> None:
    """Migrates a fresh database in a server of its own and writes the file."""
    with tempfile.TemporaryDirectory() as folder:
        postgres = EmbeddedPostgres(Path(folder))
        postgres.start()
        try:
            asyncio.run(_migrate(postgres.owner_url))
            staunch_sql.SCHEMA_FILE.write_text(dump_schema(postgres.owner_url), encoding="utf-8")
        finally:
            postgres.stop()


async def _migrate(url: str) -> None:
    async with opened(url) as connection:
        await migrate(connection)


if __name__ == "__main__":
    main()
