"""Each preset against its source's formula, written down again in NumPy and float64."""

import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nstbatch.exporter.objective import VARIATIONS, Objective
from nstbatch.exporter.vgg import TruncatedVGG, Weights
from nstbatch.runtime.bundle.gaussians import ADDED, root_metric
from nstbatch.runtime.bundle.network import CHANNELS, layers
from nstbatch.runtime.bundle.spec import CORRELATION, GRAM, STYLE_DISTANCES, TVS, WASSERSTEIN, Bundle, BundleSpec
from nstbatch.runtime.errors import UsageError
from nstbatch.runtime.painting.objective import weigh
from nstbatch.runtime.painting.stylizer import Stylizer
from nstbatch.runtime.recipe.presets import DEFAULT, PRESETS
from nstbatch.runtime.recipe.presets import layers as parse_layers
from nstbatch.runtime.recipe.settings import Settings
from nstbatch.runtime.recipe.size import Size
from process import Call
from seams import Export

Array = np.ndarray


def raw_gram(F: Array) -> Array:
    """F Fᵀ of features ``[C, h, w]``."""
    flat = F.reshape(len(F), -1)
    return flat @ flat.T


def gatys(image: Array, content: list[Any], style: list[Any]) -> float:
    # nn.MSELoss()(r42, target) and, of G.div_(h*w), weights [1e3/n**2 for n in [64,128,256,512,512]].
    total = sum(((F - P) ** 2).mean() for F, P in content)
    for F, A in style:
        C, h, w = F.shape
        total += 1e3 / C**2 * ((raw_gram(F) / (h * w) - raw_gram(A) / (A.shape[1] * A.shape[2])) ** 2).mean()
    return total


def gatys_paper(image: Array, content: list[Any], style: list[Any]) -> float:
    total = sum(0.5 * ((F - P) ** 2).sum() for F, P in content)
    for F, A in style:
        C, N = F.shape[0], F.shape[1] * F.shape[2]
        total += 1000 / 5 * ((raw_gram(F) - raw_gram(A)) ** 2).sum() / (4 * N**2 * C**2)
    return total


def neurons(image: Array, content: list[Any], style: list[Any]) -> float:
    total = sum(0.5 * ((F - P) ** 2).sum() for F, P in content)
    return total + 1000 * sum(((raw_gram(F) - raw_gram(A)) ** 2).sum() / (4 * F.size**2) for F, A in style)


def keras_terms(a: float, b: float, c: float, image: Array, content: list[Any], style: list[Any]) -> float:
    _, H, W = image.shape
    total = a * sum(((F - P) ** 2).sum() for F, P in content)
    total += b / 5 * sum(((raw_gram(F) - raw_gram(A)) ** 2).sum() / (4.0 * 3**2 * (H * W) ** 2) for F, A in style)
    down = (image[:, : H - 1, : W - 1] - image[:, 1:, : W - 1]) ** 2
    right = (image[:, : H - 1, : W - 1] - image[:, : H - 1, 1:]) ** 2
    return total + c * ((down + right) ** 1.25).sum()


def slides(image: Array, content: list[Any], style: list[Any]) -> float:
    total = sum(((F - P) ** 2).sum() / (4 * F.size) for F, P in content)
    for F, A in style:
        C, h, w = F.shape
        total += ((raw_gram(F) - raw_gram(A)) ** 2).sum() / (4 * C**2 * (h * w) ** 2)
    return total


def d2l(image: Array, content: list[Any], style: list[Any]) -> float:
    total = sum(((F - P) ** 2).mean() for F, P in content)
    total += 1e4 * sum(((raw_gram(F) / F.size - raw_gram(A) / A.size) ** 2).mean() for F, A in style)
    Y = (image / 255 - np.array([0.485, 0.456, 0.406])[:, None, None]) / np.array([0.229, 0.224, 0.225])[:, None, None]
    return total + 10 * 0.5 * (np.abs(Y[:, 1:] - Y[:, :-1]).mean() + np.abs(Y[:, :, 1:] - Y[:, :, :-1]).mean())


def tf_vgg19(image: Array, content: list[Any], style: list[Any]) -> float:
    total = sum(1e-5 * 0.5 * ((F - P) ** 2).sum() for F, P in content)
    for F, A in style:
        total += ((raw_gram(F) / F[0].size - raw_gram(A) / A[0].size) ** 2).mean()
    return total + (np.diff(image, axis=1) ** 2).mean() + (np.diff(image, axis=2) ** 2).mean()


