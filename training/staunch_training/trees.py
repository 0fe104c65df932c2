"""The one tree form: what a forest and a booster both become, in float64, before anything is exported."""

import json
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from staunch_training.types import Bools, Floats, Ints

LEAF = -1
"""Stands for "no child" and "no feature" at leaves."""

_DTYPES: dict[str, type] = {
    "feature": np.int64,
    "threshold": np.float64,
    "left": np.int64,
    "right": np.int64,
    "missing_left": np.bool_,
    "value": np.float64,
    "cover": np.float64,
}
_LARGEST = np.finfo(np.float64).max
_BEYOND_FLOAT32 = 2.0**128


@dataclass(frozen=True, eq=False)
class TreeEnsemble:
    """A sum of decision trees: `base` + the value of the leaf that a row reaches in each tree.

    A row goes left at a node if its value of `feature` is at most `threshold`; a missing value (NaN) goes
    where `missing_left` says. Both learners round inputs to float32 before they compare. The thresholds here
    are such that comparing the float64 value itself decides the same way for every value, ties included.

    All trees lie in the same arrays; each is of length `nodes`, children are indices into them.

    Attributes:
        features: How many inputs a row has.
        feature: Int64, the input that a node asks, LEAF at leaves.
        threshold: Float64, finite; 0 at leaves.
        left: Int64, LEAF at leaves.
        right: Int64, LEAF at leaves.
        missing_left: Bool.
        value: Float64, what a leaf adds; 0 elsewhere.
        cover: Float64 above 0, the weight of the training rows that reach the node.
        roots: Int64 (trees,); no root is a leaf, for trees of one leaf are part of `base`.
        base: The constant term.
    """

    features: int
    feature: Ints
    threshold: Floats
    left: Ints
    right: Ints
    missing_left: Bools
    value: Floats
    cover: Floats
    roots: Ints
    base: float

    @classmethod
    def from_sklearn(cls, forest: Any) -> "TreeEnsemble":
        """Reads a fitted RandomForestClassifier of two classes: the sum is the probability of the second one.

        Covers are `weighted_n_node_samples`, the bootstrapped and weighted rows of each tree.

        Raises:
            ValueError: Of more or fewer than two classes, or no numbers of one output.
        """
        if len(forest.classes_) != 2 or forest.n_outputs_ != 1:
            raise ValueError(
                f"expected a forest of two classes, got {forest.classes_}; encode the label as 0 and 1"
            )
        trees = [_sklearn_tree(estimator.tree_, len(forest.estimators_)) for estimator in forest.estimators_]
        return _joined(trees, forest.n_features_in_, 0.0)

    @classmethod
    def from_xgboost(cls, booster: Any) -> "TreeEnsemble":
        """Reads an xgboost.Booster of gbtree with logistic objective: the sum is its margin, in log-odds.

        All rounds are read; slice the booster first if it was stopped early. Covers are `sum_hessian`.

        Raises:
            ValueError: Of another booster or objective, or with categorical splits.
        """
        learner = json.loads(booster.save_raw("json"))["learner"]
        model = learner["gradient_booster"]
        names = (model["name"], learner["objective"]["name"])
        if names != ("gbtree", "binary:logistic"):
            raise ValueError(f'expected ("gbtree", "binary:logistic"), got {names}; fit with these')
        if any(
            weight != 1 for weight in model["model"].get("weight_drop", ())
        ):  # since XGBoost 3.4 dart is gbtree
            raise ValueError("expected gbtree without dropout, got trees with weights; fit with rate_drop 0")
        parameters = learner["learner_model_param"]
        mean = float(parameters["base_score"].strip("[]"))  # a probability, though margins are log-odds
        trees = [_xgboost_tree(tree) for tree in model["model"]["trees"]]
        return _joined(trees, int(parameters["num_feature"]), _xgboost_margin(mean))

    @property
    def is_leaf(self) -> Bools:
        """Says of each node whether it is a leaf."""
        leaf: Bools = self.left == LEAF
        return leaf

    @property
    def parent(self) -> Ints:
        """Gives each node's parent, LEAF for roots."""
        parent = np.full(len(self.left), LEAF)
        inner = np.flatnonzero(~self.is_leaf)
        parent[self.left[inner]] = parent[self.right[inner]] = inner
        return parent

    def calibrated(self, a: float, b: float) -> "TreeEnsemble":
        """Gives the ensemble of a * f + b, where f is this one: an affine map of trees is trees again."""
        return replace(self, value=self.value * a, base=self.base * a + b)

    def levels(self) -> list[Ints]:
        """Lists the nodes by depth: the roots, their children with all left ones first, and so on."""
        levels, is_leaf = [self.roots], self.is_leaf
        while not is_leaf[levels[-1]].all():
            inner = levels[-1][~is_leaf[levels[-1]]]
            levels.append(np.concatenate([self.left[inner], self.right[inner]]))
        return levels

    def heights(self) -> Ints:
        """Counts the splits on the longest way down from each node; 0 at leaves."""
        heights, parent = np.zeros(len(self.left), dtype=np.int64), self.parent
        for level in self.levels()[:0:-1]:
            np.maximum.at(heights, parent[level], heights[level] + 1)
        return heights

    def leaves(self, values: Floats) -> Ints:
        """Finds the leaf that each row, float64 (n, features), reaches in each tree: int64 (n, trees)."""
        # All rows go down all trees at once, a level a step; who has reached a leaf stays there.
        at = np.repeat(self.roots[None, :], len(values), axis=0)
        for _ in range(len(self.levels()) - 1):
            value = np.take_along_axis(values, np.maximum(self.feature[at], 0), axis=1)
            goes_left = np.where(np.isnan(value), self.missing_left[at], value <= self.threshold[at])
            below = np.where(goes_left, self.left[at], self.right[at])
            at = np.where(self.is_leaf[at], at, below)
        return at

    def margin(self, values: Floats) -> Floats:
        """Adds up the leaves for rows, float64 (n, features): float64 (n,). The reference for the exports."""
        total: Floats = self.base + self.value[self.leaves(values)].sum(axis=1)
        return total

    def cover_ratio(self) -> Floats:
        """Gives the part of its parent's cover that a node has; 1 for roots."""
        parent = self.parent
        return np.where(parent == LEAF, 1.0, self.cover / self.cover[parent])

    def base_value(self) -> float:
        """Gives the mean output when each node sends rows down by cover: the base of path-dependent SHAP."""
        ratio, parent = self.cover_ratio(), self.parent
        reach = np.ones(len(ratio))
        for level in self.levels()[1:]:
            reach[level] = reach[parent[level]] * ratio[level]
        return float(self.base + (reach * self.value).sum())


