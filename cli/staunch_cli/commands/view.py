"""`staunch view`: what a feature view is, and whether it can be trusted."""

import asyncio
import sys
from argparse import ArgumentParser, _SubParsersAction
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from staunch_cli.commands import view_new
from staunch_cli.printing.json_results import check_json, print_json, summary_json
from staunch_cli.printing.pending_file import PendingPicture
from staunch_cli.shared.arguments import Handler, add_json, add_timeout, file_ending, moment
from staunch_cli.shared.caches import caches_in
from staunch_cli.shared.call_arguments import add_language
from staunch_cli.shared.database import database, refuse_absent_database
from staunch_cli.shared.errors import CommandError
from staunch_cli.shared.feature_names import unknown_feature
from staunch_cli.shared.settings_arguments import SettingsArguments, add_settings
from staunch_cli.shared.simulated_world import end_of_world
from staunch_cli.shared.view_lookup import feature_folders, label_folders
from staunch_features.postgres.deadlines import Deadline

if TYPE_CHECKING:
    from staunch_features.checks.findings import ViewCheck
    from staunch_features.checks.summary import ViewSummary
    from staunch_features.postgres.pool import Database
    from staunch_features.views.file import FeatureView, LabelText

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class ViewArguments(SettingsArguments):
    """Which view to look at, as of when, None for the latest that makes sense, and how patiently.

    Attributes:
        name: The view's.
        as_of: The moment to run it as of.
        timeout_s: How long a statement may take.
        json: Whether to print one JSON object.
    """

    name: str
    as_of: datetime | None
    timeout_s: float
    json: bool


@dataclass(frozen=True)
class CheckArguments(ViewArguments):
    """Which view to check, and whether to print the database's whole plan."""

    plan: bool


@dataclass(frozen=True)
class PlotArguments(ViewArguments):
    """Which view to draw how.

    Attributes:
        out: The file; None names it as the view.
        features: The names of what to draw; empty for all.
        language: Of the texts; empty for the view's own.
    """

    out: Path | None
    features: Sequence[str]
    language: str


def add(subparsers: "_SubParsersAction[ArgumentParser]") -> None:
    """Registers `staunch view` and its actions."""
    parser = subparsers.add_parser("view", description="Drafts, checks and shows feature views.")
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    view_new.add(actions)
    _add_check(actions)
    _add_show(actions)
    _add_plot(actions)


def _add_check(actions: "_SubParsersAction[ArgumentParser]") -> None:
    parser = actions.add_parser(
        "check",
        help="run it, time it, look for what it must not see",
        description="Checks a feature view, and its label if there is one, on the rows of the database: "
        "columns, nulls, plan, time, and that it sees nothing from after its as-of time.",
    )
    parser.add_argument("--plan", action="store_true", help="print the whole plan of the database too")
    _add_view(parser)
    parser.set_defaults(handler=Handler(CheckArguments, run_check))


def _add_show(actions: "_SubParsersAction[ArgumentParser]") -> None:
    parser = actions.add_parser(
        "show",
        help="each feature: meaning, spread, how the label goes with it",
        description="Prints each feature with its unit, source, window and what null means, a sketch of its "
        "spread, and the share of true labels from its least values to its greatest.",
    )
    _add_view(parser)
    parser.set_defaults(handler=Handler(ViewArguments, run_show))


def _add_plot(actions: "_SubParsersAction[ArgumentParser]") -> None:
    parser = actions.add_parser(
        "plot",
        help="the same as a picture",
        description="Draws how each feature is spread, how the label goes with it and how much of it is "
        "missing, the strongest first. A PDF has pages, PNG and SVG are as tall as it takes.",
    )
    parser.add_argument(
        "--out",
        type=file_ending(".png", ".svg", ".pdf"),
        metavar="FILE",
        help=".png, .svg or .pdf (default: NAME.png)",
    )
    parser.add_argument(
        "--feature",
        dest="features",
        action="append",
        default=[],
        metavar="FEATURE",
        help="draw this one by its name in the view; may be repeated (default: all)",
    )
    add_language(parser, "the view's own")
    _add_view(parser)
    parser.set_defaults(handler=Handler(PlotArguments, run_plot))


def run_check(arguments: CheckArguments) -> int:
    """Prints what was found; 1 if something must be mended before the view is used."""
    from staunch_cli.printing.view_report import view_report

    view_check = _run_async(_check(arguments))
    if arguments.json:
        print_json(check_json(view_check))
    else:
        print(view_report(view_check, plan=arguments.plan))
    return 1 if view_check.errors else 0


def run_show(arguments: ViewArguments) -> int:
    """Prints the features."""
    from staunch_features.checks.summary import describe

    summary = _run_async(_summarise(arguments))
    if arguments.json:
        print_json(summary_json(summary))
    else:
        print(describe(summary), end="")
    return 0


def run_plot(arguments: PlotArguments) -> int:
    """Draws the features into a file and names it; what cannot be drawn is refused before rows are read."""
    out = arguments.out or Path(f"{arguments.name}.png")
    settings = arguments.load_settings()
    refuse_absent_database(settings)  # before matplotlib makes its cache
    with caches_in(settings.state_folder), PendingPicture(out) as picture:
        from staunch_cli.pictures import view_pages
        from staunch_cli.pictures.words import picture_words
        from staunch_features.views.feature_doc import find_language

        view = _load_view_and_label(arguments)[0]
        names = _names_to_draw(view, arguments.features)
        view_pages.refuse_too_many(len(names), out.suffix)
        spoken = view.in_language(arguments.language)
        if arguments.language and find_language(arguments.language, view.languages) is None:
            _warn(f"{view.name} has no texts in {arguments.language!r}: they stay in {view.language!r}")
        summary = _run_async(_summarise(arguments)).of(spoken, names)
        picture.draw(partial(view_pages.plot, summary, picture_words(arguments.language or spoken.language)))
    if arguments.json:
        print_json({"files": [out]})
    else:
        print(out)
    return 0


