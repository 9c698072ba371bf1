"""Weights of a VGG in the layouts that they are in circulation in."""

import numpy as np
from numpy.typing import NDArray

from nstbatch.runtime.assembly.layouts import Parameters
from nstbatch.runtime.bundle.network import kernel_shapes

Values = NDArray[np.float32]
Convolutions = dict[tuple[int, int], tuple[Values, Values]]


def random_vgg(network: str = "vgg16", seed: int = 0) -> Convolutions:
    """Random kernels and biases of each layer."""
    generator = np.random.default_rng(seed)
    result = {}
    for layer, shape in kernel_shapes(network).items():
        kernel, bias = generator.standard_normal(shape), generator.standard_normal(shape[0])
        result[layer] = kernel.astype(np.float32), bias.astype(np.float32)
    return result


def features(convolutions: Convolutions, network: str) -> dict[str, Values]:
    """In torchvision's layout, by the positions of its published configuration."""
    plan = {"vgg16": "64 64 M 128 128 M 256 256 256 M 512 512 512 M 512 512 512 M"}
    plan["vgg19"] = "64 64 M 128 128 M 256 256 256 256 M 512 512 512 512 M 512 512 512 512 M"
    state, position, block, number = {}, 0, 1, 1
    for entry in plan[network].split():
        if entry == "M":
            block, number, position = block + 1, 1, position + 1
        else:
            kernel, bias = convolutions[block, number]
            state[f"features.{position}.weight"], state[f"features.{position}.bias"] = kernel, bias
            number, position = number + 1, position + 2
    return state


def normalised(convolutions: Convolutions, network: str, seed: int = 1) -> dict[str, Values]:
    """In the layout of torchvision's networks with batch normalisation, whose statistics are random."""
    generator = np.random.default_rng(seed)
    state: dict[str, Values] = {}
    position, before = 0, 1
    for (block, _), (kernel, bias) in convolutions.items():
        # A pooling stands between blocks.
        position, before = position + block - before, block
        state[f"features.{position}.weight"], state[f"features.{position}.bias"] = kernel, bias
        for name, low, high in (("weight", 0.5, 2), ("bias", -1, 1), ("running_mean", -1, 1), ("running_var", 0.1, 3)):
            state[f"features.{position + 1}.{name}"] = generator.uniform(low, high, len(bias)).astype(np.float32)
        position += 3
    return state


def frossard(convolutions: Convolutions) -> dict[str, Values]:
    """In the layout of Frossard's file, which has other layers besides."""
    arrays: dict[str, Values] = {"fc8_W": np.zeros((2, 2), np.float32)}
    for (block, index), (kernel, bias) in convolutions.items():
        arrays[f"conv{block}_{index}_W"] = kernel.transpose(2, 3, 1, 0)
        arrays[f"conv{block}_{index}_b"] = bias
    return arrays


def assert_same(found: Parameters, convolutions: Convolutions, mean: Values) -> None:
    """The parameters are these, to the bit."""
    assert found.convolutions.keys() == convolutions.keys()
    for layer, (kernel, bias) in convolutions.items():
        np.testing.assert_array_equal(found.convolutions[layer][0], kernel)
        np.testing.assert_array_equal(found.convolutions[layer][1], bias)
    np.testing.assert_array_equal(found.mean, mean)
