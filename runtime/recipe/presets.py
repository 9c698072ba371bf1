"""The recipes of the field: whose network, taps, terms, start and optimiser, and what their constants come to here.

The terms of the gradient graph are means: C of squared differences of features, S of squared differences of Gram matrices
F Fᵀ/(h·w), T of a total variation. A preset turns its own normalisation into weights for them, from the shapes of its taps.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..bundle.network import CHANNELS
from ..bundle.spec import CORRELATION, WASSERSTEIN, BundleSpec
from ..errors import UsageError
from .size import Size


@dataclass(frozen=True)
class LossWeights:
    """Strength of the three parts of an objective, as its source states them.

    Attributes:
        content, style, tv: the factors of a preset's formula.
    """

    content: float
    style: float
    tv: float


class TapShape(NamedTuple):
    """The shape of a tap's features, ``[C, h, w]``."""

    channels: int
    height: int
    width: int


@dataclass(frozen=True)
class Shapes:
    """What a preset's constants depend on.

    Attributes:
        size: of the image.
        content, style: of each tap's features.
        spec: the bundle.
    """

    size: Size
    content: tuple[TapShape, ...]
    style: tuple[TapShape, ...]
    spec: BundleSpec

    @classmethod
    def of(cls, spec: BundleSpec, size: Size) -> "Shapes":
        """Of a bundle's taps, for an image of that size: a pooling halves and rounds down."""

        def shape(tap: str) -> TapShape:
            halvings = int(tap[4]) - 1
            return TapShape(CHANNELS[halvings], size.height >> halvings, size.width >> halvings)

        return cls(size, tuple(map(shape, spec.content_taps)), tuple(map(shape, spec.style_taps)), spec)


class TermWeights(NamedTuple):
    """What the graph's unweighted terms are multiplied by, in the order of the bundle's taps.

    Attributes:
        content: of the content terms, k of them.
        style: of the style terms, l of them.
        tv: of the total variation.
    """

    content: list[float]
    style: list[float]
    tv: float


@dataclass(frozen=True)
class Preset:
    """A recipe.

    Attributes:
        source: where it is from.
        formula: its objective in words, with a, b and c for the weights of content, style and total variation.
        weights: those of its source.
        balance: what they come to for the terms of the gradient graph.
        spec: the bundle that it takes.
        settings: fields of `Settings` that it sets, but for the weights.
        notes: in what it departs from its source.
    """

    source: str
    formula: str
    weights: LossWeights
    balance: Callable[[LossWeights, Shapes], TermWeights]
    spec: BundleSpec = field(default_factory=BundleSpec)
    settings: Mapping[str, Any] = field(default_factory=dict)
    notes: str = ""


def _balance(
    content: Callable[[int, int, int], float] = lambda C, h, w: 1.0,
    style: Callable[[int, int, int], float] = lambda C, h, w: 1 / C**2,
    tv: Callable[[int, int], float] = lambda height, width: 1.0,
    area: bool = False,
) -> Callable[[LossWeights, Shapes], TermWeights]:
    """A preset's constants, by which its weights are multiplied; by default those of ``gatys``.

    Args:
        content: of a content tap, from its C, h and w.
        style: of a style tap, likewise.
        tv: of the TV term, from the image's height and width.
        area: whether a style tap's constant is, besides, over the square of the image's pixels.
    """

    def balance(weights: LossWeights, shapes: Shapes) -> TermWeights:
        pixels = shapes.size.pixels**2 if area else 1
        return TermWeights(
            [weights.content * content(*shape) for shape in shapes.content],
            [weights.style * style(*shape) / pixels for shape in shapes.style],
            weights.tv * tv(shapes.size.height, shapes.size.width),
        )

    return balance


# Means of squares over C², of Gram matrices over h·w: the same as means of squares of Gram matrices over C·h·w.
_GATYS = _balance()

# Sum of squares of raw Gram matrices F Fᵀ over 4 C² (h·w)²: C² (h·w)² S / (4 C² (h·w)²).
_PAPER = _balance(content=lambda C, h, w: C * h * w / 2, style=lambda C, h, w: 1 / 4)

# Sums of squares; raw Gram matrices over 4·3²·(H·W)², five layers; the sum over what the two differences have in common.
_KERAS = _balance(
    content=lambda C, h, w: C * h * w,
    style=lambda C, h, w: (C * h * w) ** 2 / (4 * 3**2) / 5,
    tv=lambda height, width: 3.0 * (height - 1) * (width - 1),
    area=True,
)

