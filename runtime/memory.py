"""How much memory a picture takes, before it takes it."""

from dataclasses import dataclass

from .bundle import CHANNELS, CONVOLUTIONS, MIN_SIDE, BundleSpec
from .images import fit
from .settings import Settings

_FLOAT = 4
_PROCESS = 180 * 2**20
"""Interpreter, libraries and ONNX Runtime, in bytes."""

_COPIES = 3.1
"""Tensors of a layer's size that live at once while the gradient is computed, on average over the layers that are
computed: measured, see `bench/memory.py`."""

_WEIGHT_COPIES = 3
"""Weights, their flipped form for the backward convolutions, and ONNX Runtime's own layout of them."""

_DECODED = 30
"""Bytes for each pixel of the photo itself, decoded, turned, converted, enlarged, encoded; and of those before and after it,
taken to be as large, which are encoded and decoded meanwhile."""


@dataclass(frozen=True)
class Budget:
    """Memory that a run may use, and what pictures need of it.

    Attributes:
        spec: of the bundle.
        settings: of the optimisation.
        free: bytes, what this process has already included.
        overlap: pictures that are painted at a time, taken to be as large.
        regions: of the style's masks; 0 for a bundle without.
    """

    spec: BundleSpec
    settings: Settings
    free: int
    overlap: int = 1
    regions: int = 0

    def need(self, size: tuple[int, int], limit: int | None = None) -> int:
        """Bytes that a photo of this width and height takes at its largest level, ``limit`` at most.

        An estimate: graphs and optimiser grow with the pixels of the level, pictures with those of the photo.
        """
        level = self.settings.levels(max(size))[-1]
        width, height = fit(size, level if limit is None else min(level, limit))
        decoded = _DECODED * size[0] * size[1]
        return _PROCESS + _weights(self.spec) + self.overlap * (decoded + width * height * self._per_pixel())

    def fits(self, size: tuple[int, int]) -> bool:
        """Whether a photo of this width and height can be painted as the settings ask."""
        return self.need(size) <= self.free

    def largest(self, size: tuple[int, int]) -> int | None:
        """The largest level, in pixels of the long side, that a photo of this width and height can be painted at.

        None if there is none.
        """
        low, high = MIN_SIDE - 1, max(size)
        while low < high:
            middle = (low + high + 1) // 2
            if self.need(size, middle) <= self.free:
                low = middle
            else:
                high = middle - 1
        return low if low >= MIN_SIDE else None

    def _per_pixel(self) -> int:
        # 2m + 6 vectors of the optimiser, see `HostVectors`; the image, its gradient and the photo besides.
        driver = 3 * _FLOAT * (2 * self.settings.history + 12)
        return evaluation_bytes(self.spec, 1, self.regions) + driver


def evaluation_bytes(spec: BundleSpec, pixels: int, regions: int = 0) -> int:
    """Bytes that an evaluation of the gradient of so many pixels takes, weights not counted: an estimate."""
    return round((_COPIES * _activations(spec) + regions * _masked(spec)) * pixels)


def _layers(spec: BundleSpec) -> list[tuple[int, int]]:
    """Block and index of the convolutions up to the deepest tap."""
    layers = [(b, i) for b, count in enumerate(CONVOLUTIONS[spec.network], 1) for i in range(1, count + 1)]
    taps = [(int(name[4]), int(name[6])) for name in (*spec.content_taps, *spec.style_taps)]
    return [layer for layer in layers if layer <= max(taps)]


def _activations(spec: BundleSpec) -> float:
    """Bytes of all layers' outputs for each pixel of the image."""
    return float(sum(_FLOAT * CHANNELS[block - 1] / 4 ** (block - 1) for block, _ in _layers(spec)))


def _masked(spec: BundleSpec) -> float:
    """Bytes of the style taps' features in one region, for each pixel of the image."""
    return float(sum(_FLOAT * CHANNELS[int(tap[4]) - 1] / 4 ** (int(tap[4]) - 1) for tap in spec.style_taps))


def _weights(spec: BundleSpec) -> int:
    inputs = 3
    total = 0
    for block, _ in _layers(spec):
        total += _FLOAT * 9 * inputs * CHANNELS[block - 1]
        inputs = CHANNELS[block - 1]
    return _WEIGHT_COPIES * total
