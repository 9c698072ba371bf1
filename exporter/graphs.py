"""Traced functions as ONNX graphs that share one file of weights."""

import contextlib
import hashlib
import logging
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnx
import onnx_ir
import onnxscript.optimizer
import torch
import torch.fx.config
from onnx.external_data_helper import set_external_data
from onnx_ir.passes import PassManager
from onnx_ir.passes import common as passes

from ..runtime.bundle.spec import WEIGHTS
from .trace import PLAIN, Decompositions, trace

OPSET = 18

_ALIGNMENT = 4096
"""Offsets in the external data are multiples of a page, so that it can be memory-mapped."""

_EXTERNAL_BYTES = 1024
"""Smaller initialisers stay inside the graph: shape inference has to see axes and sizes."""

Shape = tuple[int | str, ...]


@dataclass(frozen=True)
class GraphSpec:
    """A function to be traced into a graph of the bundle.

    Attributes:
        name: name of the graph, and of its file without ``.onnx``.
        function: the function; takes tensors and lists of tensors.
        example: arguments to trace with.
        dynamic: for each argument (each item, where it is a list), the dimensions whose size is free.
        inputs: name and shape of each tensor, in order; a string is a free dimension.
        outputs: the same for the results.
        decompositions: see `trace`.
    """

    name: str
    function: Callable[..., Any]
    example: tuple[Any, ...]
    dynamic: tuple[Any, ...]
    inputs: Mapping[str, Shape]
    outputs: Mapping[str, Shape]
    decompositions: Decompositions = field(default_factory=lambda: PLAIN)


def build(spec: GraphSpec) -> onnx.ModelProto:
    """The graph of a function, its weights inside."""
    with _quick(), _quiet():
        traced = trace(spec.function, spec.example, spec.decompositions)
        program = torch.onnx.export(
            traced,
            spec.example,
            dynamo=True,
            opset_version=OPSET,
            dynamic_shapes=spec.dynamic,
            input_names=list(spec.inputs),
            output_names=list(spec.outputs),
            optimize=False,
            verbose=False,
        )
    assert program is not None, "dynamo=True returns a program"
    model = program.model
    # Without limits: the flipped weights of the backward convolutions are to be folded, whatever their size.
    onnxscript.optimizer.optimize_ir(model, input_size_limit=sys.maxsize, output_size_limit=sys.maxsize)
    PassManager([passes.CommonSubexpressionEliminationPass(), passes.RemoveUnusedNodesPass()])(model)
    proto = onnx_ir.serde.serialize_model(model)
    _name_dimensions(proto.graph, spec)
    proto.graph.name = spec.name
    return proto


def write(models: Mapping[str, onnx.ModelProto], folder: Path) -> list[str]:
    """Write graphs to ``folder`` and their weights, each array once, to one file beside them; returns the file names."""
    offsets: dict[str, int] = {}
    with (folder / WEIGHTS).open("wb") as file:
        for model in models.values():
            for tensor in model.graph.initializer:
                data = tensor.raw_data
                if len(data) < _EXTERNAL_BYTES:
                    continue
                digest = hashlib.sha256(data).hexdigest()
                if digest not in offsets:
                    offsets[digest] = file.seek(-(-file.tell() // _ALIGNMENT) * _ALIGNMENT)
                    file.write(data)
                set_external_data(tensor, WEIGHTS, offset=offsets[digest], length=len(data))
                tensor.ClearField("raw_data")
    for name, model in models.items():
        (folder / f"{name}.onnx").write_bytes(model.SerializeToString())
        # By path: the checker looks for the external data beside the graph.
        onnx.checker.check_model(str(folder / f"{name}.onnx"))
    return [WEIGHTS, *(f"{name}.onnx" for name in models)]


def _name_dimensions(graph: onnx.GraphProto, spec: GraphSpec) -> None:
    """Give inputs and outputs the contract's shapes in place of the tracer's symbols."""
    for values, shapes in ((graph.input, spec.inputs), (graph.output, spec.outputs)):
        for value, (name, shape) in zip(values, shapes.items(), strict=True):
            assert value.name == name, f"{value.name} where {name} was expected"
            value.CopyFrom(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape))
    # Shapes inside were inferred for the example; ONNX Runtime infers them anew.
    del graph.value_info[:]
    # The tracer's notes on each node name source files of this machine.
    for node in graph.node:
        del node.metadata_props[:]


@contextlib.contextmanager
def _quick() -> Iterator[None]:
    """Leave out the stack trace that torch otherwise attaches to every traced node: a quarter of the export's time."""
    had = getattr(torch.fx.config, "do_not_emit_stack_traces", False)
    torch.fx.config.do_not_emit_stack_traces = True
    try:
        yield
    finally:
        torch.fx.config.do_not_emit_stack_traces = had


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter's notes about torchvision and about renamed axes, which are not the user's business."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
