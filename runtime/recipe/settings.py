"""What a user chooses about a picture. The defaults stand here, and nowhere else."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from ..bundle.spec import MIN_SIDE
from ..errors import UsageError
from .keywords import names_of
from .presets import DEFAULT, HEAVIEST, PRESETS, layers
from .provider import AUTO, PRECISIONS

MAX_MEGAPIXELS = 100.0
"""Pixels, in millions, above which a file is taken for a decompression bomb, unless the user says otherwise."""

FEATHER = 0.5
"""Standard deviation of the blur of a mask's edges, in percent of its long side."""

NAME = "{stem}{ext}"
"""Template of an output's name: the photo's own."""

OUTPUT_FORMATS = ("jpg", "png", "webp", "tiff")
"""Extensions, without their dots, that outputs can have whatever their photos have."""

INITS = ("content", "noise", "style")
"""Named starting points; anything else is the path of a picture."""

COLORS = ("style", "photo", "match", "histogram", "blend:SHARE")
"""``style``: as painted. ``photo``: the lightness of the painting with the chroma of the photo. ``blend:0.3``: chroma in
between, with that share of the painting's. ``match``, ``histogram``: the style is given the colours of the photo before the
painting, by mean and covariance or by the histogram of each channel."""

MATCHES = ("match", "histogram")
"""Those of `COLORS` that change the style."""

WHITENINGS = ("auto", "on", "off")

OPTIMIZERS = ("lbfgs", "adam", "adagrad", "sgd")

_WHITENING_PAYS = 300
"""Style weight over content weight from which ``whitening="auto"`` is on: about where it begins to lower the loss that 60
evaluations reach, of one pair at 192 pixels."""

ORIGINAL = 2**20
"""A long side that no photo has: each is painted at its own size."""

LARGEST_STYLE = 16384
"""Long side of a style, in pixels, at most."""

ENLARGEMENT = 2.0
"""Times its own size that a style is enlarged to at most where nobody chose its size: enlarged further it has no strokes,
only blur (``bench/style_scale.py``)."""

COARSEST = 96
"""Long side, in pixels, below which ``scales="auto"`` adds no coarser level."""


