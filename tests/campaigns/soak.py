"""Runs a server for minutes under all kinds of calls, and says whether anything of it grows: `make soak`.

Every two seconds the memory, descriptors, threads and tasks of each process are read. After the first third,
in which pools and caches fill, a line is laid through the means of twelve spans of time each; what grows
faster than it may, by more than three standard errors of that line, is a leak.
"""

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tests.campaigns import caller_faults
from tests.campaigns.callers import TEMPORARY, Record, calling
from tests.campaigns.faults import FAULTS
from tests.campaigns.target import Target, started
from tests.server.harness.shell import TRANSPORTS

from staunch_cli.top.readings import NoMetrics, read_metrics

BESIDE = ("callers cancel their calls", "a stream of many ids goes on beside", "messages are bytes at random")
"""The faults that go on all the time: each leaves something behind if anything does."""

assert caller_faults, "imported for the faults that it registers"

_EVERY_S = 2.0
_SPANS = 12
_ERRORS = 3.0  # standard errors: one line of seven hundred is that far off by chance
_MIB = 1 << 20

LIMITS = {"memory_mib": 1.0, "descriptors": 4.0, "threads": 4.0, "tasks": 8.0}
"""How much of each may be more after an hour: 1 MiB of memory, of the others less than one after minutes."""


@dataclass(frozen=True)
class Sample:
    """What one process uses at a moment, as in `LIMITS`."""

    process: str
    moment_s: float
    uses: dict[str, float]


@dataclass(frozen=True)
class Slope:
    """How something changes.

    Attributes:
        process: Whose.
        what: As in `LIMITS`.
        last: What it was at the end.
        per_hour: How much more after an hour, by a line through its past.
        error: The standard error of that.
    """

    process: str
    what: str
    last: float
    per_hour: float
    error: float

    @property
    def leaks(self) -> bool:
        """Says whether it grows faster than it may, beyond noise."""
        return self.per_hour - _ERRORS * self.error > LIMITS[self.what]


def samples(target: Target) -> Iterator[Sample]:
    """Reads what each process uses now."""
    now = time.monotonic()
    yield Sample("supervisor", now, _uses(target.supervisor))
    for number, pid in enumerate(target.workers()):
        yield Sample(f"worker {number}", now, _uses(pid))
    try:
        reading = read_metrics(target.metrics_url.split("/")[2])
    except NoMetrics:
        return
    for value in reading.values.get("staunch_event_loop_tasks", {}).values():
        yield Sample("workers", now, {"tasks": value})


def _uses(pid: int) -> dict[str, float]:
    folder = Path(f"/proc/{pid}")
    pages = int((folder / "statm").read_text().split()[1])
    return {
        "memory_mib": pages * os.sysconf("SC_PAGE_SIZE") / _MIB,
        "descriptors": len(os.listdir(folder / "fd")),
        "threads": len(os.listdir(folder / "task")),
    }


def slopes(found: Sequence[Sample]) -> list[Slope]:
    """Lays a line through each use of each process, its first third left out."""
    series: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for sample in found:
        for what, value in sample.uses.items():
            series.setdefault((sample.process, what), []).append((sample.moment_s, value))
    return [_slope(process, what, np.array(points)) for (process, what), points in series.items()]


def _slope(process: str, what: str, points: "np.ndarray[tuple[int, int], np.dtype[np.float64]]") -> Slope:
    # Neighbouring readings are alike, so a line through them all would know its own error as too small.
    kept = points[len(points) // 3 :]
    spans = np.array([span.mean(axis=0) for span in np.array_split(kept, _SPANS) if len(span)])
    hours, values = (spans[:, 0] - spans[0, 0]) / 3600, spans[:, 1]
    if len(spans) < 4:
        raise SystemExit(f"too few readings of {what} to lay a line through: run for longer")
    per_hour, start = np.polyfit(hours, values, 1)
    rest = values - (per_hour * hours + start)
    error = np.sqrt((rest @ rest) / (len(spans) - 2) / ((hours - hours.mean()) ** 2).sum())
    return Slope(process, what, float(points[-1, 1]), float(per_hour), float(error))


async def soak(transport: str, seconds: float) -> tuple[list[Slope], Record]:
    """Runs a server under calls for so long; returns how its uses change, and what callers met."""
    found: list[Sample] = []
    async with AsyncExitStack() as stack:
        target = await stack.enter_async_context(started(transport))
        record = await stack.enter_async_context(calling(target.address, target.oracle))
        for name in BESIDE:
            await stack.enter_async_context(FAULTS[name].begins(target))
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            await asyncio.sleep(min(_EVERY_S, seconds / 60))
            found += samples(target)
    return slopes(found), record


def report(transport: str, found: Sequence[Slope], record: Record) -> list[str]:
    """Returns the lines that say what was found, and prints nothing."""
    lines = [f"{transport}: {len(record.outcomes):,} calls checked, {len(record.wrong)} wrong"]
    for each in found:
        verdict = "LEAKS" if each.leaks else "holds"
        change = f"{each.per_hour:+8.2f} ± {_ERRORS * each.error:6.2f} an hour"
        lines.append(f"  {verdict}  {each.process:<10}  {each.what:<11}  {each.last:8.1f}  {change}")
    return lines


def main() -> int:
    """Soaks on each transport and returns the exit code: 1 if something leaks or an answer was wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="on each transport (default: 10)")
    parser.add_argument("--transport", choices=sorted(TRANSPORTS), action="append", help="only on this one")
    arguments = parser.parse_args()
    good = True
    for transport in arguments.transport or sorted(TRANSPORTS):
        found, record = asyncio.run(soak(transport, arguments.minutes * 60))
        print("\n".join(report(transport, found, record)), flush=True)
        unexpected = {each.code for each in record.outcomes if each.failed} - TEMPORARY
        if unexpected or record.wrong:
            print(f"  calls ended as {sorted(unexpected)}; wrong: {record.wrong[:3]}")
        good &= not (unexpected or record.wrong or any(each.leaks for each in found))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
