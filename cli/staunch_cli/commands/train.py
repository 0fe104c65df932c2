"""`staunch train`: fits a model for a view and publishes it."""

import asyncio
import errno
import math
import os
import signal
import sys
from argparse import ArgumentTypeError
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, time
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Literal

from staunch_cli.printing.json_results import print_json, training_json
from staunch_cli.printing.progress import MARGIN, ProgressLine
from staunch_cli.shared.arguments import Handler, add_json, day
from staunch_cli.shared.caches import caches_in
from staunch_cli.shared.database import DatabaseUrls, database
from staunch_cli.shared.errors import CommandError, system_message
from staunch_cli.shared.settings_arguments import SettingsArguments, add_settings
from staunch_cli.shared.simulated_world import end_of_world
from staunch_cli.shared.view_lookup import feature_folders, label_folders
from staunch_training.costs import COST_MEANINGS, Costs

if TYPE_CHECKING:
    from argparse import ArgumentParser, _SubParsersAction

    from staunch_features.views.file import FeatureView, LabelText
    from staunch_training.train import TrainReport, TrainSettings

_STATEMENT_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class TrainArguments(SettingsArguments):
    """What to train, on which rows, and what becomes of it.

    Attributes:
        view: The name of the feature view and its label.
        name: The model's name; None for the view's.
        learner: The only one to fit; None for both.
        until: Where the rows end; None for now, or for the end of the simulated world.
        seed: Of every draw.
        alias: What to set if it points nowhere yet.
        move_alias: Whether to set it wherever it points now.
        leak_limit: The area under the curve from which a single feature is refused.
        allow_leak: The features that are never refused.
        costs: The fields of `Costs` that were given, with their values; the last of a field counts.
        verbose: Whether each as-of date is printed.
        json: Whether to print one JSON object.
    """

    view: str
    name: str | None
    learner: Literal["random_forest", "xgboost"] | None
    until: date | None
    seed: int
    alias: str
    move_alias: bool
    leak_limit: float
    allow_leak: Sequence[str]
    costs: Sequence[tuple[str, float]]
    verbose: bool
    json: bool


def add(subparsers: "_SubParsersAction[ArgumentParser]") -> None:
    """Registers `staunch train`."""
    parser = subparsers.add_parser(
        "train",
        help="fit a model for a view and publish it",
        description="Reads past rows by a view and its label, fits, picks, calibrates and measures a model, "
        "and publishes it as a new version in the store. A server that runs on that store serves it at once, "
        "if the alias points at it. What the printed lines mean: docs/training.md.",
    )
    # What to train on first, then what becomes of it, then what few people change.
    parser.add_argument("--view", default="churn", help="the feature view and its label (default: churn)")
    parser.add_argument("--name", help="the model's name (default: the view's)")
    parser.add_argument(
        "--learner", choices=("random_forest", "xgboost"), help="fit only this one (default: both)"
    )
    parser.add_argument(
        "--until",
        type=day,
        metavar="DATE",
        help="where the rows end (default: now; with the simulated world if they are of it)",
    )
    parser.add_argument("--seed", type=_seed, default=42, help="of every draw (default: 42)")
    parser.add_argument(
        "--alias", default="champion", help="set if it points nowhere yet (default: champion)"
    )
    parser.add_argument("--move-alias", action="store_true", help="set the alias wherever it points now")
    parser.add_argument("--verbose", action="store_true", help="print each as-of date, and what rows it has")
    add_json(parser)
    _add_leaks(parser)
    _add_costs(parser)
    add_settings(parser, "database_url", "database_reader_url", "state_folder", "store", "views")
    parser.set_defaults(handler=Handler(TrainArguments, run))


def _add_leaks(parser: "ArgumentParser") -> None:
    group = parser.add_argument_group("leaks", "a feature that foretells the label too well knows the answer")
    group.add_argument(
        "--leak-limit",
        type=_finite,
        default=0.90,
        metavar="AUC",
        help="refuse a feature this good alone (default: 0.90)",
    )
    group.add_argument(
        "--allow-leak",
        action="append",
        default=[],
        metavar="FEATURE",
        help="never refuse this one; may be repeated (default: none)",
    )


def _add_costs(parser: "ArgumentParser") -> None:
    """One flag a field of Costs, such as --offer-cost-cad."""
    group = parser.add_argument_group(
        "costs", "what the risk bands' thresholds follow from; see docs/training.md"
    )
    for field in fields(Costs):
        flag = f"--{field.name.replace('_', '-')}"
        group.add_argument(
            flag,
            dest="costs",
            default=[],
            action="append",
            type=partial(_cost, field.name),
            metavar="X",
            help=f"{COST_MEANINGS[field.name]} (default: {field.default:g})",
        )


