"""`staunch view new`: both files of a view, drafted from a table and ready to edit."""

import asyncio
import contextlib
from argparse import ArgumentParser, _SubParsersAction
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from staunch_cli.printing.json_results import draft_json, print_json
from staunch_cli.shared.arguments import Handler, add_json, add_timeout
from staunch_cli.shared.database import database
from staunch_cli.shared.errors import CommandError, cannot_write
from staunch_cli.shared.settings_arguments import SettingsArguments, add_settings

if TYPE_CHECKING:
    from staunch_features.drafts.draft import Drafted, Wishes

DEFAULT_VIEWS = Path("views")
"""Where the files go if `STAUNCH_VIEWS` names no folder."""


@dataclass(frozen=True)
class NewArguments(SettingsArguments):
    """What to draft a view from.

    Attributes:
        table: The table.
        name: The view's name; None is the table's.
        key: The column that callers name; None is to be guessed.
        label: The column of the answer, or COLUMN=VALUE; None is to be guessed.
        time: The column that says when a row became known; None drafts a view without dates.
        force: Whether files that are there already may be overwritten.
        timeout_s: How long a statement may take.
        json: Whether to print one JSON object.
    """

    table: str
    name: str | None
    key: str | None
    label: str | None
    time: str | None
    force: bool
    timeout_s: float
    json: bool


def add(actions: "_SubParsersAction[ArgumentParser]") -> None:
    """Registers `staunch view new`."""
    parser = actions.add_parser(
        "new",
        help="write both files of a view from a table, ready to edit",
        description="Writes features/NAME.sql and labels/NAME.sql into the folder of views (STAUNCH_VIEWS, "
        "or ./views): a feature for each column of the table that makes one, by its type and by what its "
        "rows hold. Both pass `staunch view check` as they are; read them and make them yours.",
    )
    _add_wishes(parser)
    parser.add_argument("--force", action="store_true", help="overwrite files that are there already")
    add_json(parser)
    add_timeout(parser)
    add_settings(parser, "database_url", "database_reader_url", "views", "state_folder")
    parser.set_defaults(handler=Handler(NewArguments, run))


def _add_wishes(parser: ArgumentParser) -> None:
    parser.add_argument(
        "table", metavar="TABLE", help="the table, or view of the database: NAME or SCHEMA.NAME"
    )
    parser.add_argument("--name", metavar="NAME", help="what to call the view (default: as the table)")
    parser.add_argument(
        "--key", metavar="COLUMN", help="what a call names (default: the primary key, or what is unique)"
    )
    parser.add_argument(
        "--label",
        metavar="COLUMN[=VALUE]",
        help="the answer: yes and no, 0 and 1, or the value that is true (default: guessed from the names); "
        "beside --time the moment when it happened",
    )
    parser.add_argument(
        "--time",
        metavar="COLUMN",
        help="since when a row is known, as joined_at: the view takes an as-of time then (default: no dates)",
    )


def run(arguments: NewArguments) -> int:
    """Writes both files, or none; says what it chose and what to do next."""
    from staunch_cli.printing.draft_report import draft_report, next_commands
    from staunch_features.drafts.draft import Wishes

    settings = arguments.load_settings(makes_views=True)
    folder = settings.views if settings.views is not None else DEFAULT_VIEWS
    wishes = Wishes(arguments.table, arguments.name, arguments.key, arguments.label, arguments.time)
    drafted = asyncio.run(_draft(arguments, wishes))
    files = {
        folder / kind / f"{drafted.name}.sql": text
        for kind, text in (("features", drafted.view), ("labels", drafted.label))
    }
    if not arguments.force:
        _refuse_existing(files)
    _write(files)
    if arguments.json:
        print_json(draft_json(drafted, list(files)))
        return 0
    print(draft_report(drafted, list(files)))
    print(next_commands(drafted.name, folder, arguments.settings, exported=settings.views == folder))
    return 0


async def _draft(arguments: NewArguments, wishes: "Wishes") -> "Drafted":
    from staunch_features.drafts.draft import draft_view
    from staunch_features.postgres.pool import Database

    with database(arguments.load_settings(makes_views=True)) as urls:
        pool = Database(urls.reader, size=1)
        try:
            return await draft_view(pool, wishes, timeout_s=arguments.timeout_s)
        finally:
            await pool.close()


def _refuse_existing(files: Mapping[Path, str]) -> None:
    there = [str(file) for file in files if file.exists()]
    if there:
        raise CommandError(
            f"{' and '.join(there)} {'is' if len(there) == 1 else 'are'} there already, so nothing was "
            "written: --force overwrites, --name NAME writes beside"
        )


def _write(files: Mapping[Path, str]) -> None:
    """Writes all files or none: each under another name first."""
    written: dict[Path, Path] = {}
    try:
        for file, text in files.items():
            file.parent.mkdir(parents=True, exist_ok=True)
            if file.is_dir():
                raise IsADirectoryError(21, "Is a directory", str(file))
            written[file] = file.with_suffix(".sql.new")
            written[file].write_text(text, encoding="utf-8")
        for file, temporary in written.items():
            temporary.replace(file)
    except OSError as error:
        for temporary in written.values():
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
        raise cannot_write(next(reversed(written), next(iter(files))), error) from error
