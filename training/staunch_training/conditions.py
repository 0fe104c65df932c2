"""What the path to a node of a tree asks of each feature."""

from dataclasses import dataclass, replace

import numpy as np

from staunch_training.trees import LEAF, TreeEnsemble
from staunch_training.types import Ints


@dataclass(frozen=True)
class Condition:
    """What a path asks of one feature, its splits merged; nothing, if there are none.

    Attributes:
        low: Values must be above.
        high: Values must be at most.
        missing: Whether a missing value passes.
        ratio: The product of the cover ratios of the sides taken.
    """

    low: float = -np.inf
    high: float = np.inf
    missing: bool = True
    ratio: float = 1.0

    def left(self, threshold: float, missing_left: bool, ratio: float) -> "Condition":
        """Adds a split whose left side, of this cover ratio, is taken."""
        missing = self.missing and missing_left
        return replace(self, high=min(self.high, threshold), missing=missing, ratio=self.ratio * ratio)

    def right(self, threshold: float, missing_left: bool, ratio: float) -> "Condition":
        """Adds a split whose right side, of this cover ratio, is taken."""
        missing = self.missing and not missing_left
        return replace(self, low=max(self.low, threshold), missing=missing, ratio=self.ratio * ratio)

    def met(self, value: float) -> bool:
        """Tells whether a value passes; without a bound below, minus infinity does too."""
        if np.isnan(value):
            return self.missing
        return (self.low == -np.inf or self.low < value) and value <= self.high


def children(trees: TreeEnsemble, node: int, above: Condition) -> tuple[Condition, Condition]:
    """Gives the conditions on a split's feature at its left and right child, from the one above the split."""
    split = float(trees.threshold[node]), bool(trees.missing_left[node])
    left, right = (float(trees.cover[side[node]] / trees.cover[node]) for side in (trees.left, trees.right))
    return above.left(*split, left), above.right(*split, right)


def path_to(trees: TreeEnsemble, parent: Ints, node: int) -> dict[int, Condition]:
    """Gives the conditions, by feature, of the rows that reach a node; `parent` is `trees.parent`."""
    steps = []
    while (above := int(parent[node])) != LEAF:
        steps.append((above, int(trees.right[above]) == node))
        node = above
    path: dict[int, Condition] = {}
    for split, goes_right in reversed(steps):
        feature = int(trees.feature[split])
        path[feature] = children(trees, split, path.get(feature, Condition()))[goes_right]
    return path
