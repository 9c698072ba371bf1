"""Every layout that weights are in circulation in gives the same parameters."""

import numpy as np
import pytest
import torch

from nstbatch.exporter.vgg import TruncatedVGG, Weights
from nstbatch.runtime.assembly.layouts import find_layout, find_network, parameters
from nstbatch.runtime.assembly.preprocessing import PREPROCESSINGS
from nstbatch.runtime.bundle.network import DENSE
from nstbatch.runtime.errors import WeightsError
from weights import Convolutions, assert_same, features, frossard, normalised, random_vgg

MEAN = np.array([123.68, 116.779, 103.939], np.float32)


@pytest.fixture(scope="module", params=["vgg16", "vgg19"])
def network(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def trained(network: str) -> Convolutions:
    return random_vgg(network)


def bgr(convolutions: Convolutions) -> Convolutions:
    """As Caffe's model has it: the first layer takes BGR."""
    kernel, bias = convolutions[1, 1]
    return {**convolutions, (1, 1): (kernel[:, ::-1], bias)}


def test_torchvisions_keys_with_caffes_weights(network: str, trained: Convolutions) -> None:
    arrays = features(bgr(trained), network) | {"classifier.0.weight": np.zeros((2, 2), np.float32)}
    assert find_layout(arrays, "x").preprocessing is None
    assert find_network(arrays, "x") == network
    assert_same(parameters(arrays, network, "caffe", "x"), trained, MEAN)


def test_torchvisions_own_scale_is_folded(network: str, trained: Convolutions) -> None:
    found = parameters(features(trained, network), network, "torchvision", "x")
    kernel, bias = trained[1, 1]
    image = np.random.default_rng(0).uniform(0, 255, 3)
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    expected = (kernel.sum((2, 3)) @ ((image / 255 - mean) / std)) + bias
    mine = found.convolutions[1, 1][0].sum((2, 3)) @ (image - found.mean) + found.convolutions[1, 1][1]
    np.testing.assert_allclose(mine, expected, rtol=1e-4, atol=1e-4)


def test_batch_normalisation_is_folded(network: str, trained: Convolutions) -> None:
    """The features are those of PyTorch's own modules, which compute the normalisation by itself."""
    small = {layer: (kernel * np.float32(0.05), bias) for layer, (kernel, bias) in trained.items()}
    arrays = normalised(small, network)
    assert find_layout(arrays, "x").preprocessing == "torchvision"
    assert find_network(arrays, "x") == network
    modules: list[torch.nn.Module] = []
    before = 1
    for (block, _), (kernel, _) in small.items():
        if block != before:
            modules.append(torch.nn.MaxPool2d(2))
        before = block
        convolution = torch.nn.Conv2d(kernel.shape[1], kernel.shape[0], 3, padding=1)
        modules += [convolution, torch.nn.BatchNorm2d(kernel.shape[0]), torch.nn.ReLU()]
    features = torch.nn.Sequential(*modules)
    state = {name.removeprefix("features."): torch.from_numpy(value.copy()) for name, value in arrays.items()}
    features.load_state_dict(state, strict=False)
    features.eval().double()
    image = torch.from_numpy(np.random.default_rng(2).uniform(0, 255, (1, 3, 32, 40)))
    mean, std = (
        torch.tensor(values, dtype=torch.float64).reshape(1, 3, 1, 1)
        for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    with torch.no_grad():
        expected = features((image / 255 - mean) / std)
        last = f"relu5_{[index for block, index in small if block == 5][-1]}"
        weights = Weights.of(parameters(arrays, network, "torchvision", "x")).to(torch.float64)
        found = TruncatedVGG(network, "max", [last], weights)(image)[last]
    assert (found - expected).norm() < 1e-5 * expected.norm()


@pytest.mark.parametrize("template", ["{n}/{n}_W_1:0 {n}/{n}_b_1:0", "{n}/{n}/kernel:0 {n}/{n}/bias:0"])
def test_keras(template: str, network: str, trained: Convolutions) -> None:
    arrays = {}
    for (block, index), (kernel, bias) in bgr(trained).items():
        of_kernel, of_bias = (part.format(n=f"block{block}_conv{index}") for part in template.split())
        arrays[of_kernel], arrays[of_bias] = kernel.transpose(2, 3, 1, 0), bias
    assert find_layout(arrays, "x").preprocessing == "caffe"
    assert find_network(arrays, "x") == network
    assert_same(parameters(arrays, network, "caffe", "x"), trained, MEAN)


def test_frossards(network: str, trained: Convolutions) -> None:
    arrays = frossard(trained)
    assert find_layout(arrays, "x").preprocessing == "caffe-rgb"
    assert find_network(arrays, "x") == network
    assert_same(parameters(arrays, network, "caffe-rgb", "x"), trained, MEAN)


def test_pastiches_codes(network: str, trained: Convolutions) -> None:
    arrays = {}
    for (block, index), (kernel, bias) in bgr(trained).items():
        name = f"block{block}_conv{index}"
        table, codes = np.unique(kernel, return_inverse=True)
        arrays |= {f"{name}_W_table": table, f"{name}_W_q": codes.reshape(kernel.shape), f"{name}_b": bias}
    assert find_network(arrays, "x") == network
    assert_same(parameters(arrays, network, "caffe", "x"), trained, MEAN)
    arrays["block1_conv2_W_q"] = arrays["block1_conv2_W_q"] + 10**6
    with pytest.raises(WeightsError, match="x: conv1_2 is not stored as a layer is"):
        parameters(arrays, network, "caffe", "x")


def test_another_network_is_noticed() -> None:
    arrays = frossard(random_vgg("vgg16"))
    with pytest.raises(WeightsError, match=r"no array .* for vgg19's conv3_4; other network"):
        parameters(arrays, "vgg19", "caffe-rgb", "x")
    del arrays["conv5_1_W"]
    with pytest.raises(WeightsError, match="some layers are missing"):
        find_network(arrays, "x")


def test_another_shape_is_noticed() -> None:
    convolutions = random_vgg("vgg16")
    convolutions[2, 1] = convolutions[3, 1]
    with pytest.raises(WeightsError, match=r"conv2_1 has shape \(256, 128, 3, 3\), vgg16 needs \(128, 64, 3, 3\)"):
        parameters(frossard(convolutions), "vgg16", "caffe-rgb", "x")


def test_arrays_of_something_else() -> None:
    with pytest.raises(WeightsError, match="not a VGG in a layout nstbatch knows"):
        find_layout({"kernel": np.zeros((3, 3), np.float32)}, "x")


def test_damaged_values_are_noticed() -> None:
    convolutions = random_vgg("vgg16")
    convolutions[3, 1][0][0, 0, 0, 0] = np.nan
    with pytest.raises(WeightsError, match="conv3_1 holds values that are not finite"):
        parameters(frossard(convolutions), "vgg16", "caffe-rgb", "x")


def test_a_preprocessing_that_there_is_not() -> None:
    with pytest.raises(WeightsError, match=f"choose one of: {', '.join(PREPROCESSINGS)}"):
        parameters(frossard(random_vgg("vgg16")), "vgg16", "tf", "x")


@pytest.fixture(scope="module")
def dense() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Kernels of the dense layers, each element with a value of its own as far as float32 has them."""
    layers = {}
    for name, shape in DENSE.items():
        kernel = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
        layers[name] = kernel, kernel[:, 0, 0, 0].copy()
    return layers


def in_torchvisions(dense: dict[str, tuple[np.ndarray, np.ndarray]]) -> dict[str, np.ndarray]:
    """The dense layers as torchvision's networks have them: of features [C, h, w]."""
    arrays = {}
    for position, (kernel, bias) in zip((0, 3, 6), dense.values(), strict=True):
        arrays[f"classifier.{position}.weight"] = kernel.reshape(len(kernel), -1)
        arrays[f"classifier.{position}.bias"] = bias
    return arrays


def of_features_last(kernel: np.ndarray) -> np.ndarray:
    """A kernel [out, C, h, w] as Keras and Frossard have it: [in, out], of features [h, w, C]."""
    return kernel.transpose(2, 3, 1, 0).reshape(-1, len(kernel))


@pytest.mark.parametrize("layout", ["torchvision", "normalised", "keras", "frossard"])
def test_dense_layers_of_every_layout(layout: str, dense: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    trained, preprocessing = random_vgg("vgg16"), "caffe-rgb"
    if layout in ("torchvision", "normalised"):
        arrays = (features if layout == "torchvision" else normalised)(trained, "vgg16") | in_torchvisions(dense)
    elif layout == "keras":
        arrays = {}
        for (block, index), (kernel, bias) in trained.items():
            name = f"block{block}_conv{index}"
            arrays[f"{name}/{name}_W_1:0"], arrays[f"{name}/{name}_b_1:0"] = kernel.transpose(2, 3, 1, 0), bias
        for name, (kernel, bias) in zip(("fc1", "fc2", "predictions"), dense.values(), strict=True):
            arrays[f"{name}/{name}_W_1:0"], arrays[f"{name}/{name}_b_1:0"] = of_features_last(kernel), bias
    else:
        arrays = frossard(trained)
        for name, (kernel, bias) in dense.items():
            arrays[f"{name}_W"], arrays[f"{name}_b"] = of_features_last(kernel), bias
    found = parameters(arrays, "vgg16", preprocessing, "x", dense=True)
    assert find_layout(arrays, "x").has_dense(arrays)
    for name, (kernel, bias) in dense.items():
        np.testing.assert_array_equal(found.dense[name][0], kernel)
        np.testing.assert_array_equal(found.dense[name][1], bias)


def test_dense_layers_that_are_missing_or_of_other_classes() -> None:
    arrays = features(random_vgg("vgg16"), "vgg16")
    assert not find_layout(arrays, "x").has_dense(arrays)
    with pytest.raises(WeightsError, match=r"x: has no dense layers .*; get torchvision's vgg16-397923af.pth, or Keras'"):
        parameters(arrays, "vgg16", "torchvision", "x", dense=True)
    arrays |= {"classifier.0.weight": np.zeros((10, 512), np.float32), "classifier.0.bias": np.zeros(10, np.float32)}
    with pytest.raises(
        WeightsError, match=r"fc6 has shape \(10, 512\), a VGG of ImageNet's 1000 classes needs \(4096, 25088\)"
    ):
        parameters(arrays, "vgg16", "torchvision", "x", dense=True)
    # Who paints does not ask for them.
    assert not parameters(arrays, "vgg16", "torchvision", "x").dense
