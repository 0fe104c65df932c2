"""`staunch view`: what a feature view is, and whether it can be trusted."""

import asyncio
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace, _SubParsersAction
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from staunch_cli.shared import calling
from staunch_cli.shared.database import DatabaseUrls, database
from staunch_cli.shared.errors import CommandError
from staunch_cli.shared.settings_flags import add_settings, settings_of
from staunch_cli.shared.views import end_of_world, feature_folders, label_folders

if TYPE_CHECKING:
    from staunch_features.checks.findings import ViewCheck
    from staunch_features.checks.summary import ViewSummary
    from staunch_features.postgres.pool import Database
    from staunch_features.views.file import FeatureView, LabelText

_Found = TypeVar("_Found")

_TIMEOUT_S = 60.0  # a statement


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
    show = actions.add_parser(
        "show",
        help="each feature: meaning, spread, how the label goes with it",
        description="Prints each feature with its unit, source, window and what null means, a sketch of its "
        "spread, and the share of true labels from its least values to its greatest.",
    )
    _add_view(show)
    show.set_defaults(run=run_show)
    plot = actions.add_parser("plot", help="the same as a picture", description="Draws what `show` prints.")
    plot.add_argument("--out", type=_picture, metavar="FILE", help=".png, .svg or .pdf (default: NAME.png)")
    _add_view(plot)
    plot.set_defaults(run=run_plot)


def run_check(args: Namespace) -> int:
    """Prints what was found; 1 if something must be mended before the view is used."""
    from staunch_cli.printing.view_report import report

    found = _run(_check(args))
    print(report(found, plan=args.plan))
    return 1 if found.errors else 0


def run_show(args: Namespace) -> int:
    """Prints the features."""
    from staunch_features.checks.summary import describe

    print(describe(_run(_summarise(args))), end="")
    return 0


def run_plot(args: Namespace) -> int:
    """Draws the features into a file and names it."""
    from staunch_cli.printing.view_plot import plot

    out = args.out or Path(f"{args.name}.png")
    plot(_run(_summarise(args)), out)
    print(out)
    return 0


def _run(work: Coroutine[None, None, _Found]) -> _Found:
    try:
        return asyncio.run(work)
    except OverflowError as error:
        raise CommandError("the outcome window ends after the year 9999: give an earlier --as-of") from error


def _add_view(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="the view: features/NAME.sql in a folder of views")
    parser.add_argument(
        "--as-of",
        type=calling.moment,
        metavar="TIME",
        help="the moment to run it as of (default: now; to show labels, the last with a known outcome)",
    )
    add_settings(parser, "database_url", "database_reader_url", "views", "state_folder")


async def _check(args: Namespace) -> "ViewCheck":
    from staunch_features.checks.check import check_view
    from staunch_features.postgres.pool import Database

    view, label = _texts(args)
    with database(settings_of(args)) as urls:
        pool = Database(urls.reader, size=1)
        try:
            return await check_view(
                pool,
                view,
                label,
                as_of=args.as_of,
                until=await end_of_world(urls, view, label),
                timeout_s=_TIMEOUT_S,
                report=_warn,
            )
        finally:
            await pool.close()


async def _summarise(args: Namespace) -> "ViewSummary":
    """Reads the rows as of a moment whose outcome is known, if there is a label to set against them."""
    from staunch_features.postgres.pool import Database
    from staunch_features.views.source import FeatureSource

    view, label = _texts(args)
    with database(settings_of(args)) as urls:
        pool = Database(urls.reader, size=1)
        try:
            dated = (await FeatureSource(pool, view).signature(_TIMEOUT_S)).uses_as_of
            moment = args.as_of or (await _last_known(urls, view, label) if dated else None)
            return await _in_time(pool, view, label, moment)
        finally:
            await pool.close()


async def _in_time(
    pool: "Database", view: "FeatureView", label: "LabelText | None", moment: datetime | None
) -> "ViewSummary":
    """Reads as many rows as can be read soon, and warns of what makes them few or their labels untrue."""
    from staunch_features.checks.budget import BUDGET_S, draw_in_time
    from staunch_features.checks.data_span import data_span
    from staunch_features.checks.index_advice import index_advice
    from staunch_features.checks.notes import shown_early, too_slow
    from staunch_features.checks.summary import summarise
    from staunch_features.views.source import FeatureSource
    from staunch_features.views.sql_errors import in_time

    signature = await FeatureSource(pool, view).signature(_TIMEOUT_S)
    advice = await index_advice(pool, view, signature, label, timeout_s=_TIMEOUT_S)
    whole = [each.note for each in advice if each.whole]
    span = await data_span(pool, view, datetime.now(UTC)) if moment else None
    for note in [*whole, *shown_early(span, label, moment)]:
        _warn(note)
    with in_time(view, _TIMEOUT_S, whole):
        ids, drawn = await draw_in_time(pool, view, moment, timeout_s=_TIMEOUT_S)
        for note in too_slow(len(ids), drawn, BUDGET_S):
            _warn(note)
        return await summarise(pool, view, label, moment, most=max(len(ids), 1), timeout_s=_TIMEOUT_S)


def _warn(note: str) -> None:
    """Says at once what explains a long wait or an odd answer."""
    print(f"staunch: {note}", file=sys.stderr, flush=True)


async def _last_known(urls: DatabaseUrls, view: "FeatureView", label: "LabelText | None") -> datetime:
    """The last midnight in UTC whose outcome window has passed, by now or by the end of a simulated world."""
    end = await end_of_world(urls, view, label) or datetime.now(UTC)
    reach = timedelta(days=label.gap_days + label.horizon_days if label else 0)
    return (end - reach).replace(hour=0, minute=0, second=0, microsecond=0)


def _picture(text: str) -> Path:
    path = Path(text)
    if path.suffix not in (".png", ".svg", ".pdf"):
        raise ArgumentTypeError(f"expected a file that ends in .png, .svg or .pdf, got {text!r}")
    return path


def _texts(args: Namespace) -> "tuple[FeatureView, LabelText | None]":
    """The view and the label of its name; a view alone can be checked before its label is written."""
    from staunch_features.views.file import load_label, load_view

    settings = settings_of(args)
    view = load_view(args.name, feature_folders(settings))
    folders = label_folders(settings)
    written = any((folder / f"{args.name}.sql").is_file() for folder in folders)
    return view, load_label(args.name, folders) if written else None
