"""The layers of VGG-16 and VGG-19 (Simonyan, Zisserman 2014, configurations D and E)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ..errors import UsageError

CONVOLUTIONS: dict[str, tuple[int, ...]] = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
"""Number of 3x3 convolutions in each of a network's five blocks; a 2x2 pooling stands between blocks."""

CHANNELS = (64, 128, 256, 512, 512)
"""Output channels of every convolution of each block."""

DENSE = {"fc6": (4096, 512, 7, 7), "fc7": (4096, 4096, 1, 1), "fc8": (1000, 4096, 1, 1)}
"""Kernels [out, in, h, w] of the dense layers, as convolutions of all that poolings leave (section 3.2 of the paper)."""

CLASSIFIED_SIDE = 224
"""Height and width, in pixels, of the pictures that the dense layers take."""

_TAP = re.compile(r"(?P<kind>relu|conv)(?P<block>[1-5])_(?P<index>[1-4])")


def layers(network: str) -> Iterator[tuple[int, int]]:
    """The convolutions of a network in order, as (block, index), both counted from 1.

    Raises:
        UsageError: the network is not known.
    """
    if network not in CONVOLUTIONS:
        raise UsageError(f"network '{network}' is not known; choose one of: {', '.join(CONVOLUTIONS)}")
    for block, count in enumerate(CONVOLUTIONS[network], start=1):
        for index in range(1, count + 1):
            yield block, index


def kernel_shapes(network: str) -> dict[tuple[int, int], tuple[int, int, int, int]]:
    """Shape [out, in, 3, 3] of the kernel of each convolution of a network, by (block, index), in order.

    Raises:
        UsageError: the network is not known.
    """
    shapes = {}
    inputs = 3
    for block, index in layers(network):
        shapes[block, index] = (CHANNELS[block - 1], inputs, 3, 3)
        inputs = CHANNELS[block - 1]
    return shapes


@dataclass(frozen=True)
class Tap:
    """A layer whose output is read: ``relu4_2`` after the activation, ``conv4_2`` before it."""

    kind: str
    block: int
    index: int

    @classmethod
    def parse(cls, name: str, network: str) -> "Tap":
        """Tap of ``network`` called ``name``.

        Raises:
            UsageError: the network has no such layer.
        """
        match = _TAP.fullmatch(name)
        if match is None or (int(match["block"]), int(match["index"])) not in layers(network):
            example = ", ".join(f"relu{b}_{i}" for b, i in layers(network))
            raise UsageError(f"tap '{name}' is not in {network}; its layers are {example} (or conv instead of relu)")
        return cls(match["kind"], int(match["block"]), int(match["index"]))

    @property
    def name(self) -> str:
        """The tap's name, as `parse` takes it."""
        return f"{self.kind}{self.block}_{self.index}"
