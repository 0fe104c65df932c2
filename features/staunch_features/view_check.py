"""Everything that can be found out about a feature view before it is trained on or served.

The view is prepared, run, timed and explained as the reader, in read-only transactions. Its promises are
tried on real rows: one row an id, no nulls where it says never, nothing that reads the clock, and nothing
from after the as-of time in the tables whose time columns it declares.
"""

import math
import re
import statistics
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import numpy as np

import staunch_sql
from staunch_features.blame import blame
from staunch_features.database import Connection, Database
from staunch_features.errors import ViewError
from staunch_features.look_ahead import Probe, probe_tables
from staunch_features.plan import Plan, Scan, explain
from staunch_features.sample import draw
from staunch_features.signature import FeatureColumn, ViewSignature
from staunch_features.source import FeatureBatch, FeatureSource, Id
from staunch_features.sql_text import line_of_column
from staunch_features.view import FeatureView, LabelText, header_line

_TIMED: Final = {1: 30, 100: 7, 10_000: 3}  # how many ids -> how often
_EXPLAINED_IDS: Final = 1_000
_NOT_NULL: Final = "say in the header what null means, or give the column a value with coalesce"
_FINITE: Final = "let it be a finite number or null: no logarithm of 0, no 'Infinity'"
_NOBODY: Final = "no id of the population is eligible, so none can be scored: see the joins and _eligible"
_WINDOW: Final = re.compile(r"(\d+) (hour|day|week|month|year)s?")
_UNIT_DAYS: Final = {"hour": 1 / 24, "day": 1, "week": 7, "month": 30, "year": 365}
_BIG_TABLE_ROWS: Final = 10_000  # reading a smaller one whole costs nothing


@dataclass(frozen=True, slots=True)
class ColumnCheck:
    """One feature over the sampled eligible rows.

    Attributes:
        column: The feature.
        nulls: How many of the rows hold null.
        rows: How many rows there are.
    """

    column: FeatureColumn
    nulls: int
    rows: int


@dataclass(frozen=True, slots=True)
class Timing:
    """How long a number of ids takes, from sending the query to having the matrix.

    Attributes:
        ids: How many ids.
        median_ms: The median time.
    """

    ids: int
    median_ms: float


@dataclass(frozen=True, slots=True)
class LabelCheck:
    """What a label says of the sampled eligible ids at the probed moment.

    Attributes:
        as_of: The moment; None for a label without dates.
        rows: How many ids were asked.
        known: Of how many the label says something.
        true: For how many it is true.
    """

    as_of: datetime | None
    rows: int
    known: int
    true: int


@dataclass(frozen=True, slots=True)
class ViewCheck:
    """All that was found.

    Attributes:
        view: The view.
        signature: What it takes and gives.
        as_of: The moment it was run as of; None for a view without one.
        found: How many of the sampled ids have a row.
        eligible: How many of them belong to the population.
        columns: The features with their nulls.
        plan: The plan for up to 1,000 ids.
        timings: For 1, 100 and 10,000 ids, or as many as there are.
        probes: One for each table with declared time columns.
        not_probed: The tables read for which no time column is declared.
        label: What the label says; None without one.
        errors: What must be mended before the view is used.
        advice: What would make it faster or safer.
    """

    view: FeatureView
    signature: ViewSignature
    as_of: datetime | None
    found: int
    eligible: int
    columns: tuple[ColumnCheck, ...]
    plan: Plan
    timings: tuple[Timing, ...]
    probes: tuple[Probe, ...]
    not_probed: tuple[str, ...]
    label: LabelCheck | None
    errors: tuple[ViewError, ...]
    advice: tuple[str, ...]


