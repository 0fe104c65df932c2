"""`staunch run`: from an empty machine to a server that answers.

It looks at each step first and does what is not done: embedded PostgreSQL, tables, simulated world, model. So
a run after a kill finishes the work. World and model are made by commands of their own (`staunch simulate`,
`staunch train`), so that the server never holds their memory.
"""

import asyncio
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

from staunch_cli.commands.migrate import migrate_now
from staunch_cli.printing.progress import print_step
from staunch_cli.shared.arguments import Handler
from staunch_cli.shared.database import DatabaseUrls
from staunch_cli.shared.serving import holds_models, serve_until_stopped
from staunch_cli.shared.settings_arguments import SettingsArguments, add_settings
from staunch_features.errors import ending
from staunch_server.process.channel.child import bound_to_us
from staunch_server.setting_names import SUPERVISED
from staunch_server.settings import Settings

if TYPE_CHECKING:
    from argparse import ArgumentParser, _SubParsersAction


class StepFailed(Exception):
    """A step of `staunch run` failed; it has said why itself."""


def add(subparsers: "_SubParsersAction[ArgumentParser]") -> None:
    """Registers `staunch run`."""
    parser = subparsers.add_parser(
        "run",
        help="make what is missing, then serve",
        description="Makes what is missing, then serves until Ctrl-C: a PostgreSQL in the state folder "
        "unless STAUNCH_DATABASE_URL or STAUNCH_DATABASE_READER_URL names yours, the simulated world in it, "
        "and a model. In a database of yours it makes nothing but what --simulate asks for.",
    )
    add_settings(parser)
    parser.set_defaults(handler=Handler(SettingsArguments, run))


def run(arguments: SettingsArguments) -> int:
    """Makes what is missing, then serves until Ctrl-C."""
    return serve_until_stopped(arguments.load_settings(), _make_what_is_missing, at_home=True)


def _make_what_is_missing(settings: Settings, urls: DatabaseUrls) -> None:
    """Makes tables, world and model where they are missing; on a database that is not ours only as told."""
    if not urls.embedded:
        asyncio.run(_check_connections(urls))
    else:
        applied = asyncio.run(migrate_now(urls.owner))
        print_step("tables", f"{', '.join(applied)} applied" if applied else "up to date")
    if urls.embedded or settings.simulate:
        _run_step(settings, "world", "simulate")
    if not holds_models(settings):
        _run_step(settings, "model", "train", "--view", settings.default_model)


async def _check_connections(urls: DatabaseUrls) -> None:
    """Raises FeatureError if one of the roles cannot connect, or if the database is too old."""
    from staunch_features.postgres.connection import connect

    for url in (urls.owner, urls.reader):
        connection = await connect(url)
        await connection.close()


def _run_step(settings: Settings, title: str, *command: str) -> None:
    """Runs a command of ours to its end; it prints its own progress, and dies with us.

    Raises:
        StepFailed: The command ended with an error.
    """
    print_step(title, f"staunch {' '.join(command)}")
    command_line = [*bound_to_us(signal.SIGKILL), sys.executable, "-m", "staunch_cli.main", *command]
    # A part of us as a worker is: it does its work whether or not somebody reads what it prints.
    supervised = {SUPERVISED: "1", "OMP_NUM_THREADS": "1"}
    environment = os.environ | settings.environment() | supervised
    # A process group of its own: Ctrl-C reaches us alone, and we end the step, so that it shows no traceback.
    try:
        code = subprocess.run(
            command_line, env=environment, stdin=subprocess.DEVNULL, check=False, process_group=0
        ).returncode
    except KeyboardInterrupt:
        if sys.stdout.isatty():
            print()  # the line that the step was moving ends here
        raise
    if code != 0:
        raise StepFailed(f"`staunch {' '.join(command)}` {ending(code)}; what it said stands above")
