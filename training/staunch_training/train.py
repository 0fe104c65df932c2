"""Trains a model for a view and publishes it: `train` is all that `staunch train` does.

Run it with OMP_NUM_THREADS=1: everything here uses one thread, and idle ones of OpenMP only disturb it.
"""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TypeAlias

import numpy as np

from staunch_features.checks.budget import draw_in_time, ids_to_try_often
from staunch_features.checks.data_span import data_span
from staunch_features.checks.index_advice import index_advice
from staunch_features.checks.look_ahead import probe_tables
from staunch_features.checks.notes import look_ahead_errors
from staunch_features.checks.row_security import refuse_hidden, secured_tables
from staunch_features.postgres.deadlines import Deadline
from staunch_features.postgres.pool import Database
from staunch_features.postgres.progress import Progress
from staunch_features.views.feature_doc import heading
from staunch_features.views.file import FeatureView, LabelText
from staunch_features.views.signature import check_horizon
from staunch_features.views.source import FeatureSource
from staunch_model_store.manifest import Compared, DataSplit, Metric
from staunch_model_store.reference import CHAMPION
from staunch_model_store.store import ModelStore, StoredVersion
from staunch_training.costs import Costs
from staunch_training.dataset import Dataset, ExtractSettings, extract
from staunch_training.errors import TrainingError
from staunch_training.leaks import feature_aucs, refuse_leaks
from staunch_training.learners import LEARNERS, LearnerName
from staunch_training.publish import Release, point_alias, publish
from staunch_training.selection import (
    AUC_IN_FOLDS,
    FOLDS,
    Candidate,
    auc_in_folds,
    compare,
    fit_candidates,
    measure,
)
from staunch_training.split import SIDES, DateCounts, DatePlan, begin_after, outcome, plan_dates