async def check_view(
    database: Database,
    view: FeatureView,
    label: LabelText | None = None,
    *,
    as_of: datetime | None = None,
    timeout_s: float = 60,
) -> ViewCheck:
    """Checks a view against the database it reads.

    Args:
        database: The reader's connections.
        view: The view.
        label: The label beside it, if there is one.
        as_of: The moment to run it as of; None is now. Left out for a view without as-of time.
        timeout_s: How long each statement may take, in seconds.

    Raises:
        ViewError: The view or label cannot be run at all.
        DatabaseUnavailable: The database is away.
        TimeoutError: A statement took longer than that.
    """
    source = FeatureSource(database, view)
    signature = await source.signature(timeout_s)
    moment = (as_of or datetime.now(UTC)) if signature.uses_as_of else None
    ids = await _sample(database, view, signature, timeout_s)
    batch = await source.fetch(ids, moment, timeout_s=timeout_s)
    probes = await probe_tables(database, view, ids[:_EXPLAINED_IDS], timeout_s=timeout_s) if moment else ()
    past = max((probe.as_of for probe in probes), default=moment)
    before = batch if past == moment else await source.fetch(ids, past, timeout_s=timeout_s)
    async with database.connection(timeout_s) as connection:
        plan = await explain(connection, view, signature, ids[:_EXPLAINED_IDS], moment, timeout_s=timeout_s)
        advice = [note for scan in plan.scans for note in await _advice(connection, scan, timeout_s)]
        undecided = await _undecided(connection, view, signature, ids, moment, timeout_s)
    if label and signature.uses_as_of:
        advice += _long_windows(view, label)
    if not batch.eligible.any():
        advice.append(_NOBODY)
    return ViewCheck(
        view=view,
        signature=signature,
        as_of=moment,
        found=int(batch.found.sum()),
        eligible=int(batch.eligible.sum()),
        columns=_columns(signature, batch),
        plan=plan,
        timings=await _timings(source, ids, moment, timeout_s),
        probes=probes,
        not_probed=tuple(sorted({scan.table for scan in plan.scans} - {probe.table for probe in probes})),
        label=await _label(source, label, ids, before, timeout_s) if label else None,
        errors=(*undecided, *_broken_at_either(view, batch, before, ids), *_looks_ahead(view, probes)),
        advice=tuple(dict.fromkeys(advice)),
    )


async def _sample(
    database: Database, view: FeatureView, signature: ViewSignature, timeout_s: float
) -> list[Id]:
    if ids := await draw(database, view, signature.id_type, timeout_s=timeout_s):
        return ids
    raise ViewError(
        file=view.file,
        line=header_line(view.text, "population"),
        message="expected the population to list ids, got none",
        mend="see that its SQL names the right table and that the table is filled",
    )


def _columns(signature: ViewSignature, batch: FeatureBatch) -> tuple[ColumnCheck, ...]:
    rows = int(batch.eligible.sum())
    nulls = np.isnan(batch.values[batch.eligible]).sum(axis=0)
    return tuple(
        ColumnCheck(column, int(count), rows) for column, count in zip(signature.features, nulls, strict=True)
    )


async def _timings(
    source: FeatureSource, ids: list[Id], moment: datetime | None, timeout_s: float
) -> tuple[Timing, ...]:
    timings: list[Timing] = []
    for wanted, repeats in _TIMED.items():
        some = ids[:wanted]
        if timings and timings[-1].ids == len(some):
            break
        times = [await _time(source, some, moment, timeout_s) for _ in range(repeats)]
        timings.append(Timing(len(some), 1000 * statistics.median(times)))
    return tuple(timings)


async def _time(source: FeatureSource, ids: list[Id], moment: datetime | None, timeout_s: float) -> float:
    begun = time.perf_counter()
    await source.fetch(ids, moment, timeout_s=timeout_s)
    return time.perf_counter() - begun


async def _label(
    source: FeatureSource, label: LabelText, ids: list[Id], batch: FeatureBatch, timeout_s: float
) -> LabelCheck:
    eligible = [key for key, is_eligible in zip(ids, batch.eligible, strict=True) if is_eligible]
    labels = await source.labels(label, eligible, batch.as_of, timeout_s=timeout_s)
    return LabelCheck(batch.as_of, len(eligible), int(labels.known.sum()), int(labels.values.sum()))


