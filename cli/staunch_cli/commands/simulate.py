"""`staunch simulate`: writes the simulated world, or the days since it ended."""

import asyncio
import time
from datetime import UTC, date, datetime
from functools import partial
from typing import TYPE_CHECKING

from staunch_cli.printing.progress import MARGIN, ProgressLine
from staunch_cli.shared.settings_flags import DATABASE_FLAGS, add_settings, settings_of

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace, _SubParsersAction


def add(subparsers: "_SubParsersAction[ArgumentParser]") -> None:
    """Registers `staunch simulate`."""
    parser = subparsers.add_parser("simulate", help="write the simulated world, or the days since")
    sizes = parser.add_argument_group("a new world")
    sizes.add_argument("--customers", dest="simulation_customers", metavar="N", help="how many to begin with")
    sizes.add_argument("--seed", dest="simulation_seed", metavar="N", help="what its draws come from")
    day = partial(parser.add_argument, type=date.fromisoformat, metavar="DATE")
    day("--until", help="where the rows end (default: today, 00:00 UTC)")
    day("--drift-from", help="where customers begin to behave otherwise")
    add_settings(parser, *DATABASE_FLAGS)
    parser.set_defaults(run=run)


def run(args: "Namespace") -> int:
    """Writes the world, or appends the days since it ended, and says how long it took."""
    from staunch_cli.shared.database import database
    from staunch_local.simulation.world import WorldSettings, write_world

    settings = settings_of(args)
    started, progress = time.monotonic(), ProgressLine()
    with database(settings) as urls:
        report = asyncio.run(
            write_world(
                urls.owner,
                customers=settings.simulation_customers,
                seed=settings.simulation_seed,
                until=_midnight(args.until),
                progress=progress,
                settings=WorldSettings(args.drift_from) if args.drift_from else None,
            )
        )
    progress.close()
    print(f"{MARGIN}{report}, {time.monotonic() - started:.1f} s")
    return 0


def _midnight(day: date | None) -> datetime:
    """The start of the day in UTC; of today for None, so that a world grows by whole days."""
    day = day or datetime.now(UTC).date()
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
