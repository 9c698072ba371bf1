"""The weighted objective of one photo, as a function of its pixels."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..bundle.gaussians import root_metric
from ..bundle.spec import GRADIENT, GRAM, METRIC, OTHERS, STEP, TV_WEIGHT, BundleSpec
from ..bundle.step import Report
from ..engine.binding import Array, Buffer
from ..engine.engine import Engine, Evaluate
from ..optimizer.step_vectors import StepRequest
from ..pictures.regions import Guidance
from ..recipe.presets import LossWeights, Shapes, TermWeights, term_weights
from ..recipe.settings import Settings
from ..recipe.size import Size


@dataclass(frozen=True)
class Targets:
    """What a picture is compared with, by input name of the gradient graph.

    Attributes:
        contents: ``content.<tap>`` to features ``[1, C, h, w]``.
        grams: ``gram.<tap>`` to Gram matrices ``[1, C, C]``; of regions, ``[1, R, C, C]``.
        masks: of regions, ``mask.<tap>`` to masks ``[1, R, h, w]``.
        shares: of each region in the picture, ``[R]``; None without regions.
        style_distance: see `BundleSpec`. For all but `GRAM` Gram matrices have a row and a column more, see
            `exporter.moments.moments`.
    """

    contents: Mapping[str, Array]
    grams: Mapping[str, Array]
    masks: Mapping[str, Array] = field(default_factory=dict)
    shares: NDArray[np.float64] | None = None
    style_distance: str = GRAM

    def metrics(self, damping: float | None = None) -> dict[str, Array]:
        """``metric.<tap>`` to the metric Q, of the shape of Gram matrices, in which these are compared.

        Of a region it is multiplied by the root of its share: its term counts by that. For all distances but
        `GRAM` it is what `root_metric` gives, whatever the damping.

        Args:
            damping: d of Q = d (A / lambda + d·I)⁻¹, with lambda the largest eigenvalue of the style's Gram matrix A. The
                smaller it is, the more alike count the directions of feature space, those in which the style has little
                energy and those in which it has most. None for Q = I, the objective of Gatys et al.
        """
        result = {}
        if self.style_distance != GRAM:
            return {name.replace("gram.", METRIC, 1): self._roots(gram[0])[None] for name, gram in self.grams.items()}
        for name, gram in self.grams.items():
            identity = np.eye(gram.shape[-1])
            if damping is None:
                metric = identity
            else:
                A = gram[0].astype(np.float64)
                largest = np.linalg.eigvalsh(A)[..., -1:, None]
                metric = damping * np.linalg.inv(A / np.where(largest, largest, 1.0) + damping * identity)
            if self.shares is not None:
                metric = np.sqrt(self.shares)[:, None, None] * metric
            result[name.replace("gram.", METRIC, 1)] = metric.astype(np.float32)[None]
        return result

    @property
    def others(self) -> dict[str, Array]:
        """``others.<tap>`` to what other tiles have of the picture: nothing, where the graph asks for it."""
        if self.style_distance == GRAM or not self.masks:
            return {}
        return {name.replace("gram.", OTHERS, 1): np.zeros_like(gram) for name, gram in self.grams.items()}

    def _roots(self, moments: Array) -> Array:
        if self.shares is None:
            return root_metric(moments).astype(np.float32)
        pairs = zip(moments, self.shares, strict=True)
        return np.stack([root_metric(each, float(share)) for each, share in pairs]).astype(np.float32)


class Evaluated(NamedTuple):
    """What an evaluation gives. Loss and gradient are in the same unit: both are divided by the largest weight.

    Attributes:
        loss: the weighted sum, taken in float64.
        gradient: its gradient, ``[1, 3, H, W]``; or a `Report`, see `Objective`.
        terms: the weighted terms ``[k + l + 1]``; their sum is not divided.
    """

    loss: float
    gradient: Any
    terms: NDArray[np.float64]


class Weighing:
    """The weights of the graph's terms.

    Args:
        weights: of each term.

    Attributes:
        weights: all of them, ``[k + l + 1]``.
        unit: the largest.
        content, style, tv: the graph's inputs: divided by the unit, ``[k]``, ``[l]`` and a number.
    """

    def __init__(self, weights: TermWeights) -> None:
        content, style = np.array(weights.content, np.float64), np.array(weights.style, np.float64)
        self.weights = np.concatenate([content, style, [weights.tv]])
        # The graph sums in float32: scaled to about 1, weights of any size neither overflow nor vanish there.
        self.unit = float(self.weights.max()) or 1.0
        self.content = (content / self.unit).astype(np.float32)
        self.style = (style / self.unit).astype(np.float32)
        self.tv = np.array(weights.tv / self.unit, np.float32)

    def weigh(self, losses: NDArray[np.floating], gradient: Any) -> Evaluated:
        """What an evaluation gives, of the graph's unweighted losses ``[k + l + 1]``."""
        terms = self.weights * losses.astype(np.float64, copy=False)
        return Evaluated(float(terms.sum()) / self.unit, gradient, terms)


