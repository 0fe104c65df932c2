"""`staunch simulate`: writes the simulated world, or the days since it ended."""

import asyncio
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from typing import TYPE_CHECKING

from staunch_cli.printing.json_results import plain, print_json
from staunch_cli.printing.progress import MARGIN, ProgressLine
from staunch_cli.shared.arguments import Handler, add_json, day
from staunch_cli.shared.settings_arguments import (
    DATABASE_SETTINGS,
    SettingsArguments,
    add_setting,
    add_settings,
)

if TYPE_CHECKING:
    from argparse import ArgumentParser, _SubParsersAction


_STANDING = "or as the world that stands"


@dataclass(frozen=True)
class SimulateArguments(SettingsArguments):
    """Where the simulated rows end, and how to say what was written.

    Attributes:
        until: The day before which the rows end; None for today.
        drift_from: From when customers behave otherwise; None for never.
        json: Whether to print one JSON object.
    """

    until: date | None
    drift_from: date | None
    json: bool


def add(subparsers: "_SubParsersAction[ArgumentParser]") -> None:
    """Registers `staunch simulate`."""
    parser = subparsers.add_parser(
        "simulate",
        help="write the simulated world, or the days since",
        description="Writes the customers of a simulated telecom company into the database, or, if it holds "
        "them, the days since they were last written. Nobody in it is real: docs/world.md.",
    )
    sizes = parser.add_argument_group("a new world")
    add_setting(
        sizes, "simulation_customers", "--customers", f"how many to begin with (default: 10,000, {_STANDING})"
    )
    add_setting(sizes, "simulation_seed", "--seed", f"what its draws come from (default: ours, {_STANDING})")
    add_date = partial(parser.add_argument, type=day, metavar="DATE")
    add_date("--until", help="where the rows end (default: today, 00:00 UTC)")
    add_date("--drift-from", help="where customers begin to behave otherwise (default: nowhere)")
    add_json(parser)
    add_settings(parser, *DATABASE_SETTINGS)
    parser.set_defaults(handler=Handler(SimulateArguments, run))


def run(arguments: SimulateArguments) -> int:
    """Writes the world, or appends the days since it ended, and says how long it took."""
    from staunch_cli.shared.database import database
    from staunch_local.simulation.world import WorldSettings, write_world

    settings = arguments.load_settings()
    started = time.monotonic()
    stream = sys.stderr if arguments.json else None
    with database(settings) as urls, closing(ProgressLine(stream)) as progress:
        report = asyncio.run(
            write_world(
                urls.owner,
                customers=settings.simulation_customers,
                seed=settings.simulation_seed,
                until=_midnight(arguments.until),
                progress=progress,
                settings=WorldSettings(arguments.drift_from) if arguments.drift_from else None,
            )
        )
    if arguments.json:
        print_json(plain(report) | {"seconds": time.monotonic() - started})
        return 0
    print(f"{MARGIN}{report}, {time.monotonic() - started:.1f} s")
    return 0


def _midnight(until: date | None) -> datetime:
    """The start of the day in UTC; of today for None, so that a world grows by whole days."""
    until = until or datetime.now(UTC).date()
    return datetime(until.year, until.month, until.day, tzinfo=UTC)
