"""The objective of a picture in tiles: the same loss and gradient as of one piece, in the memory of a tile.

A Gram matrix is the sum of its positions' products, so that a picture's is the sum of its tiles'. Given that sum G, the
gradient that a tile's own features have of a style term is that of a tile alone whose target is A - (G - Gₜ): its difference
is G - A, too. Where more than the difference counts, the graph is given G - Gₜ, and adds it to Gₜ. The gradient of a tile's
pixels, halo included, is its share of the picture's. So there are two passes: Gram matrices are added up, and then gradients
are.

A tile computes Gram matrices of its own positions by the graphs with regions, whose masks are 0 at the others.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bundle.spec import GRADIENT, GRAM, OTHERS, TV_WEIGHT
from ..engine.binding import Array
from ..engine.engine import Engine
from ..files.scratch import Empty, Scratch, zeros
from ..pictures.regions import Guidance
from ..recipe.presets import TermWeights
from ..recipe.size import Size
from .objective import Evaluated, Targets, Weighing
from .tiles import Tile, shape_of, tiles_of
from .variation import variation

Grams = Mapping[str, Array]


@dataclass(frozen=True)
class Mosaic:
    """A picture in tiles, and what computes them.

    Attributes:
        engine: of a bundle with regions.
        size: of the picture.
        tiles: that it is in.
        guidance: where its regions are.
        masks: of the regions in the whole picture, ``mask.<tap>`` to ``[1, R, h, w]``; empty for one that is all of it.
    """

    engine: Engine
    size: Size
    tiles: Sequence[Tile]
    guidance: Guidance
    masks: Mapping[str, Array] = field(default_factory=dict)

    @classmethod
    def of(cls, engine: Engine, size: Size, side: int, guidance: Guidance | None = None) -> "Mosaic":
        """Cut a picture.

        Args:
            engine: of a bundle with regions.
            size: of the picture.
            side: most pixels of a tile's own in each direction.
            guidance: where its regions are; None for one region that is all of it.
        """
        spec = engine.bundle.manifest.spec
        masks = {} if guidance is None else guidance.masks(spec, size)
        return cls(engine, size, tiles_of(size, side, spec), guidance or Guidance.whole(), masks)

    def encode(self, image: Array, tile: Tile) -> tuple[list[Array], dict[str, Array]]:
        """Content features of what a tile sees, and ``gram.<tap>`` to what it adds to the picture's Gram matrices.

        Args:
            image: the picture, ``[1, 3, H, W]``.
            tile: one of its tiles.
        """
        spec = self.engine.bundle.manifest.spec
        values = self.engine.run("encode", {"image": self.cut(image, tile), **self.own_masks(tile)})
        k = len(spec.content_taps)
        return values[:k], {f"gram.{tap}": value for tap, value in zip(spec.style_taps, values[k:], strict=True)}

    def grams(self, image: Array) -> dict[str, Array]:
        """The picture's Gram matrices, ``gram.<tap>`` to ``[1, R, C, C]``."""
        total: dict[str, NDArray[np.float64]] = {}
        for tile in self.tiles:
            for name, gram in self.encode(image, tile)[1].items():
                total[name] = total.get(name, 0) + gram.astype(np.float64)
        return {name: gram.astype(np.float32) for name, gram in total.items()}

    def own_masks(self, tile: Tile) -> dict[str, Array]:
        """``mask.<tap>`` to masks of the tile's own positions, ``[1, R, h, w]``; over all tiles each sums to 1."""
        spec = self.engine.bundle.manifest.spec
        masks = {}
        for tap in spec.style_taps:
            own = tile.own(tap)[None, None]
            if self.masks:
                rows, columns = tile.place(tap)
                masks[f"mask.{tap}"] = np.ascontiguousarray(own * self.masks[f"mask.{tap}"][:, :, rows, columns])
            else:
                masks[f"mask.{tap}"] = own / np.float32(self.positions(tap))
        return masks

    def positions(self, tap: str) -> int:
        """Positions of a tap's features of the picture."""
        height, width = shape_of(tap, self.size)
        return height * width

    @staticmethod
    def cut(image: Array, tile: Tile) -> Array:
        """What a tile sees of a picture."""
        rows, columns = tile.outer
        return np.ascontiguousarray(image[:, :, rows, columns])


@dataclass(frozen=True)
class TiledTargets:
    """What a picture in tiles is compared with.

    Attributes:
        mosaic: the picture.
        grams: ``gram.<tap>`` to Gram matrices ``[1, R, C, C]``.
        aside: content features at each tile's own positions, by tap and number of the tile; what is put aside besides.
        gradient: what evaluations add the gradient up in, ``[1, 3, H, W]``.
    """

    mosaic: Mosaic
    grams: Grams
    aside: Scratch
    gradient: Array

    @classmethod
    def of(cls, mosaic: Mosaic, content: Array, grams: Grams, aside: Scratch, empty: Empty = zeros) -> "TiledTargets":
        """Targets of a photo.

        Args:
            mosaic: of the photo.
            content: it, ``[1, 3, H, W]``.
            grams: of the style, ``[1, C, C]`` or of regions.
            aside: nothing yet.
            empty: makes the array for the gradient.
        """
        taps = mosaic.engine.bundle.manifest.spec.content_taps
        for number, tile in enumerate(mosaic.tiles):
            for tap, value in zip(taps, mosaic.encode(content, tile)[0], strict=True):
                rows, columns = tile.positions(tap)
                aside.put(("content", tap, number), np.ascontiguousarray(value[:, :, rows, columns]))
        regional = {name: gram if gram.ndim == 4 else gram[:, None] for name, gram in grams.items()}
        return cls(mosaic, regional, aside, empty(content.shape))

    def metrics(self, damping: float | None) -> dict[str, Array]:
        """See `Targets.metrics`."""
        distance = self.mosaic.engine.bundle.manifest.spec.style_distance
        return Targets({}, self.grams, shares=self.mosaic.guidance.shares, style_distance=distance).metrics(damping)


