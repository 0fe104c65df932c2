"""Learners fitted on rows with missing values, rows that are hard for trees, and versions made of them."""

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import xgboost
from sklearn.ensemble import RandomForestClassifier

from staunch_model_store import manifest as written
from staunch_training import golden
from staunch_training.onnx import explainer as onnx_explainer
from staunch_training.onnx import model as onnx_model
from staunch_training.trees import TreeEnsemble
from staunch_training.types import Floats

with warnings.catch_warnings():
    warnings.simplefilter(
        "ignore"
    )  # matplotlib announces a change of its own when shap draws its colour maps
    import shap

FEATURES = 9


@dataclass(frozen=True)
class Fitted:
    """A native model, our trees of it, and what the native library answers for rows (n, features)."""

    native: Any
    trees: TreeEnsemble
    space: written.OutputSpace
    outputs: Callable[[Floats], Floats]
    precision: float  # of the native library's sums


@cache
def training_rows() -> tuple[Floats, Floats]:
    """1,500 rows of whole numbers, wide and narrow ones, a tenth missing, and their labels."""
    rng = np.random.default_rng(7)
    rows = rng.normal(size=(1500, FEATURES))
    rows[:, ::3] = np.round(rows[:, ::3] * 3)
    rows[:, 1] *= 1e5
    labels = (rows[:, 0] + rows[:, 1] / 1e5 * rows[:, 2] + rng.normal(size=1500) > 1).astype(np.float64)
    rows[rng.random(rows.shape) < 0.1] = np.nan
    return rows, labels


@cache
def forest(trees: int = 20, depth: int = 4, seed: int = 0) -> Fitted:
    native = RandomForestClassifier(trees, max_depth=depth, random_state=seed, n_jobs=1)
    native.fit(*training_rows())
    return Fitted(
        native,
        TreeEnsemble.from_sklearn(native),
        "PROBABILITY",
        lambda rows: np.asarray(native.predict_proba(rows)[:, 1], np.float64),
        1e-12,
    )


@cache
def booster(trees: int = 30, depth: int = 3, seed: int = 0) -> Fitted:
    rows, labels = training_rows()
    settings = {"objective": "binary:logistic", "max_depth": depth, "eta": 0.3, "nthread": 1, "seed": seed}
    native = xgboost.train(settings, xgboost.DMatrix(rows, label=labels, nthread=1), num_boost_round=trees)
    return Fitted(
        native,
        TreeEnsemble.from_xgboost(native),
        "LOG_ODDS",
        lambda rows: np.asarray(
            native.predict(xgboost.DMatrix(rows, nthread=1), output_margin=True), np.float64
        ),
        2e-5,
    )


LEARNERS: Mapping[str, Callable[[], Fitted]] = {
    "forest": forest,
    "deep_forest": lambda: forest(12, 9),
    "booster": booster,
    "deep_booster": lambda: booster(8, 9),
}


def on_the_edges(trees: TreeEnsemble, count: int = 400, seed: int = 3) -> Floats:
    """Rows with most values on a threshold, or one step of float32 or float64 beside it; some missing."""
    rng = np.random.default_rng(seed)
    rows = training_rows()[0][rng.integers(1500, size=count)].copy()
    for feature in range(trees.features):
        thresholds = np.unique(trees.threshold[trees.feature == feature])
        thresholds = thresholds[np.abs(thresholds) < 1e30]
        if not len(thresholds):
            continue
        at = rng.choice(thresholds, count)
        narrow = at.astype(np.float32)
        up, down = np.float32(np.inf), np.float32(-np.inf)
        steps = [at, np.nextafter(at, np.inf), np.nextafter(at, -np.inf)]
        steps += [narrow, np.nextafter(narrow, up), np.nextafter(narrow, down)]
        values = np.choose(rng.integers(6, size=count), steps)
        moved = rng.random(count) < 0.7
        rows[moved, feature] = values[moved]
    return rows


def shap_in_float64(trees: TreeEnsemble) -> Any:
    """Shap's own TreeExplainer over our trees: its C code, in float64, fed by none of our formulas."""
    return shap.TreeExplainer({"trees": list(_shap_trees(trees)), "input_dtype": np.float64})


def _shap_trees(trees: TreeEnsemble) -> Iterator[dict[str, Any]]:
    bounds = [*trees.roots.tolist(), len(trees.left)]
    for start, end in pairwise(bounds):
        left, right = (
            np.where(side[start:end] < 0, -1, side[start:end] - start) for side in (trees.left, trees.right)
        )
        yield {
            "children_left": left,
            "children_right": right,
            "children_default": np.where(trees.missing_left[start:end], left, right),
            "features": trees.feature[start:end],
            "thresholds": trees.threshold[start:end],
            "values": trees.value[start:end, None],
            "node_sample_weight": trees.cover[start:end],
        }


def a_manifest(fitted: Fitted, **changes: Any) -> written.Manifest:
    fields: dict[str, Any] = {
        "name": "churn",
        "version": 1,
        "view": "churn",
        "label": "churn",
        "id_type": "int64",
        "uses_as_of": True,
        "features": tuple(
            written.Feature(name=f"f{i}", nullable=True, unit="CAD", description=f"Feature {i}, né à Québec.")
            for i in range(FEATURES)
        ),
        "features_digest": "sha256:" + "0" * 64,
        "create_time": datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC),
        "horizon_days": 90,
        "training": written.Training(
            learner="xgboost",
            parameters={"max_depth": 3, "eta": 0.1, "tree_method": "hist"},
            seed=1,
            splits=(
                written.DataSplit(
                    name="train", as_of_times=(datetime(2025, 1, 1, tzinfo=UTC),), rows=9, positives=2
                ),
            ),
            gap_days=0,
            library_versions={"xgboost": "3.2.0"},
        ),
        "metrics": (written.Metric(name="auc", value=0.8, lower=0.7, upper=0.9),),
        "compared": (written.Compared(name="prevalence", metrics=(written.Metric(name="auc", value=0.5),)),),
        "declared_margins": {"auc": 0.005},
        "thresholds": written.Thresholds(medium=0.1, high=0.3, costs={"contact": 5.0}),
        "base_value": fitted.trees.base_value(),
        "output_space": fitted.space,
        "calibration": written.Calibration(a=1.0, b=0.0) if fitted.space == "LOG_ODDS" else None,
        "golden_tolerance": written.GoldenTolerance(output=fitted.precision, contribution=1e-9),
        "files": {},
    }
    return written.Manifest(**fields | changes)


def some_files(fitted: Fitted, rows: int = 200) -> dict[str, bytes]:
    """The files of a version whose golden rows are answered by the native library and by shap."""
    values = golden.golden_inputs(fitted.trees, training_rows()[0], limit=rows)
    margins = fitted.outputs(values)
    probabilities = margins if fitted.space == "PROBABILITY" else 1 / (1 + np.exp(-margins))
    contributions = shap_in_float64(fitted.trees).shap_values(values, check_additivity=False)
    return {
        written.FEATURES_SQL: b"SELECT 1",
        written.MODEL_ONNX: onnx_model.export(fitted.trees, fitted.space),
        written.EXPLAINER_ONNX: onnx_explainer.export(fitted.trees),
        written.GOLDEN_NPZ: golden.dump(values, margins, probabilities, contributions),
    }
