"""Contributions of deep trees: products down the levels, sums up again.

Each child n of a split on feature j has a condition: what its path asks of j so far, with o_n and z_n as in
`onnx/explainer.py` and f_n(t) = z_n + t (o_n - z_n). Let a be the condition on j above the split (o = z = 1
if there is none). At each quadrature node t of weight w:

    P_n = P_parent f_n / f_a                       the product of the path's factors
    S_n = sum of v P over the leaves below n
    phi_j = sum over such n and over t of  S_n w ((o_n - z_n) / f_n - (o_a - z_a) / f_a)

This is the formula of `onnx/explainer.py` with the leaves that share a condition taken together, as Linear
TreeSHAP does (Yu et al. 2022). A node's factor and weight have three values only: the condition above is not
met, is met and n's is not, both are met. They are looked up.

By levels, since a path's product needs its parent's first and a sum its children's: each level is one
operation on all its nodes at once, so that a graph has as many steps as the tree is high, and not as it has
nodes. Within a level left children come first and right ones after, which makes siblings one axis of length
2.
"""

from dataclasses import dataclass

import numpy as np

from staunch_training.conditions import Condition, children
from staunch_training.onnx.graph import INT64, GraphBuilder
from staunch_training.onnx.quadrature import Quadrature
from staunch_training.trees import TreeEnsemble
from staunch_training.types import Floats, Ints

_MET_ABOVE, _MET_HERE = np.array([0.0, 1.0, 1.0]), np.array([0.0, 0.0, 1.0])


@dataclass(frozen=True)
class _SplitNode:
    """A split with the conditions on its feature: above it, on its left and on its right side."""

    node: int
    depth: int  # distinct features that the path to its children asks
    above: Condition
    left: Condition
    right: Condition


def add(graph: GraphBuilder, both_ways: str, trees: TreeEnsemble) -> tuple[str, Ints]:
    """Adds the contributions of trees to the graph.

    Args:
        graph: Where to.
        both_ways: The value (rows, 2 * features): features with NaN as -inf, then features with NaN as +inf.
        trees: Of any depth.

    Returns:
        A value (rows, n) and the n features that its columns belong to.
    """
    # One quadrature for all nodes, that of the longest path: exact for shorter ones too.
    levels = trees.levels()
    nodes = np.concatenate([level[~trees.is_leaf[level]] for level in levels])
    splits = _splits(trees, nodes)
    rule = Quadrature.exact_for(max(split.depth for split in splits))
    rows = _table_rows(graph, both_ways, trees, splits)
    shape = (0, 2, len(splits), len(rule.t))
    factors, weights = (
        graph.reshape(graph.add("Gather", graph.constant(table), rows, axis=0), *shape)
        for table in _tables(splits, rule)
    )
    sums = _sums(graph, factors, trees, levels, len(rule.t))
    values = graph.sum(graph.sum(graph.add("Mul", sums, weights), 3), 1)
    return values, trees.feature[nodes]


def _splits(trees: TreeEnsemble, nodes: Ints) -> list[_SplitNode]:
    """Walks down the inner nodes, parents first."""
    paths: dict[int, dict[int, Condition]] = {int(root): {} for root in trees.roots}
    splits = []
    for node in nodes.tolist():
        path, feature = paths.pop(node), int(trees.feature[node])
        above = path.get(feature, Condition())
        left, right = children(trees, node, above)
        paths[int(trees.left[node])] = path | {feature: left}
        paths[int(trees.right[node])] = path | {feature: right}
        splits.append(_SplitNode(node, len(path | {feature: left}), above, left, right))
    return splits


def _tables(splits: list[_SplitNode], rule: Quadrature) -> tuple[Floats, Floats]:
    """Gives f_n / f_a and the weights by child and state: float64 (6 * splits, q), left children first."""
    above = np.array([split.above.ratio for split in splits] * 2)
    here = np.array([split.left.ratio for split in splits] + [split.right.ratio for split in splits])
    f_above, h_above = _factor_and_weight(rule, _MET_ABOVE, above)
    f_here, h_here = _factor_and_weight(rule, _MET_HERE, here)
    return (f_here / f_above).reshape(-1, len(rule.t)), (h_here - h_above).reshape(-1, len(rule.t))


def _factor_and_weight(rule: Quadrature, met: Floats, ratio: Floats) -> tuple[Floats, Floats]:
    """Gives f and w (o - z) / f for nodes of these z and states of these o: float64 (nodes, states, q)."""
    o, z = np.broadcast_arrays(met, ratio[:, None])
    factor = rule.factor(o, z)
    return factor, rule.w * (o - z)[..., None] / factor


