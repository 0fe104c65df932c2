"""The figures of an interval as a page of text."""

from collections.abc import Iterable, Iterator, Sequence
from math import isnan

from staunch_cli.printing import formatting
from staunch_cli.top.figures import Figures, ServerState

_MOST_ERRORS = 8  # kinds that are shown; more would push everything else off the screen
_DIGEST_LETTERS = 12

Row = Sequence[str]


def page(figures: Figures, server: str) -> list[str]:
    """Returns the lines of a page; a heading starts without a space, what stands below it with two.

    Args:
        figures: What to show.
        server: The address whose metrics they are.
    """
    return [
        *_state(figures, server),
        *_calls(figures),
        *_stages(figures),
        *_queries(figures),
        *_versions(figures),
        *_errors(figures),
        *_processes(figures),
    ]


def _state(figures: Figures, server: str) -> Iterator[str]:
    state = figures.state
    yield (
        f"Staunch at {server}, {state.workers_ready} of {state.workers} workers ready, "
        f"{_database(state)}, over {figures.interval_s:.1f} s"
    )
    yield f"  in progress: {state.unary:,} calls, {state.streams:,} streams"
    if state.not_serving:
        yield f"  not serving: {state.not_serving}"


def _database(state: ServerState) -> str:
    if state.database_up is None:
        return "database not asked yet"
    return "database up" if state.database_up else "DATABASE AWAY"


def _calls(figures: Figures) -> Iterator[str]:
    yield from _section(
        ("calls", "a second", "errors", "p50", "p99", "p99.9"),
        (
            (
                each.method,
                rate(each.per_s),
                _share(each.errors_per_s, each.per_s),
                time(each.p50_s),
                time(each.p99_s),
                time(each.p999_s),
            )
            for each in figures.calls
        ),
    )


def _stages(figures: Figures) -> Iterator[str]:
    yield from _section(
        ("stages", "a second", "mean", "p50", "p99"),
        (
            (each.stage, rate(each.per_s), time(each.mean_s), time(each.p50_s), time(each.p99_s))
            for each in figures.stages
        ),
    )


def _queries(figures: Figures) -> Iterator[str]:
    yield from _section(
        ("queries", "a second", "rows/s", "mean rows", "p99 rows"),
        (
            (
                each.kind,
                rate(each.queries_per_s),
                rate(each.rows_per_s),
                _rows(each.mean_rows),
                _rows(each.p99_rows),
            )
            for each in figures.queries
        ),
    )


def _versions(figures: Figures) -> Iterator[str]:
    yield from _section(
        ("versions", "state", "rows/s", "mean score", "digest"),
        (
            (
                each.model,
                each.state,
                rate(each.rows_per_s),
                _score(each.mean_score),
                each.digest.removeprefix("sha256:")[:_DIGEST_LETTERS],
            )
            for each in figures.versions
        ),
    )


def _errors(figures: Figures) -> Iterator[str]:
    shown, more = figures.errors[:_MOST_ERRORS], len(figures.errors) - _MOST_ERRORS
    if not shown:
        return
    yield from _section(
        ("errors", "code", "reason", "a second", "since start"),
        ((each.method, each.code, each.reason, rate(each.per_s), f"{each.total:,}") for each in shown),
        words=3,
    )
    if more > 0:
        yield f"  and {more} more"


def _processes(figures: Figures) -> Iterator[str]:
    yield from _section(
        ("processes", "cores", "memory", "files", "threads"),
        (
            (
                each.worker,
                f"{each.cores:.2f}",
                memory(each.memory_bytes),
                f"{each.open_files:,}",
                f"{each.threads:,}",
            )
            for each in figures.processes
        ),
    )


def _section(header: Row, rows: Iterable[Row], words: int = 1) -> Iterator[str]:
    """A heading and the rows below it: `words` columns to the left, the figures to the right."""
    table = [header, *((f"  {row[0]}", *row[1:]) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    yield ""
    for row in table:
        cells = [
            cell.ljust(width) if place < words else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()


def rate(per_s: float) -> str:
    """Writes how many a second: whole from 100 on, else with one digit; nothing for none."""
    if not per_s:
        return "-"
    return f"{per_s:,.0f}" if per_s >= 100 else f"{per_s:.1f}"


def time(seconds: float) -> str:
    """Writes a time in three digits, of microseconds to seconds; nothing for none."""
    if isnan(seconds):
        return "-"
    for unit, factor in (("µs", 1e6), ("ms", 1e3)):
        if seconds * factor < 999.5:
            return f"{seconds * factor:#.3g}".rstrip(".") + f" {unit}"
    return f"{seconds:,.2f} s"


def memory(bytes_: int) -> str:
    """Writes an amount of memory in MiB."""
    return f"{bytes_ / (1 << 20):,.0f} MiB"


def _share(part: float, whole: float) -> str:
    return f"{part / whole:.1%}" if part else "-"


def _rows(number: float) -> str:
    return "-" if isnan(number) else f"{number:,.1f}"


def _score(number: float) -> str:
    return "-" if isnan(number) else formatting.number(round(number, 4))
