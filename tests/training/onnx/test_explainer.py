"""Contributions are the Shapley values of the trees, and they add up."""

from itertools import combinations
from math import factorial

import numpy as np
import pytest
import shap
import xgboost
from hypothesis import given
from hypothesis import strategies as st
from sklearn.ensemble import RandomForestClassifier
from tests.model_store.model_examples import FEATURES, Fitted, booster, forest, on_the_edges, shap_in_float64

from staunch_model_store.runtime import open_session
from staunch_training.onnx import explainer as onnx_explainer
from staunch_training.onnx.explainer import TABLE_HEIGHT
from staunch_training.trees import TreeEnsemble
from staunch_training.types import Floats


def explain(trees: TreeEnsemble, rows: Floats, table_height: int = TABLE_HEIGHT) -> Floats:
    graph = onnx_explainer.export(trees, table_height=table_height)
    return open_session(graph).run(None, {"features": rows})[0]  # type: ignore[no-any-return]


def by_definition(trees: TreeEnsemble, row: Floats) -> Floats:
    """Shapley's sum over all coalitions of the path-dependent value function, without any of our formulas."""

    def value(node: int, known: tuple[int, ...]) -> float:
        if trees.left[node] < 0:
            return float(trees.value[node])
        left, right, feature = int(trees.left[node]), int(trees.right[node]), int(trees.feature[node])
        if feature in known:
            x = row[feature]
            goes_left = trees.missing_left[node] if np.isnan(x) else x <= trees.threshold[node]
            return value(left if goes_left else right, known)
        weight = trees.cover[left] / trees.cover[node], trees.cover[right] / trees.cover[node]
        return float(weight[0] * value(left, known) + weight[1] * value(right, known))

    features = range(trees.features)
    worth = {
        known: sum(value(int(root), known) for root in trees.roots)
        for size in range(trees.features + 1)
        for known in combinations(features, size)
    }
    phi = np.zeros(trees.features)
    for known, without in worth.items():
        for feature in set(features) - set(known):
            weight = factorial(len(known)) * factorial(trees.features - len(known) - 1)
            phi[feature] += weight * (worth[tuple(sorted((*known, feature)))] - without)
    return phi / factorial(trees.features)


def test_contributions_and_base_value_add_up_to_the_margin(fitted: Fitted) -> None:
    rows = on_the_edges(fitted.trees)
    sums = fitted.trees.base_value() + explain(fitted.trees, rows).sum(axis=1)
    assert np.abs(sums - fitted.trees.margin(rows)).max() <= 1e-12


def test_contributions_equal_shap_in_float64_on_hard_rows(fitted: Fitted) -> None:
    rows = on_the_edges(fitted.trees)
    theirs = shap_in_float64(fitted.trees).shap_values(rows, check_additivity=False)
    assert np.abs(explain(fitted.trees, rows) - theirs).max() <= 1e-12


def test_contributions_of_a_forest_equal_shap_over_scikit_learn() -> None:
    fitted, rows = forest(), on_the_edges(forest().trees)
    theirs = shap.TreeExplainer(fitted.native).shap_values(rows, check_additivity=False)[:, :, 1]
    assert np.abs(explain(fitted.trees, rows) - theirs).max() <= 1e-12


def test_contributions_of_a_booster_equal_those_of_xgboost_itself_within_float32() -> None:
    fitted, rows = booster(), on_the_edges(booster().trees)
    theirs = fitted.native.predict(xgboost.DMatrix(rows, nthread=1), pred_contribs=True)[:, :-1]
    assert np.abs(explain(fitted.trees, rows) - theirs).max() <= 2e-6


@pytest.mark.parametrize("fitted", [forest(2, 3), forest(1, 7), booster(2, 3), booster(1, 7)])
def test_contributions_are_the_shapley_values_by_definition(fitted: Fitted) -> None:
    rows = on_the_edges(fitted.trees, 5)
    expected = np.array([by_definition(fitted.trees, row) for row in rows])
    assert np.abs(explain(fitted.trees, rows) - expected).max() <= 1e-12


def test_tables_and_levels_agree(fitted: Fitted) -> None:
    rows = on_the_edges(fitted.trees, 100)
    some = explain(fitted.trees, rows)
    assert np.abs(explain(fitted.trees, rows, table_height=0) - some).max() <= 1e-12


def test_calibration_scales_contributions() -> None:
    trees, rows = booster().trees, on_the_edges(booster().trees, 50)
    np.testing.assert_allclose(
        explain(trees.calibrated(0.6, 3.0), rows), 0.6 * explain(trees, rows), rtol=0, atol=1e-13
    )


def test_a_row_has_the_same_contributions_in_any_batch(fitted: Fitted) -> None:
    rows = on_the_edges(fitted.trees, 40)
    together = explain(fitted.trees, rows)
    for size in (1, 2, 3, 7, 8, 33):
        assert explain(fitted.trees, rows[:size]).tobytes() == together[:size].tobytes()


def test_features_that_no_split_asks_contribute_nothing() -> None:
    rows = np.column_stack([np.arange(100.0), np.zeros(100)])
    native = RandomForestClassifier(5, random_state=0).fit(rows, rows[:, 0] > 50)
    assert (explain(TreeEnsemble.from_sklearn(native), rows)[:, 1] == 0).all()


def test_an_ensemble_without_splits_contributes_nothing() -> None:
    native = RandomForestClassifier(4, bootstrap=False).fit(np.zeros((40, 2)), [0, 1] * 20)
    contributions = explain(TreeEnsemble.from_sklearn(native), np.array([[1.0, np.nan]]))
    assert contributions.tolist() == [[0.0, 0.0]]


def test_no_rows_give_no_contributions(fitted: Fitted) -> None:
    assert explain(fitted.trees, np.zeros((0, FEATURES))).shape == (0, FEATURES)


@given(seed=st.integers(0, 2**31), depth=st.integers(1, 9), missing=st.floats(0, 0.9), leaf=st.integers(1, 5))
def test_small_forests_of_any_shape_are_explained_exactly(
    seed: int, depth: int, missing: float, leaf: int
) -> None:
    rng = np.random.default_rng(seed)
    rows = np.round(rng.normal(size=(60, 4)), int(rng.integers(3)))
    rows[rng.random(rows.shape) < missing] = np.nan
    native = RandomForestClassifier(3, max_depth=depth, min_samples_leaf=leaf, random_state=seed)
    trees = TreeEnsemble.from_sklearn(native.fit(rows, np.arange(60) % 2))
    contributions = explain(trees, rows)
    assert np.abs(trees.base_value() + contributions.sum(axis=1) - trees.margin(rows)).max() <= 1e-12
    if len(trees.roots):
        theirs = shap_in_float64(trees).shap_values(rows, check_additivity=False)
        assert np.abs(contributions - theirs).max() <= 1e-12
