"""How much memory an evaluation of a bundle's graphs takes."""

from collections.abc import Iterable

from .network import CHANNELS, Tap, layers
from .spec import WIDE, BundleSpec

FLOAT = 4
"""Bytes of a float32."""


_COPIES = 3.1
"""Tensors of a layer's size that live at once while the gradient is computed, on average over the layers that are
computed: measured, see `bench/memory.py`."""


_WEIGHT_COPIES = 3
"""Weights, their flipped form for the backward convolutions, and ONNX Runtime's own layout of them."""


def evaluation_bytes(spec: BundleSpec, pixels: int, regions: int = 0) -> int:
    """Bytes that an evaluation of the gradient of so many pixels takes, weights not counted: an estimate."""
    taps = _tapped(spec, spec.style_taps) * regions + _tapped(spec, _before_activation(spec))
    return round((_COPIES * _activations(spec) + taps) * pixels)


def largest_tensor_bytes(pixels: int, regions: int = 0) -> int:
    """Bytes of the largest tensor in an evaluation of so many pixels: the first block's output, for each region."""
    return FLOAT * CHANNELS[0] * max(1, regions) * pixels


def encoding_bytes(pixels: int) -> int:
    """Bytes that the features of so many pixels take while they are computed, weights not counted: an estimate.

    Two outputs of the first block live at once, which are the largest, and the picture.
    """
    return FLOAT * (2 * CHANNELS[0] + 5 * 3) * pixels


def _layers(spec: BundleSpec) -> list[tuple[int, int]]:
    """Block and index of the convolutions up to the deepest tap."""
    taps = (Tap.parse(name, spec.network) for name in (*spec.content_taps, *spec.style_taps))
    deepest = max((tap.block, tap.index) for tap in taps)
    return [layer for layer in layers(spec.network) if layer <= deepest]


def _activations(spec: BundleSpec) -> float:
    """Bytes of all layers' outputs for each pixel of the image."""
    return float(sum(FLOAT * CHANNELS[block - 1] / 4 ** (block - 1) for block, _ in _layers(spec)))


def _before_activation(spec: BundleSpec) -> set[str]:
    """Taps whose features are kept beside those after the activation."""
    return {name for name in (*spec.content_taps, *spec.style_taps) if name.startswith("conv")}


def _tapped(spec: BundleSpec, names: Iterable[str]) -> float:
    """Bytes of taps' features, for each pixel of the image."""
    blocks = [Tap.parse(name, spec.network).block for name in names]
    return float(sum(FLOAT * CHANNELS[block - 1] / 4 ** (block - 1) for block in blocks))


def transformed_bytes(spec: BundleSpec) -> int:
    """Bytes that the graph `FOR_CPU` takes beyond what ``gradient`` takes: an estimate.

    The kernels of wide convolutions, forward and back, have 36 values there for each 9; twice, while it is loaded.
    """
    wide = sum(inputs * outputs for inputs, outputs in _channels(spec) if inputs * outputs >= WIDE)
    return 2 * 2 * 36 * FLOAT * wide


def weights_bytes(spec: BundleSpec) -> int:
    """Bytes that a session takes for the weights: an estimate."""
    return _WEIGHT_COPIES * FLOAT * 9 * sum(inputs * outputs for inputs, outputs in _channels(spec))


def _channels(spec: BundleSpec) -> list[tuple[int, int]]:
    """Input and output channels of the convolutions up to the deepest tap."""
    outputs = [CHANNELS[block - 1] for block, _ in _layers(spec)]
    return [*zip([3, *outputs], outputs, strict=False)]
