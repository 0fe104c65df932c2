"""Writes a tree ensemble as an ONNX graph that answers margins and probabilities."""

from typing import Literal

import numpy as np
from onnx import numpy_helper

from staunch_training.onnx.graph import INPUT, GraphBuilder
from staunch_training.trees import LEAF, TreeEnsemble

_LESS_OR_EQUAL = 0  # nodes_modes: BRANCH_LEQ
_SUM = 1  # aggregate_function
_NO_TRANSFORM = 0  # post_transform


def export(trees: TreeEnsemble, space: Literal["LOG_ODDS", "PROBABILITY"]) -> bytes:
    """Writes the graph: float64 `features` (rows, features) -> `margins` (rows,), `probabilities` (rows,).

    Args:
        trees: Calibrated already, if it is to be; their sum is the margin.
        space: Of the margin. LOG_ODDS: the probability is its sigmoid. PROBABILITY: it is the margin, cut to
            [0, 1] since the last bit of a sum may reach beyond.

    Returns:
        The serialized ModelProto: opset-5 TreeEnsemble, float64, NaN is missing.
    """
    graph = GraphBuilder()
    sums = graph.reshape(_tree_node(graph, trees if len(trees.roots) else _no_tree(trees)), -1)
    margins = graph.add("Add", sums, graph.constant(trees.base))
    if space == "LOG_ODDS":
        probabilities = graph.add("Sigmoid", margins)
    else:
        probabilities = graph.add("Clip", margins, graph.constant(0.0), graph.constant(1.0))
    return graph.serialized(trees.features, {"margins": (margins, ()), "probabilities": (probabilities, ())})


def _no_tree(trees: TreeEnsemble) -> TreeEnsemble:
    """Makes one split between two leaves of 0, since TreeEnsemble needs a tree."""
    return TreeEnsemble(
        features=trees.features,
        feature=np.array([0, LEAF, LEAF]),
        threshold=np.zeros(3),
        left=np.array([1, LEAF, LEAF]),
        right=np.array([2, LEAF, LEAF]),
        missing_left=np.zeros(3, dtype=bool),
        value=np.zeros(3),
        cover=np.ones(3),
        roots=np.array([0]),
        base=0.0,
    )


def _tree_node(graph: GraphBuilder, trees: TreeEnsemble) -> str:
    """Adds up the leaves: (rows, 1). ai.onnx.ml.TreeEnsemble numbers splits and leaves apart."""
    leaf = trees.is_leaf
    inner = np.flatnonzero(~leaf)
    number = np.where(leaf, np.cumsum(leaf), np.cumsum(~leaf)) - 1
    left, right = trees.left[inner], trees.right[inner]
    return graph.add(
        "TreeEnsemble",
        INPUT,
        domain="ai.onnx.ml",
        n_targets=1,
        aggregate_function=_SUM,
        post_transform=_NO_TRANSFORM,
        tree_roots=number[trees.roots].tolist(),
        nodes_featureids=trees.feature[inner].tolist(),
        nodes_modes=numpy_helper.from_array(np.full(len(inner), _LESS_OR_EQUAL, dtype=np.uint8)),
        nodes_splits=numpy_helper.from_array(trees.threshold[inner]),
        nodes_missing_value_tracks_true=trees.missing_left[inner].astype(int).tolist(),
        nodes_truenodeids=number[left].tolist(),
        nodes_falsenodeids=number[right].tolist(),
        nodes_trueleafs=leaf[left].astype(int).tolist(),
        nodes_falseleafs=leaf[right].astype(int).tolist(),
        leaf_targetids=[0] * int(leaf.sum()),
        leaf_weights=numpy_helper.from_array(trees.value[leaf]),
    )
