"""Measures probabilities on held-out rows, with 95 % bootstrap intervals that resample customers, not rows.

A customer appears at several as-of dates, so rows are not independent; resampling whole customers keeps
what they share. Two models measured with the same seed see the same resamples, which pairs them.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from staunch_model_store.manifest import Metric
from staunch_training.calibrate import fit_logistic, log_losses
from staunch_training.types import Codes, Floats

# Larger is better, but for log_loss and brier; a calibration slope is best at 1.
METRICS = ("auc", "log_loss", "brier", "average_precision", "lift_at_10_percent", "calibration_slope")
_SMALLER_IS_BETTER = frozenset({"log_loss", "brier"})

_TOP_SHARE = 0.10  # of the rows, for the lift: what a campaign can usually reach
_INTERVAL = (2.5, 97.5)  # percentiles

CELLS_PER_BLOCK = 2_000_000
"""Resamples x rows held at a time: 16 MB an array."""


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """What one model reaches on some rows: each metric's value, and its draws (resamples,)."""

    values: dict[str, float]
    draws: dict[str, Floats]

    def metrics(self) -> tuple[Metric, ...]:
        """Every metric with its interval, in the order of METRICS."""
        return tuple(_metric(name, value, self.draws[name]) for name, value in self.values.items())

    def gain_over(self, other: "Evaluation", metric: str) -> Metric:
        """By how much this model beats `other` on the same rows and resamples; negative when it is worse."""
        sign = -1.0 if metric in _SMALLER_IS_BETTER else 1.0
        value = sign * (self.values[metric] - other.values[metric])
        return _metric(metric, value, sign * (self.draws[metric] - other.draws[metric]))


def evaluate(
    labels: Floats,
    probabilities: Floats,
    groups: Codes,
    *,
    resamples: int = 500,
    seed: int = 0,
    cells_per_block: int = CELLS_PER_BLOCK,
) -> Evaluation:
    """Measures probabilities on rows, and how sure that is by resampling the rows' groups.

    Args:
        labels: Float64 (n,) of 0 and 1.
        probabilities: Float64 (n,).
        groups: Int64 (n,); rows of one person share a number.
        resamples: How many times the groups are drawn again.
        seed: Of the resamples; two models measured with the same one see the same.
        cells_per_block: How many resamples times rows are held at a time; the measures do not depend on it.
    """
    ranked_rows = _RankedRows.of(labels, probabilities)
    values = ranked_rows.metrics(np.ones((1, len(labels))))
    draws = [ranked_rows.metrics(weights) for weights in _weights(groups, resamples, seed, cells_per_block)]
    # What cannot be measured (the slope of a constant, the AUC of one answer) is left out, never given as
    # NaN.
    known = [name for name in METRICS if np.isfinite(values[name][0])]
    return Evaluation(
        {name: float(values[name][0]) for name in known},
        {name: np.concatenate([draw[name] for draw in draws]) for name in known},
    )


def auc(labels: Floats, scores: Floats) -> float:
    """The area under the ROC curve, ties counted half; NaN if one answer is missing."""
    return float(_RankedRows.of(labels, scores).auc(np.ones((1, len(labels))))[0])


def _metric(name: str, value: float, draws: Floats) -> Metric:
    known = draws[np.isfinite(draws)]
    if not len(known):
        return Metric(name=name, value=value)
    lower, upper = np.percentile(known, _INTERVAL)
    return Metric(name=name, value=value, lower=float(lower), upper=float(upper))


def _weights(groups: Codes, resamples: int, seed: int, cells_per_block: int) -> Iterator[Floats]:
    """Blocks (m, n) of how often each row is drawn; the groups of one resample are drawn with replacement."""
    codes = np.unique(groups, return_inverse=True)[1]
    count = int(codes.max()) + 1
    rng = np.random.default_rng(seed)
    block = max(1, cells_per_block // max(len(codes), count))
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        drawn = rng.multinomial(count, np.full(count, 1 / count), size=size)
        yield drawn[:, codes].astype(np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class _RankedRows:
    """Rows sorted by falling probability, once, so that a resample is only another set of weights."""

    order: npt.NDArray[np.intp]
    labels: Floats  # sorted
    probabilities: Floats  # sorted
    starts: npt.NDArray[np.intp]  # where each run of equal probabilities begins

    @classmethod
    def of(cls, labels: Floats, probabilities: Floats) -> "_RankedRows":
        order = np.argsort(-probabilities, kind="stable")
        ranked = probabilities[order]
        starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
        return cls(order, labels[order].astype(np.float64), ranked, starts)

    def metrics(self, weights: Floats) -> dict[str, Floats]:
        """Every metric of METRICS, each (m,), for weights (m, n) in the rows' own order."""
        sorted_weights = weights[:, self.order]
        total = sorted_weights.sum(axis=1)
        losses = log_losses(self.labels, self.probabilities)
        return {
            "auc": self.auc(weights),
            "log_loss": sorted_weights @ losses / total,
            "brier": sorted_weights @ np.square(self.probabilities - self.labels) / total,
            "average_precision": self._average_precision(sorted_weights),
            "lift_at_10_percent": self._lift(sorted_weights),
            "calibration_slope": self._calibration_slope(sorted_weights),
        }

    def auc(self, weights: Floats) -> Floats:
        positives, negatives = self._runs(weights[:, self.order])
        all_positives, all_negatives = positives.sum(axis=1), negatives.sum(axis=1)
        ranked_below = all_negatives[:, None] - negatives.cumsum(axis=1) + negatives / 2
        return _ratio((positives * ranked_below).sum(axis=1), all_positives * all_negatives)

    def _average_precision(self, weights: Floats) -> Floats:
        """The mean of the precision at each positive, as scikit-learn's average_precision_score."""
        positives, negatives = self._runs(weights)
        found = positives.cumsum(axis=1)
        precision = _ratio(found, found + negatives.cumsum(axis=1), undefined=0.0)
        return _ratio((positives * precision).sum(axis=1), positives.sum(axis=1))

    def _lift(self, weights: Floats) -> Floats:
        """The rate of positives in the top tenth over the rate in all; a run on the border counts in part."""
        positives, negatives = self._runs(weights)
        rows = positives + negatives
        total = rows.sum(axis=1)
        top = _TOP_SHARE * total
        room = top[:, None] - (rows.cumsum(axis=1) - rows)
        share = np.clip(_ratio(room, rows, undefined=0.0), 0.0, 1.0)
        return _ratio((positives * share).sum(axis=1) / top, positives.sum(axis=1) / total)

    def _calibration_slope(self, weights: Floats) -> Floats:
        """The slope of the answer's log-odds on the predicted log-odds: below 1 means too sure of itself."""
        kept = np.clip(self.probabilities, 1e-6, 1 - 1e-6)
        if len(self.starts) == 1:
            return np.full(len(weights), np.nan)
        return fit_logistic(np.log(kept / (1 - kept)), self.labels, weights)[0]

    def _runs(self, weights: Floats) -> tuple[Floats, Floats]:
        """The weight of positives and of negatives in each run of equal probabilities, both (m, runs)."""
        positives = np.add.reduceat(weights * self.labels, self.starts, axis=1)
        negatives = np.add.reduceat(weights * (1 - self.labels), self.starts, axis=1)
        return positives, negatives


def _ratio(above: Floats, below: Floats, undefined: float = np.nan) -> Floats:
    return np.divide(above, below, out=np.full_like(above, undefined), where=below > 0)