def _cost(name: str, text: str) -> tuple[str, float]:
    return name, _finite(text)


def _finite(text: str) -> float:
    try:
        read = float(text)
    except ValueError:
        read = math.nan
    if not math.isfinite(read):
        raise ArgumentTypeError(f"expected a number, got {text!r}")
    return read


def _seed(text: str) -> int:
    """Reads what scikit-learn, XGBoost and NumPy all take."""
    if not text.isdecimal() or not text.isascii() or len(text) > 10 or int(text) >= 2**31:
        raise ArgumentTypeError(f"expected a whole number from 0 to 2^31 - 1, got {text!r}")
    return int(text)


def run(arguments: TrainArguments) -> int:
    """Trains, publishes, and says what came of it."""
    settings = arguments.load_settings()
    refuse_unwritable_store(settings.model_folder)
    # Else Ctrl-C would wait for the fit that is under way.
    signal.signal(signal.SIGINT, _interrupt)
    with caches_in(settings.state_folder), database(settings) as urls:
        report = asyncio.run(_train(arguments, urls))
    if arguments.json:
        print_json(training_json(report))
    else:
        print("\n".join(MARGIN + line for line in str(report).splitlines()))
    return 0


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def refuse_unwritable_store(store: Path) -> None:
    """Refuses before a minute of work what would fail at its end.

    Raises:
        CommandError: The store is no folder that can be written, and none that can be made.
    """
    from staunch_server.file_access import whose

    there = next(
        folder for folder in (store.absolute(), *store.absolute().parents) if os.path.lexists(folder)
    )
    if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
        return
    error = OSError(errno.EACCES if there.is_dir() else errno.ENOTDIR, "")
    raise CommandError(
        f"expected {store.absolute()} to be a store that can be written, got {system_message(error)}"
        f"{whose(there, error) or ': name another'} with --store (STAUNCH_STORE)"
    )


async def _train(arguments: TrainArguments, urls: DatabaseUrls) -> "TrainReport":
    from staunch_features.views.file import load_label, load_view
    from staunch_model_store.store import ModelStore
    from staunch_training.train import train

    settings = arguments.load_settings()
    label = load_label(arguments.view, label_folders(settings))
    view = load_view(arguments.view, feature_folders(settings))
    with closing(ProgressLine(sys.stderr if arguments.json else None)) as progress:
        return await train(
            urls.reader,
            view,
            label,
            ModelStore(settings.model_folder),
            await train_settings(arguments, urls, view, label),
            progress,
        )


def _checked_until(day: date, end: datetime | None) -> datetime:
    """The day asked for, unless it has not come yet: what has not happened yet would count as never."""
    until, now = datetime.combine(day, time(), UTC), datetime.now(UTC)
    if until > max(now, end or now):
        raise CommandError(
            f"expected --until to be today, {now:%Y-%m-%d} UTC, or earlier, got {day}: the outcome "
            "of what is still to come is not known"
        )
    return until


async def train_settings(
    arguments: TrainArguments, urls: DatabaseUrls, view: "FeatureView", label: "LabelText"
) -> "TrainSettings":
    """The flags; for rows of a simulated world also where it ends, and the best AUC any model can reach.

    That is known for the label we ship alone: it is what the simulated hazards are hazards of.
    """
    from staunch_local.simulation.ceiling import true_ceiling
    from staunch_sql import LABELS_FOLDER
    from staunch_training.evaluate import auc
    from staunch_training.train import TrainSettings

    # Of no view but ours is it known what drew the outcomes.
    async def ceiling(as_of: datetime, horizon_days: int) -> float:
        return (await true_ceiling(urls.owner, as_of, horizon_days, auc)).auc

    end = await end_of_world(urls, view, label, _STATEMENT_TIMEOUT_S)
    until = _checked_until(arguments.until, end) if arguments.until else end
    return TrainSettings(
        name=arguments.name,
        until=until,
        learner=arguments.learner,
        seed=arguments.seed,
        leak_limit=arguments.leak_limit,
        allow_leaks=frozenset(arguments.allow_leak),
        costs=Costs(**dict(arguments.costs)),
        alias=arguments.alias,
        move_alias=arguments.move_alias,
        ceiling=ceiling if end and Path(label.file).parent == LABELS_FOLDER else None,
        each_date=arguments.verbose,
    )
