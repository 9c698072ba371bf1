"""The graphs against the contract and against autograd in float64."""

import functools
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from nstbatch.exporter.objective import Objective, total_variation
from nstbatch.exporter.vgg import TruncatedVGG, Weights
from nstbatch.runtime.assembly.sources import WeightsSource
from nstbatch.runtime.bundle.spec import FOR_GPU, GRADIENT, Bundle, BundleSpec
from seams import ONE_LAYER, Export

LOSS_TOLERANCE, GRADIENT_TOLERANCE = 1e-4, 1e-3


@pytest.fixture(scope="module")
def bundle(vgg19: Bundle) -> Bundle:
    return vgg19


@functools.cache
def reference(spec: BundleSpec) -> Objective:
    """In float64."""
    weights = Weights.of(WeightsSource(spec.weights).load(spec.network)[0])
    taps = dict.fromkeys((*spec.content_taps, *spec.style_taps))
    network = TruncatedVGG(spec.network, spec.pooling, taps, weights.to(torch.float64), padding=spec.padding)
    return Objective(network, spec.content_taps, spec.style_taps)


def session(bundle: Bundle, graph: str) -> onnxruntime.InferenceSession:
    return _session(bundle.graph(graph))


@functools.cache
def _session(path: object) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def plain_gradient(
    objective: Objective,
    image: torch.Tensor,
    contents: list[torch.Tensor],
    grams: list[torch.Tensor],
    metrics: list[torch.Tensor],
    weights: torch.Tensor,
) -> tuple[np.ndarray, np.ndarray]:
    """Losses and gradient by torch's ordinary backward pass, of the formulas as they are written."""
    image = image.clone().requires_grad_()
    features = objective.network(image)
    terms = [((features[t] - p) ** 2).mean((1, 2, 3)) for t, p in zip(objective.content_taps, contents, strict=True)]
    for tap, target, Q in zip(objective.style_taps, grams, metrics, strict=True):
        F = features[tap].flatten(2)
        D = F @ F.transpose(1, 2) / F.shape[2] - target
        values, vectors = torch.linalg.eigh(Q)
        M = vectors @ torch.diag_embed(values.sqrt()) @ vectors.transpose(1, 2)
        terms.append(((M @ D @ M) ** 2).mean((1, 2)))
    losses = torch.stack([*terms, total_variation(image)], 1)
    (losses * weights).sum().backward()
    assert image.grad is not None
    return losses.detach().numpy(), image.grad.numpy()


def assert_parity(
    bundle: Bundle, image: np.ndarray, content: np.ndarray, style: np.ndarray, batch_of_styles: bool = False, seed: int = 0
) -> None:
    """Encode and gradient graphs, for GPUs too, equal float64 autograd for this image and these targets."""
    spec = bundle.manifest.spec
    objective = reference(spec)
    as64 = [torch.from_numpy(a).double() for a in (image, content, style)]
    contents, _ = objective.encode(as64[1])
    _, grams = objective.encode(as64[2])
    if batch_of_styles:
        grams = [
            g.repeat(len(image), 1, 1) * torch.linspace(0.5, 1.5, len(image), dtype=g.dtype)[:, None, None] for g in grams
        ]
    rng = np.random.default_rng(seed)
    metrics = []
    for gram in grams:
        vectors = torch.from_numpy(rng.standard_normal((1, gram.shape[1], 8)))
        metrics.append(torch.eye(gram.shape[1])[None].double() + vectors @ vectors.transpose(1, 2) / 8)
    terms = objective.losses(as64[0], contents, grams, metrics).mean(0)
    weights = torch.from_numpy(rng.uniform(0.5, 2, len(terms))) / terms.clamp(min=1e-9)
    losses, gradient = plain_gradient(objective, as64[0], contents, grams, metrics, weights)

    k, l = len(contents), len(grams)
    values = [image, *contents, *grams, *metrics, weights[:k], weights[k : k + l], weights[k + l]]
    for name in (GRADIENT, FOR_GPU):
        run = session(bundle, name)
        feeds = {i.name: np.asarray(v, np.float32) for i, v in zip(run.get_inputs(), values, strict=True)}
        found_losses, found_gradient = run.run(None, feeds)
        np.testing.assert_allclose(found_losses, losses, rtol=LOSS_TOLERANCE, atol=1e-12)
        assert np.linalg.norm(found_gradient - gradient) <= GRADIENT_TOLERANCE * np.linalg.norm(gradient)

    encoded = session(bundle, "encode").run(None, {"image": content})
    expected = [*contents, *objective.encode(as64[1])[1]]
    for mine, theirs in zip(encoded, expected, strict=True):
        assert np.linalg.norm(mine - theirs.numpy()) <= 1e-5 * np.linalg.norm(theirs.numpy())


