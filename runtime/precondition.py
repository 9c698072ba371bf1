"""Preconditioners: symmetric, positive definite linear maps P, so that H_0 = gamma·P is L-BFGS's first approximation of
the inverse Hessian.
"""

from typing import Protocol

import numpy as np
import scipy.fft
from numpy.typing import NDArray

Vector = NDArray[np.float32]

FLOOR = 0.02
"""Frequency, in cycles per pixel, below which the spectrum is taken to be flat."""


class Preconditioner(Protocol):
    """A symmetric, positive definite linear map of vectors."""

    def apply(self, vector: Vector, out: Vector) -> None:
        """Write P·vector to ``out``, both ``[n]`` float32; ``out`` may be ``vector``."""
        ...


class FrequencyPreconditioner:
    """P = F⁻¹ diag(1 / max(|f|, floor)) F: an image's low frequencies are scaled up, as its spectrum falls with 1/f.

    The gradient of the style loss is ill-conditioned in frequency: broad strokes and colours, which span many pixels,
    change slowly under plain gradients.

    Args:
        shape: (channels, height, width) of the image that a vector holds.
        floor: lowest frequency told apart, in cycles per pixel.
        threads: of the transforms.
    """

    def __init__(self, shape: tuple[int, int, int], floor: float = FLOOR, threads: int = 1) -> None:
        _, height, width = self._shape = shape
        fy = np.fft.fftfreq(height)[:, None]
        fx = np.fft.rfftfreq(width)[None, :]
        self._filter = (1 / np.maximum(np.hypot(fx, fy), floor)).astype(np.float32)
        self._threads = threads

    def apply(self, vector: Vector, out: Vector) -> None:
        """Write P·vector to ``out``; channel by channel, so that temporary memory is that of a vector."""
        for image, result in zip(vector.reshape(self._shape), out.reshape(self._shape), strict=True):
            spectrum = scipy.fft.rfft2(image, workers=self._threads)
            spectrum *= self._filter
            result[...] = scipy.fft.irfft2(spectrum, s=image.shape, workers=self._threads, overwrite_x=True)
