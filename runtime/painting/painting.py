"""The optimisation of one photo, by Gatys et al. (2016), a step at a time."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..bundle.memory import FLOAT
from ..engine.engine import Engine
from ..errors import NonFiniteError
from ..files.scratch import Empty, zeros
from ..pictures.colors import take_chroma
from ..pictures.metadata import Metadata
from ..pictures.photo import Picture
from ..pictures.pixels import Pixels, enlarge, from_pixels, luma, resize, to_pixels
from ..pictures.regions import Guidance
from ..recipe.settings import Settings, chroma_share
from ..recipe.size import Size
from .level import AnyObjective, Canvas, Level
from .objective import Evaluated
from .schedule import evaluation_work
from .style import StyleTargets
from .tiling import Tiling

_NOISE = 20.0
"""Standard deviation, in 0..255, of the noise that ``init="noise"`` adds to the photo's mean colour."""


_NOT_FINITE = "the painting or its loss is not finite; it is not saved"


@dataclass(frozen=True)
class Progress:
    """How far a picture is.

    Attributes:
        fraction: of the work done, 0..1; see `evaluation_work`.
        size: long side of the level, in pixels.
        loss: weighted sum of the last evaluation.
        evaluations: so far.
    """

    fraction: float
    size: int
    loss: float
    evaluations: int


@dataclass(frozen=True)
class Losses:
    """The weighted losses of a painting, n evaluations of them.

    Attributes:
        terms: ``[n, k + l + 1]``, a column for each term: content, style, total variation.
        names: of the columns: the content taps, the style taps, ``tv``.
        content_taps: how many of them are content taps, k.
    """

    terms: NDArray[np.float64]
    names: tuple[str, ...]
    content_taps: int

    @property
    def content(self) -> NDArray[np.float64]:
        """The sum of the content terms, ``[n]``."""
        return self.parts[:, 0]

    @property
    def style(self) -> NDArray[np.float64]:
        """The sum of the style terms, ``[n]``."""
        return self.parts[:, 1]

    @property
    def tv(self) -> NDArray[np.float64]:
        """The term of the total variation, ``[n]``."""
        return self.parts[:, 2]

    @property
    def total(self) -> NDArray[np.float64]:
        """The loss, ``[n]``: the sum of all terms."""
        total: NDArray[np.float64] = self.terms.sum(1)
        return total

    @property
    def parts(self) -> NDArray[np.float64]:
        """Content, style and total variation side by side, ``[n, 3]``."""
        k = self.content_taps
        return np.stack([self.terms[:, :k].sum(1), self.terms[:, k:-1].sum(1), self.terms[:, -1]], axis=1)


@dataclass(frozen=True)
class Result:
    """A painted photo.

    Attributes:
        picture: the painting at the photo's own size, with the photo's alpha and EXIF block.
        losses: of each evaluation.
        sizes: long side, in pixels, of each evaluation's level, ``[n]``.
        whitened: whether an evaluation's style terms are in the whitened metric of early work, ``[n]``; see `make_schedule`.
        status: why it ended, in a sentence.
        seconds: wall time, decoding and resampling included.
        evaluation_seconds: the part of it that ONNX Runtime took.
    """

    picture: Picture
    losses: Losses
    sizes: NDArray[np.int64]
    whitened: NDArray[np.bool_]
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
    def evaluations(self) -> int:
        """How often loss and gradient were evaluated, over all levels."""
        return len(self.sizes)

    @property
    def loss(self) -> float:
        """Lowest loss of the last level, of the objective itself."""
        return float(np.nanmin(self.losses.total[(self.sizes == self.sizes[-1]) & ~self.whitened]))


@dataclass(frozen=True)
class PhotoJob:
    """One photo that is to be painted.

    Attributes:
        picture: the photo.
        limit: long side, in pixels, above which there is to be no level; None for no limit.
        guidance: where its regions are, and what is kept of it; None for a photo without masks.
        style: number of its style, see `Stylizer.styles`.
        tiled: whether it is evaluated in tiles; None where `Tiling` decides.
    """

    picture: Picture
    limit: int | None = None
    guidance: Guidance | None = None
    style: int = 0
    tiled: bool | None = None


