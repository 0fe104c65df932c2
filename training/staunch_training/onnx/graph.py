"""Puts ONNX graphs together: names nodes and constants, and says which versions of ONNX we write."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSETS = (("", 21), ("ai.onnx.ml", 5))
"""Those of ONNX 1.16, the first with opset 5 of ai.onnx.ml and its compact float64 TreeEnsemble."""

IR_VERSION = 10
"""The format of the file that ONNX 1.16 brought."""

INPUT = "features"
"""Our graphs have this one input: float64 (rows, features), NaN is missing."""


FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
"""Types to cast to."""


class GraphBuilder:
    """Collects the nodes of one graph; values are handed around by name."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def constant(self, array: npt.ArrayLike, dtype: npt.DTypeLike | None = None) -> str:
        """Adds a constant and gives its name."""
        name = f"c{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(array, dtype=dtype), name))
        return name

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Adds a node with one output and gives the output's name."""
        name = f"v{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    def split(self, value: str, sizes: list[int], axis: int) -> list[str]:
        """Cuts a value along an axis into pieces of the given sizes and gives their names."""
        names = [f"v{len(self._nodes)}_{i}" for i in range(len(sizes))]
        inputs = [value, self.constant(sizes, np.int64)]
        self._nodes.append(helper.make_node("Split", inputs, names, axis=axis))
        return names

    def reshape(self, value: str, *shape: int) -> str:
        """Gives a value of another shape; 0 keeps the length that this axis has, -1 is what is left."""
        return self.add("Reshape", value, self.constant(shape, np.int64))

    def sum(self, value: str, axis: int) -> str:
        """Adds up along an axis, which vanishes."""
        return self.add("ReduceSum", value, self.constant([axis], np.int64), keepdims=0)

    def serialized(self, features: int, outputs: Mapping[str, tuple[str, tuple[int, ...]]]) -> bytes:
        """Checks the graph and gives its ModelProto's bytes, always the same for the same graph.

        Args:
            features: The width of the input.
            outputs: Name to the value it is and the shape of one row of it; all are float64.
        """
        for name, (value, _) in outputs.items():
            self._nodes.append(helper.make_node("Identity", [value], [name]))
        graph = helper.make_graph(
            self._nodes,
            "staunch",
            [_rows_of_doubles(INPUT, features)],
            [_rows_of_doubles(name, *shape) for name, (_, shape) in outputs.items()],
            self._constants,
        )
        opsets = [helper.make_opsetid(*opset) for opset in OPSETS]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="staunch")
        onnx.checker.check_model(model)
        content: bytes = model.SerializeToString(deterministic=True)
        return content


def _rows_of_doubles(name: str, *shape: int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.DOUBLE, ["rows", *shape])
