"""Writes a tree ensemble as an ONNX graph that answers margins and probabilities."""

from typing import Literal

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from staunch_training.trees import LEAF, TreeEnsemble

OPSETS = (("", 18), ("ai.onnx.ml", 5))
"""Opset 5 of ai.onnx.ml has the compact float64 TreeEnsemble; ours need nothing newer than 18 beside it."""

IR_VERSION = 9

_LESS_OR_EQUAL = 0  # nodes_modes: BRANCH_LEQ
_SUM = 1  # aggregate_function
_NO_TRANSFORM = 0  # post_transform


def export(trees: TreeEnsemble, space: Literal["LOG_ODDS", "PROBABILITY"]) -> bytes:
    """Writes the graph: float64 `features` (rows, features) -> `margins` (rows,), `probabilities` (rows,).

    Args:
        trees: calibrated already, if it is to be; their sum is the margin.
        space: of the margin. LOG_ODDS: the probability is its sigmoid. PROBABILITY: it is the margin, cut to
            [0, 1] since the last bit of a sum may reach beyond.

    Returns:
        The serialized ModelProto: opset-5 TreeEnsemble, float64, NaN is missing.
    """
    nodes = [*_sum_nodes(trees), helper.make_node("Add", ["sum", "base"], ["margins"])]
    constants = [numpy_helper.from_array(np.array(trees.base), "base")]
    if space == "LOG_ODDS":
        nodes.append(helper.make_node("Sigmoid", ["margins"], ["probabilities"]))
    else:
        constants += [
            numpy_helper.from_array(np.array(bound), name) for name, bound in (("zero", 0.0), ("one", 1.0))
        ]
        nodes.append(helper.make_node("Clip", ["margins", "zero", "one"], ["probabilities"]))
    outputs = [double_rows(name) for name in ("margins", "probabilities")]
    return serialized("model", nodes, constants, trees.features, outputs)


def double_rows(name: str, *widths: int) -> onnx.ValueInfoProto:
    """Describes a float64 value of shape (rows, *widths)."""
    return helper.make_tensor_value_info(name, TensorProto.DOUBLE, ["rows", *widths])


def serialized(
    name: str,
    nodes: list[onnx.NodeProto],
    constants: list[onnx.TensorProto],
    features: int,
    outputs: list[onnx.ValueInfoProto],
) -> bytes:
    """Checks a graph from float64 `features` (rows, features) to `outputs` and serializes it."""
    graph = helper.make_graph(nodes, name, [double_rows("features", features)], outputs, constants)
    opsets = [helper.make_opsetid(*opset) for opset in OPSETS]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="staunch")
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def _sum_nodes(trees: TreeEnsemble) -> list[onnx.NodeProto]:
    """Adds up the leaves: "sum" (rows,). An ensemble without splits is 0 for every row."""
    flat = numpy_helper.from_array(np.array([-1], dtype=np.int64))
    shape = helper.make_node("Constant", [], ["flat"], value=flat)
    reshape = helper.make_node("Reshape", ["sums", "flat"], ["sum"])
    return [_tree_node(trees if len(trees.roots) else _no_tree(trees)), shape, reshape]


def _no_tree(trees: TreeEnsemble) -> TreeEnsemble:
    """Makes one split between two leaves of 0, since TreeEnsemble needs a tree."""
    leaves, ones = np.array([LEAF, LEAF]), np.ones(3)
    return TreeEnsemble(
        features=trees.features,
        feature=np.array([0, *leaves]),
        threshold=np.zeros(3),
        left=np.array([1, *leaves]),
        right=np.array([2, *leaves]),
        missing_left=np.zeros(3, dtype=bool),
        value=np.zeros(3),
        cover=ones,
        roots=np.array([0]),
        base=0.0,
    )


def _tree_node(trees: TreeEnsemble) -> onnx.NodeProto:
    """Writes ai.onnx.ml.TreeEnsemble, which numbers splits and leaves apart."""
    leaf = trees.is_leaf
    inner = np.flatnonzero(~leaf)
    number = np.where(leaf, np.cumsum(leaf), np.cumsum(~leaf)) - 1
    left, right = trees.left[inner], trees.right[inner]
    return helper.make_node(
        "TreeEnsemble",
        ["features"],
        ["sums"],
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
