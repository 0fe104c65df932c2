"""`staunch psql`: PostgreSQL's own client on the database that Staunch works on."""

import contextlib
import os
import signal
import subprocess
from argparse import ArgumentParser, _SubParsersAction
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from staunch_cli.shared.arguments import Handler
from staunch_cli.shared.database import database
from staunch_cli.shared.settings_arguments import DATABASE_SETTINGS, SettingsArguments, add_settings


@dataclass(frozen=True)
class PsqlArguments(SettingsArguments):
    """Who to be in the database, and what else psql is told.

    Attributes:
        reader: Whether to be the role that may only read, and not the tables' owner.
        words: What psql is given beside the database.
    """

    reader: bool
    words: Sequence[str]


def add(subparsers: "_SubParsersAction[ArgumentParser]") -> None:
    """Registers `staunch psql`."""
    parser = subparsers.add_parser(
        "psql",
        usage="staunch psql [-h] [--reader] [--SETTING VALUE ...] [-- ARGUMENT ...]",
        description="Opens psql on the database that Staunch works on: your own, or the one of "
        "`staunch run`, whether or not that runs. It is psql as it always is, as the tables' owner; the "
        "password is handed over unseen.",
        epilog="What stands behind -- is psql's own, for example: staunch psql -- -f tables.sql",
    )
    parser.add_argument(
        "--reader",
        action="store_true",
        help="be the role that views are read by; every transaction only reads",
    )
    parser.add_argument(
        "words", nargs="*", metavar="-- ARGUMENT", help="what psql is given, such as -- -c 'TABLE t'"
    )
    add_settings(parser, *DATABASE_SETTINGS)
    parser.set_defaults(handler=Handler(PsqlArguments, run))


def run(arguments: PsqlArguments) -> int:
    """Runs psql to its end and returns its exit code."""
    from staunch_local.postgres.psql import find_psql, psql_call

    settings = arguments.load_settings()
    with database(settings) as urls:
        # What the environment says of other databases is not meant for ours.
        environment = _without_libpq(os.environ) if urls.embedded else os.environ
        environment = {**_histories(settings.state_folder), **environment}
        url = urls.reader if arguments.reader else urls.owner
        words, given = psql_call(url, environment, read_only=arguments.reader)
        return _run([find_psql(embedded=urls.embedded), *words, *arguments.words], given)


def _histories(state_folder: Path) -> dict[str, str]:
    """Where psql keeps what was typed, and its pager nothing, unless the user says where: in no home."""
    folder = state_folder.resolve() / "caches"
    with contextlib.suppress(OSError):  # then psql says that it cannot keep it
        folder.mkdir(parents=True, exist_ok=True)
    return {"PSQL_HISTORY": str(folder / "psql_history"), "LESSHISTFILE": "-"}


def _without_libpq(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if not name.startswith("PG")}


def _run(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Runs a program that has the terminal: Ctrl-C is its own, and cancels a query."""
    # A handler and not SIG_IGN, which the program would inherit.
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        code = subprocess.run(command, env=environment, check=False).returncode
    finally:
        signal.signal(signal.SIGINT, before)
    return code if code >= 0 else 128 - code  # as a shell says of a signal