def test_inputs_and_outputs_are_the_contract(bundle: Bundle) -> None:
    taps = ["relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"]
    channels = [64, 128, 256, 512, 512]
    encode, gradient = session(bundle, "encode"), session(bundle, "gradient")
    assert [i.name for i in encode.get_inputs()] == ["image"]
    assert [o.name for o in encode.get_outputs()] == ["content.relu4_2", *(f"gram.{t}" for t in taps)]
    assert [i.name for i in gradient.get_inputs()] == [
        "image",
        "content.relu4_2",
        *(f"gram.{t}" for t in taps),
        *(f"metric.{t}" for t in taps),
        "content_weight",
        "style_weight",
        "tv_weight",
    ]
    assert [o.name for o in gradient.get_outputs()] == ["losses", "gradient"]
    shapes = {i.name: i.shape for i in gradient.get_inputs()} | {o.name: o.shape for o in gradient.get_outputs()}
    assert shapes["image"] == shapes["gradient"] == ["N", 3, "H", "W"]
    assert shapes["losses"] == ["N", 7]
    assert shapes["content_weight"] == [1]
    assert shapes["style_weight"] == [5]
    assert shapes["tv_weight"] == []
    for tap, c in zip(taps, channels, strict=True):
        assert shapes[f"gram.{tap}"] == ["gram_N", c, c]
        assert shapes[f"metric.{tap}"] == ["metric_N", c, c]


@pytest.mark.parametrize("name", ["encode", "gradient"])
def test_no_index_operations_are_left(bundle: Bundle, name: str) -> None:
    model = onnx.load(bundle.path / f"{name}.onnx", load_external_data=False)
    assert [o.version for o in model.opset_import if o.domain in ("", "ai.onnx")] == [18]
    assert len(model.opset_import) == 1, "operators of ONNX only"
    count = Counter(node.op_type for node in model.graph.node)
    forbidden = {op for op in count if op.startswith(("Gather", "Scatter")) or op in ("MaxUnpool", "ConvTranspose", "Where")}
    assert not forbidden
    assert count["Conv"] == (26 if name == "gradient" else 13)
    # Each pooling once forward; in the gradient once more, to tell the first of several maxima.
    assert count["MaxPool"] == (8 if name == "gradient" else 4)
    # A Gram matrix takes one product over the positions forward and one back, and its metric two of channels.
    assert count["MatMul"] == (20 if name == "gradient" else 5)
    assert all(len(node.output) == 1 for node in model.graph.node if node.op_type == "MaxPool"), "no indices"
    initialisers = {t.name for t in model.graph.initializer}
    assert all(node.input[3] in initialisers for node in model.graph.node if node.op_type == "Pad" and len(node.input) > 3)


TENSORRT = {
    *("Abs", "Max", "ReduceMax"),
    *("Add", "Cast", "Concat", "Conv", "Div", "Equal", "Expand", "Greater", "MatMul", "MaxPool", "Mul", "Neg", "Pad"),
    *("ReduceMean", "Relu", "Reshape", "Resize", "Shape", "Slice", "Squeeze", "Sub", "Tile", "Transpose", "Unsqueeze"),
}
"""Of the graphs' operators, those that TensorRT's parser lists for floats (onnx-tensorrt, docs/operators.md). Another may be
added once it is found there, with its restrictions."""

CONSTANT = {
    "Conv": (1, 2),
    "Slice": (3,),
    "Squeeze": (1,),
    "Unsqueeze": (1,),
    "Pad": (3,),
    "ReduceMean": (1,),
    "ReduceMax": (1,),
}
"""Inputs that the parser takes as initialisers only: weights, and axes."""


@pytest.mark.parametrize("other", [{}, {"pooling": "average"}, {"precision": "fp16"}], ids=["default", "average", "fp16"])
def test_tensorrt_takes_every_operator(bundle: Bundle, other: dict[str, str], exported: Export) -> None:
    bundle = exported(BundleSpec(**other)) if other else bundle
    for name in ("encode", "gradient"):
        check_operators(onnx.load(bundle.graph(name), load_external_data=False).graph)