Ceiling: TypeAlias = Callable[[datetime, int], Awaitable[float]]
"""Tells the AUC of the true hazard at an as-of time over a horizon in days; a simulated world knows it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainSettings:
    """How to train.

    Attributes:
        name: The model's name; the view's if None.
        until: Where the rows end, so that no outcome window reaches beyond; now if None.
        dates: How many as-of dates each side gets.
        learner: The only one to fit; if None all are and the lower log loss on validation picks.
        seed: Of every draw.
        max_customers: A larger population is sampled to this size.
        timeout_s: How long one statement may take, in seconds.
        leak_limit: The AUC from which a single feature is refused.
        allow_leaks: Features that are never refused.
        costs: What the thresholds of the risk bands follow from.
        resamples: Of the bootstrap, for each interval.
        alias: Pointed at the new version if it points nowhere yet.
        move_alias: Points the alias at the new version wherever it points now.
        ceiling: Asks for the best AUC that any model can reach; None where nobody knows it.
        each_date: Whether each as-of date is told, and what rows it has; else how many they are.
    """

    name: str | None = None
    until: datetime | None = None
    dates: DateCounts = field(default_factory=DateCounts)
    learner: LearnerName | None = None
    seed: int = 42
    max_customers: int = 50_000
    timeout_s: float = 600.0
    leak_limit: float = 0.90
    allow_leaks: frozenset[str] = frozenset()
    costs: Costs = field(default_factory=Costs)
    resamples: int = 500
    alias: str = CHAMPION
    move_alias: bool = False
    ceiling: Ceiling | None = None
    each_date: bool = True


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class TrainReport:
    """What a training did; `str()` tells it in a few lines.

    Attributes:
        stored: The version published.
        alias: The alias that now points at it, None if it points elsewhere.
        plan: The as-of dates of each side, None for a view without dates.
        validation_losses: Mean log loss on validation of each learner, the picked one first.
        feature_aucs: The AUC of each feature alone, out of time where there are dates; highest first.
        view: What says how people call the features.
        seconds: How long it all took.
    """

    stored: StoredVersion
    alias: str | None
    plan: DatePlan | None
    validation_losses: Mapping[str, float]
    feature_aucs: Mapping[str, float]
    view: FeatureView
    seconds: float

    def __str__(self) -> str:
        manifest = self.stored.manifest
        moved = f"now {self.alias}" if self.alias else "no alias moved"
        losses = ", ".join(f"{name} {loss:.4f}" for name, loss in self.validation_losses.items())
        strongest = {
            heading(name, self.view.features[name]): auc for name, auc in list(self.feature_aucs.items())[:3]
        }
        lines = (
            f"{manifest.name}@{manifest.version} published in {self.seconds:.0f} s, {moved}",
            *map(_split_line, manifest.training.splits),
            f"picked {manifest.training.learner} by log loss on validation: {losses}",
            *(_metric_line(metric) for metric in manifest.metrics),
            *self._not_measured(),
            *(_compared_line(other) for other in manifest.compared),
            f"strongest features alone: {_figures(strongest)}",
        )
        return "\n".join(lines)

    def _not_measured(self) -> tuple[str, ...]:
        """Says that the folds have no AUC, if they have none."""
        measured = {metric.name for metric in self.stored.manifest.metrics}
        if self.plan is not None or AUC_IN_FOLDS in measured:
            return ()
        return (
            f"{AUC_IN_FOLDS} not measured: of {FOLDS} parts of the customers, one knows one answer only; "
            "the figures above rest on few rows, so take more",
        )


async def train(
    reader_url: str,
    view: FeatureView,
    label: LabelText,
    store: ModelStore,
    settings: TrainSettings,
    progress: Progress,
) -> TrainReport:
    """Reads past rows by the view's own text, fits, picks, calibrates, measures and publishes a version.

    Args:
        reader_url: The database, as the role that can read and nothing else.
        view: The feature view.
        label: What is to be foretold.
        store: Where to publish.
        settings: How.
        progress: Told each stage and how much of it is done, and the dates as stages of their own.

    Raises:
        TrainingError: Too few rows, a feature that knows the answer, an infinite value, costs without bands,
            a statement that takes too long.
        FeatureError: The view or the label is at fault, or the database is away.
        ModelStoreError: The model's name is invalid, or the export failed its own golden rows.
    """
    started = time.monotonic()
    settings.costs.thresholds()  # wrong costs should not show after a minute of work
    dataset = await _read(reader_url, view, label, settings, progress)
    aucs = _check_leaks(view, dataset, settings, progress)
    learners = (settings.learner,) if settings.learner else LEARNERS
    candidates = fit_candidates(dataset, learners, seed=settings.seed, progress=progress)
    progress("measuring", 0.0)
    metrics, compared = _measure(dataset, candidates, settings, await _ceiling(dataset, settings))
    progress("publishing", 0.0)
    release = Release(
        name=settings.name or view.name,
        view=view,
        label=label,
        dataset=dataset,
        candidate=candidates[0],
        metrics=metrics,
        compared=compared,
        costs=settings.costs,
        seed=settings.seed,
    )
    stored = publish(store, release)
    return TrainReport(
        stored=stored,
        alias=_point_alias(store, stored, settings),
        plan=dataset.plan,
        validation_losses={each.learned.name: each.validation_loss for each in candidates},
        feature_aucs=aucs,
        view=view,
        seconds=time.monotonic() - started,
    )


async def _read(
    reader_url: str, view: FeatureView, label: LabelText, settings: TrainSettings, progress: Progress
) -> Dataset:
    """Plans the dates, tells them, and reads the rows."""
    database, slow = Database(reader_url, size=1), tuple[str, ...]()
    try:
        source = FeatureSource(database, view)
        signature = await source.signature(Deadline.after(settings.timeout_s))
        check_horizon(signature, label)
        # Before anything runs: what is named here explains a long wait, and why it ended.
        slow = await index_advice(database, view, signature, label, timeout_s=settings.timeout_s)
        secured = await secured_tables(database, view, signature, label, timeout_s=settings.timeout_s)
        refuse_hidden(secured)
        plan = None
        if signature.uses_as_of:
            plan, lines = await _plan(database, view, label, settings)
            for line in lines:
                progress(line, 1.0)
        for note in (*slow, *(each.advice() for each in secured)):
            progress(f"advice: {note}", 1.0)
        if plan is not None:
            await _refuse_look_ahead(database, view, settings)
        how = ExtractSettings(
            seed=settings.seed,
            max_customers=settings.max_customers,
            timeout_s=settings.timeout_s,
            each_date=settings.each_date,
        )
        return await extract(source, label, plan, how, progress)
    except TimeoutError as error:
        limit = f"{settings.timeout_s:g} s"
        raise TrainingError(
            f"{view.file} or {label.file}: expected every statement to answer within {limit}, "
            f"got no answer; {'; '.join(slow) or f'`staunch view check {view.name}` says what it reads'}"
        ) from error
    finally:
        await database.close()


async def _refuse_look_ahead(database: Database, view: FeatureView, settings: TrainSettings) -> None:
    """Refuses features that see what came after their moment, as `view check` does, but for those allowed."""
    now = datetime.now(UTC)
    ids, drawn = await draw_in_time(database, view, now, timeout_s=settings.timeout_s)
    found = await probe_tables(
        database,
        view,
        ids_to_try_often(ids, drawn),
        timeout_s=settings.timeout_s,
        now=max(settings.until or now, now),
    )
    for probe in found.probes:
        changed = tuple(name for name in probe.changed if name not in settings.allow_leaks)
        for error in look_ahead_errors(view, (replace(probe, changed=changed),)):
            raise error


async def _plan(
    database: Database, view: FeatureView, label: LabelText, settings: TrainSettings
) -> tuple[DatePlan, list[str]]:
    """The as-of dates, and lines to tell: where the rows end, what is observed, the outcomes, warnings."""
    now = datetime.now(UTC)
    until = settings.until or now
    plan = plan_dates(until, gap_days=label.gap_days, horizon_days=label.horizon_days, counts=settings.dates)
    span, notes = await data_span(database, view, max(until, now)), list[str]()
    found = ""
    if span is not None:
        found = (
            f"; rows found from {span.first:%Y-%m-%d} to {span.last:%Y-%m-%d} by [time_columns], "
            "the columns that say since when a row is known"
        )
        plan, notes = begin_after(plan, span.first, label.observation_days)
        closes = plan.test[-1] + outcome(label.gap_days, label.horizon_days)
        if span.ends_before(closes, label):
            notes.append(f"warning: {span.outcome_warning(closes)}: train with --until {span.next_day()}")
    lines = [
        f"rows end: {until.astimezone(UTC):%Y-%m-%d %H:%M} UTC{found}",
        f"observed: {label.observation_days} days before each date",
        *plan.lines(each_date=settings.each_date),
    ]
    return plan, [*lines, *notes]


def _check_leaks(
    view: FeatureView, dataset: Dataset, settings: TrainSettings, progress: Progress
) -> dict[str, float]:
    """Measures each feature alone, on the customers and dates of validation and test together."""
    progress("looking for leaks", 0.0)
    names = [column.name for column in dataset.signature.features]
    rows, validation, test = (dataset.sides[side] for side in SIDES)
    aucs = feature_aucs(
        names,
        rows.values,
        rows.labels,
        np.concatenate([validation.values, test.values]),
        np.concatenate([validation.labels, test.labels]),
    )
    dated = dataset.plan is not None
    headings = {name: heading(name, view.features[name]) for name in names}
    refuse_leaks(aucs, headings, limit=settings.leak_limit, allowed=settings.allow_leaks, dated=dated)
    return aucs


def _measure(
    dataset: Dataset, candidates: Sequence[Candidate], settings: TrainSettings, ceiling: float | None
) -> tuple[tuple[Metric, ...], tuple[Compared, ...]]:
    """The metrics of the first candidate, which was picked, and what it was compared with."""
    measured = measure(dataset, candidates, resamples=settings.resamples, seed=settings.seed)
    picked = candidates[0].learned.name
    metrics = measured[picked].metrics()
    if dataset.plan is None and (in_folds := auc_in_folds(dataset, picked, seed=settings.seed)):
        metrics += (in_folds,)
    return metrics, compare(picked, measured, ceiling)


def _point_alias(store: ModelStore, stored: StoredVersion, settings: TrainSettings) -> str | None:
    name, version = stored.manifest.name, stored.manifest.version
    pointed = point_alias(store, name, settings.alias, version, move=settings.move_alias)
    return settings.alias if pointed else None


async def _ceiling(dataset: Dataset, settings: TrainSettings) -> float | None:
    """The mean of the true hazard's AUC over the test dates."""
    if settings.ceiling is None or dataset.plan is None:
        return None
    plan = dataset.plan
    reached = [await settings.ceiling(date, plan.horizon_days) for date in plan.test]
    return sum(reached) / len(reached)


def _split_line(split: DataSplit) -> str:
    dates = f"{len(split.as_of_times)} dates, " if split.as_of_times else ""
    return f"{split.name}: {dates}{split.rows:,} rows, label true for {split.positives:,}"


def _metric_line(metric: Metric) -> str:
    interval = "" if metric.lower is None else f" ({metric.lower:.4f} to {metric.upper:.4f})"
    return f"test {metric.name} {metric.value:.4f}{interval}"


def _compared_line(other: Compared) -> str:
    figures = {metric.name: metric.value for metric in other.metrics}
    shown = _figures({name: figures[name] for name in ("auc", "log_loss") if name in figures})
    meaning = _COMPARED.get(other.name)
    return f"{other.name}: {shown}" + (f" ({meaning})" if meaning else "")


_COMPARED = {
    "logistic_regression": "a plain model on the same rows",
    "prevalence": "the share of true labels, said of everybody",
    "true_hazard": "the chances that the simulated world drew from; no model can do better",
}
"""What it is that a model was compared with, for who reads its name for the first time."""


def _figures(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4f}" for name, value in values.items())