def _table_rows(graph: GraphBuilder, both_ways: str, trees: TreeEnsemble, splits: list[_SplitNode]) -> str:
    """Finds each child's row in the tables by its state: int64 (rows, 2 * splits)."""
    above = _met(graph, both_ways, trees, splits)
    nodes = np.array([split.node for split in splits])
    columns = trees.feature[nodes] + trees.features * ~trees.missing_left[nodes]
    picked = _pick(graph, both_ways, columns)
    goes_left = graph.add("LessOrEqual", picked, graph.constant(trees.threshold[nodes]))
    # States: 0 if the condition above is not met, 1 if only that is, 2 if the child's is too. With `above`
    # and `goes_left` as 0 and 1, the left child's is above + above * left, the right one's above + above * (1
    # - left).
    met = graph.add("Cast", above, to=INT64)
    met_left = graph.add("Cast", graph.add("And", above, goes_left), to=INT64)
    left = graph.add("Add", met, met_left)
    right = graph.add("Sub", graph.add("Add", met, met), met_left)
    states = graph.add("Concat", left, right, axis=1)
    return graph.add("Add", states, graph.constant(3 * np.arange(2 * len(splits)), np.int64))


def _met(graph: GraphBuilder, both_ways: str, trees: TreeEnsemble, splits: list[_SplitNode]) -> str:
    """Tells whether a row meets the condition above each split: bool (rows, splits)."""
    features = trees.feature[[split.node for split in splits]]
    missing = np.array([split.above.missing for split in splits])
    low = np.array([split.above.low for split in splits])
    high = np.array([split.above.high for split in splits])
    # A missing value passes as -inf below `high` and +inf above `low`, and fails the other way round. Without
    # a bound everything passes: all is <= inf, and nothing <= NaN.
    fits_column = features + trees.features * ~(missing | (high == np.inf))
    fits = graph.add("LessOrEqual", _pick(graph, both_ways, fits_column), graph.constant(high))
    low_column = features + trees.features * missing
    low = np.where(low == -np.inf, np.nan, low)
    too_low = graph.add("LessOrEqual", _pick(graph, both_ways, low_column), graph.constant(low))
    return graph.add("And", fits, graph.add("Not", too_low))


def _pick(graph: GraphBuilder, both_ways: str, columns: Ints) -> str:
    return graph.add("Gather", both_ways, graph.constant(columns, np.int64), axis=1)


def _sums(graph: GraphBuilder, factors: str, trees: TreeEnsemble, levels: list[Ints], q: int) -> str:
    """Computes S of each child from the factors: (rows, 2, splits, q), as these lie."""
    sizes = [len(level) // 2 for level in levels[1:]]
    by_level = graph.split(factors, sizes, axis=2)
    products = _products(graph, by_level, trees, levels, q)
    sums: list[str] = []
    for level, product in zip(levels[:0:-1], reversed(products), strict=True):
        sums.insert(0, _sum_of_level(graph, product, sums, trees, level, q))
    return graph.add("Concat", *sums, axis=2)


def _products(
    graph: GraphBuilder, by_level: list[str], trees: TreeEnsemble, levels: list[Ints], q: int
) -> list[str]:
    """Computes P of each level's nodes but the roots: each (rows, nodes, q)."""
    products = [graph.reshape(by_level[0], 0, len(levels[1]), q)]
    # A leaf has no children to hand its product to, so only inner nodes are gathered before each step down.
    for factor, level, above in zip(by_level[1:], levels[2:], levels[1:], strict=False):
        inner = graph.constant(np.flatnonzero(~trees.is_leaf[above]), np.int64)
        parents = graph.reshape(graph.add("Gather", products[-1], inner, axis=1), 0, 1, len(level) // 2, q)
        products.append(graph.reshape(graph.add("Mul", factor, parents), 0, len(level), q))
    return products


def _sum_of_level(
    graph: GraphBuilder, product: str, below: list[str], trees: TreeEnsemble, level: Ints, q: int
) -> str:
    """Computes S of a level's nodes, (rows, 2, splits above, q): v P at leaves, else the children's sum."""
    leaf = trees.is_leaf[level]
    values = graph.constant(np.repeat(trees.value[level][:, None], q, axis=1))
    sums = graph.add("Mul", product, values)
    if below:
        # The inner nodes' sums stand behind the leaves' own: of each node the one that counts is gathered.
        both = graph.add("Concat", sums, graph.sum(below[0], 1), axis=1)
        place = np.where(leaf, np.arange(len(level)), len(level) + np.cumsum(~leaf) - 1)
        sums = graph.add("Gather", both, graph.constant(place, np.int64), axis=1)
    return graph.reshape(sums, 0, 2, len(level) // 2, q)