def neural_style(image: Array, content: list[Any], style: list[Any]) -> float:
    total = 5 * sum(((F - P) ** 2).mean() for F, P in content)
    total += 100 * sum(((raw_gram(F) / F.size - raw_gram(A) / A.size) ** 2).mean() for F, A in style)
    return total + 1e-3 * (np.abs(np.diff(image, axis=1)).sum() + np.abs(np.diff(image, axis=2)).sum())


def pastiche(image: Array, content: list[Any], style: list[Any]) -> float:
    total = 0.01 * sum(((F - P) ** 2).mean() for F, P in content)
    return total + sum(
        10.0 / len(F) ** 2 * ((raw_gram(F) / F[0].size - raw_gram(A) / A[0].size) ** 2).mean() for F, A in style
    )


def pytorch_tutorial(image: Array, content: list[Any], style: list[Any]) -> float:
    total = sum(((F - P) ** 2).mean() for F, P in content)
    return total + 1e6 * sum(((raw_gram(F) / F.size - raw_gram(A) / A.size) ** 2).mean() for F, A in style)


def gram(image: Array, content: list[Any], style: list[Any]) -> float:
    total = sum(((F - P) ** 2).mean() for F, P in content)
    return total + sum(
        10 / len(F) ** 2 * ((raw_gram(F) / F[0].size - raw_gram(A) / A[0].size) ** 2).mean() for F, A in style
    )


def ours(image: Array, content: list[Any], style: list[Any]) -> float:
    # With a weight of the content of 1.
    total = sum(((F - P) ** 2).mean() for F, P in content) + gaussians(style) / 0.015
    return total + 30 * ((np.diff(image, axis=1) ** 2).mean() + (np.diff(image, axis=2) ** 2).mean())


def gaussians(style: list[Any]) -> float:
    # Of torchvision's features; what is added to the diagonals is of the target, see `root_metric`.
    total = 0.0
    for share, (F, A) in zip((256, 64), style, strict=True):
        channels = len(F)
        (m, C), (a, T) = ((X.reshape(channels, -1).mean(1), np.cov(X.reshape(channels, -1), bias=True)) for X in (F, A))
        added = ADDED * np.trace(T) / channels * np.eye(channels)
        root = matrix_root(T + added)
        cross = matrix_root(root @ (C + added) @ root)
        distance = ((m - a) ** 2).mean() + np.diag(C + T + 2 * added - 2 * cross).mean()
        total += share / 320 * distance
    return total


def normalised(image: Array, content: list[Any], style: list[Any]) -> float:
    total = sum(((F - P) ** 2).mean() for F, P in content)
    for F, A in style:
        C, T = (np.cov(X.reshape(len(X), -1), bias=True) for X in (F, A))
        # Of maps that are 0 everywhere there is no deviation.
        added = ADDED * np.trace(T) / len(T)
        R, S = (M / np.sqrt(np.outer(np.diag(M) + added, np.diag(M) + added)) for M in (C, T))
        total += 400 * ((R - S) ** 2).mean()
    return total


def wasserstein(image: Array, content: list[Any], style: list[Any]) -> float:
    # Of pixels of 0..1.
    total = 0.015 * sum(((F - P) ** 2).mean() for F, P in content) + gaussians(style)
    padded = np.pad(image / 255, ((0, 0), (1, 1), (1, 1)), mode="edge")
    inner = padded[:, 1:-1, 1:-1]
    straight = ((padded[:, 1:-1, 2:] - inner) ** 2).mean() / 3 + ((padded[:, 2:, 1:-1] - inner) ** 2).mean() / 3
    falling, rising = padded[:, 1:, 1:] - padded[:, :-1, :-1], padded[:, 1:, :-1] - padded[:, :-1, 1:]
    return total + 2 * 2 * (straight + (falling**2).mean() / 12 + (rising**2).mean() / 12)


def matrix_root(matrix: Array) -> Array:
    """Of a positive matrix."""
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T


FORMULAS: dict[str, Callable[[Array, list[Any], list[Any]], float]] = {
    "nstbatch": ours,
    "gram": gram,
    "gatys": gatys,
    "gatys-paper": gatys_paper,
    "first-conv": neurons,
    "keras": lambda *a: keras_terms(0.025, 1.0, 1e-4, *a),
    "keras-v3": lambda *a: keras_terms(2.5e-8, 1e-6, 1e-6, *a),
    "slides": slides,
    "d2l": d2l,
    "lecture-vgg16": neurons,
    "tf-vgg19": tf_vgg19,
    "neural-style": neural_style,
    "pastiche": pastiche,
    "pytorch-tutorial": pytorch_tutorial,
    "normalised": normalised,
    "wasserstein": wasserstein,
}

ROOTS_ERROR = 1e-5
"""Of a loss whose roots are of twelve steps, see `bench/roots.py`."""


