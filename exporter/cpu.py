"""A gradient graph as ONNX Runtime's CPU provider computes it best: the same function, in other operators.

Wide convolutions are Winograd's minimal filtering F(4x4, 3x3) (Lavin, Gray 2016, "Fast Algorithms for Convolutional Neural
Networks", section 4.3): 36 products for 16 outputs in place of 144. The transforms are spelt so that nothing is transposed:
the input's is a convolution over height and width of one picture whose depth are the channels, the output's is a matrix
product, and DepthToSpace lays the tiles beside each other.

The gradient of a ReLU is masked by arithmetic: a comparison and its conversion to a float take three times as long.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from ..runtime.bundle.spec import WIDE

_TILE = 4
_WINDOW = _TILE + 2
_POINTS = _WINDOW**2

_INPUT = np.array(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ]
)
"""Bᵀ of the paper."""

_KERNEL = np.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]])
_KERNEL_UNIT = 24**2
"""G of the paper times 24, and what is made up for in both directions: so every constant is exact in float32."""

_OUTPUT = np.array([[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]])
"""Aᵀ of the paper."""

_LARGE = 1e38
"""What takes any output of a ReLU but 0 beyond 1."""


def for_cpu(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph, rewritten.

    Kernels are transformed in the graph, from the arrays that the direct convolutions have: ONNX Runtime does it once, when
    it loads the graph.

    Args:
        model: a gradient graph in float32.
    """
    rewritten = onnx.ModelProto()
    rewritten.CopyFrom(model)
    graph = rewritten.graph
    nodes = list(_Rewriter(graph).nodes())
    del graph.node[:]
    graph.node.extend(nodes)
    return rewritten


class _Rewriter:
    """Writes the nodes of a graph anew."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._graph = graph
        self._shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
        self._origin = {name: node for node in graph.node for name in node.output}
        self._made: list[onnx.NodeProto] = []
        self._masks: dict[str, str] = {}
        """Of ReLUs, as floats, by the names that their comparisons have."""
        self._constants: dict[str, NDArray[np.generic]] = {}

    def nodes(self) -> Iterator[onnx.NodeProto]:
        """The nodes in order. Constants are nodes, too: initialisers are for weights."""
        for node in self._graph.node:
            if self._is_wide(node):
                self._convolve(node)
            elif self._compares_rectified(node):
                enlarged = self._add("Mul", node.input[0], self._constant("large", np.float32(_LARGE)))
                self._masks[node.output[0]] = self._add("Min", enlarged, self._constant("one", np.float32(1)))
            elif node.op_type == "Cast" and node.input[0] in self._masks:
                self._add("Identity", self._masks[node.input[0]], output=node.output[0])
            else:
                self._made.append(node)
        for name, value in self._constants.items():
            yield helper.make_node("Constant", [], [name], name, value=numpy_helper.from_array(value, name))
        yield from self._made

    def _is_wide(self, node: onnx.NodeProto) -> bool:
        """Whether it is a 3x3 convolution of many channels, with a frame of zeros."""
        outputs, inputs, *kernel = self._shapes.get(node.input[1], (0, 0)) if node.op_type == "Conv" else (0, 0)
        pads = next((list(attribute.ints) for attribute in node.attribute if attribute.name == "pads"), [])
        return kernel == [3, 3] and outputs * inputs >= WIDE and pads == [1, 1, 1, 1]

    def _compares_rectified(self, node: onnx.NodeProto) -> bool:
        """Whether it finds where the output of a ReLU is more than 0."""
        origin = self._origin.get(node.input[0]) if node.op_type == "Greater" else None
        return origin is not None and origin.op_type == "Relu"

    def _convolve(self, node: onnx.NodeProto) -> None:
        """Nodes in place of a convolution."""
        x, kernel, *bias = node.input
        outputs, inputs = self._shapes[kernel][:2]
        # The kernel, [K, C, 3, 3] to [36, K, C].
        flat = self._add("Transpose", self._add("Reshape", kernel, self._sizes(-1, 9)), perm=[1, 0])
        scaled = self._add("Div", flat, self._constant("kernel_unit", np.float32(_KERNEL_UNIT)))
        transform = self._constant("kernel", np.kron(_KERNEL, _KERNEL))
        transformed = self._add("Reshape", self._add("MatMul", transform, scaled), self._sizes(_POINTS, outputs, inputs))
        # The input, [N, C, H, W] to [N, 36, C, tiles]. Pads of 1 and 4 give as many tiles as cover any height and width.
        filters = np.kron(_INPUT, _INPUT).reshape(_POINTS, 1, 1, _WINDOW, _WINDOW)
        tiles = self._add(
            "Conv",
            self._add("Unsqueeze", x, self._sizes(1)),
            self._constant("input", filters),
            kernel_shape=[1, _WINDOW, _WINDOW],
            strides=[1, _TILE, _TILE],
            pads=[0, 1, 1, 0, _TILE, _TILE],
        )
        product = self._add("MatMul", transformed, self._add("Reshape", tiles, self._sizes(0, 0, 0, -1)))
        # The output, [N, 36, K, tiles] to [N, K, H, W].
        transform = self._constant("output", np.kron(_OUTPUT, _OUTPUT))
        blocks = self._add("MatMul", transform, self._add("Reshape", product, self._sizes(0, 0, -1)))
        shape = self._add("Concat", self._sizes(0, _TILE**2 * outputs), self._add("Shape", tiles, start=3, end=5), axis=0)
        whole = self._add("DepthToSpace", self._add("Reshape", blocks, shape), blocksize=_TILE, mode="DCR")
        result = None if bias else node.output[0]
        ends = self._add("Shape", x, start=2, end=4)
        cut = self._add("Slice", whole, self._sizes(0, 0), ends, self._sizes(2, 3), output=result)
        if bias:
            self._add("Add", cut, self._add("Reshape", bias[0], self._sizes(outputs, 1, 1)), output=node.output[0])

    def _add(self, kind: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        """Add a node of one output; returns the output's name."""
        name = f"cpu_{len(self._made)}"
        self._made.append(helper.make_node(kind, list(inputs), [output or name], name, **attributes))
        return output or name

    def _constant(self, name: str, value: NDArray[np.generic] | np.generic) -> str:
        self._constants[f"cpu_{name}"] = np.ascontiguousarray(value, np.float32).reshape(np.shape(value))
        return f"cpu_{name}"

    def _sizes(self, *values: int) -> str:
        name = "cpu_sizes_" + "_".join(map(str, values))
        self._constants[name] = np.array(values, np.int64)
        return name