class Objective:
    """Loss and gradient of a picture against its targets.

    Args:
        engine: runs the gradient graph.
        targets: features and Gram matrices to reach.
        weights: of the graph's terms.
        damping: see `Targets.metrics`.
        precision: see `Engine.run`.

    Attributes:
        fixed: every input of the gradient graph but the image, by name.
        weighing: the weights.
        unit: what loss and gradient are divided by, see `Weighing`.
        joins: whether it can be evaluated together with others, see `LockStep`.
    """

    joins = True

    def __init__(
        self,
        engine: Engine,
        targets: Targets,
        weights: TermWeights,
        damping: float | None = None,
        precision: str = "float32",
    ) -> None:
        self.engine = engine
        self.precision = precision
        self.damping = damping
        self.weighing = weighing = Weighing(weights)
        self.unit = weighing.unit
        self.fixed: dict[str, Array] = {
            **targets.contents,
            **targets.grams,
            **targets.metrics(damping),
            **targets.masks,
            **targets.others,
            "content_weight": weighing.content,
            "style_weight": weighing.style,
            TV_WEIGHT: weighing.tv,
        }
        self._evaluate = engine.bind(GRADIENT, self.fixed, precision)
        self._step: tuple[Buffer, Evaluate] | None = None
        """The graph of a step, bound to those vectors."""

    def __call__(self, point: Any) -> Evaluated:
        """Evaluate at a point: an image ``[1, 3, H, W]``, RGB, 0..255; or that to which a step leads, a `StepRequest`.

        The gradient of the latter is a `Report`.
        """
        return self.launch(point)()

    def launch(self, point: Any) -> Callable[[], Evaluated]:
        """Begin to evaluate at a point, where the host need not wait for the device; what waits for the rest.

        That is to be called before the next evaluation.
        """
        if isinstance(point, StepRequest):
            rows = point.vectors.rows
            if not rows.bindable:
                # They were in a batch, which is no more.
                rows = point.vectors.rows = self.engine.place.put(rows.read())
            if self._step is None or self._step[0] is not rows:
                self._step = rows, self.engine.bind(STEP, {**self.fixed, **point.vectors.constants}, self.precision)
            report = self._step[1]({"control": point.control, "rows": rows}, {"rows_written": rows})
            return lambda: self.weigh_report(report()[0][0], rows.shape[1])
        outputs = self._evaluate({"image": point})

        def evaluated() -> Evaluated:
            losses, gradient = outputs()
            return self.weigh(losses[0], gradient)

        return evaluated

    def losses(self, image: Array) -> Array:
        """The graph's unweighted losses of ``image``, ``[k + l + 1]``."""
        losses: Array = self._evaluate({"image": image})()[0][0]
        return losses

    def weigh(self, losses: NDArray[np.floating], gradient: Any) -> Evaluated:
        """What an evaluation gives, of the graph's unweighted losses ``[k + l + 1]``."""
        return self.weighing.weigh(losses, gradient)

    def weigh_report(self, numbers: Array, rows: int) -> Evaluated:
        """The same of what a step reports on an image with so many rows."""
        report = Report.of(numbers, rows)
        return self.weigh(report.losses, report)


def encode(engine: Engine, image: Array, guidance: Guidance | None = None) -> Targets:
    """Features and Gram matrices of an image.

    Args:
        engine: runs the graph.
        image: ``[1, 3, H, W]``, RGB, 0..255.
        guidance: where its regions are, for a bundle that has them; None for one region that is all of it.
    """
    spec = engine.bundle.manifest.spec
    masks, shares = {}, None
    if spec.regions:
        guidance = guidance or Guidance.whole()
        masks, shares = guidance.masks(spec, Size.of_array(image.shape)), guidance.shares
    values = engine.run("encode", {"image": image} | masks)
    k = len(spec.content_taps)
    return Targets(
        contents={f"content.{tap}": value for tap, value in zip(spec.content_taps, values[:k], strict=True)},
        grams={f"gram.{tap}": value for tap, value in zip(spec.style_taps, values[k:], strict=True)},
        masks=masks,
        shares=shares,
        style_distance=spec.style_distance,
    )


def weigh(settings: Settings, spec: BundleSpec, size: Size) -> TermWeights:
    """Weights of the graph's unweighted terms, for an image of that size."""
    weights = LossWeights(settings.content_weight, settings.style_weight, settings.tv_weight_of(spec.tv))
    terms = term_weights(settings.preset, weights, Shapes.of(spec, size))
    factors = dict(settings.layer_weights)

    def weighted(values: list[float], taps: Sequence[str]) -> list[float]:
        return [value * factors.get(tap, 1.0) for value, tap in zip(values, taps, strict=True)]

    return TermWeights(weighted(terms.content, spec.content_taps), weighted(terms.style, spec.style_taps), terms.tv)


def balance(weights: LossWeights, targets: Targets) -> TermWeights:
    """Weights of the graph's unweighted terms by the formula of ``gatys``, which knows no size."""
    content, style = (tuple(name.partition(".")[2] for name in group) for group in (targets.contents, targets.grams))
    spec = BundleSpec(content_taps=content, style_taps=style, style_distance=targets.style_distance)
    return term_weights("gatys", weights, Shapes.of(spec, Size(0, 0)))