class Painting:
    """The optimisation of one photo, an evaluation at a time, that can be put aside and taken up again.

    Args:
        engine: that evaluates.
        settings: of the optimisation.
        job: the photo.
        style: what it is to be painted in.
        start: the picture that ``init`` names.
        tiling: evaluates what memory does not hold in one piece; None for nothing.

    Attributes:
        settings: those it is painted by, with no level above the job's limit.
    """

    def __init__(
        self,
        engine: Engine,
        settings: Settings,
        job: PhotoJob,
        style: StyleTargets,
        start: Picture | None = None,
        tiling: Tiling | None = None,
    ) -> None:
        self._began = time.perf_counter()
        self.settings = settings if job.limit is None else settings.at_most(job.limit)
        self._engine = engine
        self._picture = job.picture
        self._guidance = job.guidance
        self._style = style
        self._start_picture = start
        self._tiling = tiling
        self._tiled = job.tiled
        self._levels = self.settings.levels(job.picture.size.long_side)
        self._shapes = [job.picture.size.fit(level) for level in self._levels]
        self._rows: list[NDArray[np.float64]] = []
        self._sizes: list[int] = []
        self._whitened: list[bool] = []
        self._evaluating = 0.0
        """Seconds of evaluations before this level, or before this run."""
        self._index = 0
        self._level: Level | None = None

    def step(self) -> Progress:
        """One evaluation.

        Raises:
            NonFiniteError: the loss is not finite at the start.
            DroppedError: the engine was cancelled; nothing has changed.
        """
        objective, point = self.ask()
        began = time.perf_counter()
        evaluated = objective(point)
        return self.tell(evaluated, time.perf_counter() - began)

    def ask(self) -> tuple[AnyObjective, Any]:
        """What to evaluate next, and where: the first half of a step, for who evaluates several at a time.

        Raises:
            DroppedError: the engine was cancelled; nothing has changed.
        """
        level = self._level
        if level is None:
            level = self._first_level()
        elif level.done:
            level = self._next_level(level)
        self._level = level
        return level.ask()

    def tell(self, evaluated: Evaluated, seconds: float) -> Progress:
        """Take what `ask` asked for, and how long it took: the second half of a step.

        Raises:
            NonFiniteError: the loss is not finite at the start.
        """
        level = self._level
        assert level is not None, "what is told has been asked for"
        level.tell(evaluated, seconds)
        self._rows.append(evaluated.terms)
        self._whitened.append(level.whitened)
        size = self._shapes[self._index].long_side
        self._sizes.append(size)
        work = [evaluation_work(shape) for shape in self._shapes]
        part = sum(work[: self._index]) + work[self._index] * level.made / level.planned
        return Progress(part / sum(work), size, float(evaluated.terms.sum()), len(self._rows))

    @property
    def done(self) -> bool:
        """Whether there is a `result`."""
        return self._level is not None and self._level.done and self._index + 1 == len(self._levels)

    @property
    def begun(self) -> bool:
        """Whether anything would be lost with it."""
        return bool(self._rows)

    @property
    def empty(self) -> Empty:
        """What makes the arrays of a state to `resume`: in memory or in a file, as this painting's own."""
        size = self._shapes[-1]
        if self._tiling is None or not self._in_tiles(size):
            return zeros
        return self._tiling.arrays(3 * size.pixels, self.settings.history)

    def close(self) -> None:
        """Nothing: a painting elsewhere, see `RemotePainting`, leaves its place to another."""

    def snapshot(self) -> Picture:
        """The painting so far, at the size of its last level; `begun` must be true."""
        level = self._level
        assert level is not None, "a painting that is begun has a level"
        return Picture(self._finish(level.image, self._shapes[-1]))

    def result(self) -> Result:
        """The painting at the photo's size; `done` must be true."""
        return self.ending()()

    def ending(self) -> Callable[[], Result]:
        """What is left to do when `done` is true, as a function that holds the pixels and not the optimiser's vectors."""
        level = self._level
        assert level is not None, "a painting that is done has had a level"
        image, status, picture = level.image.copy(), level.status, self._picture
        rows, sizes, whitened = np.array(self._rows), np.array(self._sizes), np.array(self._whitened)
        evaluating = self._evaluating + level.evaluation_seconds
        seconds, finish = time.perf_counter() - self._began, self._finish
        spec = self._engine.bundle.manifest.spec
        metadata = _kept(picture.metadata, self.settings)
        losses = Losses(rows, (*spec.content_taps, *spec.style_taps, "tv"), len(spec.content_taps))

        def end() -> Result:
            began = time.perf_counter()
            if not np.isfinite(image).all():
                raise NonFiniteError(_NOT_FINITE)
            painted = finish(image, picture.size)
            result = Result(
                picture=Picture(painted, picture.alpha, metadata),
                losses=losses,
                sizes=sizes,
                whitened=whitened,
                status=status,
                seconds=seconds + time.perf_counter() - began,
                evaluation_seconds=evaluating,
            )
            # The lowest loss: a last trial that overshot costs nothing.
            if not np.isfinite(result.loss):
                raise NonFiniteError(_NOT_FINITE)
            return result

        return end

    def state(self) -> dict[str, NDArray[Any]]:
        """Everything that `resume` needs to end with the same pixels, by name; `begun` must be true. No vector is copied."""
        level = self._level
        assert level is not None, "a painting that is begun has a level"
        seconds = time.perf_counter() - self._began, self._evaluating + level.evaluation_seconds
        return {
            "place": np.array(self._index),
            "seconds": np.array(seconds),
            "losses": np.array(self._rows),
            "sizes": np.array(self._sizes),
            "whitened": np.array(self._whitened),
            **level.state(),
        }

    def resume(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on from a `state` of the same photo, style, bundle and settings.

        Raises:
            KeyError, ValueError, IndexError: it is of another kind, or its numbers are none of a painting's.
        """
        self._index = int(state["place"])
        if not 0 <= self._index < len(self._levels):
            raise IndexError(f"level {self._index} of {len(self._levels)}")
        _check_vectors(state, 3 * self._shapes[self._index].pixels)
        content = self._content(self._index)
        level = self._begin_level(self._index, content, content)
        level.restore(state)
        level.evaluation_seconds = 0.0
        self._level = level
        before, self._evaluating = (float(value) for value in state["seconds"])
        self._began -= before
        self._rows, self._sizes = list(state["losses"]), [int(size) for size in state["sizes"]]
        self._whitened = [bool(value) for value in state["whitened"]]

    @property
    def _finish(self) -> Callable[[Pixels, Size], Image.Image]:
        """What makes an image of pixels, in a size; it holds the photo, and not the optimiser's vectors."""
        photo, share = self._picture.rgb, chroma_share(self.settings.colors)
        keep = None if self._guidance is None else self._guidance.keep

        def finish(pixels: Pixels, size: Size) -> Image.Image:
            painted = resize(from_pixels(pixels), size)
            if share < 1:
                painted = take_chroma(painted, resize(photo, size), share)
            if keep is not None:
                painted = Image.composite(resize(photo, size), painted, keep.resize(size, Image.Resampling.BILINEAR))
            return painted

        return finish

    def _first_level(self) -> Level:
        content = self._content(0)
        return self._begin_level(0, content, self._start(content))

    def _next_level(self, level: Level) -> Level:
        content = self._content(self._index + 1)
        following = self._begin_level(self._index + 1, content, self._refine(level.image, content))
        # Only now: where the engine was cancelled, the level that is over is still this one.
        self._index += 1
        self._evaluating += level.evaluation_seconds
        return following

    def _begin_level(self, index: int, content: Pixels, start: Pixels) -> Level:
        grams = self._style.grams(self.settings.style_levels(self._levels)[index], self.settings.enlargement)
        cost = self._shapes[index].pixels / self._shapes[-1].pixels
        tiling = self._tiling if self._in_tiles(self._shapes[index]) else None
        return Level(self._engine, self.settings, Canvas(content, start, grams, cost, self._guidance, tiling))

    def _in_tiles(self, size: Size) -> bool:
        """Whether a level of that size is evaluated in tiles."""
        if self._tiling is None or self._tiling.size is None or size.long_side <= self._tiling.size.side:
            return False
        return self._tiling.takes(size) if self._tiled is None else self._tiled

    def _content(self, index: int) -> Pixels:
        """The photo at a level's shape."""
        return to_pixels(resize(self._picture.rgb, self._shapes[index]))

    def _start(self, content: Pixels) -> Pixels:
        """The first iterate, of ``content``'s shape."""
        if self.settings.init == "content":
            return content
        if self.settings.init == "noise":
            noise = np.random.default_rng(self.settings.seed).standard_normal(content.shape, np.float32)
            mean: Pixels = content.mean((2, 3), keepdims=True)
            return mean + np.float32(_NOISE) * noise
        start = self._start_picture or self._style.image
        return to_pixels(resize(start.rgb, Size.of_array(content.shape)))

    def _refine(self, painted: Pixels, content: Pixels) -> Pixels:
        """The first iterate of the next level, for the photo ``content``, from the painting at this one.

        A painting that grew out of the photo gets the detail that the photo has at the new size and had not at the old,
        which enlarging cannot give: without it the content loss starts high. Of its luma alone: a photo's fine colours are
        mostly noise, which the optimisation leaves as it is, and which is a mesh in the painting (``bench/mesh.py``).
        """
        size = Size.of_array(content.shape)
        start = enlarge(painted, size)
        if self.settings.init == "content":
            start += luma(content) - enlarge(luma(self._content(self._index)), size)
        return start


def state_bytes(settings: Settings, size: Size) -> int:
    """Most bytes of a `Painting.state` of a photo of a size."""
    pixels = size.fit(settings.levels(size.long_side)[-1]).pixels
    return (2 * settings.history + _VECTORS) * 3 * FLOAT * pixels + _BESIDES


_VECTORS, _BESIDES = 16, 2**26
"""Vectors of a state besides the curvature pairs, at most, and bytes of all that is no vector."""

_FAR = 1e4
"""Beyond the value of any pixel."""


def _check_vectors(state: Mapping[str, NDArray[Any]], length: int) -> None:
    """Refuse vectors of another length, which NumPy might broadcast, and those that lead nowhere."""
    for name, array in state.items():
        if array.dtype == np.float32 and not (
            array.shape[-1:] == (length,) and all(np.isfinite(vector).all() for vector in array.reshape(-1, length))
        ):
            raise ValueError(f"{name} is no vector of {length} finite numbers")
    if np.abs(state["x"]).max() > _FAR:
        raise ValueError("x is no picture")


def _kept(metadata: Metadata, settings: Settings) -> Metadata:
    """What of a photo's metadata goes into its painting."""
    kept = metadata.without_gps() if settings.strip_gps else metadata
    quality = settings.quality or metadata.quality
    return Metadata(quality=quality) if settings.strip_metadata else replace(kept, quality=quality)
