"""What the network looks at, and how its answer is read."""

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

from nstbatch.runtime.bundle.spec import CLASSIFY, Bundle
from nstbatch.runtime.engine.engine import Engine
from nstbatch.runtime.errors import BundleError
from nstbatch.runtime.pictures.photo import Picture
from nstbatch.runtime.recognition.classifier import Classifier, class_names, middle


class Answering:
    """An engine whose bundle classifies, and that has one answer."""

    bundle = SimpleNamespace(has=lambda name: name == CLASSIFY)

    def __init__(self, answer: np.ndarray[Any, Any]) -> None:
        self.answer = answer

    def run(self, graph: str, feeds: dict[str, Any]) -> list[np.ndarray[Any, Any]]:
        assert graph == CLASSIFY
        assert feeds["image"].shape == (1, 3, 224, 224)
        return [self.answer[None]]


def gradient(width: int, height: int) -> Picture:
    """A picture whose red grows to the right and whose green grows downwards."""
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Picture(Image.fromarray(np.stack([x, y, 0 * x], -1).round().astype(np.uint8)))


def test_the_likeliest_classes_come_first() -> None:
    answer = np.full(1000, 1e-4, np.float32)
    answer[[483, 7, 999]] = 0.5, 0.3, 0.1
    found = Classifier(cast("Engine", Answering(answer)))(gradient(300, 200), 3)
    assert [(each.number, each.name) for each in found] == [(483, "castle"), (7, "cock"), (999, "toilet tissue")]
    assert [each.probability for each in found] == pytest.approx([0.5, 0.3, 0.1])


def test_imagenet_has_a_thousand_classes() -> None:
    names = class_names()
    assert len(names) == 1000
    # The first and last of ILSVRC 2012, and two that many know the numbers of.
    assert (names[0], names[281], names[963], names[999]) == ("tench", "tabby", "pizza", "toilet tissue")


@pytest.mark.parametrize(("width", "height"), [(400, 280), (280, 400), (256, 256), (224, 300), (60, 44), (37, 500)])
def test_the_middle_is_what_torchvision_takes(width: int, height: int) -> None:
    """Its `Resize(256)`, which rounds the long side down, and `CenterCrop(224)`; written out, as it may not be installed."""
    picture = gradient(width, height)
    short = min(width, height)
    scaled = picture.rgb.resize((256 * width // short, 256 * height // short), Image.Resampling.BILINEAR)
    left, top = round((scaled.width - 224) / 2), round((scaled.height - 224) / 2)
    expected = np.asarray(scaled, np.float32)[top : top + 224, left : left + 224].transpose(2, 0, 1)
    found = middle(picture)
    assert found.shape == (1, 3, 224, 224)
    # A picture that is longer than eight times its height is cut first, which moves it by less than a pixel.
    np.testing.assert_allclose(found[0], expected, atol=1.0 if max(width, height) > 8 * short else 0)


def test_a_line_of_pixels_takes_no_more_memory_than_a_picture() -> None:
    assert middle(Picture(Image.new("RGB", (200_000, 2), "red"))).shape == (1, 3, 224, 224)


def test_a_bundle_without_the_graph_is_refused(bundle: Bundle) -> None:
    with pytest.raises(BundleError, match="has no graph that classifies; make a bundle with `nstbatch export --classes`"):
        Classifier(cast("Engine", SimpleNamespace(bundle=bundle)))