class TiledObjective:
    """Loss and gradient of a picture in tiles: `Objective`, but for what is put together on the host.

    Gram matrices are added up and style terms are taken in float64, total variation is taken by NumPy.

    Args:
        targets: what to reach.
        weights: of the graph's terms.
        damping: see `Targets.metrics`.
        precision: see `Engine.run`.

    Attributes:
        unit: see `Weighing`.
        joins: see `Objective`.
    """

    joins = False

    def __init__(
        self, targets: TiledTargets, weights: TermWeights, damping: float | None = None, precision: str = "float32"
    ) -> None:
        self.engine = targets.mosaic.engine
        self.precision = precision
        self.damping = damping
        self._weighing = Weighing(weights)
        self.unit = self._weighing.unit
        self._targets = targets
        self._metrics = targets.metrics(damping)
        self._spec = self.engine.bundle.manifest.spec

    def __call__(self, image: Array) -> Evaluated:
        """Evaluate at an image ``[1, 3, H, W]``, RGB, 0..255; the next evaluation writes over its gradient."""
        grams = self._add_up(image)
        contents = np.zeros(len(self._spec.content_taps))
        styles = np.zeros(len(self._spec.style_taps))
        gradient = self._targets.gradient
        gradient[...] = 0
        for number, tile in enumerate(self._targets.mosaic.tiles):
            of_content, of_style, share = self._evaluate(image, number, tile, grams)
            contents += of_content
            # Of the whole picture, and so the same in each tile but for rounding.
            styles += of_style / len(self._targets.mosaic.tiles)
            rows, columns = tile.outer
            gradient[:, :, rows, columns] += share
        tv = variation(image, self._spec.tv, gradient, float(self._weighing.tv)) if self._weighing.tv else 0.0
        if self._spec.style_distance == GRAM:
            styles = self._style_losses(grams)
        return self._weighing.weigh(np.concatenate([contents, styles, [tv]]), gradient)

    def launch(self, point: Any) -> Callable[[], Evaluated]:
        """See `Objective.launch`; nothing is begun before it is waited for."""
        return lambda: self(point)

    def _add_up(self, image: Array) -> dict[str, NDArray[np.float64]]:
        """The picture's Gram matrices; each tile's features and Gram matrices are put aside."""
        mosaic, aside = self._targets.mosaic, self._targets.aside
        total: dict[str, NDArray[np.float64]] = {}
        for number, tile in enumerate(mosaic.tiles):
            features, grams = mosaic.encode(image, tile)
            for tap, value in zip(self._spec.content_taps, features, strict=True):
                aside.put(("features", tap, number), value)
            for name, gram in grams.items():
                aside.put((name, number), gram)
                total[name] = total.get(name, 0) + gram.astype(np.float64)
        return total

    def _evaluate(
        self, image: Array, number: int, tile: Tile, grams: Mapping[str, NDArray[np.float64]]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], Array]:
        """A tile's share of the content terms, the graph's style terms, and the gradient of what it sees."""
        mosaic, aside = self._targets.mosaic, self._targets.aside
        feeds = {"image": mosaic.cut(image, tile), **mosaic.own_masks(tile), **self._metrics}
        parts = []
        for tap in self._spec.content_taps:
            # At positions that are not its own the target is what is there: no difference, and no gradient.
            features = aside.get(("features", tap, number)).copy()
            rows, columns = tile.positions(tap)
            features[:, :, rows, columns] = aside.get(("content", tap, number))
            feeds[f"content.{tap}"] = features
            parts.append(features[0, 0].size / mosaic.positions(tap))
        for name, target in self._targets.grams.items():
            others = grams[name] - aside.get((name, number))
            if self._spec.style_distance == GRAM:
                feeds[name] = (target - others).astype(np.float32)
            else:
                feeds[name], feeds[name.replace("gram.", OTHERS, 1)] = target, others.astype(np.float32)
        part = np.array(parts)
        feeds["content_weight"] = (self._weighing.content * part).astype(np.float32)
        feeds["style_weight"] = self._weighing.style
        feeds[TV_WEIGHT] = np.zeros((), np.float32)
        losses, gradient = self.engine.run(GRADIENT, feeds, self.precision)
        found = losses[0].astype(np.float64)
        return found[: len(part)] * part, found[len(part) : -1], gradient

    def _style_losses(self, grams: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
        """The unweighted style terms, ``[l]``: `exporter.objective.style_loss`, of all regions."""
        found = []
        for name, target in self._targets.grams.items():
            difference = grams[name] - target
            metric = self._metrics[name.replace("gram.", "metric.", 1)].astype(np.float64)
            found.append((difference * (metric @ difference @ metric)).mean((-1, -2)).sum())
        return np.array(found)
