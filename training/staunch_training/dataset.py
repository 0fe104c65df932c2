"""Reads what training learns from: features and labels at several past moments, already on their sides.

The features come from the same text, through the same feature source, that serving uses.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from staunch_features.checks.notes import broken_promises
from staunch_features.postgres.deadlines import Deadline
from staunch_features.postgres.progress import Progress
from staunch_features.views.file import LabelText
from staunch_features.views.rules import FEWEST_ANSWERS, check_population
from staunch_features.views.source import FeatureSource
from staunch_features.views.types import Id, ViewSignature
from staunch_training.errors import BadFeatureValue, NotEnoughRows
from staunch_training.split import SIDES, DatePlan, Side, side_of
from staunch_training.types import Codes, Floats

_CHUNK = 10_000  # ids a statement


@dataclass(frozen=True, slots=True, eq=False)
class SideRows:
    """The rows of one side, by date and then in the population's order.

    Attributes:
        ids: Whose row it is, (n,); an id has one row a date.
        groups: Int64 (n,); rows of one person share a number, on all sides.
        dates: Int64 (n,); which of the side's as-of dates, 0 for a view without dates.
        values: Float64 (n, features); NaN is a null.
        labels: Float64 (n,) of 0 and 1.
    """

    ids: tuple[Id, ...]
    groups: Codes
    dates: Codes
    values: Floats
    labels: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """What the view is, the as-of dates (None for a view without dates), and the rows of each side."""

    signature: ViewSignature
    plan: DatePlan | None
    sides: Mapping[Side, SideRows]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractSettings:
    """How to read.

    Attributes:
        seed: Of the sample and of who is on which side.
        max_customers: A larger population is sampled to this size.
        timeout_s: How long one statement may take, in seconds.
        each_date: Whether what each date has is told.
    """

    seed: int
    max_customers: int
    timeout_s: float
    each_date: bool = True


async def extract(
    source: FeatureSource,
    label: LabelText,
    plan: DatePlan | None,
    settings: ExtractSettings,
    progress: Progress,
) -> Dataset:
    """Reads labels at every date first, puts each customer on one side, then reads that side's features.

    Rows that are not eligible, or whose label says nothing, are left out. What each date has is reported when
    all is read, if it is asked for.

    Args:
        source: Reads the view.
        label: What is to be foretold.
        plan: The as-of dates; None for a view without dates.
        settings: How to read.
        progress: Called with each stage and how much of it is done.

    Raises:
        BadFeatureValue: A feature is infinite or beyond float32, or null where the view says it never is; or
            `_eligible` is null.
        NotEnoughRows: A side has too few rows with or without the label.
        FeatureError: The view or the label is at fault, or the database is away.
    """
    signature = await source.signature(Deadline.after(settings.timeout_s))
    moments = {side: plan.dates(side) if plan else (None,) for side in SIDES}
    ids = await _population(source, signature.id_type, settings)
    extraction = _Extraction(source, label, moments, settings, progress)
    for moment in extraction.known:
        await extraction.read_labels(ids, moment)
    sides = {side: await extraction.rows(side) for side in SIDES}
    for side in SIDES if settings.each_date else ():
        for line in _report_lines(side, sides[side], moments[side]):
            progress(line, 1.0)
    for side in SIDES:
        _check_answers(side, sides[side], moments[side])
    return Dataset(signature, plan, sides)


class _Extraction:
    """One extraction under way: `known` holds the labels at each moment, `groups` who is behind each id."""

    def __init__(
        self,
        source: FeatureSource,
        label: LabelText,
        moments: Mapping[Side, Sequence[datetime | None]],
        settings: ExtractSettings,
        progress: Progress,
    ) -> None:
        self.known: dict[datetime | None, dict[Id, bool]] = {
            moment: {} for side in SIDES for moment in moments[side]
        }
        self.groups: dict[Id, str] = {}
        self._codes: dict[str, int] = {}
        self._source = source
        self._label = label
        self._moments = moments
        self._settings = settings
        self._progress = progress
        self._steps: Counter[str] = Counter()

    async def read_labels(self, ids: Sequence[Id], moment: datetime | None) -> None:
        """Reads the labels at one moment. What a later moment knows of who is one person holds for all."""
        self._step("reading labels", len(self.known))
        for chunk in _chunks(ids):
            batch = await self._source.labels(self._label, chunk, moment, timeout_s=self._settings.timeout_s)
            for row in np.flatnonzero(batch.known):
                self.known[moment][chunk[row]] = bool(batch.values[row])
                self.groups[chunk[row]] = batch.groups[row] or f"id {chunk[row]}"

    async def rows(self, side: Side) -> SideRows:
        """Reads the features of the customers on `side`, at the dates of `side`."""
        parts = [await self._rows_at(side, date) for date in range(len(self._moments[side]))]
        return SideRows(
            tuple(key for part in parts for key in part.ids),
            np.concatenate([part.groups for part in parts]),
            np.concatenate([part.dates for part in parts]),
            np.concatenate([part.values for part in parts]),
            np.concatenate([part.labels for part in parts]),
        )

    async def _rows_at(self, side: Side, date: int) -> SideRows:
        moment, timeout_s = self._moments[side][date], self._settings.timeout_s
        self._step("reading features", sum(map(len, self._moments.values())))
        ids = [key for key in self.known[moment] if side_of(self.groups[key], self._settings.seed) == side]
        kept: list[Id] = []
        signature = await self._source.signature(Deadline.after(timeout_s))
        values = [np.empty((0, len(signature.features)))]
        for chunk in _chunks(ids):
            batch = await self._source.fetch(chunk, moment, deadline=Deadline.after(timeout_s))
            for broken in broken_promises(self._source.view, batch, chunk):
                raise BadFeatureValue(str(broken)) from broken
            kept += [chunk[row] for row in np.flatnonzero(batch.eligible)]
            values.append(batch.values[batch.eligible])
        return SideRows(
            tuple(kept),
            np.array([self._code(key) for key in kept], dtype=np.int64),
            np.full(len(kept), date, dtype=np.int64),
            np.concatenate(values),
            np.array([self.known[moment][key] for key in kept], dtype=np.float64),
        )

    def _code(self, key: Id) -> int:
        return self._codes.setdefault(self.groups[key], len(self._codes))

    def _step(self, stage: str, steps: int) -> None:
        self._steps[stage] += 1
        self._progress(stage, self._steps[stage] / steps)


async def _population(source: FeatureSource, id_type: str, settings: ExtractSettings) -> list[Id]:
    ids = [key async for chunk in source.population(_CHUNK) for key in chunk]
    check_population(source.view, id_type, ids)
    if not ids:
        raise NotEnoughRows(
            f"expected the population of view {source.view.name} to list ids, got none: see that its SQL "
            "names the right table and that the table is filled"
        )
    if len(ids) <= settings.max_customers:
        return ids
    kept = np.random.default_rng(settings.seed).choice(len(ids), settings.max_customers, replace=False)
    return [ids[place] for place in np.sort(kept)]


def _chunks(ids: Sequence[Id]) -> Iterator[list[Id]]:
    for start in range(0, len(ids), _CHUNK):
        yield list(ids[start : start + _CHUNK])


def _as_of(moment: datetime | None) -> str:
    return f" as of {moment:%Y-%m-%d}" if moment else ""


def _report_lines(side: Side, rows: SideRows, moments: Sequence[datetime | None]) -> Iterator[str]:
    """How many rows each date of a side has, and for how many of them the label is true."""
    for date, moment in enumerate(moments):
        labels = rows.labels[rows.dates == date]
        true = f"{int(labels.sum()):,}" + (f", {labels.mean():.1%}" if len(labels) else "")
        yield f"{side}{_as_of(moment)}: {len(labels):,} rows, label true for {true}"


def _check_answers(side: Side, rows: SideRows, moments: Sequence[datetime | None]) -> None:
    positives = int(rows.labels.sum())
    negatives = len(rows.ids) - positives
    if min(positives, negatives) >= FEWEST_ANSWERS:
        return
    advice = "take more customers" + (" or dates, or a longer horizon" if moments[0] else "")
    if not positives or not negatives:
        none = "returns rows, that some ids are eligible, and that not all rows have the same _group"
        wrong = "can be both true and false" if rows.ids else none
        until = "; if the data end before today, say so with --until DATE" if moments[0] else ""
        advice = f"see that the label {wrong}{until}; or {advice}"
    when = _as_of(moments[0]) + (" and later" if len(moments) > 1 else "")
    raise NotEnoughRows(
        f"expected at least {FEWEST_ANSWERS} {side} rows with the label and {FEWEST_ANSWERS} without{when}, "
        f"got {positives} and {negatives}: {advice}"
    )