def check_operators(graph: onnx.GraphProto) -> None:
    initialisers = {t.name for t in graph.initializer}
    found = {node.op_type for node in graph.node}
    assert found <= TENSORRT | {"AveragePool"}, found - TENSORRT
    for node in graph.node:
        for index in CONSTANT.get(node.op_type, ()):
            if index < len(node.input) and node.input[index]:
                assert node.input[index] in initialisers, f"{node.op_type}: input {index} is not constant"
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        if node.op_type in ("MaxPool", "AveragePool"):
            assert len(attributes["kernel_shape"]) == 2
            assert len(node.output) == 1, "no indices"
        if node.op_type == "Resize":
            assert attributes["mode"] in (b"nearest", b"linear")
            assert attributes["coordinate_transformation_mode"] in (b"asymmetric", b"half_pixel", b"align_corners")
            assert attributes.get("nearest_mode", b"floor") in (b"floor", b"ceil", b"round_prefer_floor")


@pytest.mark.parametrize("size", [(32, 32), (57, 43), (66, 98)], ids=["smallest", "odd", "even"])
@pytest.mark.parametrize("batch", [1, 3])
def test_equals_autograd(
    bundle: Bundle, samples: Path, small: Callable[[Path, int], np.ndarray], size: tuple[int, int], batch: int
) -> None:
    h, w = size
    pictures = [small(samples / "photos" / f"{n}.jpg", 192)[:, :, :h, :w] for n in ("tree", "town", "mountains")]
    image = np.concatenate(pictures[:batch])
    content = np.ascontiguousarray(image[:, :, ::-1, ::-1])
    style = small(samples / "ember.jpg", 128)
    assert_parity(bundle, image, content, style, batch_of_styles=batch > 1)


def test_equals_autograd_on_a_real_photo(bundle: Bundle, shared: Path, small: Callable[[Path, int], np.ndarray]) -> None:
    photo = small(shared / "tubingen.jpg", 160)
    assert_parity(bundle, photo, np.ascontiguousarray(photo[:, :, :, ::-1]), small(shared / "starry_night.jpg", 160))


def test_ties_go_where_autograd_sends_them(bundle: Bundle, samples: Path, small: Callable[[Path, int], np.ndarray]) -> None:
    # A clipped sky or a drawing: in flat regions every pooling window is a tie above zero.
    image = np.full((1, 3, 97, 97), 255.0, np.float32)
    image[:, :, 60:, 20:70] = np.array([30, 90, 200], np.float32).reshape(1, 3, 1, 1)
    other = small(samples / "photos" / "still_life.jpg", 140)[:, :, :97, :97]
    assert_parity(bundle, image, other, small(samples / "mosaic.jpg", 96))


def test_each_image_of_a_batch_stands_alone(bundle: Bundle, samples: Path, small: Callable[[Path, int], np.ndarray]) -> None:
    run = session(bundle, "gradient")
    images = np.concatenate([small(samples / "photos" / f"{n}.jpg", 64) for n in ("tree", "town")])
    targets = session(bundle, "encode").run(None, {"image": images[::-1].copy()})
    # One metric for all.
    weights = [np.eye(gram.shape[-1], dtype=np.float32)[None] for gram in targets[1:]]
    weights += [np.ones(1, np.float32), np.ones(5, np.float32), np.array(1, np.float32)]
    names = [i.name for i in run.get_inputs()]
    both = run.run(None, dict(zip(names, [images, *targets, *weights], strict=True)))
    for i in range(2):
        alone = run.run(None, dict(zip(names, [images[i : i + 1], *(t[i : i + 1] for t in targets), *weights], strict=True)))
        np.testing.assert_allclose(both[0][i], alone[0][0], rtol=1e-4)
        assert np.linalg.norm(both[1][i] - alone[1][0]) <= 1e-3 * np.linalg.norm(alone[1][0])


OTHERS = {
    "roots of squares": BundleSpec(pooling="l2"),
    "rescaled averages, replicated edges": BundleSpec(pooling="rescaled", padding="replicate"),
    "one tap for both": ONE_LAYER,
}


@pytest.mark.slow
@pytest.mark.parametrize("spec", OTHERS.values(), ids=OTHERS)
def test_other_taps_and_pooling(
    spec: BundleSpec, exported: Export, samples: Path, small: Callable[[Path, int], np.ndarray]
) -> None:
    bundle = exported(spec)
    photo = small(samples / "photos" / "town.jpg", 75)
    assert_parity(bundle, photo, np.ascontiguousarray(photo[:, :, ::-1]), small(samples / "starry.jpg", 64))
    count = Counter(n.op_type for n in onnx.load(bundle.graph("gradient"), load_external_data=False).graph.node)
    deepest = max(int(t[4]) * 10 + int(t[6]) for t in spec.content_taps + spec.style_taps)
    assert count["Conv"] == 2 * sum(deepest >= 10 * b + i for b, n in enumerate((2, 2, 4, 4, 4), 1) for i in range(1, n + 1))