@dataclass(frozen=True)
class Settings:
    """Options that decide what an output holds.

    Attributes:
        size: long side, in pixels, at which the last level optimises. A smaller photo is not enlarged for it;
            so `ORIGINAL` is every photo's own.
        iterations: evaluations of loss and gradient at each level of size.
        preset: a key of `PRESETS`: whose normalisation of the terms the weights are of.
        content_weight, style_weight, tv_weight: see there; where ``tv_weight`` is None, see `tv_weight_of`.
        layer_weights: taps and what the weights of their terms are multiplied by.
        style_scale: what the style's long side is times the painting's, at each level; None for 1, within `enlargement`.
        style_size: long side, in pixels, of the style at the last level, in place of that; coarser levels in proportion.
        colors: one of `COLORS`: whose colours the painting has.
        init: where to start: one of `INITS`, or the path of a picture.
        seed: of the noise that ``init="noise"`` starts from.
        scales: long sides to work through, coarse to fine, the last of them in place of ``size``; ``auto`` doubles up to
            ``size`` from the first that is at least `COARSEST`; ``(1,)`` means ``size`` alone.
        optimizer: one of `OPTIMIZERS`; `LBFGS`, or of `first_order`.
        history: curvature pairs of L-BFGS.
        learning_rate: of the other optimisers, in pixels' units of 0..255: of a step for ``adam`` and ``adagrad``, of a true
            gradient for ``sgd``; None for their own, see `FirstOrder`.
        decay, decay_every, staircase: of the learning rate, see `Rate`.
        average: of the best iterates so far, the painting is their exponential moving average, each weighing that much
            less than the next; 0 takes the best alone.
        precision: one of `PRECISIONS`; ``mixed`` does the early work in the quickest that the provider has, and ends in
            float32.
        whitening: one of `WHITENINGS`: whether early work compares Gram matrices in a metric in which all directions of
            feature space count alike, see `make_schedule`; ``auto`` where the style weighs much more than the content.
        tolerance: relative progress for a unit of time below which a level ends; 0 for never, see `Level`.
        strip_gps: leave out of the output where the photo was taken.
        strip_metadata: leave out of the output all that the photo's file says besides pixels.
        quality: of outputs in JPEG and WebP, 1 to 100; None for that of the photo, see `Metadata`.

    Raises:
        UsageError: a value is not allowed.
    """

    size: int = 512
    iterations: int = 45
    preset: str = DEFAULT
    content_weight: float = PRESETS[DEFAULT].weights.content
    style_weight: float = PRESETS[DEFAULT].weights.style
    tv_weight: float | None = None
    layer_weights: tuple[tuple[str, float], ...] = ()
    style_scale: float | None = None
    style_size: int | None = None
    colors: str = "style"
    init: str = "content"
    seed: int = 0
    scales: str | tuple[int, ...] = "auto"
    optimizer: str = "lbfgs"
    history: int = 10
    learning_rate: float | None = None
    decay: float = 1.0
    decay_every: int = 100
    staircase: bool = False
    average: float = 0.0
    precision: str = AUTO
    whitening: str = "auto"
    tolerance: float = 0.0
    strip_gps: bool = False
    strip_metadata: bool = False
    quality: int | None = None

    def __post_init__(self) -> None:
        choice = (
            ("preset", tuple(PRESETS)),
            ("precision", PRECISIONS),
            ("whitening", WHITENINGS),
            ("optimizer", OPTIMIZERS),
        )
        for name, choices in choice:
            if getattr(self, name) not in choices:
                raise UsageError(f"{name} '{getattr(self, name)}' is not known; choose one of: {', '.join(choices)}")
        if self.size < MIN_SIDE:
            raise UsageError(f"size {self.size} is too small, it must be at least {MIN_SIDE}")
        for name in ("iterations", "history", "decay_every"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.style_scale is not None and not 0.1 <= self.style_scale <= 10:
            raise UsageError(f"style scale must be between 0.1 and 10, got {self.style_scale}")
        if self.style_size is not None and not MIN_SIDE <= self.style_size <= LARGEST_STYLE:
            raise UsageError(f"style size must be between {MIN_SIDE} and {LARGEST_STYLE}, got {self.style_size}")
        if self.quality is not None and not 1 <= self.quality <= 100:
            raise UsageError(f"quality must be between 1 and 100, got {self.quality}")
        chroma_share(self.colors)
        if self.seed < 0:
            raise UsageError(f"seed must not be negative, got {self.seed}")
        weights = (self.content_weight, self.style_weight, self.tv_weight_of(PRESETS[self.preset].spec.tv))
        if not all(0 <= weight <= HEAVIEST for weight in weights):
            raise UsageError(f"weights must be between 0 and {HEAVIEST:g}, got {weights}")
        if not any(weights):
            raise UsageError("all three weights are zero: there is nothing to minimise")
        if self.scales != "auto":
            parse_scales(self.scales)
        if self.learning_rate is not None and not 0 < self.learning_rate <= HEAVIEST:
            raise UsageError(f"learning rate must be above 0, got {self.learning_rate}")
        if not 0 < self.decay <= 1:
            raise UsageError(f"decay must be above 0 and at most 1, got {self.decay}")
        if not 0 <= self.average < 1:
            raise UsageError(f"average must be at least 0 and below 1, got {self.average}")
        if not 0 <= self.tolerance < 1:
            raise UsageError(f"tolerance must be at least 0 and below 1, got {self.tolerance}")

    KEYWORDS: ClassVar[tuple[str, ...]]
    """What `of` takes."""

    @classmethod
    def of(
        cls, *, preset: str = DEFAULT, layer_weight: str = "", strength: float | None = None, **chosen: Any
    ) -> "Settings":
        """Those of a preset, but for what was chosen otherwise.

        Args:
            preset: a key of `PRESETS`.
            layer_weight: see `layers`.
            strength: of the style, see `factor_of`; None for the preset's.
            chosen: fields.

        Raises:
            UsageError: a value is not allowed.
        """
        if preset not in PRESETS:
            raise UsageError(f"preset '{preset}' is not known; choose one of: {', '.join(PRESETS)}")
        weights = PRESETS[preset].weights
        own = {"content_weight": weights.content, "style_weight": weights.style}
        if strength is not None:
            if "style_weight" in chosen:
                raise UsageError("strength is another word for the style weight; choose one of the two")
            own["style_weight"] *= factor_of(strength)
        if layer_weight:
            chosen["layer_weights"] = layers(layer_weight)
        return cls(**{"preset": preset, **own, **PRESETS[preset].settings, **chosen})

    @property
    def whitens(self) -> bool:
        """Whether early work is done in the whitened metric."""
        if self.whitening == "auto":
            return self.optimizer == "lbfgs" and self.style_weight >= _WHITENING_PAYS * self.content_weight
        return self.whitening == "on"

    @property
    def colors_parts(self) -> list[object]:
        """Of the colours, what decides pixels."""
        return [self.colors if self.colors in MATCHES else None, chroma_share(self.colors)]

    @property
    def optimizer_parts(self) -> list[object]:
        """Of the optimiser, what decides its iterates."""
        if self.optimizer == "lbfgs":
            return ["lbfgs", self.history]
        decay = [self.decay, self.decay_every, self.staircase] if self.decay < 1 else []
        return [self.optimizer, self.learning_rate, *decay]

    def at_most(self, size: int) -> "Settings":
        """The same settings with no level above ``size``."""
        if self.scales == "auto" or parse_scales(self.scales) == (1,):
            return replace(self, size=min(self.size, size))
        return replace(self, scales=tuple(sorted({min(level, size) for level in parse_scales(self.scales)})))

    def style_levels(self, levels: Sequence[int]) -> list[int]:
        """Long sides of the style, for long sides of a painting's `levels`, before `enlargement` bounds them."""
        scale = self.style_scale or 1.0
        if self.style_size is not None:
            scale = self.style_size / levels[-1]
        return [max(MIN_SIDE, round(level * scale)) for level in levels]

    def tv_weight_of(self, kind: str) -> float:
        """Weight of total variation of a kind; where nobody chose one, the default has none of another kind than its own."""
        if self.tv_weight is not None:
            return self.tv_weight
        preset = PRESETS[self.preset]
        return 0.0 if self.preset == DEFAULT and kind != preset.spec.tv else preset.weights.tv

    @property
    def enlargement(self) -> float:
        """Times its own size that a style is enlarged to at most; without bound where its size or a preset was chosen."""
        chosen = self.style_scale is not None or self.style_size is not None or self.preset != DEFAULT
        return math.inf if chosen else ENLARGEMENT

    def levels(self, long_side: int) -> list[int]:
        """Long sides to optimise at, ascending, for a photo whose long side is ``long_side``."""
        if self.scales == "auto":
            last = min(self.size, long_side)
            levels = [last]
            while levels[0] // 2 >= COARSEST:
                levels.insert(0, levels[0] // 2)
            return levels
        scales = parse_scales(self.scales)
        if scales == (1,):
            return [min(self.size, long_side)]
        return sorted({min(level, long_side) for level in scales})


Settings.KEYWORDS = (*names_of(Settings), "layer_weight", "strength")


def parse_scales(scales: str | Sequence[int]) -> tuple[int, ...]:
    """Long sides from ``"48,96,192"`` or a sequence.

    Raises:
        UsageError: not ascending whole numbers of at least the smallest side a bundle takes, nor ``1`` alone.
    """
    try:
        values = tuple(int(v) for v in (scales.split(",") if isinstance(scales, str) else scales))
    except ValueError:
        values = ()
    if values == (1,):
        return values
    if not values or values[0] < MIN_SIDE or list(values) != sorted(set(values)):
        raise UsageError(f"scales '{scales}' are not auto, 1, or ascending sizes such as 128,256,512")
    return values


def factor_of(strength: float) -> float:
    """What a strength s of 0..1 multiplies the preset's style weight by: 100^(2s - 1).

    That is 1/100 at 0, 1 in the middle, and 100 at 1: the eye goes by the weight's logarithm.

    Raises:
        UsageError: it is outside.
    """
    if not 0 <= strength <= 1:
        raise UsageError(f"strength must be between 0 and 1, got {strength}")
    return float(100.0 ** (2 * strength - 1))


def chroma_share(colors: str) -> float:
    """The painting's share in its chroma: 0 for ``photo``, and 1 where its colours are left as they are.

    Raises:
        UsageError: it is none of `COLORS`.
    """
    if colors in ("style", "photo", *MATCHES):
        return 0.0 if colors == "photo" else 1.0
    kind, _, text = colors.partition(":")
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if kind != "blend" or not 0 <= share <= 1:
        raise UsageError(f"colors '{colors}' are not known; choose one of: {', '.join(COLORS)}, such as blend:0.5")
    return share
