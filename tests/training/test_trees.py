"""The tree form answers what the native library answers, for every value there is."""

import json
import warnings
from typing import Any

import numpy as np
import pytest
import xgboost
from hypothesis import given
from hypothesis import strategies as st
from sklearn.ensemble import RandomForestClassifier
from tests.model_store.model_examples import Fitted, booster, forest, on_the_edges, training_rows

from staunch_training.trees import TreeEnsemble, _widened


def test_margins_are_those_of_the_native_library(fitted: Fitted) -> None:
    rows = training_rows()[0]
    assert np.abs(fitted.trees.margin(rows) - fitted.outputs(rows)).max() <= fitted.precision


def test_rows_on_thresholds_and_one_step_beside_go_the_native_way(fitted: Fitted) -> None:
    rows = on_the_edges(fitted.trees, 2000)
    assert np.abs(fitted.trees.margin(rows) - fitted.outputs(rows)).max() <= fitted.precision


def test_rows_of_nothing_but_missing_values_go_the_native_way(fitted: Fitted) -> None:
    rows = np.full((1, fitted.trees.features), np.nan)
    assert np.abs(fitted.trees.margin(rows) - fitted.outputs(rows)).max() <= fitted.precision


@given(
    bound=st.floats(width=32, allow_nan=False, allow_infinity=False),
    steps=st.integers(-3, 3),
    other=st.floats(allow_nan=False, allow_infinity=False),
)
def test_comparing_in_float64_decides_as_comparing_in_float32(bound: float, steps: int, other: float) -> None:
    threshold = float(_widened(np.array([bound], dtype=np.float32))[0])
    near = threshold
    for _ in range(abs(steps)):
        near = np.nextafter(near, np.inf * np.sign(steps))
    for value in (near, float(np.float32(bound)), other):
        with np.errstate(over="ignore"):
            narrow = np.float32(value)
        if np.isfinite(narrow):  # others are refused by the native libraries
            assert (value <= threshold) == (narrow <= np.float32(bound))


def test_infinite_thresholds_send_every_finite_value_left_and_missing_ones_right() -> None:
    rows = np.array([[0.0], [1.0], [np.nan], [np.nan]] * 20)
    native = RandomForestClassifier(3, bootstrap=False, max_depth=2, random_state=0)
    native.fit(rows, [0, 0, 1, 1] * 20)
    trees = TreeEnsemble.from_sklearn(native)
    assert np.isinf(native.estimators_[0].tree_.threshold).any()
    asked = np.array([[-3e38], [3e38], [np.nan]])
    assert trees.margin(asked).tolist() == native.predict_proba(asked)[:, 1].tolist() == [0.0, 0.0, 1.0]


def test_calibrating_is_affine_in_the_output() -> None:
    trees, rows = booster().trees, training_rows()[0]
    calibrated = trees.calibrated(0.7, -0.2).margin(rows)
    np.testing.assert_allclose(calibrated, 0.7 * trees.margin(rows) - 0.2, rtol=0, atol=1e-13)


def test_the_base_value_is_the_mean_of_the_rows_that_grew_the_trees() -> None:
    rows, labels = training_rows()
    native = RandomForestClassifier(5, bootstrap=False, max_features=None, max_depth=4, random_state=0)
    native.fit(rows, labels)
    assert TreeEnsemble.from_sklearn(native).base_value() == pytest.approx(labels.mean(), abs=1e-12)


def test_trees_of_a_single_leaf_are_part_of_the_base() -> None:
    rows, labels = np.zeros((40, 2)), np.array([0.0, 1.0] * 20)
    native = RandomForestClassifier(4, bootstrap=False).fit(rows, labels)
    trees = TreeEnsemble.from_sklearn(native)
    assert (len(trees.roots), trees.base, trees.margin(rows).tolist()) == (0, 0.5, [0.5] * 40)


def test_heights_count_the_splits_below() -> None:
    trees = forest().trees
    assert trees.heights()[trees.roots].max() == len(trees.levels()) - 1 == 4
    assert (trees.heights() == 0).tolist() == trees.is_leaf.tolist()


def test_three_classes_are_refused() -> None:
    native = RandomForestClassifier(2).fit(np.arange(9.0)[:, None], [0, 1, 2] * 3)
    with pytest.raises(ValueError, match="two classes"):
        TreeEnsemble.from_sklearn(native)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"booster": "dart", "objective": "binary:logistic", "rate_drop": 0.9}, "gbtree"),
        ({"objective": "reg:squarederror"}, "logistic"),
        ({"objective": "binary:logistic", "max_cat_to_onehot": 1}, "categorical"),
    ],
)
def test_boosters_that_are_not_ours_to_read_are_refused(settings: dict[str, Any], expected: str) -> None:
    codes = np.arange(200.0)[:, None] % 5
    kinds = ["c"] if expected == "categorical" else ["float"]
    data = xgboost.DMatrix(
        codes, label=codes[:, 0] % 2, feature_types=kinds, enable_categorical=True, nthread=1
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # newer XGBoost wishes for dropout without its old name
        native = xgboost.train({**settings, "nthread": 1}, data, num_boost_round=9)
    with pytest.raises(ValueError, match=expected):
        TreeEnsemble.from_xgboost(native)


@pytest.mark.parametrize(("field", "value"), [("sum_hessian", 0.0), ("split_conditions", float("inf"))])
def test_trees_without_defined_contributions_are_refused(field: str, value: float) -> None:
    class Edited:
        def save_raw(self, form: str) -> bytes:
            content = json.loads(booster().native.save_raw(form))
            content["learner"]["gradient_booster"]["model"]["trees"][0][field][-1] = value
            return json.dumps(content).encode()

    with pytest.raises(ValueError, match="expected"):
        TreeEnsemble.from_xgboost(Edited())
