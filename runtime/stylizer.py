"""One photo to one painting, by the optimisation of Gatys et al. (2016)."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .bundle import Bundle
from .engine import Engine
from .errors import ImageError, StyleError
from .images import Picture, fit, from_pixels, read_picture, resize, to_pixels
from .lbfgs import LBFGS
from .objective import LossWeights, Objective, Targets, balance, encode
from .precondition import FrequencyPreconditioner
from .settings import INITS, Settings
from .style import Style

Pixels = NDArray[np.float32]

_NOISE = 20.0
"""Standard deviation, in 0..255, of the noise that ``init="noise"`` adds to the photo's mean colour."""


@dataclass(frozen=True)
class Progress:
    """How far a picture is.

    Attributes:
        fraction: of the work done, 0..1; an evaluation counts by its pixels.
        size: long side of the level, in pixels.
        loss: weighted sum of the last evaluation.
    """

    fraction: float
    size: int
    loss: float


@dataclass(frozen=True)
class Result:
    """A painted photo.

    Attributes:
        picture: the painting at the photo's own size, with the photo's alpha and EXIF block.
        losses: a row for each evaluation, the weighted terms ``[k + l + 1]``: content, style, TV; their sum is the loss.
        sizes: long side, in pixels, of each row's level.
        status: why it ended, in a sentence.
        seconds: wall time, decoding and resampling included.
        evaluation_seconds: the part of it that ONNX Runtime took.
    """

    picture: Picture
    losses: NDArray[np.float64]
    sizes: NDArray[np.int64]
    status: str
    seconds: float
    evaluation_seconds: float

    @property
    def image(self) -> Image.Image:
        """The painting as an image of mode RGB, or RGBA where the photo has alpha."""
        image = self.picture.rgb
        if self.picture.alpha is not None:
            image = image.copy()
            image.putalpha(self.picture.alpha)
        return image

    @property
    def loss(self) -> float:
        """Lowest loss of the last level."""
        last = self.losses[self.sizes == self.sizes[-1]]
        return float(last.sum(1).min())