_OXFORD_UNITS = {
    "relu1_1": 5.4e3,
    "relu2_1": 9.4e3,
    "relu3_1": 5.3e3,
    "relu4_1": 4.5e4,
    "relu4_2": 5.8e4,
    "relu5_1": 3.9e3,
}
"""The variance of Oxford's features over that of torchvision's, by the tap; of other taps it is that of the block's first.
Measured with VGG-19 from Oxford and VGG-16 from torchvision, see `bench/units.py`."""

_OF_CORRELATIONS = 400.0
"""Weight of a style term of correlations beside a content term of torchvision's features: by eye."""

_OF_BLOCKS = (256.0, 64.0, 16.0, 4.0, 1.0)
"""Of style terms: crowsonkb gives each block a fourth of the one before."""


def _unit(spec: BundleSpec, tap: str) -> float:
    """What a term of a tap's squared features is to be divided by, to be one of torchvision's features."""
    return 1.0 if spec.weights.endswith("torchvision") else _OXFORD_UNITS.get(tap, _OXFORD_UNITS[f"relu{tap[4]}_1"])


def _gaussians(weights: LossWeights, shapes: Shapes) -> TermWeights:
    """The constants of ``wasserstein``: features are torchvision's, shares of style terms sum to 1, pixels are of 0..1."""
    spec = shapes.spec
    shares = [_OF_BLOCKS[int(tap[4]) - 1] for tap in spec.style_taps]
    return TermWeights(
        [weights.content / _unit(spec, tap) / len(spec.content_taps) for tap in spec.content_taps],
        [weights.style * share / sum(shares) / _unit(spec, tap) for share, tap in zip(shares, spec.style_taps, strict=True)],
        weights.tv / 255**2,
    )


def term_weights(preset: str, weights: LossWeights, shapes: Shapes) -> TermWeights:
    """What a preset's weights come to for the terms of a bundle's gradient graph.

    Of a bundle that compares Gaussians, they make the style as strong beside the content as the weights of ``wasserstein``
    do, if they are the preset's own; of one that compares correlations, as strong as it looks in Gram matrices.

    Args:
        preset: a key of `PRESETS`.
        weights: in place of the preset's.
        shapes: of the bundle's taps.
    """
    chosen, distance = PRESETS[preset], shapes.spec.style_distance
    if preset == WASSERSTEIN != distance:
        raise UsageError(f"preset {WASSERSTEIN} compares Gaussians: leave out --style-distance {distance}, or the preset")
    terms = chosen.balance(weights, shapes)
    if preset == WASSERSTEIN or distance not in (WASSERSTEIN, CORRELATION):
        return terms
    beside = chosen.balance(chosen.weights, shapes).content[0]
    strength = weights.style / chosen.weights.style
    if distance == CORRELATION:
        unit = _unit(shapes.spec, shapes.spec.content_taps[0])
        return terms._replace(style=[_OF_CORRELATIONS * strength * beside * unit] * len(shapes.style))
    other = PRESETS[WASSERSTEIN].weights
    content, style, _ = _gaussians(LossWeights(other.content, strength * other.style, 0.0), shapes)
    return terms._replace(style=[beside / content[0] * value for value in style])


_SIZES = "sizes are long sides here"
_PLAIN = {"scales": "1", "whitening": "off"}
_DESCENT = _PLAIN | {"init": "noise", "optimizer": "sgd", "iterations": 300}

DEFAULT = "nstbatch"

