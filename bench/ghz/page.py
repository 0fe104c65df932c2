"""Writes what runs of ghz gave: a page of tables, and a plot beside it."""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.ghz.figures import PERCENTILES, Figures, knee

_HEAD = [f"p{percent:g}" for percent in PERCENTILES]


@dataclass(frozen=True)
class Run:
    """A profile that was run.

    Attributes:
        name: The profile's.
        options: As ghz reports them.
        whole: All its calls.
        steps: The same by step of the load; empty without steps.
    """

    name: str
    options: Mapping[str, Any]
    whole: Figures
    steps: Sequence[Figures]


def page(runs: Sequence[Run], plot: str, notes: Sequence[str]) -> str:
    """Returns the page.

    Args:
        runs: What was run.
        plot: The plot's file name.
        notes: What else is to be known of these figures, a sentence each.
    """
    machine = f"{len(os.sched_getaffinity(0))} cores, which ghz shared with whatever ran there"
    head = f"Measured {datetime.now(UTC):%Y-%m-%d} by `make ghz` on {machine}."
    how = "Latencies are of the calls answered OK, in ms; rates are calls a second."
    teaches = "[docs/load-testing.md](../../docs/load-testing.md) says how to read this."
    lines = ["# Load by ghz", "", head, how, teaches, *notes, "", *table(runs)]
    for run in runs:
        lines += _steps(run) if run.steps else []
    return "\n".join([*lines, "", f"![latencies by percentile, and by offered rate]({plot})", ""])


def table(runs: Sequence[Run]) -> list[str]:
    """Returns the lines of the table of runs."""
    columns = ["profile", "connections", "callers", "offered", "sent", "OK", *_HEAD, "errors"]
    rows = [
        [f"`{run.name}`", str(run.options.get("connections", 1)), _callers(run), *_cells(run.whole)]
        for run in runs
    ]
    return [_row(columns), "|---" * len(columns) + "|", *map(_row, rows)]


def _callers(run: Run) -> str:
    # In an open loop the workers only share the sending: no call that waits holds the next one back.
    return "open" if run.options.get("async") or run.steps else str(run.options.get("concurrency", 1))


def _steps(run: Run) -> list[str]:
    columns = ["offered", "sent", "OK", *_HEAD, "errors"]
    found = knee(run.steps)
    summary = "Not even the first step was held." if found is None else f"Held up to {found:,.0f} a second."
    rows = [_row(_cells(step)) for step in run.steps]
    return ["", f"## {run.name}", "", summary, "", _row(columns), "|---" * len(columns) + "|", *rows]


def _cells(of: Figures) -> list[str]:
    offered = "" if of.offered is None else f"{of.offered:,.0f}"
    sent = f"{of.sent:,.1f}" if of.sent < 10 else f"{of.sent:,.0f}"
    good = f"{of.good:,.1f}" if of.good < 10 else f"{of.good:,.0f}"
    late = " (ghz came late)" if of.generator_late else ""
    errors = ", ".join(f"{count:,} {code}" for code, count in of.errors.items())
    percentiles = [_ms(of.percentile(percent)) for percent in PERCENTILES]
    return [offered, sent + late, good, *percentiles, errors or "none"]


def _ms(value: float) -> str:
    if math.isnan(value):
        return ""
    return f"{value:.2f}" if value < 10 else f"{value:,.0f}"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def draw(runs: Sequence[Run], file: Path) -> None:
    """Draws latencies by percentile of each steady run, and by offered rate of those in steps."""
    # Half a second to import, which `--help` need not wait for.
    from matplotlib.figure import Figure

    steady, stepped = [run for run in runs if not run.steps], [run for run in runs if run.steps]
    panels = [(_by_percentile, steady)] * bool(steady) + [(_by_rate, stepped)] * bool(stepped)
    figure = Figure(figsize=(5.5 * len(panels), 4.5), layout="constrained")
    for axes, (panel, shown) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        panel(axes, shown)
        axes.grid(alpha=0.3)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False, fontsize="small")
    figure.savefig(file, dpi=90)


def _by_percentile(axes: Any, runs: Sequence[Run]) -> None:
    percents = [50, 75, 90, 95, 99, 99.5, 99.9]
    # Each nine has the same room, since the tail is what one looks for.
    nines = [100 / (100 - percent) for percent in percents]
    for run in runs:
        if run.whole.latencies_ms:
            axes.plot(nines, [run.whole.percentile(each) for each in percents], marker=".", label=run.name)
    axes.set(
        xscale="log", yscale="log", xlabel="percentile", ylabel="ms", title="Latency of the answered calls"
    )
    axes.set_xticks([2, 10, 100, 1000], labels=["50", "90", "99", "99.9"])
    axes.set_xticks([], minor=True)


def _by_rate(axes: Any, runs: Sequence[Run]) -> None:
    right = axes.twinx()
    for run in runs:
        offered = [step.offered or 0.0 for step in run.steps]
        axes.plot(offered, offered, color="grey", linewidth=0.8, linestyle=":")
        axes.plot(offered, [step.good for step in run.steps], marker=".", label=f"{run.name}, OK")
        axes.plot([], [], linestyle="--", color="black", linewidth=0.8, label="p99 in ms, right")
        p99 = [step.percentile(99) for step in run.steps]
        right.plot(offered, p99, linestyle="--", color="black", linewidth=0.8)
    axes.set(
        xlabel="calls a second, offered", ylabel="calls a second, OK", title="Answered of what was offered"
    )
    right.set(yscale="log", ylabel="ms")