async def _undecided(
    connection: Connection,
    view: FeatureView,
    signature: ViewSignature,
    ids: list[Id],
    moment: datetime | None,
    timeout_s: float,
) -> list[ViewError]:
    """Finds rows whose ``_eligible`` is null, which is often meant as true and always taken as false."""
    if not signature.has_eligible:
        return []
    sql = staunch_sql.query("null_eligible").format(statement=view.statement)
    with blame(view, sql):
        nulls = await connection.fetchval(
            sql, ids, *([moment] if signature.uses_as_of else []), timeout=timeout_s
        )
    problem = ViewError(
        file=view.file,
        line=line_of_column(view.statement, "_eligible"),
        message=f"expected _eligible to be true or false, got null for {nulls} of {len(ids)} ids",
        mend="write (...) IS TRUE, or (...) IS NOT FALSE if what is not known belongs",
    )
    return [problem] if nulls else []


def _broken_at_either(
    view: FeatureView, now: FeatureBatch, before: FeatureBatch, ids: list[Id]
) -> list[ViewError]:
    """The promises broken as of the moment asked for, and those broken only before, where training reads."""
    errors = [error for batch in (before, now) for error in broken_promises(view, batch, ids)]
    return list({(error.line, error.mend): error for error in errors}.values())


def broken_promises(view: FeatureView, batch: FeatureBatch, ids: list[Id]) -> list[ViewError]:
    """Lists what rows break of what the header promises: one error a kind, with the first id that has it."""
    first = {problem: ids[row] for row, problem in reversed(batch.problems.items())}
    return [
        ViewError(
            file=view.file,
            line=header_line(view.text, f"features.{problem.split()[1]}"),
            message=f"{problem}: id {key!r}{_as_of(batch)}",
            mend=_FINITE if "infinite" in problem else _NOT_NULL,
        )
        for problem, key in first.items()
    ]


def _as_of(batch: FeatureBatch) -> str:
    return f" as of {batch.as_of:%Y-%m-%d %H:%M} UTC" if batch.as_of else ""


def _looks_ahead(view: FeatureView, probes: tuple[Probe, ...]) -> list[ViewError]:
    return [
        ViewError(
            file=view.file,
            line=header_line(view.text, f"features.{name}"),
            message=f"feature {name} as of {probe.as_of:%Y-%m-%d %H:%M} UTC changes when later rows of "
            f"{probe.table} are hidden",
            mend=f"compare every time column of {probe.table} with $2::timestamptz",
        )
        for probe in probes
        for name in probe.changed
    ]


async def _advice(connection: Connection, scan: Scan, timeout_s: float) -> list[str]:
    rows = await connection.fetchval(
        staunch_sql.query("table_facts"), scan.table, column=4, timeout=timeout_s
    )
    if rows < _BIG_TABLE_ROWS:
        return []
    if scan.index is None and scan.kind == "Seq Scan":
        return [f"{scan.table} is read as a whole: index it by the id and the time"]
    if scan.kind != "Index Only Scan":
        return [f"{scan.table} is read by {scan.kind}: let an index INCLUDE all columns read"]
    if scan.heap_fetches > scan.rows / 10:
        return [
            f"{scan.table}: {scan.heap_fetches} of {scan.rows} rows came from the table itself: VACUUM it"
        ]
    return []


def _long_windows(view: FeatureView, label: LabelText) -> list[str]:
    """Says which features look back further than the label declares; not all windows can be read."""
    days = {name: _days(doc.window) for name, doc in view.features.items()}
    longer = [name for name, each in days.items() if each > label.observation_days]
    if not longer:
        return []
    place = f"{label.file}:{header_line(label.text, 'observation_days')}"
    windows = ", ".join(f"{name} over {view.features[name].window}" for name in longer)
    return [
        f"{place}: observation_days is {label.observation_days}, but the view looks back further: "
        f"{windows}; declare {math.ceil(max(days.values()))}, or look back less"
    ]


def _days(window: str) -> float:
    found = _WINDOW.fullmatch(window.strip().lower())
    return int(found[1]) * _UNIT_DAYS[found[2]] if found else 0
