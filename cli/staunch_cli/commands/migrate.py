"""`staunch migrate`: brings the tables of the database up to date."""

import asyncio
import sys
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

from staunch_cli.printing.json_results import print_json
from staunch_cli.printing.progress import ProgressLine
from staunch_cli.shared.arguments import Handler, add_json
from staunch_cli.shared.settings_arguments import DATABASE_SETTINGS, SettingsArguments, add_settings

if TYPE_CHECKING:
    from argparse import ArgumentParser, _SubParsersAction


@dataclass(frozen=True)
class MigrateArguments(SettingsArguments):
    """Which database, and whether to print one JSON object."""

    json: bool


def add(subparsers: "_SubParsersAction[ArgumentParser]") -> None:
    """Registers `staunch migrate`."""
    parser = subparsers.add_parser(
        "migrate",
        help="bring the tables of the database up to date",
        description="Makes the schemas `staunch` and `simulation` and their tables, or brings them up to "
        "date, as their owner (STAUNCH_DATABASE_URL). Only the churn view that we ship needs them.",
    )
    add_json(parser)
    add_settings(parser, *DATABASE_SETTINGS)
    parser.set_defaults(handler=Handler(MigrateArguments, run))


def run(arguments: MigrateArguments) -> int:
    """Applies what is missing and says what it did."""
    from staunch_cli.shared.database import database

    with database(arguments.load_settings()) as urls:
        applied = asyncio.run(migrate_now(urls.owner, sys.stderr if arguments.json else None))
    if arguments.json:
        print_json({"applied": applied})
        return 0
    print("\n".join(f"applied {name}" for name in applied) or "the tables are up to date")
    return 0


async def migrate_now(owner_url: str, stream: TextIO | None = None) -> list[str]:
    """Applies the missing migrations and returns their names; says so if it has to wait for another.

    Args:
        owner_url: The database, as the owner of the tables.
        stream: Where to say so; None for standard output.
    """
    from staunch_features.postgres.connection import opened
    from staunch_features.postgres.migrations import migrate

    with closing(ProgressLine(stream)) as progress:
        async with opened(owner_url) as connection:
            applied = await migrate(connection, progress=progress)
    return [f"{migration.version:04d}_{migration.name}" for migration in applied]
