"""Golden rows stand at the splits and reach the leaves."""

import io

import numpy as np
from sklearn.ensemble import RandomForestClassifier
from tests.model_store.model_examples import FEATURES, Fitted, booster, training_rows

from staunch_training import golden
from staunch_training.trees import TreeEnsemble

ROWS = training_rows()[0]


def test_enough_rows_reach_every_leaf_and_stand_on_and_just_above_each_threshold(fitted: Fitted) -> None:
    rows = golden.golden_inputs(fitted.trees, ROWS, limit=10_000)
    reached = np.unique(fitted.trees.leaves(rows))
    assert len(reached) == fitted.trees.is_leaf.sum()
    _, nodes, cases = golden._standing_places(fitted.trees, rows)
    stands = set(zip(nodes.tolist(), cases.tolist(), strict=True))
    splits = np.flatnonzero((np.abs(fitted.trees.threshold) < 1e30) & ~fitted.trees.is_leaf)
    for case in (0, 1):
        assert np.mean([(split, case) in stands for split in splits.tolist()]) > 0.99


def test_no_more_rows_than_the_limit_and_the_plain_ones_first(fitted: Fitted) -> None:
    rows = golden.golden_inputs(fitted.trees, ROWS, limit=40)
    assert rows.shape == (40, FEATURES)
    np.testing.assert_array_equal(rows[:5], ROWS[:5])


def test_the_native_library_takes_every_row_and_agrees(fitted: Fitted) -> None:
    rows = golden.golden_inputs(fitted.trees, ROWS, limit=300)
    assert np.abs(fitted.outputs(rows) - fitted.trees.margin(rows)).max() <= fitted.precision


def test_thresholds_beyond_float32_give_rows_that_the_native_library_takes() -> None:
    rows = np.array([[0.0], [np.nan]] * 20)
    native = RandomForestClassifier(3, bootstrap=False, random_state=0).fit(rows, [0, 1] * 20)
    built = golden.golden_inputs(TreeEnsemble.from_sklearn(native), rows)
    assert native.predict_proba(built)[:, 1].tolist() == np.isnan(built[:, 0]).astype(float).tolist()


def test_the_same_trees_and_rows_give_the_same_golden_rows() -> None:
    first, second = (golden.golden_inputs(booster().trees, ROWS, limit=100) for _ in range(2))
    assert first.tobytes() == second.tobytes()


def test_the_file_is_read_without_pickle() -> None:
    content = golden.dump(ROWS, ROWS[:, 1], ROWS[:, 2], ROWS[:5])
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        assert {name: arrays[name].dtype.kind for name in arrays} == dict.fromkeys(
            ("values", "margins", "probabilities", "contributions"), "f"
        )
