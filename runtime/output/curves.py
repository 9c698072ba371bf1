"""The course of an optimisation in a few numbers, for those who look at it later."""

import numpy as np
from numpy.typing import NDArray

POINTS = 48
"""Of a curve, at most."""

Curve = list[list[float]]
"""Rows of: evaluations so far, long side of the level in pixels, weighted sums of content, style and TV terms."""


def make_curve(losses: NDArray[np.float64], sizes: NDArray[np.int64], points: int = POINTS) -> Curve:
    """A curve through the evaluations of a painting, evenly spaced, the first and the last of each level among them.

    Args:
        losses: ``[n, 3]``, a row for each evaluation: the weighted sums of the content terms, the style terms and TV.
        sizes: long side of each one's level, ``[n]``.
        points: rows, at most, but for those at the ends of levels; what is not finite has none.
    """
    count = len(losses)
    ends = {0, count - 1, *(i for i in range(1, count) if sizes[i] != sizes[i - 1])}
    ends |= {i - 1 for i in ends if i}
    chosen = sorted(ends | {round(i) for i in np.linspace(0, count - 1, max(2, points - len(ends)))}) if count else []
    finite: NDArray[np.bool_] = np.isfinite(losses.sum(1))
    return [[i + 1, int(sizes[i]), *(float(f"{value:.4g}") for value in losses[i])] for i in chosen if finite[i]]
