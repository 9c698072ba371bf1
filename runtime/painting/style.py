"""Style sets: the Gram matrices of a style picture, computed once and kept on disk."""

import contextlib
import hashlib
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..engine.engine import Engine
from ..files.arrays import read_arrays, write_arrays
from ..files.name import Name
from ..files.own import OwnFile, make_folder
from ..pictures.colors import MATCHERS
from ..pictures.photo import Photo, Picture
from ..pictures.pixels import resize, to_pixels
from ..pictures.regions import Color, Guidance, Mask, assign
from ..recipe.size import Size
from .objective import encode
from .tiling import Tiling

Grams = dict[str, NDArray[np.float32]]

_WHOLE = "whole"
"""The region of a style that a set is taken from, in its key, where there are no masks."""

_LEAST = 0.005
"""Share of a style below which it has not a region."""

_MOST = 2**30
"""Bytes that a set has at most."""

_KEPT = 16
"""Sets kept in memory, 2 MiB each for VGG-19: photos smaller than the size optimised at bring a set each."""


class StyleTargets(Protocol):
    """What a painting takes of its style."""

    @property
    def sha256(self) -> str:
        """Of what decides the matrices."""
        ...

    @property
    def image(self) -> Picture:
        """A picture of the style."""
        ...

    def grams(self, size: int, enlargement: float = math.inf) -> Grams:
        """Gram matrices by input name, of the style scaled to a long side of ``size`` pixels.

        They are ``[1, C, C]``, or of regions ``[1, R, C, C]``.

        Args:
            size: in pixels.
            enlargement: times its own size that a picture is enlarged to at most.
        """
        ...

    def matched(self, photo: Picture, how: str) -> "StyleTargets":
        """The same style in a photo's colours, by one of `MATCHES`."""
        ...


class Blend:
    """Several styles as one: the mean of their Gram matrices, by weight; in each region, of those that have it.

    Args:
        styles: at least one.
        weights: positive, one for each; only their proportions count.
    """

    def __init__(self, styles: Sequence["Style"], weights: Sequence[float]) -> None:
        self._styles = styles
        self._shares = [weight / sum(weights) for weight in weights]

    @property
    def sha256(self) -> str:
        """Of the styles and their shares."""
        parts = (f"{style.sha256} {share:.9g}" for style, share in zip(self._styles, self._shares, strict=True))
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    @property
    def image(self) -> Picture:
        """Of the style with the largest share."""
        return self._styles[self._shares.index(max(self._shares))].image

    def matched(self, photo: Picture, how: str) -> "Blend":
        """The blend of the same styles in a photo's colours."""
        return Blend([style.matched(photo, how) for style in self._styles], self._shares)

    def grams(self, size: int, enlargement: float = math.inf) -> Grams:
        """The mean of the styles' Gram matrices, see `StyleTargets.grams`; what bounds a small one bounds no other."""
        sets = [style.grams(size, enlargement) for style in self._styles]
        blend = {name: np.zeros_like(gram) for name, gram in sets[0].items()}
        shares = np.array([share * style.present for share, style in zip(self._shares, self._styles, strict=True)])
        for share, grams in zip(shares / shares.sum(0), sets, strict=True):
            for name, gram in grams.items():
                blend[name] += share.astype(np.float32).reshape(-1, *[1] * (gram.ndim - 2)) * gram
        return blend


class Style:
    """A style picture and its Gram matrices at any size.

    Args:
        photo: the picture, see `read_style`.
        engine: computes the matrices.
        cache: folder for style sets; None keeps them in memory only.
        mask: says by the colours of ``regions`` where they are, for a bundle that has regions.
        regions: see `find_regions`.
        tiling: computes the matrices of what memory does not hold in one piece; None for nothing.

    Raises:
        ImageError: the mask has other proportions than the picture.
    """

    def __init__(
        self,
        photo: Photo,
        engine: Engine,
        cache: Path | None = None,
        mask: Mask | None = None,
        regions: Sequence[Color] = (),
        tiling: Tiling | None = None,
    ) -> None:
        self._tiling = tiling
        self.sha256 = photo.sha256
        self._guidance: Guidance | None = None
        if mask is not None:
            mask.check(photo.picture.size)
            parts = (photo.sha256, mask.sha256, *map(str, regions))
            self.sha256 = hashlib.sha256("\n".join(parts).encode()).hexdigest()
            channels = assign(mask, regions)
            # What has a few pixels is the edge between two others.
            channels[channels.mean((1, 2)) < 255 * _LEAST] = 0
            self._guidance = Guidance(channels)
        self._mask = mask
        self._regions = regions
        self._photo = photo
        self._engine = engine
        self._cache = cache
        self._memory: dict[int, Grams] = {}
        self._lock = Lock()

    @property
    def image(self) -> Picture:
        """The decoded picture."""
        return self._photo.picture

    def matched(self, photo: Picture, how: str) -> "Style":
        """The same style in a photo's colours; its matrices are kept for as long as it is."""
        recolored = Picture(MATCHERS[how](self.image.rgb, photo.rgb))
        style = replace(self._photo, picture=recolored)
        return Style(style, self._engine, None, self._mask, self._regions, self._tiling)

    @property
    def present(self) -> NDArray[np.bool_]:
        """Which regions it has, ``[R]``; without masks it is one, and has it."""
        present: NDArray[np.bool_] = (self._guidance or Guidance.whole()).channels.max((1, 2)) > 0
        return present

    def grams(self, size: int, enlargement: float = math.inf) -> Grams:
        """Gram matrices, see `StyleTargets.grams`: from memory, from the cache, or computed now."""
        size = round(min(size, enlargement * self.image.size.long_side))
        with self._lock:
            if size not in self._memory:
                if len(self._memory) == _KEPT:
                    del self._memory[next(iter(self._memory))]
                self._memory[size] = self._load(size) or self._compute(size)
            return self._memory[size]

    def key(self, size: int) -> str:
        """Name of the style set in the cache: sha256 of the style's bytes, the bundle, the size and the regions."""
        parts = (self.sha256, self._engine.bundle.id, str(size), _WHOLE if self._mask is None else self._mask.sha256)
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def _compute(self, size: int) -> Grams:
        image = resize(self.image.rgb, self.image.size.fit(size))
        if self._tiling is not None and self._tiling.encodes(Size(*image.size)):
            grams = self._tiling.grams(to_pixels(image), self._guidance)
        else:
            grams = dict(encode(self._engine, to_pixels(image), self._guidance).grams)
        if self._cache is not None:
            # A cache that cannot be written costs time, not pictures.
            with contextlib.suppress(OSError):
                make_folder(self._cache)
                with self._file(self._cache, size).writing() as file:
                    write_arrays(file, grams)
        return grams

    def _load(self, size: int) -> Grams | None:
        """The set from the cache; None where it is missing or not what it should be."""
        if self._cache is None:
            return None
        spec = self._engine.bundle.manifest.spec
        regions = self.present.shape if spec.regions else ()
        sides = {tap: spec.moments_side(tap) for tap in spec.style_taps}
        shapes = {f"gram.{tap}": (1, *regions, side, side) for tap, side in sides.items()}
        try:
            with self._file(self._cache, size).reading() as file:
                grams = read_arrays(file, _MOST, shapes)
        except (OSError, ValueError):
            return None
        return grams if all(np.isfinite(gram).all() for gram in grams.values()) else None

    def _file(self, cache: Path, size: int) -> OwnFile:
        return OwnFile(cache, Name(f"styles/{self.key(size)}.npz"))
