"""VGG-16 and VGG-19 (Simonyan, Zisserman 2014, configurations D and E), truncated at the deepest tap."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from ..runtime.assembly.layouts import Parameters, Values
from ..runtime.bundle.network import Tap, layers
from ..runtime.bundle.spec import PADDINGS, POOLINGS
from ..runtime.errors import UsageError

K = TypeVar("K")


@dataclass(frozen=True)
class Weights:
    """The parameters of a network as tensors.

    Attributes:
        convolutions, mean, dense: see `Parameters`.
    """

    convolutions: Mapping[tuple[int, int], tuple[Tensor, Tensor]]
    mean: Tensor
    dense: Mapping[str, tuple[Tensor, Tensor]] = field(default_factory=dict)

    @classmethod
    def of(cls, parameters: Parameters) -> "Weights":
        """Tensors of the runtime's arrays."""
        return cls(_tensors(parameters.convolutions), torch.tensor(parameters.mean), _tensors(parameters.dense))

    def to(self, kind: torch.dtype | torch.device) -> "Weights":
        """The same weights in another precision, or on another device."""
        return Weights(_moved(self.convolutions, kind), self.mean.to(kind), _moved(self.dense, kind))


def _tensors(layers: Mapping[K, tuple[Values, Values]]) -> dict[K, tuple[Tensor, Tensor]]:
    return {layer: (torch.tensor(kernel), torch.tensor(bias)) for layer, (kernel, bias) in layers.items()}


def _moved(layers: Mapping[K, tuple[Tensor, Tensor]], kind: torch.dtype | torch.device) -> dict[K, tuple[Tensor, Tensor]]:
    return {layer: (kernel.to(kind), bias.to(kind)) for layer, (kernel, bias) in layers.items()}


Features = dict[str, Tensor]
"""``[N, C, h, w]`` by the tap's name."""

SHRINK = 16.0
"""What float16 features are divided by. Oxford's weights give features of up to 24000, measured on white noise; float16 ends
at 65504. A network of convolutions and ReLUs divides with its input and biases, and a power of two rounds nothing."""


_L2_SCALE = 13086228 / 2**24
"""0.78 of crowsonkb/style-transfer-pytorch, as float32 has it: so that the graph is the same in float64."""

_SMALLEST_SQUARE = 1e-6


class TruncatedVGG:
    """The part of a VGG up to its deepest tap.

    Args:
        network: a key of `CONVOLUTIONS`.
        pooling: one of `POOLINGS`; averages are of Gatys et al. 2015, section "Methods".
        taps: names of the layers to read.
        weights: the pretrained weights.
        padding: one of `PADDINGS`, of the first layer.
        pool_first: whether a ReLU before a max pooling is taken after it, where no tap reads it: of a quarter of the values.
        half: what layers compute in if their weights are float16: that; or float64, to say what is right. Features come
            out in the precision of the image all the same. None for weights as they are.

    Raises:
        UsageError: network, pooling or a tap is not known, or no tap is given.
    """

    def __init__(
        self,
        network: str,
        pooling: str,
        taps: Iterable[str],
        weights: Weights,
        *,
        padding: str = PADDINGS[0],
        pool_first: bool = False,
        half: torch.dtype | None = None,
    ) -> None:
        if pooling not in POOLINGS:
            raise UsageError(f"pooling '{pooling}' is not known; choose one of: {', '.join(POOLINGS)}")
        if padding not in PADDINGS:
            raise UsageError(f"padding '{padding}' is not known; choose one of: {', '.join(PADDINGS)}")
        self.taps = {name: Tap.parse(name, network) for name in taps}
        if not self.taps:
            raise UsageError("a network needs at least one tap")
        deepest = max((tap.block, tap.index) for tap in self.taps.values())
        self.layers = [layer for layer in layers(network) if layer <= deepest]
        self.pooling = pooling
        self.padding = padding
        self.pool_first = pool_first and pooling == "max"
        self.weights = weights
        self.half = half

    def __call__(self, image: Tensor) -> Features:
        """Features of each tap, for images ``[N, 3, H, W]``, RGB, 0..255."""
        features: Features = {}
        x = image - self.weights.mean.reshape(1, 3, 1, 1)
        if self.half:
            x = (x / SHRINK).to(self.half)
        for block, index in self.layers:
            weight, bias = self.weights.convolutions[block, index]
            if self.half:
                weight, bias = weight.half().to(self.half), (bias / SHRINK).half().to(self.half)
            if self.padding == "replicate" and (block, index) == (1, 1):
                x = F.conv2d(_replicate(x), weight, bias)
            else:
                x = F.conv2d(x, weight, bias, padding=1)
            features[f"conv{block}_{index}"] = x
            last = (block + 1, 1) in self.layers and (block, index + 1) not in self.layers
            if last and self.pool_first and f"relu{block}_{index}" not in self.taps:
                x = F.relu(self._pool(x))
                continue
            x = F.relu(x)
            features[f"relu{block}_{index}"] = x
            if last:
                x = self._pool(x)
        taps = {name: features[name] for name in self.taps}
        return {name: tap.to(image.dtype) * SHRINK for name, tap in taps.items()} if self.half else taps

    def _pool(self, x: Tensor) -> Tensor:
        if self.pooling == "max":
            return F.max_pool2d(x, 2)
        if self.pooling == "l2":
            # In float16 squares would overflow; and the root has no slope at 0, where a ReLU has everything.
            wide = x.to(torch.promote_types(x.dtype, torch.float32))
            return (_L2_SCALE * (4 * F.avg_pool2d(wide * wide, 2) + _SMALLEST_SQUARE).sqrt()).to(x.dtype)
        return F.avg_pool2d(x, 2) * (2 if self.pooling == "rescaled" else 1)

    def differentiate(self, image: Tensor) -> tuple[Features, Callable[[Features], Tensor]]:
        """Features, and the function from their gradients to the image's gradient.

        In float16 gradients are divided by the largest element that an image's have at any tap, and the result is
        multiplied by it: the range that they have depends on the objective's weights.
        """
        features, pull = torch.func.vjp(self, image)[:2]

        def back(gradients: Features) -> Tensor:
            if not self.half:
                return pull(gradients)[0]  # type: ignore[no-any-return]
            largest = torch.full_like(image[:, :1, :1, :1], _SMALLEST)
            for gradient in gradients.values():
                largest = torch.maximum(largest, gradient.abs().amax((1, 2, 3), keepdim=True))
            return pull({name: gradient / largest for name, gradient in gradients.items()})[0] * largest  # type: ignore[no-any-return]

        return features, back


def _replicate(x: Tensor) -> Tensor:
    """One more line around, of the outermost pixels; spelt so that its gradient has no index operation."""
    x = torch.cat([x[:, :, :1], x, x[:, :, -1:]], dim=2)
    return torch.cat([x[:, :, :, :1], x, x[:, :, :, -1:]], dim=3)


_SMALLEST = 1e-30
"""Of what gradients are divided by: where all are zero, 0 / 0 would be NaN."""
