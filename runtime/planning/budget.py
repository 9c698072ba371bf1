"""How much memory a picture takes, before it takes it."""

from dataclasses import dataclass

from ..bundle.memory import FLOAT, encoding_bytes, evaluation_bytes, largest_tensor_bytes, weights_bytes
from ..bundle.spec import MIN_SIDE, BundleSpec
from ..optimizer.host_vectors import belongs_in_file, vectors_bytes
from ..recipe.settings import Settings
from ..recipe.size import Size, TileSize

_PROCESS = 180 * 2**20
"""Interpreter, libraries and ONNX Runtime, in bytes."""


_DECODED = 30
"""Bytes for each pixel of the photo itself, decoded, turned, converted, enlarged, encoded; and of those before and after it,
taken to be as large, which are encoded and decoded meanwhile."""


_PIECES = 3
"""Arrays of the level's size in float32 besides the vectors and the gradient, where it is in tiles: first the photo and the
first iterate, then spectra of the gradient, in the end the painting."""


@dataclass(frozen=True)
class Budget:
    """Memory that a run may use, and what pictures need of it.

    Attributes:
        spec: of the bundle.
        settings: of the optimisation.
        free: bytes, what this process has already included.
        overlap: pictures that are painted at a time, taken to be as large.
        regions: of the style's masks; 0 for a bundle without.
        largest_buffer: bytes of the largest array that the device takes; None for no limit but memory.
        tile: of what memory does not hold in one piece; None for no tiles.
    """

    spec: BundleSpec
    settings: Settings
    free: int
    overlap: int = 1
    regions: int = 0
    largest_buffer: int | None = None
    tile: TileSize | None = None

    def need(self, size: Size, limit: int | None = None) -> int:
        """Bytes that a photo of this size takes at its largest level, ``limit`` at most.

        An estimate: graphs and optimiser grow with the pixels of the level, pictures with those of the photo. Before that,
        the features of the style are computed, at a level of its own.
        """
        level = self._level(size, limit)
        painting = self.overlap * (_DECODED * size.pixels + size.fit(level).pixels * self._per_pixel())
        return _PROCESS + weights_bytes(self.spec) + max(painting, self._style_bytes(level))

    def tiled_need(self, size: Size, limit: int | None = None) -> int:
        """The same where it is evaluated in tiles; the optimiser's vectors are in a file if they take too much."""
        assert self.tile is not None, "there are tiles"
        level = self._level(size, limit)
        pixels = size.fit(level).pixels
        array = 3 * FLOAT * pixels
        kept = 0 if self.keeps_in_file(size, limit) else vectors_bytes(3 * pixels, self.settings.history) + array
        masks = 2 * FLOAT * self.regions * pixels
        evaluation = evaluation_bytes(self.spec, self.tile.pixels, max(1, self.regions))
        painting = self.overlap * (_DECODED * size.pixels + _PIECES * array + masks + kept + evaluation)
        # What the style's features took, an allocator may keep.
        return _PROCESS + 2 * weights_bytes(self.spec) + painting + self._style_bytes(level)

    def keeps_in_file(self, size: Size, limit: int | None = None) -> bool:
        """Whether the optimiser's vectors of a photo in tiles take too much to be kept in memory."""
        pixels = size.fit(self._level(size, limit)).pixels
        return belongs_in_file(3 * pixels, self.settings.history, self.free)

    def tiles(self, size: Size, limit: int | None = None) -> bool:
        """Whether a photo of this size is evaluated in tiles at its largest level, of ``limit`` at most."""
        if self.tile is None or size.fit(self._level(size, limit)).long_side <= self.tile.side:
            return False
        return self.tile.always or not (self.need(size, limit) <= self.free and self.binds(size, limit))

    @property
    def style_fits(self) -> bool:
        """Whether the size of the style that the settings ask for, whatever the photo's, leaves room for a small photo."""
        return self.settings.style_size is None or self.need(Size(MIN_SIDE, MIN_SIDE)) <= self.free

    def fits(self, size: Size, limit: int | None = None) -> bool:
        """Whether a photo of this size can be painted as the settings ask, at a level of ``limit`` at most."""
        if self.tiles(size, limit):
            return self.tiled_need(size, limit) <= self.free
        return self.need(size, limit) <= self.free and self.binds(size, limit)

    def binds(self, size: Size, limit: int | None = None) -> bool:
        """Whether the device takes each array of a photo of this size by itself."""
        if self.largest_buffer is None:
            return True
        pixels = size.fit(self._level(size, limit)).pixels
        # All rows of an optimizer on the device are one array, see `StepVectors`.
        rows = 3 * FLOAT * (2 * self.settings.history + 11) * pixels
        return max(rows, largest_tensor_bytes(pixels, self.regions)) <= self.largest_buffer

    def largest(self, size: Size) -> int | None:
        """The largest level, in pixels of the long side, that a photo of this size can be painted at.

        None if there is none.
        """
        low, high = MIN_SIDE - 1, size.long_side
        while low < high:
            middle = (low + high + 1) // 2
            if self.fits(size, middle):
                low = middle
            else:
                high = middle - 1
        return low if low >= MIN_SIDE else None

    def _level(self, size: Size, limit: int | None) -> int:
        level = self.settings.levels(size.long_side)[-1]
        return level if limit is None else min(level, limit)

    def _style_bytes(self, level: int) -> int:
        """Of a style, which may be square, for a painting at a level."""
        pixels = self.settings.style_levels([level])[-1] ** 2
        encoded = pixels if self.tile is None else min(pixels, self.tile.pixels)
        return encoding_bytes(encoded) + _DECODED * pixels

    def _per_pixel(self) -> int:
        # 2m + 6 vectors of the optimiser, see `HostVectors`; the image, its gradient and the photo besides.
        driver = 3 * FLOAT * (2 * self.settings.history + 12)
        return evaluation_bytes(self.spec, 1, self.regions) + driver
