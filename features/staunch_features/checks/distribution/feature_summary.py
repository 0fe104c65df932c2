"""How one feature of a view is spread over rows, and how the label goes with it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from staunch_features.views.feature_doc import FeatureDoc
from staunch_features.views.types import FeatureColumn

_SPREAD_BINS = 10
_TREND_BINS = 5
_CLIPPED = (0.01, 0.99)  # the far ends would squeeze all the rest into one bar
_MOST_BARS = 15  # values that a picture shows one by one
_MOST_STEPS = 24  # of a histogram
_FAR = 20  # medians: a 99th percentile beyond so many asks for a logarithmic scale
_PRIOR_ROWS = 10  # as many rows of the average are added to each group before groups are put in order


@dataclass(frozen=True, slots=True)
class Bar:
    """The rows of one value of a feature that has few.

    Attributes:
        value: The value; None for all the other ones together.
        rows: How many rows hold it.
        trend: The share of true labels among them; None without a label.
    """

    value: float | None
    rows: int
    trend: float | None


@dataclass(frozen=True, slots=True)
class Histogram:
    """The rows of a feature that has many values, in steps.

    Attributes:
        edges: Where the steps begin, and where the last one ends; of whole numbers halfway between two.
        rows: The rows in each step; what lies beyond the edges counts for the outermost.
        is_log: Whether each step is so many times as wide as the one before: where few values are so large
            that all the others would be one bar.
    """

    edges: tuple[float, ...] = ()
    rows: tuple[int, ...] = ()
    is_log: bool = False


@dataclass(frozen=True, slots=True)
class FeatureSummary:
    """One feature over the sampled rows.

    Attributes:
        column: The feature.
        doc: What its view says of it.
        nulls: The share of rows that hold null, 0 to 1.
        quantiles: Least, 10th, 50th and 90th percentile and greatest value; empty if all are null.
        limits: The 1st and the 99th percentile; empty likewise.
        spread: Rows in ten bins of equal width between the limits, what lies beyond in the outermost;
            empty likewise.
        trend: The share of true labels in up to five bins of about as many rows each, from the least
            values to the greatest; empty without a label.
        centres: The mean value in each of these bins.
        sizes: The rows in each of them; few where most values are equal.
        null_trend: The share of true labels among the nulls; None without a label or without nulls.
        null_rows: The rows that hold null.
        bars: The values one by one, ascending, if there are few or if they are coded; else empty.
        histogram: The same of a feature of many values; empty where `bars` are not.
        strength: How often, of a row whose label is true and one whose label is false, this feature alone
            tells which is which: an AUC from 0.5, which is a coin, to 1. None where nothing can be told.
    """

    column: FeatureColumn
    doc: FeatureDoc
    nulls: float
    quantiles: tuple[float, ...]
    limits: tuple[float, ...]
    spread: tuple[int, ...]
    trend: tuple[float, ...]
    centres: tuple[float, ...]
    sizes: tuple[int, ...]
    null_trend: float | None
    null_rows: int = 0
    bars: tuple[Bar, ...] = ()
    histogram: Histogram = Histogram()
    strength: float | None = None


def summarise_feature(
    column: FeatureColumn, doc: FeatureDoc, values: NDArray[np.float64], truth: NDArray[np.bool_] | None
) -> FeatureSummary:
    """Sums one feature up.

    Args:
        column: The feature.
        doc: What its view says of it.
        values: Float64 (n,); NaN is null.
        truth: Bool (n,), the labels; None without any.
    """
    null = np.isnan(values)
    some = values[~null]
    if not len(some):  # there is nothing to count but the nulls
        all_true = float(truth.mean()) if truth is not None and len(truth) else None
        return FeatureSummary(column, doc, 1.0, (), (), (), (), (), (), all_true, len(values))
    low, high = np.quantile(some, _CLIPPED)
    trend, centres, sizes = _trend(some, truth[~null]) if truth is not None else ((), (), ())
    bars, groups = _bars(values, truth, is_coded=bool(doc.labels))
    return FeatureSummary(
        column=column,
        doc=doc,
        nulls=float(null.mean()),
        quantiles=tuple(np.quantile(some, [0, 0.1, 0.5, 0.9, 1]).tolist()),
        limits=(float(low), float(high)),
        spread=_spread(some, float(low), float(high)),
        trend=trend,
        centres=centres,
        sizes=sizes,
        null_trend=None if truth is None or not null.any() else float(truth[null].mean()),
        null_rows=int(null.sum()),
        bars=bars,
        histogram=Histogram() if bars else _histogram(some),
        strength=None if truth is None else _strength(groups, truth),
    )


def _spread(some: NDArray[np.float64], low: float, high: float) -> tuple[int, ...]:
    """Counts rows in ten equal steps; those of one value stand in the middle."""
    around = 0.5 if low == high else 0.0
    # Edges of our own: NumPy refuses to make some for values so large that a step is none, as 1e18.
    edges = np.linspace(low - around, high + around, _SPREAD_BINS + 1)
    return tuple(np.histogram(some.clip(low, high), bins=edges)[0].tolist())


def _bars(
    values: NDArray[np.float64], truth: NDArray[np.bool_] | None, *, is_coded: bool
) -> tuple[tuple[Bar, ...], NDArray[np.int64]]:
    """Returns the values one by one if they are few, and to which group of a picture each row belongs.

    Of codes that are many the most frequent ones are shown, and the rest together. The groups of a quantity
    of many values are those of its trend. Missing is a group of its own.
    """
    null = np.isnan(values)
    distinct, counts = np.unique(values[~null], return_counts=True)
    groups = np.zeros(len(values), np.int64)
    if len(distinct) > _MOST_BARS and not is_coded:
        groups[~null] = _bins(values[~null])[0] + 1
        return (), groups
    if len(distinct) > _MOST_BARS:
        distinct = np.sort(distinct[np.argsort(-counts, kind="stable")[: _MOST_BARS - 1]])
    place = np.searchsorted(distinct, values[~null]).clip(max=len(distinct) - 1)
    groups[~null] = np.where(distinct[place] == values[~null], place, len(distinct)) + 1
    rows = np.bincount(groups, minlength=len(distinct) + 1)
    true = None if truth is None else np.bincount(groups, weights=truth, minlength=len(rows))
    shown = [*distinct.tolist(), None][: len(rows) - 1]
    return tuple(
        Bar(value, int(rows[group]), None if true is None else float(true[group] / rows[group]))
        for group, value in enumerate(shown, start=1)
    ), groups


def _histogram(some: NDArray[np.float64]) -> Histogram:
    """Counts rows in steps between the clipped ends; where these are one value, between the real ones."""
    low, high = np.quantile(some, _CLIPPED)
    if low == high:
        low, high = some.min(), some.max()
    steps = min(_MOST_STEPS, max(5, int(len(some) ** 0.5)))
    is_log = bool(some.min() > 0 and high > _FAR * np.median(some))
    if is_log:
        edges = np.geomspace(low, high, steps + 1)
    elif (some == np.floor(some)).all():  # else a step may hold two whole numbers and its neighbour one
        width = max(1, np.ceil((high - low + 1) / steps))
        edges = np.floor(low) - 0.5 + width * np.arange(np.ceil((high - low + 1) / width) + 1)
    else:
        edges = np.linspace(low, high, steps + 1)
    rows = np.histogram(some.clip(edges[0], edges[-1]), bins=edges)[0]
    return Histogram(tuple(edges.tolist()), tuple(rows.tolist()), is_log)


def _strength(groups: NDArray[np.int64], truth: NDArray[np.bool_]) -> float | None:
    """Returns the AUC of groups that are put in order by one half of the rows and judged by the other.

    Put in order and judged by the same rows, even groups drawn by lot would seem to tell something.
    """
    found = []
    first = np.arange(len(truth)) % 2 == 0  # ids were drawn by a hash, so either half is a fair one
    for seen, judged in ((first, ~first), (~first, first)):
        rows, true = (
            np.bincount(groups[seen], weights, len(groups) and groups.max() + 1)
            for weights in (None, truth[seen])
        )
        hits, misses = (np.bincount(groups[judged & side], minlength=len(rows)) for side in (truth, ~truth))
        if not true.any() or not hits.any() or not misses.any():
            return None
        share = (true + _PRIOR_ROWS * true.sum() / rows.sum()) / (rows + _PRIOR_ROWS)
        above = (share[:, None] > share) + 0.5 * (share[:, None] == share)
        found.append(hits @ above @ misses / (hits.sum() * misses.sum()))
    return max(0.5, float(np.mean(found)))


def _trend(
    values: NDArray[np.float64], truth: NDArray[np.bool_]
) -> tuple[tuple[float, ...], tuple[float, ...], tuple[int, ...]]:
    """Returns of each bin the true labels' share, the mean value and the rows; equal values stay together."""
    bins, many = _bins(values)
    counts = np.bincount(bins, minlength=many)
    true = np.bincount(bins, weights=truth, minlength=many)
    means = np.bincount(bins, weights=values, minlength=many) / counts
    return (
        tuple((true / counts).tolist()),
        tuple(means.tolist()),
        tuple(counts.tolist()),
    )


def _bins(values: NDArray[np.float64]) -> tuple[NDArray[np.int64], int]:
    """Returns the bin of each value, of about as many rows each as equal values allow; and how many."""
    shares = np.arange(1, _TREND_BINS + 1) / _TREND_BINS
    edges = np.unique(np.quantile(values, shares, method="inverted_cdf"))
    return np.searchsorted(edges, values), len(edges)
