"""`staunch view`: what a feature view is, and whether it can be trusted."""

import asyncio
from argparse import ArgumentParser, Namespace, _SubParsersAction
from typing import TYPE_CHECKING

from staunch_cli import calling
from staunch_cli.local_database import database
from staunch_cli.settings_flags import add_settings, settings_of
from staunch_cli.views import feature_folders, label_folders

if TYPE_CHECKING:
    from staunch_features.view import FeatureView, LabelText
    from staunch_features.view_check import ViewCheck

_CONNECTIONS = 2  # one lists the population while the other runs the view


def add(subparsers: "_SubParsersAction[ArgumentParser]") -> None:
    """Registers `staunch view` and its actions."""
    parser = subparsers.add_parser("view", description="Checks and shows feature views.")
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    check = actions.add_parser(
        "check",
        help="run it, time it, look for what it must not see",
        description="Checks a feature view, and its label if there is one, on the rows of the database: "
        "columns, nulls, plan, time, and that it sees nothing from after its as-of time.",
    )
    check.add_argument("--plan", action="store_true", help="print the whole plan of the database too")
    _add_view(check)
    check.set_defaults(run=run_check)


def run_check(args: Namespace) -> int:
    """Prints what was found; 1 if something must be mended before the view is used."""
    from staunch_cli.view_report import report

    found = asyncio.run(_check(args))
    print(report(found, plan=args.plan))
    return 1 if found.errors else 0


def _add_view(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="the view: features/NAME.sql in a folder of views")
    parser.add_argument(
        "--as-of", type=calling.moment, metavar="TIME", help="the moment to run it as of (default: now)"
    )
    add_settings(parser, "database_url", "database_reader_url", "views", "state_folder")


async def _check(args: Namespace) -> "ViewCheck":
    from staunch_features.database import Database
    from staunch_features.view_check import check_view

    view, label = _texts(args)
    with database(settings_of(args)) as urls:
        pool = Database(urls.reader, size=_CONNECTIONS)
        try:
            return await check_view(pool, view, label, as_of=args.as_of)
        finally:
            await pool.close()


def _texts(args: Namespace) -> "tuple[FeatureView, LabelText | None]":
    """The view and the label of its name; a view alone can be checked before its label is written."""
    from staunch_features.view import load_label, load_view

    settings = settings_of(args)
    view = load_view(args.name, feature_folders(settings))
    folders = label_folders(settings)
    written = any((folder / f"{args.name}.sql").is_file() for folder in folders)
    return view, load_label(args.name, folders) if written else None
