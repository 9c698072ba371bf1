"""A bundle that differs from autograd is never written."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from nstbatch.exporter import export
from nstbatch.exporter.graphs import GraphSpec
from nstbatch.runtime.bundle.spec import FOR_GPU, GRADIENT, LEAN, STEPS
from nstbatch.runtime.errors import ExportError
from seams import ONE_LAYER, Export


@dataclass(frozen=True)
class Made:
    """In place of the tracer: graphs by name, that were traced before."""

    graphs: Mapping[str, onnx.ModelProto]

    def build(self, spec: GraphSpec) -> onnx.ModelProto:
        return self.graphs[spec.name]

    def around(self, gradient: onnx.ModelProto) -> onnx.ModelProto:
        return self.graphs[
            next(name for name, form in STEPS.items() if self.graphs[form].graph.input == gradient.graph.input)
        ]


def scaled(model: onnx.ModelProto, output: str, factor: float) -> None:
    """Change an output."""
    graph = model.graph
    (last,) = (node for node in graph.node if output in node.output)
    last.output[list(last.output).index(output)] = "unscaled"
    for node in graph.node:
        for i, name in enumerate(node.input):
            if name == output:
                node.input[i] = "unscaled"
    graph.initializer.append(numpy_helper.from_array(np.array(factor, np.float32), "factor"))
    graph.node.append(helper.make_node("Mul", ["unscaled", "factor"], [output]))


@pytest.mark.parametrize(
    ("graph", "output", "message"),
    [
        (GRADIENT, "gradient", r"the gradient after changing nothing differs in float64"),
        (FOR_GPU, "gradient", r"the gradient after changing nothing differs in float64"),
        (GRADIENT, "losses", r"a loss after changing nothing differs in float64"),
        ("encode", "gram.relu1_1", r"a feature or Gram matrix differs in float64"),
        ("step", "report", r"the report of a step differ in float64"),
        ("step_lean", "rows_written", r"the rows of a step differ in float64"),
    ],
)
def test_a_wrong_graph_is_never_written(
    graph: str, output: str, message: str, exported: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = exported(ONE_LAYER)
    made = Made({name: onnx.load(bundle.graph(name)) for name in ("encode", GRADIENT, *STEPS.values(), *STEPS)})
    scaled(made.graphs[graph], output, 1 + 1e-5)
    monkeypatch.setattr(export, "build", made.build)
    monkeypatch.setattr(export, "without_metrics_and_variation", lambda _: made.graphs[LEAN])
    monkeypatch.setattr(export, "step_parts", lambda: made)
    with pytest.raises(ExportError, match=rf"{message} by \d\.\de[-+]\d+ at .* nothing was written"):
        export.export_bundle(ONE_LAYER, tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []
