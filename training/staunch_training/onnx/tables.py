"""Contributions of shallow trees: a table of phi for every outcome of the splits.

A tree is cut into blocks, subtrees whose splits, with those above, are few. What a block's leaves contribute
depends on these splits alone: their outcomes, read as a binary number, are the row of a table that holds the
block's phi of each feature. So a row costs a comparison a split, a look-up a block and one sum.

Blocks, since a table of s splits has 2^s rows: a whole tree of height 6 has 63 splits, but no leaf's path has
more than 6. Equal splits, met again further down or in a sibling, share one bit.
"""

from dataclasses import dataclass

import numpy as np

from staunch_training.onnx.graph import FLOAT, INT64, GraphBuilder
from staunch_training.onnx.quadrature import Quadrature
from staunch_training.trees import TreeEnsemble
from staunch_training.types import Bools, Floats, Ints

_FEWEST_SPLITS = 5
"""Blocks of fewer splits than this would be more in number and no smaller in sum."""

_SplitKey = tuple[int, float, bool]  # feature, threshold, missing_left: equal splits have one outcome
# Of each split whether the path goes left, and the cover ratio of that side.
_Path = tuple[tuple[_SplitKey, bool, float], ...]


@dataclass(frozen=True)
class _Leaf:
    """A leaf's value and the path to it."""

    value: float
    path: _Path


@dataclass(frozen=True)
class _Block:
    """A table of phi, float64 (2 ** splits, features), by the splits' outcomes, the first as lowest bit."""

    splits: list[_SplitKey]
    features: list[int]
    table: Floats


def add(graph: GraphBuilder, both_ways: str, trees: TreeEnsemble) -> tuple[str, Ints]:
    """Adds the contributions of trees to the graph.

    Args:
        graph: Where to.
        both_ways: The value (rows, 2 * features): features with NaN as -inf, then features with NaN as +inf.
        trees: Shallow ones.

    Returns:
        A value (rows, n) and the n features that its columns belong to.
    """
    # A block must hold one path, as long as the tree is high; with one split more, neighbours share a table.
    most = max(_FEWEST_SPLITS, int(trees.heights().max()) + 1)
    blocks = [
        _block(leaves) for root in trees.roots.tolist() for leaves in _blocks(_leaves(trees, root), most)
    ]
    width = max(len(block.features) for block in blocks)
    rows = _table_rows(graph, both_ways, blocks, trees.features)
    tables = np.concatenate(
        [np.pad(item.table, ((0, 0), (0, width - item.table.shape[1]))) for item in blocks]
    )
    values = graph.add("Gather", graph.constant(tables), rows, axis=0)
    # The columns that fill up narrow blocks hold zeros, so they may count for any feature.
    features = np.array([item.features + [0] * (width - len(item.features)) for item in blocks])
    return graph.reshape(values, 0, features.size), features.ravel()


def _table_rows(graph: GraphBuilder, both_ways: str, blocks: list[_Block], features: int) -> str:
    """Finds each block's row among all tables: int64 (rows, blocks)."""
    most = max(len(block.splits) for block in blocks)
    columns = np.zeros((len(blocks), most), dtype=np.int64)
    thresholds = np.full((len(blocks), most), np.nan)  # nothing is <= NaN: what fills up gives 0
    for at, block in enumerate(blocks):
        feature, threshold, missing_left = (np.array(column) for column in zip(*block.splits, strict=True))
        columns[at, : len(feature)] = feature + features * ~missing_left.astype(bool)
        thresholds[at, : len(feature)] = threshold
    picked = graph.add("Gather", both_ways, graph.constant(columns.ravel()), axis=1)
    outcomes = graph.add("LessOrEqual", picked, graph.constant(thresholds.ravel()))
    # The binary number as a product of bits and powers of two: exact in float32 far beyond any table's size.
    bits = graph.reshape(graph.add("Cast", outcomes, to=FLOAT), 0, len(blocks), most)
    places = graph.constant(2.0 ** np.arange(most)[:, None], np.float32)
    number = graph.add("Cast", graph.add("MatMul", bits, places), to=INT64)
    starts = np.cumsum([0] + [len(block.table) for block in blocks[:-1]])
    return graph.add("Add", graph.reshape(number, 0, len(blocks)), graph.constant(starts, np.int64))


def _leaves(trees: TreeEnsemble, root: int) -> list[_Leaf]:
    """Lists a tree's leaves from left to right."""
    ratio, found = trees.cover_ratio(), []
    waiting: list[tuple[int, _Path]] = [(root, ())]
    while waiting:
        node, path = waiting.pop()
        if trees.left[node] < 0:
            found.append(_Leaf(float(trees.value[node]), path))
            continue
        split = (int(trees.feature[node]), float(trees.threshold[node]), bool(trees.missing_left[node]))
        for child, goes_left in ((trees.right[node], False), (trees.left[node], True)):
            waiting.append((int(child), (*path, (split, goes_left, float(ratio[child])))))
    return found


def _blocks(leaves: list[_Leaf], most: int, depth: int = 0) -> list[list[_Leaf]]:
    """Cuts the leaves below a node at `depth` into the largest subtrees of at most `most` distinct splits."""
    if len(_splits(leaves)) <= most:
        return [leaves]
    left = [leaf for leaf in leaves if leaf.path[depth][1]]
    right = [leaf for leaf in leaves if not leaf.path[depth][1]]
    return [*_blocks(left, most, depth + 1), *_blocks(right, most, depth + 1)]


def _splits(leaves: list[_Leaf]) -> list[_SplitKey]:
    return sorted({split for leaf in leaves for split, _, _ in leaf.path})


def _block(leaves: list[_Leaf]) -> _Block:
    # Worked out once for every outcome, also for those that no row can have (x <= 1 but not x <= 2): they
    # cost rows of the table that are never looked up, and telling them apart would cost more.
    splits = _splits(leaves)
    features = sorted({feature for feature, _, _ in splits})
    places = 2 ** np.arange(len(splits))
    outcomes = (np.arange(2 ** len(splits))[:, None] & places) > 0
    table = np.zeros((len(outcomes), len(features)))
    for leaf in leaves:
        met, ratio = _conditions(leaf, {split: outcomes[:, at] for at, split in enumerate(splits)})
        table[:, [features.index(feature) for feature in met]] += _phi(leaf.value, met, ratio)
    return _Block(splits, features, table)


def _conditions(leaf: _Leaf, outcomes: dict[_SplitKey, Bools]) -> tuple[dict[int, Bools], dict[int, float]]:
    """Merges the splits of a leaf's path by feature: o for every outcome, and z."""
    met: dict[int, Bools] = {}
    ratio: dict[int, float] = {}
    for split, goes_left, part in leaf.path:
        feature, outcome = split[0], outcomes[split] == goes_left
        met[feature] = met.get(feature, True) & outcome
        ratio[feature] = ratio.get(feature, 1.0) * part
    return met, ratio


def _phi(value: float, met: dict[int, Bools], ratio: dict[int, float]) -> Floats:
    """Computes a leaf's phi for every outcome: float64 (outcomes, features of the path)."""
    o = np.stack(list(met.values()), axis=1).astype(np.float64)
    z = np.array(list(ratio.values()))
    # v (o_i - z_i) times the integral over the product of all factors but i's own: the whole product, over
    # it.
    rule = Quadrature.exact_for(len(z))
    factors = rule.factor(o, np.broadcast_to(z, o.shape))
    without = factors.prod(axis=1, keepdims=True) / factors
    phi: Floats = value * (o - z) * (without @ rule.w)
    return phi
