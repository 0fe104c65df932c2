"""Everything that can be found out about a feature view before it is trained on or served.

The view is prepared, run, timed and explained as the reader, in read-only transactions. Its promises are
tried on real rows: one row an id, no nulls where it says never, nothing that reads the clock, and nothing
from after the as-of time in the tables whose time columns it declares.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np

from staunch_features.checks.budget import BUDGET_S, draw_in_time, ids_to_try_often, ids_within_budget
from staunch_features.checks.data_span import Span, data_span
from staunch_features.checks.execution import Scan, explain
from staunch_features.checks.findings import ColumnCheck, LabelCheck, Timing, ViewCheck
from staunch_features.checks.index_advice import index_advice
from staunch_features.checks.look_ahead import NO_LOOK_AHEAD, LookAhead, probe_tables
from staunch_features.checks.notes import (
    broken_at_either,
    few_answers,
    label_advice,
    label_errors,
    look_ahead_errors,
    look_ahead_not_tried,
    missing_row_errors,
    nobody_eligible,
    outcome_delay,
    rows_end_early,
    sample_cut_short,
    too_few_answers,
    vacuum_advice,
    why_advice,
    window_advice,
)
from staunch_features.checks.row_security import refuse_hidden, secured_tables
from staunch_features.checks.sample import SAMPLE_IDS
from staunch_features.checks.tables import find_table
from staunch_features.checks.time_columns import read_as_utc
from staunch_features.errors import ViewError
from staunch_features.postgres.connection import Connection
from staunch_features.postgres.deadlines import Deadline
from staunch_features.postgres.pool import Database
from staunch_features.views.file import FeatureView, LabelText
from staunch_features.views.header import header_line
from staunch_features.views.signature import check_horizon
from staunch_features.views.source import FeatureSource
from staunch_features.views.sql_errors import in_time
from staunch_features.views.types import FeatureBatch, Id, LabelBatch, ViewSignature

_TIMED = {1: 30, 100: 7, 10_000: 3}  # how many ids -> how often


def _silent(_: str) -> None:
    pass


async def check_view(  # noqa: PLR0913 - what `staunch view check` asks, by name
    database: Database,
    view: FeatureView,
    label: LabelText | None = None,
    *,
    as_of: datetime | None = None,
    until: datetime | None = None,
    timeout_s: float = 60,
    budget_s: float = BUDGET_S,
    report: Callable[[str], None] = _silent,
) -> ViewCheck:
    """Checks a view against the database it reads.

    Args:
        database: The reader's connections.
        view: The view.
        label: The label beside it, if there is one.
        as_of: The moment to run it as of; None is now. Left out for a view without as-of time.
        until: Where the rows end, as training would be told; None is now.
        timeout_s: How long each statement may take at most, in seconds.
        budget_s: How long a statement should take, in seconds: fewer ids are tried if more take longer.
        report: Told which big tables are read whole, before anything is run that takes long.

    Raises:
        ViewError: The view or label cannot be run at all, or takes longer than `timeout_s`.
        DatabaseUnavailable: The database is away.
    """
    # The plan before the rows: where a big table is read whole, the rows may not come in time.
    now = datetime.now(UTC)
    source = FeatureSource(database, view)
    signature = await source.signature(Deadline.after(timeout_s))
    moment = (as_of or now) if signature.uses_as_of else None
    read_whole = await index_advice(database, view, signature, label, timeout_s=timeout_s)
    for note in read_whole:
        report(note)
    secured = await secured_tables(database, view, signature, label, timeout_s=timeout_s)
    refuse_hidden([each for each in secured if each.of_population])
    as_utc = await read_as_utc(database, view, signature, label, timeout_s=timeout_s)
    limits = _Limits(until or now, timeout_s, budget_s)
    with in_time(view, timeout_s, read_whole):
        sampled = await _run_sample(database, source, label, moment, limits)
        found = await _measured(database, source, sampled, limits)
        whys = await why_advice(database, source, sampled.now, sampled.ids, timeout_s=timeout_s)
    if label is not None:
        with in_time(label, timeout_s, read_whole):
            found = replace(found, label=await _label(source, label, sampled, limits))
    return replace(
        found,
        errors=(
            *(each.error() for each in secured if each.is_hidden),
            *_errors(found, label, sampled, limits.until),
        ),
        advice=(
            *read_whole,
            *(each.advice() for each in secured if not each.is_hidden),
            *as_utc,
            *found.advice,
            *whys,
            *_advice(found, label, sampled, limits.until),
            *sample_cut_short(len(sampled.ids), sampled.drawn, budget_s),
        ),
    )


@dataclass(frozen=True, slots=True)
class _Limits:
    """Where the rows end, and how long a statement may and should take, in seconds."""

    until: datetime
    timeout_s: float
    budget_s: float


@dataclass(frozen=True, slots=True)
class _Sampled:
    """What was run.

    Attributes:
        ids: The ids.
        drawn: How many were drawn before those were left out that would take too long.
        now: Their rows at the moment asked for.
        before: Their rows at a moment where training reads and outcomes are known.
        look_ahead: What the look-ahead found.
        span: From when to when there are rows, if that is declared.
    """

    ids: list[Id]
    drawn: int
    now: FeatureBatch
    before: FeatureBatch
    look_ahead: LookAhead
    span: Span | None


async def _run_sample(
    database: Database,
    source: FeatureSource,
    label: LabelText | None,
    moment: datetime | None,
    limits: _Limits,
) -> _Sampled:
    view, timeout_s = source.view, limits.timeout_s
    ids, drawn = await draw_in_time(database, view, moment, timeout_s=timeout_s, budget_s=limits.budget_s)
    if not ids:
        raise ViewError(
            file=view.file,
            line=header_line(view.text, "population"),
            message="expected the population to list ids, got none",
            hint="see that its SQL names the right table and that the table is filled",
        )
    # What is wrong may show only where training reads: at past moments whose outcomes are known by now.
    now = await source.fetch(ids, moment, deadline=Deadline.after(timeout_s))
    if moment is None:
        return _Sampled(ids, drawn, now, now, NO_LOOK_AHEAD, None)
    explained = ids_to_try_often(ids, drawn)
    end = max(limits.until, moment)
    look_ahead = await probe_tables(database, view, explained, timeout_s=timeout_s, now=end)
    span = await data_span(database, view, end)
    known = limits.until - outcome_delay(label) if label else moment
    past = max((probe.as_of for probe in look_ahead.probes), default=min(moment, known))
    before = now if past == moment else await source.fetch(ids, past, deadline=Deadline.after(timeout_s))
    return _Sampled(ids, drawn, now, before, look_ahead, span)


async def _measured(
    database: Database, source: FeatureSource, sampled: _Sampled, limits: _Limits
) -> ViewCheck:
    """All but what is said of it in the end, and of the label."""
    view, timeout_s, moment = source.view, limits.timeout_s, sampled.now.as_of
    signature = await source.signature(Deadline.after(timeout_s))
    explained = ids_to_try_often(sampled.ids, sampled.drawn)
    # Given back before the timings, which take a connection of their own: the pool may have one alone.
    async with database.connection(Deadline.after(timeout_s)) as connection:
        plan = await explain(connection, view, signature, explained, moment, timeout_s=timeout_s)
        vacuums = [note for scan in plan.scans for note in await _vacuum(connection, scan, timeout_s)]
    return ViewCheck(
        view=view,
        signature=signature,
        as_of=moment,
        found=int(sampled.now.found.sum()),
        eligible=int(sampled.now.eligible.sum()),
        columns=_columns(signature, sampled.now),
        plan=plan,
        timings=await _timings(source, sampled.ids, moment, limits),
        probes=sampled.look_ahead.probes,
        untried=sampled.look_ahead.untried,
        not_probed=sampled.look_ahead.undeclared,
        label=None,
        errors=(),
        advice=tuple(dict.fromkeys(vacuums)),
    )


def _errors(
    found: ViewCheck, label: LabelText | None, sampled: _Sampled, until: datetime
) -> Iterator[ViewError]:
    yield from missing_row_errors(found.view, sampled.now, sampled.before)
    yield from broken_at_either(found.view, sampled.now, sampled.before, sampled.ids)
    yield from look_ahead_errors(found.view, sampled.look_ahead.probes)
    if label is not None and found.label is not None:
        try:
            check_horizon(found.signature, label)
        except ViewError as error:
            yield error
        yield from label_errors(label, found.label, sampled.span.last if sampled.span else until)
        yield from _too_few(found, label, sampled)


def _advice(found: ViewCheck, label: LabelText | None, sampled: _Sampled, until: datetime) -> Iterator[str]:
    dated = found.signature.uses_as_of
    yield from window_advice(found.view, label if dated else None)
    yield from nobody_eligible(sampled.now, sampled.before)
    if dated:
        yield from look_ahead_not_tried(found.view)
        yield from sampled.look_ahead.advice
        yield from rows_end_early(sampled.span, label, until)
    if label is not None and found.label is not None and not _too_few(found, label, sampled):
        yield from label_advice(label, found.label)
        yield from few_answers(label, found.label, is_whole=_is_whole(found.label, sampled))


def _too_few(found: ViewCheck, label: LabelText, sampled: _Sampled) -> list[ViewError]:
    """Asks whether a label gives too few answers of either kind, if those of all rows are known."""
    if found.label is None or found.signature.uses_as_of:
        return []
    return too_few_answers(label, found.label, is_whole=_is_whole(found.label, sampled))


def _is_whole(check: LabelCheck, sampled: _Sampled) -> bool:
    """Whether the label was asked of all rows that there are."""
    whole = len(sampled.ids) == sampled.drawn < SAMPLE_IDS
    return whole and check.rows == int(sampled.before.eligible.sum())


def _columns(signature: ViewSignature, batch: FeatureBatch) -> tuple[ColumnCheck, ...]:
    rows = int(batch.eligible.sum())
    nulls = np.isnan(batch.values[batch.eligible]).sum(axis=0)
    return tuple(
        ColumnCheck(column, int(count), rows) for column, count in zip(signature.features, nulls, strict=True)
    )


async def _timings(
    source: FeatureSource, ids: list[Id], moment: datetime | None, limits: _Limits
) -> tuple[Timing, ...]:
    timings: list[Timing] = []
    for wanted, repeats in _TIMED.items():
        some = ids[:wanted]
        if timings and timings[-1].ids == len(some):
            break
        times: list[float] = []
        while len(times) < repeats and sum(times) < limits.budget_s / 2:
            times.append(await _time(source, some, moment, limits.timeout_s))
        timings.append(Timing(len(some), 1000 * statistics.median(times)))
    return tuple(timings)


async def _time(source: FeatureSource, ids: list[Id], moment: datetime | None, timeout_s: float) -> float:
    begun = time.perf_counter()
    await source.fetch(ids, moment, deadline=Deadline.after(timeout_s))
    return time.perf_counter() - begun


async def _label(source: FeatureSource, label: LabelText, sampled: _Sampled, limits: _Limits) -> LabelCheck:
    moment = sampled.before.as_of
    ids = [key for key, is_eligible in zip(sampled.ids, sampled.before.eligible, strict=True) if is_eligible]

    async def run(count: int) -> LabelBatch:
        return await source.labels(label, ids[:count], moment, timeout_s=limits.timeout_s)

    asked = await ids_within_budget(len(ids), run, budget_s=limits.budget_s)
    labels = await run(asked)
    return LabelCheck(moment, asked, int(labels.known.sum()), int(labels.values.sum()))


async def _vacuum(connection: Connection, scan: Scan, timeout_s: float) -> list[str]:
    table = await find_table(connection, scan.sql, timeout_s=timeout_s)
    return [] if table is None else list(vacuum_advice(scan, table.rows))