def _sklearn_tree(tree: Any, trees: int) -> dict[str, Any]:
    """Reads sklearn.tree._tree.Tree, whose rows go left if float32(x) <= threshold."""
    # A float32 is at most the float64 threshold if it is at most the largest float32 that is.
    leaf = tree.children_left == LEAF
    share = tree.value[:, 0, 1] / tree.value[:, 0, :].sum(axis=1)
    nearest = tree.threshold.astype(np.float32)
    below = np.nextafter(nearest, np.float32(-np.inf))
    return {
        "feature": np.where(leaf, LEAF, tree.feature),
        "threshold": np.where(leaf, 0.0, _widened(np.where(nearest <= tree.threshold, nearest, below))),
        "left": tree.children_left,
        "right": tree.children_right,
        "missing_left": tree.missing_go_to_left.astype(bool) & ~leaf,
        "value": np.where(leaf, share / trees, 0.0),
        "cover": tree.weighted_n_node_samples,
    }


def _xgboost_margin(probability: float) -> float:
    """Gives the log-odds that XGBoost begins with, in float32 as it computes them.

    Close to 1 the difference counts: 1e-4 at a share of 0.9995, ten times what the golden rows allow.
    """
    odds_against = np.float32(1) / np.float32(probability) - np.float32(1)
    return float(-np.log(odds_against))


def _xgboost_tree(tree: dict[str, Any]) -> dict[str, Any]:
    """Reads a tree of XGBoost's JSON, whose rows go left if float32(x) < split condition."""
    # Of float32 numbers, x < c says the same as x <= the one just below c.
    if any(tree["split_type"]):
        raise ValueError("expected numerical splits, got categorical ones; encode categories in the view")
    left = np.array(tree["left_children"], dtype=np.int64)
    conditions = np.array(tree["split_conditions"], dtype=np.float32)
    leaf = left == LEAF
    return {
        "feature": np.where(leaf, LEAF, tree["split_indices"]),
        "threshold": np.where(leaf, 0.0, _widened(np.nextafter(conditions, np.float32(-np.inf)))),
        "left": left,
        "right": np.array(tree["right_children"], dtype=np.int64),
        "missing_left": np.array(tree["default_left"], dtype=bool) & ~leaf,
        "value": np.where(leaf, conditions.astype(np.float64), 0.0),
        "cover": np.array(tree["sum_hessian"], dtype=np.float64),
    }


def _widened(bound: npt.NDArray[np.float32]) -> Floats:
    """Gives the float64 t for which `x <= t` says the same as `float32(x) <= bound`, for every finite x.

    IEEE 754 rounds to the nearest float32 and ties to the even one: t is the middle between `bound` and the
    next float32 if that middle rounds down, else the float64 just below it. Infinite bounds (scikit-learn's
    "all but the missing ones") become the largest finite number, which says the same of finite values.
    """
    with np.errstate(over="ignore"):  # beyond the largest float32 is infinity, as it should be
        after = np.nextafter(bound, np.float32(np.inf)).astype(np.float64)
        middle = (bound.astype(np.float64) + np.where(np.isinf(after), _BEYOND_FLOAT32, after)) / 2
        rounds_down = middle.astype(np.float32) == bound
    return np.clip(np.where(rounds_down, middle, np.nextafter(middle, -np.inf)), -_LARGEST, _LARGEST)


def _joined(trees: list[dict[str, Any]], features: int, base: float) -> TreeEnsemble:
    """Puts trees one after another; those of a single leaf join the constant term."""
    base += sum(float(tree["value"][0]) for tree in trees if len(tree["left"]) == 1)
    # ONNX's TreeEnsemble numbers splits and leaves apart: a root that is a leaf would have no place there.
    trees = [tree for tree in trees if len(tree["left"]) > 1]
    roots = np.cumsum([0] + [len(tree["left"]) for tree in trees])[:-1].astype(np.int64)
    for tree, root in zip(trees, roots, strict=True):
        for side in ("left", "right"):
            tree[side] = np.where(tree[side] == LEAF, LEAF, tree[side] + root)
    columns = {name: np.concatenate([np.zeros(0), *(tree[name] for tree in trees)]) for name in _DTYPES}
    typed: dict[str, Any] = {name: column.astype(_DTYPES[name]) for name, column in columns.items()}
    return _checked(TreeEnsemble(features=features, roots=roots, base=base, **typed))


def _checked(trees: TreeEnsemble) -> TreeEnsemble:
    """Refuses trees whose contributions would be undefined or not finite."""
    if not (trees.cover > 0).all():
        raise ValueError(
            "expected every node to cover training rows, got an empty one; raise min_child_weight"
        )
    if not np.isfinite([trees.base, *trees.value]).all():
        raise ValueError("expected finite leaves, got an infinite one; regularise the learner")
    return trees
