"""Platt calibration: log-odds = a·f + b in the trees' own output f.

Affine, so that contributions stay exact (a·φ), and monotone while a > 0, so that ranking stays as it was.
J. Platt, "Probabilistic outputs for support vector machines", 1999; the targets by Lin, Lin and Weng, 2007.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from staunch_training.types import Floats, Space

_NEWTON_STEPS = 30
_NEWTON_TOLERANCE = 1e-10
# Keeps the two-by-two system solvable when the scores separate the answers; far below any real curvature.
_RIDGE = 1e-9


@dataclass(frozen=True, slots=True)
class FittedCalibration:
    """How the trees' output f becomes a margin a·f + b and a probability.

    In LOG_ODDS the probability is the sigmoid of the margin; in PROBABILITY the margin is the probability,
    cut to [0, 1], and a = 1, b = 0.
    """

    space: Space
    a: float = 1.0
    b: float = 0.0

    def margins(self, outputs: Floats) -> Floats:
        """The margins (n,) of the trees' outputs (n,)."""
        return self.a * outputs + self.b

    def probabilities(self, outputs: Floats) -> Floats:
        """The probabilities (n,) of the trees' outputs (n,)."""
        margins = self.margins(outputs)
        return sigmoid(margins) if self.space == "LOG_ODDS" else np.clip(margins, 0.0, 1.0)


def sigmoid(margins: Floats) -> Floats:
    """1 / (1 + e^-x) without overflow, for any shape."""
    small = np.exp(-np.abs(margins))
    return np.asarray(np.where(margins >= 0, 1.0, small) / (1.0 + small))


def log_losses(labels: Floats, probabilities: Floats) -> Floats:
    """The log loss in nats of each row (n,); probabilities are kept 1e-15 away from 0 and 1."""
    kept = np.clip(probabilities, 1e-15, 1 - 1e-15)
    return np.asarray(-np.where(labels > 0.5, np.log(kept), np.log1p(-kept)))


def calibrate(
    outputs: Floats, labels: Floats, groups: npt.NDArray[np.int64], native: Space
) -> FittedCalibration:
    """Fits Platt on validation rows: outputs (n,), labels (n,) of 0 and 1, groups (n,).

    Boosted trees (native LOG_ODDS) are always calibrated. A forest already answers in probabilities,
    averaged over leaves, and keeps them (PROBABILITY) unless Platt has the lower log loss on customers that
    it was not fitted on. A slope that is not positive would turn the ranking round: then the outputs stay
    as they are.
    """
    platt = fit_platt(outputs, labels)
    if platt.a <= 0 or (native == "PROBABILITY" and not _platt_helps(outputs, labels, groups)):
        return FittedCalibration(native)
    return platt


def fit_platt(outputs: Floats, labels: Floats) -> FittedCalibration:
    """Platt's a and b for outputs (n,) and labels (n,) of 0 and 1, in LOG_ODDS."""
    positives = float(labels.sum())
    negatives = len(labels) - positives
    targets = np.where(labels > 0.5, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    a, b = fit_logistic(outputs, targets, np.ones((1, len(labels))))
    return FittedCalibration("LOG_ODDS", float(a[0]), float(b[0]))


def _platt_helps(outputs: Floats, labels: Floats, groups: npt.NDArray[np.int64]) -> bool:
    """Whether Platt fitted on one half of the groups lowers the log loss of the other half."""
    even = groups % 2 == 0
    if min(labels[even].sum(), labels[~even].sum()) < 1:
        return False
    fitted = np.empty_like(outputs)
    for half in (even, ~even):
        fitted[half] = fit_platt(outputs[~half], labels[~half]).probabilities(outputs[half])
    return bool(log_losses(labels, fitted).sum() < log_losses(labels, outputs).sum())


def fit_logistic(scores: Floats, targets: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Slopes and intercepts (m,) of m weighted logistic regressions of targets (n,) on one score (n,).

    `weights` is (m, n), one regression a row; targets lie in [0, 1]. Newton's method on standardized scores.
    A score that never varies gets slope 0.
    """
    centre, scale = scores.mean(), scores.std()
    if scale == 0:
        scale = 1.0
    z = (scores - centre) / scale
    total = weights.sum(axis=1)
    rate = np.clip(weights @ targets / total, 1e-9, 1 - 1e-9)
    slope, intercept = np.zeros_like(rate), np.log(rate / (1 - rate))
    for _ in range(_NEWTON_STEPS):
        step_a, step_b = _newton_step(z, targets, weights, slope, intercept)
        slope, intercept = slope + step_a, intercept + step_b
        if max(np.abs(step_a).max(), np.abs(step_b).max()) < _NEWTON_TOLERANCE:
            break
    return slope / scale, intercept - slope * centre / scale


def _newton_step(
    z: Floats, targets: Floats, weights: Floats, slope: Floats, intercept: Floats
) -> tuple[Floats, Floats]:
    """One Newton step of each regression, at most 2 in the standardized slope and intercept."""
    p = sigmoid(slope[:, None] * z + intercept[:, None])
    residual, curvature = weights * (targets - p), weights * p * (1 - p)
    g_a, g_b = residual @ z, residual.sum(axis=1)
    ridge = _RIDGE * weights.sum(axis=1)
    h_aa, h_ab, h_bb = curvature @ (z * z) + ridge, curvature @ z, curvature.sum(axis=1) + ridge
    determinant = h_aa * h_bb - h_ab * h_ab
    step_a = (h_bb * g_a - h_ab * g_b) / determinant
    step_b = (h_aa * g_b - h_ab * g_a) / determinant
    return np.clip(step_a, -2, 2), np.clip(step_b, -2, 2)