def random_network(spec: BundleSpec) -> TruncatedVGG:
    """A network of the preset's shape, in float64: a formula does not ask for weights."""
    taps = dict.fromkeys((*spec.content_taps, *spec.style_taps))
    return TruncatedVGG(spec.network, spec.pooling, taps, random_weights(spec.network), padding=spec.padding)


@functools.cache
def random_weights(network: str) -> Weights:
    """Weights by which features keep their size."""
    draw = torch.Generator().manual_seed(0)
    inputs, convolutions = 3, {}
    for block, index in layers(network):
        outputs = CHANNELS[block - 1]
        weight = torch.randn(outputs, inputs, 3, 3, generator=draw, dtype=torch.float64) * (2 / (9 * inputs)) ** 0.5
        convolutions[block, index] = weight, torch.randn(outputs, generator=draw, dtype=torch.float64)
        inputs = outputs
    return Weights(convolutions, torch.tensor([120.0, 110.0, 100.0], dtype=torch.float64))


def test_every_preset_has_a_formula_here() -> None:
    assert set(FORMULAS) == set(PRESETS)
    assert DEFAULT in PRESETS


@pytest.mark.parametrize("name", PRESETS)
def test_loss_and_gradient_are_those_of_the_source(name: str) -> None:
    # The source's, where ours is another.
    spec, settings = replace(PRESETS[name].spec, weights="torchvision"), Settings.of(preset=name)
    if spec.style_distance == WASSERSTEIN:
        # At this size the deep ones have fewer positions than channels, and roots that are less exact: see `bench/roots.py`.
        spec = replace(spec, style_taps=spec.style_taps[:2])
    network = random_network(spec)
    objective = Objective(network, spec.content_taps, spec.style_taps, spec.tv, spec.style_distance)
    rng = np.random.default_rng(1)
    photo, style, image, direction = (torch.from_numpy(rng.uniform(0, 255, (1, 3, 35, 42))) for _ in range(4))
    with torch.no_grad():
        contents, _ = objective.encode(photo)
        _, grams = objective.encode(style)
        there, at = network(style), network(photo)
    weights = weigh(settings, spec, Size(42, 35))
    if spec.style_distance != GRAM:
        metrics = [torch.from_numpy(root_metric(gram[0].numpy()))[None] for gram in grams]
    else:
        metrics = [torch.eye(gram.shape[1], dtype=torch.float64)[None] for gram in grams]
    found, gradient = objective.losses_and_gradient(
        image, contents, grams, metrics, *(torch.from_numpy(np.asarray(w, np.float64)) for w in weights)
    )
    terms = found[0].detach().numpy() * np.array([*weights.content, *weights.style, weights.tv])

    def source(point: torch.Tensor) -> float:
        with torch.no_grad():
            here = network(point)
        content = [(here[tap][0].numpy(), at[tap][0].numpy()) for tap in spec.content_taps]
        styles = [(here[tap][0].numpy(), there[tap][0].numpy()) for tap in spec.style_taps]
        return FORMULAS[name](point[0].numpy(), content, styles)

    rooted = spec.style_distance == WASSERSTEIN
    assert terms.sum() == pytest.approx(source(image), rel=ROOTS_ERROR if rooted else 1e-9)
    # Along a random direction; a step so small that hardly a ReLU or a maximum flips.
    step = 1e-6
    slope = (source(image + step * direction) - source(image - step * direction)) / (2 * step)
    assert float((gradient * direction).sum()) == pytest.approx(slope, rel=1e-3)


def test_kinds_of_total_variation_have_one_list() -> None:
    assert set(VARIATIONS) == set(TVS)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "preset"), [("normalised", "d2l"), ("sums", "neural-style"), ("power", "keras"), ("absolute", "pastiche")]
)
def test_each_kind_smooths(kind: str, preset: str, exported: Export, samples: Path) -> None:
    # The exporter's own check compares loss and gradient with autograd in float64, and refuses to write what differs.
    spec = replace(PRESETS[preset].spec, weights="pastiche")
    assert spec.tv == kind
    bundle = exported(spec)
    assert Bundle.load(bundle.path).manifest.spec == spec
    options = {"provider": "cpu", "size": 40, "iterations": 15, "scales": "1", "style_weight": 0.0, "content_weight": 0.0}
    result = Stylizer.open(bundle, samples / "starry.jpg", tv_weight=1.0, **options)(samples / "photos" / "town.jpg")
    assert result.loss < 0.5 * result.losses.total[0], "minimised alone, it smooths"
    # The default's own weight is of squares: nobody chose it for another kind.
    own = PRESETS[DEFAULT].weights.tv
    assert own > 0
    assert Stylizer.open(bundle, samples / "starry.jpg", provider="cpu").settings.tv_weight == 0
    assert Stylizer.open(bundle, samples / "starry.jpg", provider="cpu", tv_weight=own).settings.tv_weight == own, "chosen"


