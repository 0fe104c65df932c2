"""What a path asks of a feature, at its very edges."""

import numpy as np
import pytest
from tests.model_store.model_examples import Fitted, on_the_edges

from staunch_training.conditions import Condition, path_to


def test_nothing_is_asked_at_first() -> None:
    assert all(Condition().met(value) for value in (-np.inf, 0.0, np.inf, np.nan))


def test_a_threshold_belongs_to_the_left_side() -> None:
    left, right = Condition().left(1.0, True, 0.25), Condition().right(1.0, True, 0.75)
    above = float(np.nextafter(1.0, 2.0))
    assert [left.met(value) for value in (-np.inf, 1.0, above, np.nan)] == [True, True, False, True]
    assert [right.met(value) for value in (1.0, above, np.inf, np.nan)] == [False, True, True, False]
    assert (left.ratio, right.ratio) == (0.25, 0.75)


def test_splits_on_one_feature_merge_and_none_widens_what_was_asked() -> None:
    merged = (
        Condition().left(5.0, True, 0.5).right(2.0, False, 0.5).left(9.0, False, 0.5).right(1.0, True, 0.5)
    )
    assert (merged.low, merged.high, merged.missing, merged.ratio) == (2.0, 5.0, False, 0.0625)


@pytest.mark.usefixtures("fitted")
def test_rows_meet_the_path_to_the_leaf_that_they_reach_and_to_no_other(fitted: Fitted) -> None:
    trees, rows = fitted.trees, on_the_edges(fitted.trees, 20)
    parent, reached = trees.parent, trees.leaves(rows)
    leaves = np.flatnonzero(trees.is_leaf)
    for leaf in np.random.default_rng(0).choice(leaves, min(len(leaves), 60), replace=False).tolist():
        path = path_to(trees, parent, leaf)
        for row, ends in zip(rows, reached, strict=True):
            assert all(condition.met(row[feature]) for feature, condition in path.items()) == (leaf in ends)
