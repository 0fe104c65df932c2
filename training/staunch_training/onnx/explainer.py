"""Writes exact path-dependent TreeSHAP (Lundberg et al. 2020) of a tree ensemble as an ONNX graph.

Take a leaf of value v whose path asks the features j in S. The splits of its path on one feature merge into
one condition: o_j is 1 if the row meets it, else 0; z_j is the product of these splits' cover ratios. Then

    phi_i = sum over the leaves with i in S of
            v (o_i - z_i) * integral over t from 0 to 1 of  product over j != i of  (z_j + t (o_j - z_j))

are the Shapley values of the game that follows known features and averages unknown ones by cover. The
integrand is a polynomial of degree |S| - 1, so ceil(|S| / 2) Gauss-Legendre nodes integrate it exactly
(arXiv 2605.04497).

Of all this only the o_j depend on the row. Shallow trees become tables of phi by the outcomes of their splits
(`onnx/tables.py`), deep ones products and sums along their levels (`onnx/levels.py`).
"""

from dataclasses import replace

import numpy as np
from onnx.numpy_helper import from_array

from staunch_training.onnx import levels as explainer_levels
from staunch_training.onnx import tables as explainer_tables
from staunch_training.onnx.graph import INPUT, GraphBuilder
from staunch_training.trees import TreeEnsemble
from staunch_training.types import Ints

TABLE_HEIGHT = 6
"""Trees up to this height become tables; a level more doubles those, to 1 MB a tree of height 7."""


def export(trees: TreeEnsemble, *, table_height: int = TABLE_HEIGHT) -> bytes:
    """Writes the graph: float64 `features` (rows, features) -> `contributions` (rows, features).

    Contributions and `trees.base_value()` add up to `trees.margin`. NaN is missing.

    Args:
        trees: The ensemble.
        table_height: Up to which height trees become tables; higher ones go by levels.

    Returns:
        The serialized ModelProto.
    """
    graph = GraphBuilder()
    both_ways = _both_ways(graph)
    shallow = trees.heights()[trees.roots] <= table_height
    parts = [
        method.add(graph, both_ways, replace(trees, roots=trees.roots[chosen]))
        for method, chosen in ((explainer_tables, shallow), (explainer_levels, ~shallow))
        if chosen.any()
    ]
    contributions = _by_feature(graph, parts)
    return graph.serialized(trees.features, {"contributions": (contributions, (trees.features,))})


def _both_ways(graph: GraphBuilder) -> str:
    """Puts missing values below all thresholds, then above all, for <= to send them: (rows, 2 * features)."""
    # Nothing is <= NaN, so a comparison alone would send missing values right at every split. A split that
    # sends them left compares the first half, where they are -inf, one that sends them right the second.
    missing = graph.add("IsNaN", INPUT)
    low, high = (graph.add("Where", missing, graph.constant(bound), INPUT) for bound in (-np.inf, np.inf))
    return graph.add("Concat", low, high, axis=1)


def _by_feature(graph: GraphBuilder, parts: list[tuple[str, Ints]]) -> str:
    """Adds up what belongs to the same feature: (rows, features)."""
    # Many columns belong to one feature, and ONNX has no grouped sum: adding by index is one.
    total = graph.add("ConstantOfShape", graph.add("Shape", INPUT), value=from_array(np.zeros(1)))
    for values, columns in parts:
        shape = graph.add("Shape", values)
        index = graph.add("Expand", graph.constant(columns[None, :], np.int64), shape)
        total = graph.add("ScatterElements", total, index, values, axis=1, reduction="add")
    return total
