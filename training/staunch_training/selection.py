"""Fits candidates on the training side, picks and calibrates on validation, measures all on test."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from staunch_features.postgres.progress import Progress
from staunch_model_store.manifest import Compared, Metric
from staunch_training.calibrate import FittedCalibration, calibrate, log_losses
from staunch_training.dataset import Dataset
from staunch_training.evaluate import Evaluation, auc, evaluate
from staunch_training.learners import Learned, LearnerName, fit, logistic_regression, prevalence
from staunch_training.types import Floats

MARGINS: Mapping[str, float] = {"auc": 0.01, "log_loss": 0.002, "brier": 0.001}
"""Differences declared beforehand to be no difference: who is behind by less is not worse."""

FOLDS = 5
"""How many fits a view without dates is measured with, beside its test side."""

AUC_IN_FOLDS = f"auc_in_{FOLDS}_folds"
"""The metric of them."""


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A learner fitted on the training side.

    Attributes:
        learned: The fitted trees.
        validation_loss: Mean log loss on the validation side before calibration, which picks.
        calibration: Fitted on the validation side.
    """

    learned: Learned
    validation_loss: float
    calibration: FittedCalibration

    def probabilities(self, values: Floats) -> Floats:
        """The calibrated probabilities (n,) of rows (n, features), by the native library."""
        return self.calibration.probabilities(self.learned.outputs(values))


def fit_candidates(
    dataset: Dataset, names: Sequence[LearnerName], *, seed: int, progress: Progress
) -> list[Candidate]:
    """Fits and calibrates the named learners; the one with the lowest validation loss comes first."""
    candidates = []
    for done, name in enumerate(names):
        progress(f"fitting {name}", done / len(names))
        candidates.append(_fit_candidate(dataset, name, seed))
    return sorted(candidates, key=lambda candidate: candidate.validation_loss)


def _fit_candidate(dataset: Dataset, name: LearnerName, seed: int) -> Candidate:
    rows, validation = dataset.sides["train"], dataset.sides["validation"]
    learned = fit(name, rows.values, rows.labels, seed=seed)
    outputs = learned.outputs(validation.values)
    raw = FittedCalibration(learned.space).probabilities(outputs)
    return Candidate(
        learned,
        float(log_losses(validation.labels, raw).mean()),
        calibrate(outputs, validation.labels, validation.groups, learned.space),
    )


def measure(
    dataset: Dataset, candidates: Sequence[Candidate], *, resamples: int, seed: int
) -> dict[str, Evaluation]:
    """What each candidate, the logistic regression and the prevalence reach on the test side, by name."""
    rows, test = dataset.sides["train"], dataset.sides["test"]
    models: dict[str, Callable[[Floats], Floats]] = {
        **{candidate.learned.name: candidate.probabilities for candidate in candidates},
        "logistic_regression": logistic_regression(rows.values, rows.labels),
        "prevalence": prevalence(rows.labels),
    }
    return {
        name: evaluate(test.labels, predict(test.values), test.groups, resamples=resamples, seed=seed)
        for name, predict in models.items()
    }


def auc_in_folds(dataset: Dataset, name: LearnerName, *, seed: int) -> Metric | None:
    """The mean AUC of FOLDS fits, each measured on the customers that it left out.

    For views without dates only: there no row knows more than another, so all sides serve in turn. None if
    a fold, or what is left without it, knows one answer only: no AUC is known then, and no mean of them.
    """
    sides = dataset.sides.values()
    values = np.concatenate([rows.values for rows in sides])
    labels = np.concatenate([rows.labels for rows in sides])
    groups = np.concatenate([rows.groups for rows in sides])
    fold_of = np.random.default_rng(seed).permutation(int(groups.max()) + 1) % FOLDS
    left_out = [fold_of[groups] == fold for fold in range(FOLDS)]
    if not all(_knows_both(labels[side]) for out in left_out for side in (out, ~out)):
        return None
    reached = []
    for out in left_out:
        learned = fit(name, values[~out], labels[~out], seed=seed)
        reached.append(auc(labels[out], learned.outputs(values[out])))
    return Metric(name=AUC_IN_FOLDS, value=float(np.mean(reached)))


def _knows_both(labels: Floats) -> bool:
    return bool(0 < labels.sum() < len(labels))


def compare(picked: str, measured: Mapping[str, Evaluation], ceiling: float | None) -> tuple[Compared, ...]:
    """What the picked model was compared with, on the same rows: its metrics, and by how much it was beaten.

    `auc_gain` and so on say how much better the picked model is, paired by resample. `ceiling` is the AUC
    of the true hazard, known for the simulated world only.
    """
    compared = [
        Compared(name=name, metrics=(*other.metrics(), *_gains(measured[picked], other)))
        for name, other in measured.items()
        if name != picked
    ]
    if ceiling is not None:
        compared.append(Compared(name="true_hazard", metrics=(Metric(name="auc", value=ceiling),)))
    return tuple(compared)


def _gains(picked: Evaluation, other: Evaluation) -> list[Metric]:
    both = (name for name in MARGINS if name in picked.values and name in other.values)
    gains = {name: picked.gain_over(other, name) for name in both}
    return [
        Metric(name=f"{name}_gain", value=gain.value, lower=gain.lower, upper=gain.upper)
        for name, gain in gains.items()
    ]
