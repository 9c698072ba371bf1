"""How much memory an evaluation of a bundle's graphs takes."""

from .spec import CHANNELS, CONVOLUTIONS, BundleSpec

FLOAT = 4
"""Bytes of a float32."""


_COPIES = 3.1
"""Tensors of a layer's size that live at once while the gradient is computed, on average over the layers that are
computed: measured, see `bench/memory.py`."""


_WEIGHT_COPIES = 3
"""Weights, their flipped form for the backward convolutions, and ONNX Runtime's own layout of them."""


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
    return float(sum(FLOAT * CHANNELS[block - 1] / 4 ** (block - 1) for block, _ in _layers(spec)))


def _masked(spec: BundleSpec) -> float:
    """Bytes of the style taps' features in one region, for each pixel of the image."""
    return float(sum(FLOAT * CHANNELS[int(tap[4]) - 1] / 4 ** (int(tap[4]) - 1) for tap in spec.style_taps))


def weights_bytes(spec: BundleSpec) -> int:
    """Bytes that a session takes for the weights: an estimate."""
    inputs = 3
    total = 0
    for block, _ in _layers(spec):
        total += FLOAT * 9 * inputs * CHANNELS[block - 1]
        inputs = CHANNELS[block - 1]
    return _WEIGHT_COPIES * total
