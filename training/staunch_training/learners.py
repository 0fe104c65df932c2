"""Fits the learners, both through `fit`, and asks their own libraries what they answer.

A fitted learner gives its trees in our one form and, for the golden rows, what the native library and shap
say: never what our own export says. Sizes are modest on purpose, an exact explanation costs time per leaf.
"""

import importlib.metadata
import platform
import warnings
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
import sklearn
import xgboost
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from staunch_training.trees import TreeEnsemble
from staunch_training.types import Floats, Space

LearnerName: TypeAlias = Literal["random_forest", "xgboost"]
Parameters: TypeAlias = Mapping[str, float | int | str]

# Chosen on the simulated world, over five splits: twice the trees, or one level more, moved the AUC on later
# dates by less than 0.002.
_FOREST: Parameters = MappingProxyType(
    {"n_estimators": 100, "max_depth": 7, "min_samples_leaf": 50, "max_features": "sqrt"}
)
_BOOSTED: Parameters = MappingProxyType(
    {
        "objective": "binary:logistic",
        "num_boost_round": 150,
        "max_depth": 3,
        "eta": 0.04,
        "subsample": 0.8,
        "colsample_bytree": 0.3,
        "min_child_weight": 10,
        "lambda": 5.0,
        "tree_method": "hist",
    }
)


def adding_up_any_float32() -> np.errstate:
    """Is for functions that call scikit-learn: it adds all values up to see whether one is missing.

    Of values that float32 just holds the sum overflows, of which NumPy would warn; what is missing is found.
    """
    return np.errstate(over="ignore", invalid="ignore")


class Learned(Protocol):
    """A fitted learner. Values are float64 (n, f), NaN is a null; everything returned is float64."""

    name: LearnerName
    space: Space
    """What the trees' own output is: a forest's is a PROBABILITY, that of boosted trees LOG_ODDS."""
    parameters: Parameters
    trees: TreeEnsemble
    precision: float
    """By how much the native outputs may be off by rounding, in `space`."""

    def outputs(self, values: Floats) -> Floats:
        """The native library's output f (n,), before any calibration, in `space`."""

    def contributions(self, values: Floats) -> Floats:
        """What shap says that each feature adds to the output f, path-dependent: (n, f)."""


def fit(name: LearnerName, values: Floats, labels: Floats, *, seed: int) -> Learned:
    """Fits the learner called `name` on values (n, f) and labels (n,) of 0 and 1, on one thread.

    The same rows and seed give the same trees.
    """
    return _FACTORIES[name](values, labels, seed)


class Forest:
    """scikit-learn's RandomForestClassifier; nulls go the way that its training rows chose at each split."""

    name: LearnerName = "random_forest"
    space: Space = "PROBABILITY"
    parameters = _FOREST
    precision = 1e-9

    @adding_up_any_float32()
    def __init__(self, values: Floats, labels: Floats, seed: int) -> None:
        self._model = RandomForestClassifier(**_FOREST, n_jobs=1, random_state=seed)
        self._model.fit(values, labels > 0.5)
        self.trees = TreeEnsemble.from_sklearn(self._model)

    @adding_up_any_float32()
    def outputs(self, values: Floats) -> Floats:
        """The probability: the mean over the trees of the share of positives in the leaf, (n,)."""
        return np.asarray(self._model.predict_proba(values)[:, 1], dtype=np.float64)

    def contributions(self, values: Floats) -> Floats:
        """What each feature adds to the probability, (n, f)."""
        contributions = _explainer(self._model).shap_values(values, check_additivity=False)
        return np.asarray(contributions[:, :, 1], dtype=np.float64)


class Boosted:
    """XGBoost's gradient boosted trees with log loss."""

    name: LearnerName = "xgboost"
    space: Space = "LOG_ODDS"
    parameters = _BOOSTED
    precision = 1e-5  # XGBoost adds up in float32

    def __init__(self, values: Floats, labels: Floats, seed: int) -> None:
        # One thread: idle ones of OpenMP spin, which on two busy cores made a fit many times slower.
        settings = dict(_BOOSTED)
        rounds = int(settings.pop("num_boost_round"))
        rows = xgboost.DMatrix(values, label=labels, nthread=1)
        self._model = xgboost.train({**settings, "nthread": 1, "seed": seed}, rows, num_boost_round=rounds)
        self.trees = TreeEnsemble.from_xgboost(self._model)

    def outputs(self, values: Floats) -> Floats:
        """The margin in log-odds, (n,)."""
        margins = self._model.predict(xgboost.DMatrix(values, nthread=1), output_margin=True)
        return np.asarray(margins, dtype=np.float64)

    def contributions(self, values: Floats) -> Floats:
        """What each feature adds to the log-odds, (n, f).

        Left alone, shap hands a booster's rows to XGBoost, which answers in float32. Told that the trees
        are its own, it runs its own code in float64, but then rounds no inputs: XGBoost does, to float32.
        """
        explainer = _explainer(self._model)
        explainer.model.model_type = "internal"
        contributions = explainer.shap_values(values.astype(np.float32), check_additivity=False)
        return np.asarray(contributions, dtype=np.float64).reshape(values.shape)


_FACTORIES: Mapping[LearnerName, Callable[[Floats, Floats, int], Learned]] = {
    "random_forest": Forest,
    "xgboost": Boosted,
}
LEARNERS: tuple[LearnerName, ...] = tuple(_FACTORIES)


@adding_up_any_float32()
def logistic_regression(values: Floats, labels: Floats) -> Callable[[Floats], Floats]:
    """Fits the plain model to beat: nulls by the median and a flag, standardized, L2 with C = 1.

    Returns a function from values (n, f) to probabilities (n,).
    """
    # Linear models take no nulls: the median stands in, and the flag lets the null itself count.
    model = make_pipeline(
        SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True),
        StandardScaler(),
        LogisticRegression(max_iter=1000),
    )
    model.fit(values, labels > 0.5)

    @adding_up_any_float32()
    def predict(rows: Floats) -> Floats:
        return np.asarray(model.predict_proba(rows)[:, 1], dtype=np.float64)

    return predict


def prevalence(labels: Floats) -> Callable[[Floats], Floats]:
    """The model that knows nothing: every row gets the share of positives in training."""
    share = float(labels.mean())
    return lambda rows: np.full(len(rows), share)


def library_versions() -> dict[str, str]:
    """The versions of what the trees and the golden rows depend on, by package."""
    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scikit-learn": sklearn.__version__,
        "xgboost": xgboost.__version__,
        "shap": importlib.metadata.version("shap"),
    }


def _explainer(model: Any) -> Any:
    # Importing shap draws its colour maps, for which matplotlib announces a change of its own.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        import shap
    return shap.TreeExplainer(model, feature_perturbation="tree_path_dependent")
