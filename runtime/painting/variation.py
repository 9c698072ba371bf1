"""Total variation of a picture and its gradient, on the host: what a picture in tiles is not given by the graphs.

The formulas are those of the exporter's `VARIATIONS`, by the same names; see there for their sources.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError

Pixels = NDArray[np.float32]

_DEVIATIONS = np.array([0.229, 0.224, 0.225], np.float32).reshape(3, 1)
"""ImageNet's, of RGB in 0..1."""

_TINY = 1e-30
"""What a power with a negative exponent is taken of at least; its factor is 0 there."""


def variation(image: Pixels, kind: str, gradient: Pixels, weight: float = 1.0) -> float:
    """The unweighted term; its gradient is added up, row by row, so that it takes no picture's memory.

    Args:
        image: ``[1, 3, H, W]``.
        kind: one of `TVS`.
        gradient: what ``weight`` times that of the term is added to, of the same shape.
        weight: of the term.

    Raises:
        UsageError: the kind is not known.
    """
    pixels, out = image[0], gradient[0]
    if kind == "nine-point":
        return _nine_points(pixels, out, weight)
    if kind not in _SLOPES:
        raise UsageError(f"total variation '{kind}' is not known")
    _, height, width = pixels.shape
    total = 0.0
    across, down = _scales(kind, height, width)
    joint = kind == "power"
    factor = np.float32(1) / (255 * _DEVIATIONS) if kind == "normalised" else np.float32(1)
    along, below = np.float32(weight * across) * factor, np.float32(weight * down) * factor
    slopes = _SLOPES[kind]
    for y in range(height):
        row = pixels[:, y] * factor
        dx = row[:, 1:] - row[:, :-1]
        dy = pixels[:, y + 1] * factor - row if y + 1 < height else None
        if joint:
            if dy is None:
                continue
            value, of_dx, of_dy = _power(dx, dy[:, :-1])
            total += value * across
            _spread(out, y, of_dx * along, of_dy * along)
            continue
        value, slope = slopes(dx)
        total += value * across
        _spread(out, y, slope * along, None)
        if dy is not None:
            value, slope = slopes(dy)
            total += value * down
            _spread(out, y, None, slope * below)
    return total


def _scales(kind: str, height: int, width: int) -> tuple[float, float]:
    """What sums over differences along rows and along columns are multiplied by."""
    if kind == "sums":
        return 1 / (3 * height * width), 1 / (3 * height * width)
    if kind == "power":
        return (1 / (3 * (height - 1) * (width - 1)),) * 2
    return 1 / (3 * height * (width - 1)), 1 / (3 * (height - 1) * width)


def _spread(out: NDArray[np.float32], y: int, of_dx: Pixels | None, of_dy: Pixels | None) -> None:
    """Add the gradients of differences to those of the pixels on both sides."""
    if of_dx is not None:
        out[:, y, 1 : 1 + of_dx.shape[1]] += of_dx
        out[:, y, : of_dx.shape[1]] -= of_dx
    if of_dy is not None:
        out[:, y + 1, : of_dy.shape[1]] += of_dy
        out[:, y, : of_dy.shape[1]] -= of_dy


def _nine_points(pixels: Pixels, out: Pixels, weight: float) -> float:
    """`variation` along both diagonals, too."""
    _, height, width = pixels.shape
    straight, slanted = 2 / 3 / (3 * height * width), 1 / 6 / (3 * (height + 1) * (width + 1))
    total = 0.0
    for y in range(height):
        row = pixels[:, y]
        dx = row[:, 1:] - row[:, :-1]
        # Beyond the edge a diagonal difference is one along it.
        scale = straight + 2 * slanted * ((y == 0) + (y == height - 1))
        total += scale * _squares(dx)[0]
        _spread(out, y, np.float32(2 * weight * scale) * dx, None)
        if y + 1 == height:
            break
        below = pixels[:, y + 1]
        scales = np.full(width, straight, np.float32)
        scales[0] += np.float32(2 * slanted)
        scales[-1] += np.float32(2 * slanted)
        dy = below - row
        total += float((np.square(dy, dtype=np.float64) * scales).sum())
        _spread(out, y, None, np.float32(2 * weight) * scales * dy)
        for first, second in ((slice(None, -1), slice(1, None)), (slice(1, None), slice(None, -1))):
            difference = below[:, second] - row[:, first]
            total += slanted * _squares(difference)[0]
            slope = np.float32(2 * weight * slanted) * difference
            out[:, y + 1, second] += slope
            out[:, y, first] -= slope
    return total


def _squares(difference: Pixels) -> tuple[float, Pixels]:
    return float(np.square(difference, dtype=np.float64).sum()), 2 * difference


def _absolutes(difference: Pixels) -> tuple[float, Pixels]:
    return float(np.abs(difference).sum(dtype=np.float64)), np.sign(difference)


def _power(dx: Pixels, dy: Pixels) -> tuple[float, Pixels, Pixels]:
    squares = np.square(dx) + np.square(dy)
    slope = 2.5 * np.power(np.maximum(squares, _TINY), 0.25)
    return float(np.power(squares, 1.25, dtype=np.float64).sum()), slope * dx, slope * dy


_SLOPES: dict[str, Callable[[Pixels], tuple[float, Pixels]]] = {
    "squares": _squares,
    "absolute": _absolutes,
    "normalised": _absolutes,
    "sums": _absolutes,
    "power": _squares,
}
"""Sum over differences and its slope, by kind; ``power`` takes both directions together."""
