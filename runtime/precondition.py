"""Preconditioners: symmetric linear maps B that change the variables of an optimiser, x = B z.

L-BFGS on z with H_0 = gamma·I is L-BFGS on x with H_0 = gamma·B².
"""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]

FLOOR = 0.02
"""Frequency, in cycles per pixel, below which the spectrum is taken to be flat."""


class Preconditioner(Protocol):
    """A symmetric, positive definite linear map of vectors."""

    def apply(self, vector: Vector, out: Vector) -> None:
        """Write B·vector to ``out``, both ``[n]`` float32; ``out`` may be ``vector``."""
        ...


class FrequencyPreconditioner:
    """B² = F⁻¹ diag(1 / max(|f|, floor)) F: an image's low frequencies are scaled up, as its spectrum falls with 1/f.

    The gradient of the style loss is ill-conditioned in frequency: broad strokes and colours, which span many pixels,
    change slowly under plain gradients.

    Args:
        shape: (channels, height, width) of the image that a vector holds.
        floor: lowest frequency told apart, in cycles per pixel.
    """

    def __init__(self, shape: tuple[int, int, int], floor: float = FLOOR) -> None:
        _, height, width = self.shape = shape
        fy = np.fft.fftfreq(height)[:, None]
        fx = np.fft.rfftfreq(width)[None, :]
        self._filter = (1 / np.sqrt(np.maximum(np.hypot(fx, fy), floor))).astype(np.float32)

    def apply(self, vector: Vector, out: Vector) -> None:
        """Write B·vector to ``out``; channel by channel, so that temporary memory is two thirds of a vector."""
        images, results = vector.reshape(self.shape), out.reshape(self.shape)
        for image, result in zip(images, results, strict=True):
            # With another norm than "ortho" NumPy transforms float32 forward in float64, in six times the memory.
            spectrum = np.fft.rfft(image, axis=1, norm="ortho")
            np.fft.fft(spectrum, axis=0, norm="ortho", out=spectrum)
            spectrum *= self._filter
            np.fft.ifft(spectrum, axis=0, norm="ortho", out=spectrum)
            result[...] = np.fft.irfft(spectrum, n=image.shape[1], axis=1, norm="ortho")