class Stylizer:
    """Paints photos in one style.

    Args:
        bundle: folder of a bundle.
        style: the style picture.
        provider, threads: see `Engine`.
        cache: folder to keep style sets in; None keeps them in memory.
        settings: fields of `Settings`.

    Raises:
        BundleError, ProviderError, StyleError, UsageError: bundle, provider, style or a setting cannot be used.
    """

    def __init__(
        self,
        bundle: str | Path | Bundle,
        style: str | Path,
        *,
        provider: str = "auto",
        threads: int | None = None,
        cache: str | Path | None = None,
        **settings: Any,
    ) -> None:
        self.settings = Settings(**settings)
        self.engine = Engine(bundle if isinstance(bundle, Bundle) else Bundle.load(bundle), provider, threads)
        self.style = Style(Path(style), self.engine, None if cache is None else Path(cache))
        init = self.settings.init
        self._init = None if init in INITS else _read_start(Path(init))

    def __call__(self, photo: str | Path | Picture, progress: Callable[[Progress], None] = lambda _: None) -> Result:
        """Paint one photo.

        Args:
            photo: a path, or a decoded picture.
            progress: is told after each evaluation.

        Raises:
            ImageError: the photo cannot be read.
            NonFiniteError: the loss is not finite at the start.
        """
        began = time.perf_counter()
        picture = photo if isinstance(photo, Picture) else read_picture(Path(photo))
        levels = self.settings.levels(max(picture.size))
        shapes = [fit(picture.size, level) for level in levels]
        work = [width * height * self.settings.iterations for width, height in shapes]

        image: Pixels | None = None
        previous: Pixels | None = None
        rows: list[NDArray[np.float64]] = []
        sizes: list[int] = []
        status = ""
        evaluating = 0.0
        for index, (level, shape) in enumerate(zip(levels, shapes, strict=True)):
            content = to_pixels(resize(picture.rgb, shape))
            start = self._start(content) if image is None or previous is None else self._refine(image, previous, content)
            run = _Level(self, content, start, level)
            for done in range(1, self.settings.iterations + 1):
                terms = run.step()
                rows.append(terms)
                sizes.append(max(shape))
                fraction = (sum(work[:index]) + work[index] * done / self.settings.iterations) / sum(work)
                progress(Progress(fraction, max(shape), float(terms.sum())))
                if run.done:
                    break
            image, status, previous = run.image, run.status, content
            evaluating += run.evaluation_seconds
        assert image is not None, "there is at least one level"
        painted = resize(from_pixels(image), picture.size)
        return Result(
            picture=Picture(painted, picture.alpha, picture.exif, picture.dpi),
            losses=np.array(rows),
            sizes=np.array(sizes),
            status=status,
            seconds=time.perf_counter() - began,
            evaluation_seconds=evaluating,
        )

    def _start(self, content: Pixels) -> Pixels:
        """The first iterate, of ``content``'s shape."""
        if self.settings.init == "content":
            return content
        if self.settings.init == "noise":
            noise = np.random.default_rng(self.settings.seed).standard_normal(content.shape, np.float32)
            mean: Pixels = content.mean((2, 3), keepdims=True)
            return mean + np.float32(_NOISE) * noise
        picture = self.style.image.rgb if self._init is None else self._init
        return to_pixels(resize(picture, (content.shape[3], content.shape[2])))

    def _refine(self, image: Pixels, previous: Pixels, content: Pixels) -> Pixels:
        """The first iterate of the next level, from the painting ``image`` of the photo ``previous``.

        A painting that grew out of the photo gets the detail that the photo has at the new size and had not at the old,
        which enlarging cannot give: without it the content loss starts high.
        """
        size = content.shape[3], content.shape[2]
        enlarged = _enlarge(image, size)
        return enlarged + (content - _enlarge(previous, size)) if self.settings.init == "content" else enlarged


class _Level:
    """The optimisation of one photo at one size."""

    def __init__(self, stylizer: Stylizer, content: Pixels, start: Pixels, level: int) -> None:
        settings, engine = stylizer.settings, stylizer.engine
        began = time.perf_counter()
        targets = Targets(contents=encode(engine, content).contents, grams=stylizer.style.grams(level))
        self.evaluation_seconds = time.perf_counter() - began
        weights = LossWeights(settings.content_weight, settings.style_weight, settings.tv_weight)
        self._objective = Objective(engine, targets, balance(weights, targets))
        self._shape = start.shape
        preconditioner = FrequencyPreconditioner((3, *start.shape[2:]))
        self._optimiser = LBFGS(start, history=settings.history, precondition=preconditioner)

    def step(self) -> NDArray[np.float64]:
        """One evaluation; the weighted terms.

        Raises:
            NonFiniteError: at the first evaluation.
        """
        began = time.perf_counter()
        loss, gradient, terms = self._objective(self._optimiser.ask().reshape(self._shape))
        self.evaluation_seconds += time.perf_counter() - began
        self._optimiser.tell(loss, gradient)
        return terms

    @property
    def done(self) -> bool:
        return self._optimiser.done

    @property
    def image(self) -> Pixels:
        """The best picture so far, ``[1, 3, H, W]``."""
        return self._optimiser.x.reshape(self._shape)

    @property
    def status(self) -> str:
        return self._optimiser.status.value if self.done else "all iterations done"


def _read_start(path: Path) -> Image.Image:
    try:
        return read_picture(path).rgb
    except ImageError as error:
        raise StyleError(f"picture to start from: {error}") from None


def _enlarge(image: Pixels, size: tuple[int, int]) -> Pixels:
    """Resample ``[1, 3, h, w]`` to a width and height, in float32 and unclipped."""
    planes = [np.asarray(resize(Image.fromarray(plane), size)) for plane in image[0]]
    return np.stack(planes)[None]
