"""`staunch migrate`: brings the tables of the database up to date."""

import asyncio
from typing import TYPE_CHECKING

from staunch_cli.printing.progress import ProgressLine
from staunch_cli.shared.settings_flags import DATABASE_FLAGS, add_settings, settings_of

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace, _SubParsersAction


def add(subparsers: "_SubParsersAction[ArgumentParser]") -> None:
    """Registers `staunch migrate`."""
    parser = subparsers.add_parser("migrate", help="bring the tables of the database up to date")
    add_settings(parser, *DATABASE_FLAGS)
    parser.set_defaults(run=run)


def run(args: "Namespace") -> int:
    """Applies what is missing and says what it did."""
    from staunch_cli.shared.database import database

    with database(settings_of(args)) as urls:
        applied = asyncio.run(migrate_now(urls.owner))
    print("\n".join(f"applied {name}" for name in applied) or "the tables are up to date")
    return 0


async def migrate_now(owner_url: str) -> list[str]:
    """Applies the missing migrations and returns their names; says so if it has to wait for another."""
    from staunch_features.postgres.connection import opened
    from staunch_features.postgres.migrations import migrate

    progress = ProgressLine()
    try:
        async with opened(owner_url) as connection:
            applied = await migrate(connection, progress=progress)
    finally:
        progress.close()
    return [f"{migration.version:04d}_{migration.name}" for migration in applied]
