"""The whole network, with its dense layers: what a picture shows."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..runtime.bundle.network import CLASSIFIED_SIDE, CONVOLUTIONS, DENSE
from ..runtime.bundle.spec import CLASSIFY
from .graphs import GraphSpec
from .vgg import TruncatedVGG, Weights

_EXAMPLE = 17
"""Images to trace with."""


class Classifier:
    """A VGG as it was trained (Simonyan, Zisserman 2014, section 2.1), less its dropout, which only training has.

    Args:
        network: a key of `CONVOLUTIONS`.
        weights: the pretrained weights, with dense layers.
    """

    def __init__(self, network: str, weights: Weights) -> None:
        self._last = f"relu5_{CONVOLUTIONS[network][-1]}"
        self._features = TruncatedVGG(network, "max", [self._last], weights)
        self._dense = weights.dense

    def __call__(self, image: Tensor) -> Tensor:
        """Probabilities of each class, ``[N, 1000]``, for images ``[N, 3, 224, 224]``, RGB, 0..255."""
        x = F.max_pool2d(self._features(image)[self._last], 2)
        # As convolutions: with products, the tracer would store kernels transposed.
        for name in list(DENSE)[:-1]:
            x = F.relu(F.conv2d(x, *self._dense[name]))
        return torch.softmax(F.conv2d(x, *self._dense[list(DENSE)[-1]]).flatten(1), 1)


def classifier_spec(classifier: Classifier) -> GraphSpec:
    """The graph of a classifier."""
    side, classes = CLASSIFIED_SIDE, next(reversed(DENSE.values()))[0]
    return GraphSpec(
        name=CLASSIFY,
        function=classifier,
        example=(torch.zeros(_EXAMPLE, 3, side, side),),
        dynamic=({0: torch.export.Dim.AUTO},),
        inputs={"image": ("N", 3, side, side)},
        outputs={"probabilities": ("N", classes)},
    )
