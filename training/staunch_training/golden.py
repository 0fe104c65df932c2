"""Golden rows: inputs chosen so that a wrong node anywhere in the trees shows in some answer.

A threshold that moved a little is seen only by rows close to it, a leaf only by rows that reach it. So rows
are built: on a split's threshold, just above it, with its feature missing, and so into the leaves below.
"""

import io

import numpy as np
import numpy.typing as npt

from staunch_training.conditions import Condition, path_to
from staunch_training.trees import TreeEnsemble
from staunch_training.types import Bools, Floats, Ints

# The native libraries compare in float32 and refuse what does not fit.
_LARGEST = float(np.finfo(np.float32).max)

_REAL_SHARE = 8  # one golden row in so many is a plain one of those given
_TRIES = 4  # rows built for a split, of which the one that stands at most others is taken


def golden_inputs(trees: TreeEnsemble, rows: Floats, limit: int = 1024) -> Floats:
    """Builds rows that stand at many splits in all three ways, the most covered splits first.

    Args:
        trees: The ensemble that the rows shall prove.
        rows: Float64 (n, features), n >= 1: real values, which fill what a split leaves open.
        limit: The most rows to give; about 800 stand at every split of 150 trees of depth 3.

    Returns:
        float64 (at most limit, features), the same for the same arguments: plain rows first, NaN is missing.
    """
    # `unseen` says of each split which of three ways no row has stood at it yet: on its threshold, just above
    # it, its feature missing. A row built for one split stands at many others by the way, and ticks them off
    # too.
    chosen = list(rows[: limit // _REAL_SHARE])
    unseen = np.repeat(~trees.is_leaf[:, None], 3, axis=1)
    _, nodes, cases = _standing_places(trees, rows[: len(chosen)])
    unseen[nodes, cases] = False
    builder = _Builder(trees, rows)
    for node in np.argsort(-trees.cover, kind="stable").tolist():
        for case in np.flatnonzero(unseen[node]).tolist():
            if unseen[node, case] and len(chosen) < limit:
                chosen += _best_row(trees, builder.rows_at(node, case), unseen)
    return np.array(chosen)


def dump(values: Floats, margins: Floats, probabilities: Floats, contributions: Floats) -> bytes:
    """Packs the content of golden.npz.

    Args:
        values: Float64 (n, features), the inputs.
        margins: Float64 (n,), by the native library, in the output space.
        probabilities: Float64 (n,), of those margins.
        contributions: Float64 (m, features), by shap, of the first m rows, in the output space.
    """
    file = io.BytesIO()
    arrays = {
        "values": values,
        "margins": margins,
        "probabilities": probabilities,
        "contributions": contributions,
    }
    np.savez_compressed(
        file, allow_pickle=False, **{name: np.float64(array) for name, array in arrays.items()}
    )
    return file.getvalue()


def _best_row(trees: TreeEnsemble, rows: Floats, unseen: Bools) -> list[Floats]:
    """Chooses the row that stands where most is unseen yet, and ticks that off; none of no rows."""
    if len(rows) == 0:
        return []
    row_of, nodes, cases = _standing_places(trees, rows)
    best = int(np.bincount(row_of, weights=unseen[nodes, cases], minlength=len(rows)).argmax())
    unseen[nodes[row_of == best], cases[row_of == best]] = False
    return [rows[best]]


class _Builder:
    """Builds rows that reach a given split."""

    def __init__(self, trees: TreeEnsemble, rows: Floats) -> None:
        self._trees = trees
        self._rows = rows
        self._parent = trees.parent
        self._edge_values = [_edge_values(trees, feature) for feature in range(trees.features)]
        self._rng = np.random.default_rng(0)

    def rows_at(self, node: int, case: int) -> Floats:
        """Gives several rows that stand at a split as `case` says; none if no row can."""
        path = path_to(self._trees, self._parent, node)
        feature, threshold = int(self._trees.feature[node]), self._trees.threshold[node]
        # A split further up may leave no room for this value: then no row can stand there, and none has to.
        value = (_within_float32(threshold), _within_float32(float(_above(threshold))), np.nan)[case]
        if not path.get(feature, Condition()).met(value):
            return self._rows[:0]
        return np.array([self._row(path, feature, value) for _ in range(_TRIES)])

    def _row(self, path: dict[int, Condition], feature: int, value: float) -> Floats:
        row = self._random_row()
        row[feature] = value
        for other, condition in path.items():
            if not condition.met(row[other]):
                row[other] = _value_meeting(condition)
        return row

    def _random_row(self) -> Floats:
        """Takes a real row and moves half of its values to thresholds, so that it tests many splits."""
        row: Floats = self._rows[self._rng.integers(len(self._rows))].copy()
        for feature, edge_values in enumerate(self._edge_values):
            if len(edge_values) and self._rng.random() < 0.5:
                row[feature] = self._rng.choice(edge_values)
        return row


def _edge_values(trees: TreeEnsemble, feature: int) -> list[float]:
    """Lists the values of a feature that stand on a threshold or just above one."""
    thresholds = np.unique(trees.threshold[trees.feature == feature]).tolist()
    return [_within_float32(value) for at in thresholds for value in (at, float(_above(at)))]


def _value_meeting(condition: Condition) -> float:
    """Gives a value that meets a condition, at its edge; missing, if only that does."""
    if condition.low >= _LARGEST:
        return np.nan
    return _within_float32(condition.high if condition.high < _LARGEST else float(_above(condition.low)))


def _above(values: npt.ArrayLike) -> Floats:
    """Gives the float64 just above; that above the largest is infinity."""
    with np.errstate(over="ignore"):
        above: Floats = np.nextafter(values, np.inf)
    return above


def _within_float32(value: float) -> float:
    """Cuts a value to what float32 holds."""
    return min(max(float(value), -_LARGEST), _LARGEST)


def _standing_places(trees: TreeEnsemble, rows: Floats) -> tuple[Ints, Ints, Ints]:
    """Lists where rows stand at splits: int64 (k,) thrice, the row's number, the split and the way."""
    # Every row goes down every tree, a level a step; `row_of` and `at` shrink as paths end in leaves.
    leaf, found = trees.is_leaf, []
    row_of, at = np.repeat(np.arange(len(rows)), len(trees.roots)), np.tile(trees.roots, len(rows))
    while (inner := ~leaf[at]).any():
        row_of, at = row_of[inner], at[inner]
        value, threshold = rows[row_of, trees.feature[at]], trees.threshold[at]
        missing = np.isnan(value)
        which, way = np.nonzero(np.stack([value == threshold, value == _above(threshold), missing], axis=1))
        found.append(np.stack([row_of[which], at[which], way]))
        goes_left = np.where(missing, trees.missing_left[at], value <= threshold)
        at = np.where(goes_left, trees.left[at], trees.right[at])
    row_of, nodes, ways = np.concatenate([np.zeros((3, 0), np.int64), *found], axis=1)
    return row_of, nodes, ways