def _names_to_draw(view: "FeatureView", asked: Sequence[str]) -> frozenset[str]:
    """The names of the features to draw; one that the view does not have is refused with the nearest."""
    for name in asked:
        if name not in view.features:
            titles = {
                each: [doc.title, *(doc.in_language(code).title for code in doc.translations)]
                for each, doc in view.features.items()
            }
            raise unknown_feature(
                name,
                titles,
                f"a feature of {view.name} with --feature",
                f"staunch view show {view.name}",
            )
    return frozenset(asked or view.features)


def _run_async(work: Coroutine[None, None, _Result]) -> _Result:
    try:
        return asyncio.run(work)
    except OverflowError as error:
        raise CommandError("the outcome window ends after the year 9999: give an earlier --as-of") from error


def _add_view(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="the view: features/NAME.sql in a folder of views")
    parser.add_argument(
        "--as-of",
        type=moment,
        metavar="TIME",
        help="the moment to run it as of (default: now; to show labels, the last with a known outcome)",
    )
    add_json(parser)
    add_timeout(parser)
    add_settings(parser, "database_url", "database_reader_url", "views", "state_folder")


async def _check(arguments: ViewArguments) -> "ViewCheck":
    from staunch_features.checks.check import check_view
    from staunch_features.postgres.pool import Database

    view, label = _load_view_and_label(arguments)
    with database(arguments.load_settings()) as urls:
        pool = Database(urls.reader, size=1)
        try:
            return await check_view(
                pool,
                view,
                label,
                as_of=arguments.as_of,
                until=await end_of_world(urls, view, label, arguments.timeout_s),
                timeout_s=arguments.timeout_s,
                report=_warn,
            )
        finally:
            await pool.close()


async def _summarise(arguments: ViewArguments) -> "ViewSummary":
    """Reads the rows as of a moment whose outcome is known, if there is a label to set against them."""
    from staunch_features.postgres.pool import Database
    from staunch_features.views.source import FeatureSource

    view, label = _load_view_and_label(arguments)
    with database(arguments.load_settings()) as urls:
        pool = Database(urls.reader, size=1)
        try:
            as_of, timeout_s = arguments.as_of, arguments.timeout_s
            signature = await FeatureSource(pool, view).signature(Deadline.after(timeout_s))
            if as_of is None and signature.uses_as_of:
                as_of = _last_known_midnight(label, await end_of_world(urls, view, label, timeout_s))
            return await _summarise_in_time(pool, view, label, as_of, timeout_s)
        finally:
            await pool.close()


async def _summarise_in_time(
    pool: "Database",
    view: "FeatureView",
    label: "LabelText | None",
    as_of: datetime | None,
    timeout_s: float,
) -> "ViewSummary":
    """Reads as many rows as can be read soon, and warns of what makes them few or their labels untrue."""
    from staunch_features.checks.budget import BUDGET_S, draw_in_time
    from staunch_features.checks.data_span import data_span
    from staunch_features.checks.index_advice import index_advice
    from staunch_features.checks.notes import labels_beyond_rows, sample_cut_short
    from staunch_features.checks.row_security import refuse_hidden, secured_tables
    from staunch_features.checks.summary import summarise
    from staunch_features.views.source import FeatureSource
    from staunch_features.views.sql_errors import in_time

    signature = await FeatureSource(pool, view).signature(Deadline.after(timeout_s))
    read_whole = await index_advice(pool, view, signature, label, timeout_s=timeout_s)
    secured = await secured_tables(pool, view, signature, label, timeout_s=timeout_s)
    refuse_hidden(secured)
    span = await data_span(pool, view, datetime.now(UTC)) if as_of else None
    # Before the rows are read: a table that is read whole is why the reading may take as long as it is let.
    hidden = [each.advice() for each in secured]
    for note in [*read_whole, *hidden, *labels_beyond_rows(span, label, as_of)]:
        _warn(note)
    with in_time(view, timeout_s, read_whole):
        ids, drawn = await draw_in_time(pool, view, as_of, timeout_s=timeout_s)
        for note in sample_cut_short(len(ids), drawn, BUDGET_S):
            _warn(note)
        return await summarise(pool, view, label, as_of, most=max(len(ids), 1), timeout_s=timeout_s)


def _warn(note: str) -> None:
    """Says at once what explains a long wait or an odd answer."""
    print(f"staunch: {note}", file=sys.stderr, flush=True)


def _last_known_midnight(label: "LabelText | None", end_of_rows: datetime | None) -> datetime:
    """Returns the last midnight in UTC whose outcome window has passed when the rows end; None is now."""
    end = end_of_rows or datetime.now(UTC)
    reach = timedelta(days=label.gap_days + label.horizon_days if label else 0)
    return (end - reach).replace(hour=0, minute=0, second=0, microsecond=0)


def _load_view_and_label(arguments: ViewArguments) -> "tuple[FeatureView, LabelText | None]":
    """The view and the label of its name; a view alone can be checked before its label is written."""
    from staunch_features.views.file import load_label, load_view

    settings = arguments.load_settings()
    view = load_view(arguments.name, feature_folders(settings))
    folders = label_folders(settings)
    written = any((folder / f"{arguments.name}.sql").is_file() for folder in folders)
    return view, load_label(arguments.name, folders) if written else None