def test_a_preset_sets_what_is_not_chosen() -> None:
    settings = Settings.of(preset="gatys", style_weight=2.0)
    assert (settings.style_weight, settings.content_weight, settings.iterations) == (2.0, 1.0, 500)
    assert not settings.whitens
    assert Settings.of() == Settings()
    with pytest.raises(UsageError, match="choose one of: nstbatch, gram, gatys"):
        Settings.of(preset="monet")


@pytest.mark.parametrize("text", ["relu3_1", "relu3_1=x", "relu3_1=-1", "relu3_1=nan", "=1=2"])
def test_layer_weights_that_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"not like relu3_1=0\.2"):
        parse_layers(text)


def test_a_layer_weight_multiplies_its_terms() -> None:
    spec = BundleSpec()
    content, style, tv = weigh(Settings(), spec, Size(48, 40))
    other = weigh(Settings.of(layer_weight="relu3_1=0.2, relu4_2=3"), spec, Size(48, 40))
    np.testing.assert_allclose(other.content, np.multiply(content, 3))
    np.testing.assert_allclose(other.style, np.multiply(style, [1, 1, 0.2, 1, 1]))
    assert other.tv == tv


def test_a_preset_is_as_strong_in_gaussians_as_the_one_that_compares_them() -> None:
    spec, size = BundleSpec(style_distance=WASSERSTEIN), Size(48, 40)
    own = weigh(Settings.of(preset=WASSERSTEIN), spec, size)
    for name, factor in (("nstbatch", 1.0), ("gatys", 1.0), ("keras", 1.0), ("nstbatch", 3.0)):
        settings = Settings.of(preset=name, style_weight=factor * PRESETS[name].weights.style)
        content, style, _ = weigh(settings, spec, size)
        np.testing.assert_allclose(np.divide(style, content[0]), factor * np.divide(own.style, own.content[0]))


def test_in_covariances_and_correlations_a_content_counts_as_ever() -> None:
    size = Size(48, 40)
    plain = weigh(Settings(), BundleSpec(), size)
    for distance in set(STYLE_DISTANCES) - {WASSERSTEIN}:
        content, style, _ = weigh(Settings(), BundleSpec(style_distance=distance), size)
        assert content == plain.content
        assert (style == plain.style) is (distance != CORRELATION)
    with pytest.raises(UsageError, match="preset wasserstein compares Gaussians: leave out --style-distance gram"):
        weigh(Settings.of(preset=WASSERSTEIN), BundleSpec(), size)


def test_what_the_bundle_has_not_is_refused(bundle: Bundle, samples: Path) -> None:
    with pytest.raises(UsageError, match="layer weight of 'relu3_2': the bundle compares conv2_2, conv1_1"):
        Stylizer.open(bundle, samples / "starry.jpg", provider="cpu", layer_weight="relu3_2=1")
    with pytest.raises(UsageError, match=r"of kind 'sums', of bundle .*`nstbatch export --preset neural-style`"):
        Stylizer.open(bundle, samples / "starry.jpg", provider="cpu", preset="neural-style")
    with pytest.raises(UsageError, match="preset wasserstein compares Gaussians: leave out --style-distance gram"):
        Stylizer.open(bundle, samples / "starry.jpg", provider="cpu", preset="wasserstein", tv_weight=0.0)


def test_from_the_command_line(bundle: Bundle, samples: Path, tmp_path: Path, nstbatch: Call) -> None:
    arguments = (samples / "photos" / "town.jpg", "--style", samples / "starry.jpg", "--bundle", bundle.path)
    options = ("-o", tmp_path / "out", "--size", 40, "--preset", "gatys")
    result = nstbatch(*arguments, *options, "--iterations", 3)
    assert result.returncode == 0, result.stderr
    assert "1 painted" in result.stdout
    # What the preset says and what is said here come to the same.
    same = ("--style-weight", 1000, "--scales", 1, "--whitening", "off", "--iterations", 3)
    assert "1 up to date" in nstbatch(*arguments, *options, *same).stdout
    assert "1 painted" in nstbatch(*arguments, *options, "--iterations", 3, "--layer-weight", "conv1_1=2").stdout
    refused = nstbatch(*arguments, *options, "--style-taps", "relu1_1")
    assert refused.returncode == 2
    assert "--bundle" in refused.stderr
