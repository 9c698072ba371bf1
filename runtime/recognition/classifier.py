"""From a picture to the probabilities of ImageNet's classes."""

from dataclasses import dataclass
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..bundle.network import CLASSIFIED_SIDE
from ..bundle.spec import CLASSIFY
from ..engine.engine import Engine
from ..errors import BundleError
from ..pictures.photo import Picture
from ..pictures.pixels import Pixels, to_pixels

_SHORT_SIDE = 256
"""What a picture's short side is scaled to before its middle is cut out."""

_LONGEST = 8
"""Times its short side: of a longer picture, the ends are cut off first, or they would take memory for nothing."""


@dataclass(frozen=True)
class Prediction:
    """What a picture may show.

    Attributes:
        number: of the class, 0 to 999, in ImageNet's order.
        name: of the class.
        probability: 0..1.
    """

    number: int
    name: str
    probability: float


class Classifier:
    """Names what pictures show.

    Args:
        engine: of a bundle that has the graph for it.

    Raises:
        BundleError: it has none.
    """

    def __init__(self, engine: Engine) -> None:
        bundle = engine.bundle
        if not bundle.has(CLASSIFY):
            raise BundleError(f"{bundle.path}: has no graph that classifies; make a bundle with `nstbatch export --classes`")
        self._engine = engine
        self._names = class_names()

    def __call__(self, picture: Picture, count: int = 3) -> list[Prediction]:
        """The most likely classes, the likeliest first.

        Args:
            picture: to look at.
            count: of classes, at most.

        Raises:
            OutOfMemoryError, EvaluationError: the graph cannot be evaluated.
        """
        found = self.probabilities(picture)
        return [Prediction(int(i), self._names[i], float(found[i])) for i in np.argsort(-found, kind="stable")[:count]]

    def probabilities(self, picture: Picture) -> NDArray[np.float32]:
        """The probability of each class, ``[1000]``."""
        (found,) = self._engine.run(CLASSIFY, {"image": middle(picture)})
        return np.asarray(found[0], np.float32)


def middle(picture: Picture) -> Pixels:
    """What the network looks at, ``[1, 3, 224, 224]``, RGB, 0..255: the middle of the picture with a short side of 256.

    As torchvision evaluates its networks, and as Simonyan and Zisserman (2014, section 3.2) do at a single scale.
    """
    image = picture.rgb
    width, height = image.size
    short = min(image.size)
    if max(image.size) > _LONGEST * short:
        width, height = (min(side, _LONGEST * short) for side in image.size)
        image = _cut(image, width, height)
    size = (_SHORT_SIDE * width // short, _SHORT_SIDE * height // short)
    scaled = image.resize(size, Image.Resampling.BILINEAR)
    return to_pixels(_cut(scaled, CLASSIFIED_SIDE, CLASSIFIED_SIDE))


def _cut(image: Image.Image, width: int, height: int) -> Image.Image:
    left, top = round((image.width - width) / 2), round((image.height - height) / 2)
    return image.crop((left, top, left + width, top + height))


def class_names() -> tuple[str, ...]:
    """The names of ImageNet's 1000 classes in their order, as torchvision has them."""
    return tuple((files(__package__) / "classes.txt").read_text(encoding="utf-8").splitlines())
