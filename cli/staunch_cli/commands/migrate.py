"""`staunch migrate`: brings the tables of the database up to date."""

import asyncio
from contextlib import closing
from typing import TYPE_CHECKING

from staunch_cli.printing.progress import ProgressLine
from staunch_cli.shared.arguments import Handler
from staunch_cli.shared.settings_arguments import DATABASE_SETTINGS, SettingsArguments, add_settings

if TYPE_CHECKING:
    from argparse import ArgumentParser, _SubParsersAction


def add(subparsers: "_SubParsersAction[ArgumentParser]") -> None:
    """Registers `staunch migrate`."""
    parser = subparsers.add_parser("migrate", help="bring the tables of the database up to date")
    add_settings(parser, *DATABASE_SETTINGS)
    parser.set_defaults(handler=Handler(SettingsArguments, run))


def run(arguments: SettingsArguments) -> int:
    """Applies what is missing and says what it did."""
    from staunch_cli.shared.database import database

    with database(arguments.load_settings()) as urls:
        applied = asyncio.run(migrate_now(urls.owner))
    print("\n".join(f"applied {name}" for name in applied) or "the tables are up to date")
    return 0


async def migrate_now(owner_url: str) -> list[str]:
    """Applies the missing migrations and returns their names; says so if it has to wait for another."""
    from staunch_features.postgres.connection import opened
    from staunch_features.postgres.migrations import migrate

    with closing(ProgressLine()) as progress:
        async with opened(owner_url) as connection:
            applied = await migrate(connection, progress=progress)
    return [f"{migration.version:04d}_{migration.name}" for migration in applied]