PRESETS: dict[str, Preset] = {
    DEFAULT: Preset(
        source="this program",
        formula="a·C + b/10·k·sum over taps of w·(squared 2-Wasserstein distance)/channels + c·(mean dx² + mean dy²), with "
        "w and k such that content and style count as in wasserstein; coarse to fine",
        weights=LossWeights(1.0, 10.0, 30.0),
        balance=_GATYS,
        spec=BundleSpec(style_distance=WASSERSTEIN),
        notes="chosen by eye and by a network that painted nothing: bench/results/judge.md",
    ),
    "gram": Preset(
        source="this program, before it compared Gaussians",
        formula="a·C + b·sum S/C²: gatys, coarse to fine",
        weights=LossWeights(1.0, 10.0, 0.0),
        balance=_GATYS,
        settings={"iterations": 60},
    ),
    "gatys": Preset(
        source="Gatys' notebook, leongatys/PytorchNeuralStyleTransfer",
        formula="a·mean (F-P)² + b·sum over taps of mean (G-A)²/C², G over h·w",
        weights=LossWeights(1.0, 1000.0, 0.0),
        balance=_GATYS,
        settings=_PLAIN | {"iterations": 500},
        notes=f"{_SIZES}; its second run at 800 is --scales 512,800; our L-BFGS",
    ),
    "gatys-paper": Preset(
        source="Gatys, Ecker, Bethge, arXiv 1508.06576 (2015), equations 1, 4, 5, 7",
        formula="a·½ sum (F-P)² + b·1/5 sum over taps of sum (ΔG)²/(4 N² C²), raw G, N = h·w",
        weights=LossWeights(1.0, 1000.0, 0.0),
        balance=_balance(content=lambda C, h, w: C * h * w / 2, style=lambda C, h, w: 1 / 20),
        spec=BundleSpec(pooling="average"),
        settings=_PLAIN | {"init": "noise", "iterations": 500},
        notes="the noise is about the photo's mean colour",
    ),
    "first-conv": Preset(
        source="course notes",
        formula="a·½ sum (F-P)² + b·sum over taps of sum (ΔG)²/(4 N²), raw G, N = the layer's neurons",
        weights=LossWeights(1.0, 1000.0, 0.0),
        balance=_PAPER,
        spec=BundleSpec("vgg16", content_taps=("relu4_1",), weights="torchvision"),
        settings=_DESCENT,
        notes="the first step of the descent is of one grey level, and a : b is ours",
    ),
    "normalised": Preset(
        source="course notes, which have batch normalisation between convolution and Gram matrix",
        formula="a·C + b·400·u·sum over taps of mean (ΔR)², R the Gram matrices of maps of mean 0 and deviation 1",
        weights=LossWeights(1.0, 1.0, 0.0),
        balance=_GATYS,
        spec=BundleSpec(style_distance=CORRELATION),
        settings=_PLAIN | {"iterations": 300},
        notes="u is the unit of Oxford's features; to each variance 0.03 of the style's mean variance is added; a : b and "
        "VGG-19 are ours; our L-BFGS",
    ),
    "keras": Preset(
        source="Chollet, Deep Learning with Python (2017), section 8.3",
        formula="a·sum (F-P)² + b/5·sum over taps of sum (ΔG)²/(4·3²·(H·W)²), raw G + c·sum (dx²+dy²)^1.25",
        weights=LossWeights(0.025, 1.0, 1e-4),
        balance=_KERAS,
        spec=BundleSpec(content_taps=("relu5_2",), tv="power"),
        settings=_PLAIN | {"iterations": 400, "size": 400},
        notes="VGG-19, as its file has it; neither picture is stretched; our L-BFGS, which goes on after 20 evaluations",
    ),
    "keras-v3": Preset(
        source="keras-team/keras-io, examples/generative/neural_style_transfer.py",
        formula="a·sum (F-P)² + b/5·sum over taps of sum (ΔG)²/(4·3²·(H·W)²), raw G + c·sum (dx²+dy²)^1.25",
        weights=LossWeights(2.5e-8, 1e-6, 1e-6),
        balance=_KERAS,
        spec=BundleSpec(content_taps=("relu5_2",), tv="power"),
        settings=_PLAIN
        | {"optimizer": "sgd", "learning_rate": 100.0, "decay": 0.96, "decay_every": 100, "iterations": 4000, "size": 400},
        notes="neither picture is stretched",
    ),
    "slides": Preset(
        source="course slides",
        formula="a·mean (F-P)²/4 + b·sum over taps of sum (ΔG)²/(4 C² (h·w)²), raw G + c·T",
        weights=LossWeights(1.0, 1.0, 0.0),
        balance=_balance(content=lambda C, h, w: 1 / 4, style=lambda C, h, w: 1 / 4),
        settings=_DESCENT,
        notes="they leave network, layers and every factor free: these are ours, --layer-weight is lambda",
    ),
    "d2l": Preset(
        source="Dive into Deep Learning, chapter_computer-vision/neural-style",
        formula="a·mean (F-P)² + b·sum over taps of mean (G-A)², G over C·h·w + c·½(mean |dx| + mean |dy|), normalised RGB",
        weights=LossWeights(1.0, 1e4, 10.0),
        balance=_balance(tv=lambda height, width: 0.5),
        spec=BundleSpec(
            content_taps=("relu4_4",),
            style_taps=("relu1_1", "relu2_1", "relu3_1", "relu4_1", "conv5_1"),
            weights="torchvision",
            tv="normalised",
        ),
        settings=_PLAIN
        | {
            "optimizer": "adam",
            "learning_rate": 17.3,
            "decay": 0.8,
            "decay_every": 50,
            "staircase": True,
            "iterations": 500,
            "size": 450,
        },
        notes="its taps are before the activation by name, but torchvision's ReLU overwrites all but the last; its rate of "
        "0.3 is of normalised channels, 17.1 to 17.5 grey levels; neither picture is stretched",
    ),
    "lecture-vgg16": Preset(
        source="lecture",
        formula="a·½ sum (F-P)² + b·sum over taps of sum (ΔG)²/(4 (h·w·C)²), raw G",
        weights=LossWeights(1.0, 1000.0, 0.0),
        balance=_PAPER,
        spec=BundleSpec("vgg16", content_taps=("relu3_3",), weights="torchvision"),
        settings=_DESCENT,
        notes="its one middle layer is relu3_3, and a : b ours; --layer-weight is lambda",
    ),
    "tf-vgg19": Preset(
        source="TensorFlow repository",
        formula="a·½ sum (F-P)² + b·sum over taps of mean (G-A)², G over h·w + c·(mean dx² + mean dy²)",
        weights=LossWeights(1e-5, 1.0, 1.0),
        balance=_balance(content=lambda C, h, w: C * h * w / 2, style=lambda C, h, w: 1.0),
        settings=_PLAIN | {"init": "noise", "iterations": 500},
        notes="no repository was found that has all of it: the factors are ours; also with --optimizer adam or adagrad",
    ),
    "neural-style": Preset(
        source="ProGamerGov/neural-style-pt, after jcjohnson/neural-style",
        formula="a·mean (F-P)² + b·sum over taps of mean (G-A)², G over C·h·w + c·(sum |dx| + sum |dy|)",
        weights=LossWeights(5.0, 100.0, 1e-3),
        balance=_balance(tv=lambda height, width: 3.0 * height * width),
        spec=BundleSpec(tv="sums"),
        settings=_PLAIN | {"init": "noise", "iterations": 1000, "history": 100},
        notes="the noise is about the photo's mean colour; our L-BFGS",
    ),
    "pastiche": Preset(
        source="dstein64/pastiche (PyPI)",
        formula="a·mean (F-P)² + b·sum over taps of mean (G-A)²/C², G over h·w + c·½(mean |dx| + mean |dy|)",
        weights=LossWeights(0.01, 10.0, 0.0),
        balance=_balance(tv=lambda height, width: 0.5),
        spec=BundleSpec(tv="absolute"),
        settings=_PLAIN | {"iterations": 1000, "size": 577},
        notes="its size is an area of 500² pixels, that of a long side of 577 at 4 : 3; our L-BFGS",
    ),
    "pytorch-tutorial": Preset(
        source="pytorch/tutorials, advanced_source/neural_style_tutorial.py",
        formula="a·mean (F-P)² + b·sum over taps of mean (G-A)², G over C·h·w",
        weights=LossWeights(1.0, 1e6, 0.0),
        balance=_GATYS,
        spec=BundleSpec(
            content_taps=("conv2_2",),
            style_taps=("conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1"),
            weights="torchvision",
        ),
        settings=_PLAIN | {"iterations": 300},
        notes=f"{_SIZES}; our L-BFGS",
    ),
    WASSERSTEIN: Preset(
        source="crowsonkb/style-transfer-pytorch",
        formula="a·mean (F-P)² + b·sum over taps of w·(|m-a|² + tr(C + A - 2 (A^½ C A^½)^½))/channels + c·T, w as "
        "256:64:16:4:1, which sum to 1",
        weights=LossWeights(0.015, 1.0, 2.0),
        balance=_gaussians,
        spec=BundleSpec(padding="replicate", tv="nine-point", style_distance=WASSERSTEIN),
        settings={"iterations": 100, "whitening": "off"},
        notes="VGG-19 of Oxford, its features in torchvision's unit; scales double; our L-BFGS, and no average of iterates; "
        "on the diagonals 0.03 of the mean variance in place of 1e-4",
    ),
}


def layers(text: str) -> tuple[tuple[str, float], ...]:
    """Taps and factors from ``relu3_1=0.2``, several separated by commas.

    Raises:
        UsageError: it is something else.
    """
    pairs = []
    for part in filter(None, map(str.strip, text.split(","))):
        try:
            tap, factor = part.split("=")
            pairs.append((tap.strip(), float(factor)))
            sound = 0 <= pairs[-1][1] <= HEAVIEST
        except ValueError:
            sound = False
        if not sound:
            raise UsageError(f"layer weight '{part}' is not like relu3_1=0.2, with a factor of at least 0")
    return tuple(pairs)


HEAVIEST = 1e30
"""Largest weight: beyond, losses overflow."""
