"""Tiles of a picture: what each sees of it, and which positions of the network's features are its own.

A tile is its own pixels and a halo, as wide as the deepest tap sees. So the features at its own positions are those of the
whole picture, exactly: poolings' windows begin at the same pixels, since tiles begin at multiples of the last one's, and
beyond the picture's edge every tile sees what the whole picture sees there.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import ceil

import numpy as np
from numpy.typing import NDArray

from ..bundle.network import Tap, layers
from ..bundle.spec import MIN_SIDE, BundleSpec
from ..recipe.size import Size


@dataclass(frozen=True)
class Span:
    """A tile along one axis, in pixels.

    Attributes:
        start, stop: of its own pixels.
        low, high: of what it sees, halo included.
        length: of the picture.
    """

    start: int
    stop: int
    low: int
    high: int
    length: int

    def positions(self, block: int) -> slice:
        """Its own positions in the features that it computes in a block."""
        first = self.low >> (block - 1)
        last = self.length >> (block - 1) if self.stop == self.length else self.stop >> (block - 1)
        return slice((self.start >> (block - 1)) - first, last - first)


@dataclass(frozen=True)
class Tile:
    """A part of a picture.

    Attributes:
        rows, columns: where it is.
    """

    rows: Span
    columns: Span

    @property
    def outer(self) -> tuple[slice, slice]:
        """Rows and columns of the picture that it sees."""
        return slice(self.rows.low, self.rows.high), slice(self.columns.low, self.columns.high)

    @property
    def size(self) -> Size:
        """Of what it sees."""
        return Size(self.columns.high - self.columns.low, self.rows.high - self.rows.low)

    def positions(self, tap: str) -> tuple[slice, slice]:
        """Rows and columns of its own positions among a tap's features of it."""
        return self.rows.positions(_block(tap)), self.columns.positions(_block(tap))

    def place(self, tap: str) -> tuple[slice, slice]:
        """Rows and columns of all its positions among a tap's features of the picture."""
        halvings = _block(tap) - 1
        return tuple(
            slice(span.low >> halvings, (span.low >> halvings) + ((span.high - span.low) >> halvings))
            for span in (self.rows, self.columns)
        )  # type: ignore[return-value]

    def own(self, tap: str) -> NDArray[np.float32]:
        """1 at its own positions among a tap's features of it and 0 elsewhere, ``[h, w]``."""
        mask = np.zeros(shape_of(tap, self.size), np.float32)
        mask[self.positions(tap)] = 1
        return mask


def shape_of(tap: str, size: Size) -> tuple[int, int]:
    """Height and width of a tap's features of a picture."""
    halvings = _block(tap) - 1
    return size.height >> halvings, size.width >> halvings


def reach(spec: BundleSpec) -> int:
    """How many pixels to each side the deepest tap of a bundle sees; relu5_1 of VGG-19 sees 85."""
    taps = [Tap.parse(name, spec.network) for name in (*spec.content_taps, *spec.style_taps)]
    deepest = max((tap.block, tap.index) for tap in taps)
    pixels, block = 0, deepest[0]
    for layer in reversed([layer for layer in layers(spec.network) if layer <= deepest]):
        if layer[0] != block:
            # Of its window, a pooled position is the first of two.
            pixels, block = 2 * pixels + 1, layer[0]
        pixels += 1
    return pixels


def step_of(spec: BundleSpec) -> int:
    """What tiles begin at multiples of: the pixels of a position of the deepest tap."""
    return max(1 << (_block(tap) - 1) for tap in (*spec.content_taps, *spec.style_taps))


def halo_of(spec: BundleSpec) -> int:
    """The width of a halo: `reach`, in whole steps, and no less than what a bundle takes."""
    step = step_of(spec)
    return ceil(max(reach(spec), MIN_SIDE) / step) * step


def tiles_of(size: Size, side: int, spec: BundleSpec) -> list[Tile]:
    """The tiles of a picture, row by row.

    Args:
        size: of the picture.
        side: most pixels of a tile's own, in each direction; at least `step_of`.
        spec: of the bundle.
    """
    halo, step = halo_of(spec), step_of(spec)
    spans = [list(_spans(length, side, halo, step)) for length in (size.height, size.width)]
    return [Tile(rows, columns) for rows, columns in product(*spans)]


def _spans(length: int, side: int, halo: int, step: int) -> Iterator[Span]:
    # As alike as can be, so that few shapes occur.
    count = ceil(length / max(step, side // step * step))
    pitch = ceil(length / count / step) * step
    for start in range(0, length, pitch):
        stop = min(start + pitch, length)
        yield Span(start, stop, max(0, start - halo), min(length, stop + halo), length)


def _block(tap: str) -> int:
    return int(tap[4])
