"""Whether weights are what they are taken for: what they make of a picture, beside what known weights make of it.

A file in BGR where RGB is expected, or for pictures in 0..1 where they are in 0..255, is read without an error, and paints
badly. Its first layer and its activations tell.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from .formats import Arrays
from .layouts import Parameters, Values, find_layout, parameters
from .preprocessing import PREPROCESSINGS

KNOWN: Mapping[str, tuple[float, ...]] = {
    "caffe": (29.23, 191.0, 169.6, 891.5, 72.47),
    "caffe-rgb": (29.23, 191.0, 169.6, 891.5, 72.47),
    "torchvision": (0.4776, 1.292, 2.079, 1.812, 0.828),
}
"""By preprocessing, the mean activations after the first convolution of each block that `drawn_picture` has in Oxford's
VGG-19, or in torchvision's VGG-16. Measured, see ``bench/units.py``."""

_ALIKE = 0.7
"""Root of the mean square of the logarithms of activations over known ones, up to which weights are taken for relatives.
Either of the two networks above, taken for the other, has 1.4."""

_SAME_SHAPE = 0.5
"""The same less the mean of these logarithms, whatever the scale."""

_OUT_OF_SCALE = 20.0
"""Factor between activations and known ones from which pictures are in another range."""


@dataclass(frozen=True)
class Evidence:
    """What weights do if they are taken for those of one preprocessing.

    Attributes:
        activations: means after the first convolution of each block, for `drawn_picture`.
        scale: their geometric mean over that of the known ones.
        distance: root of the mean square of the logarithms of activations over known ones.
        shape: the same less the mean of these logarithms.
        red_over_blue: norm of what the first layer takes of red over that of blue. In photos blue has more noise and less
            detail, so that networks weigh it less: Oxford's VGG-19 has 1.13, torchvision's VGG-16 1.19.
    """

    activations: tuple[float, ...]
    scale: float
    distance: float
    shape: float
    red_over_blue: float

    @classmethod
    def of(cls, taken: Parameters, known: tuple[float, ...]) -> "Evidence":
        """Of weights, beside known activations."""
        found = activations(taken, drawn_picture())
        logarithms = np.log(np.maximum(found, 1e-30) / np.array(known))
        kernel = taken.convolutions[1, 1][0]
        red, _, blue = np.maximum(np.linalg.norm(kernel.transpose(1, 0, 2, 3).reshape(3, -1), axis=1), 1e-30)
        return cls(
            found,
            float(np.exp(logarithms.mean())),
            float(np.sqrt((logarithms**2).mean())),
            float(logarithms.std()),
            float(red / blue),
        )

    @property
    def related(self) -> bool:
        """Whether activations are like known ones."""
        return self.distance <= _ALIKE


@dataclass(frozen=True)
class Examination:
    """What is known of weights.

    Attributes:
        evidence: by preprocessing.
        dense: whether there are the dense layers, without which nothing can be classified.
    """

    evidence: Mapping[str, Evidence]
    dense: bool

    @classmethod
    def of(cls, arrays: Arrays, network: str, origin: str) -> "Examination":
        """Of the arrays of a file.

        Raises:
            WeightsError: see `parameters`.
        """
        evidence = {name: Evidence.of(parameters(arrays, network, name, origin), KNOWN[name]) for name in PREPROCESSINGS}
        return cls(evidence, find_layout(arrays, origin).has_dense(arrays))

    @property
    def preprocessing(self) -> str | None:
        """The one preprocessing with which activations are like known ones, and red weighs more than blue."""
        fitting = [name for name, found in self.evidence.items() if found.related and found.red_over_blue > 1]
        return fitting[0] if len(fitting) == 1 else None

    def doubt(self, taken: str) -> str | None:
        """What speaks against a preprocessing, and what to do; None for nothing.

        Weights that are like none that are known are not doubted: they may be of another training.
        """
        own, better = self.evidence[taken], self.preprocessing
        if better == taken:
            return None
        if own.shape <= _SAME_SHAPE and not 1 / _OUT_OF_SCALE < own.scale < _OUT_OF_SCALE:
            return (
                f"its activations are {own.scale:.2g} times those of known weights, as if it took pictures in another range "
                f"than 0..255; get its publisher's own file, or divide the kernel of its first layer by {own.scale:.2g}"
            )
        if better is not None:
            return f"it looks as if it was trained with another preprocessing than {taken}: try --preprocessing {better}"
        if own.related and own.red_over_blue < 1:
            return (
                "its first layer weighs blue more than red, as if its channels were in the other order; get its publisher's "
                "own file, or reverse the inputs of its first layer"
            )
        return None


def drawn_picture(side: int = 64) -> Values:
    """A picture with a photo's statistics, ``[3, side, side]``, RGB, 0..255: a spectrum of 1/f, and mostly grey."""
    random = np.random.default_rng(0)
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None])
    frequency[0, 0] = np.inf
    fields = np.fft.irfft2(np.fft.rfft2(random.standard_normal((3, side, side))) / frequency, (side, side))
    grey, warm, green = fields / fields.std((1, 2), keepdims=True)
    # The axes of a photo's colours (Ruderman, Cronin, Chiao 1998): lightness, then blue to yellow, then green to red.
    channels = np.stack([grey + 0.25 * warm + 0.1 * green, grey - 0.1 * green, grey - 0.25 * warm + 0.1 * green])
    picture: Values = np.clip(118 + 55 * channels, 0, 255).astype(np.float32)
    return picture


def activations(parameters: Parameters, picture: Values) -> tuple[float, ...]:
    """Mean activation after the first convolution of each block.

    Args:
        parameters: of a network.
        picture: ``[3, H, W]``, RGB, 0..255, with H and W multiples of 16.
    """
    found = []
    x = picture - parameters.mean[:, None, None]
    block_before = 1
    for (block, index), (kernel, bias) in parameters.convolutions.items():
        if block > block_before:
            x = x.reshape(len(x), x.shape[1] // 2, 2, x.shape[2] // 2, 2).max((2, 4))
            block_before = block
        windows = sliding_window_view(np.pad(x, ((0, 0), (1, 1), (1, 1))), (3, 3), (1, 2))
        columns = windows.transpose(0, 3, 4, 1, 2).reshape(kernel[0].size, -1)
        x = np.maximum(kernel.reshape(len(kernel), -1) @ columns + bias[:, None], 0).reshape(len(kernel), *x.shape[1:])
        if index == 1:
            found.append(float(x.mean()))
        if (block, index) == (5, 1):
            break
    return tuple(found)
