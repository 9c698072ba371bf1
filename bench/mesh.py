"""Where the fine mesh in paintings comes from: each suspect is changed by itself, and the mesh is measured.

    python bench/mesh.py [--size 256] [--pairs 3] [--iterations 40] [--only NAME]... [--save]

The columns are those of bench/judge.py, with two more: the power of luma at the frequencies that poolings repeat with,
over that beside them (1 is no pattern), and the gradient's mean length, a measure of sharpness, over the photo's and
style's mean.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from common import RESULTS, machine, write
from judge import COLUMNS, Candidate, Judge, crop, of_picture, pairs, questions, scaled, side_of, table
from nstbatch.runtime.bundle.spec import GRAM, WASSERSTEIN, BundleSpec
from nstbatch.runtime.engine.host import available_cores
from nstbatch.runtime.optimizer.preconditioner import FrequencyPreconditioner
from nstbatch.runtime.painting import painting
from nstbatch.runtime.pictures.contact_sheet import contact_sheet
from nstbatch.runtime.pictures.pixels import Pixels, enlarge, luma
from nstbatch.runtime.recipe.size import Size

Around = Callable[[], AbstractContextManager[Any]]


@dataclass
class Suspect:
    """A candidate in which one thing is another.

    Attributes:
        candidate: as the judge paints it.
        around: within which it is painted.
    """

    candidate: Candidate
    around: Around = field(default=nullcontext)


def suspects(iterations: int) -> list[Suspect]:
    """The first has everything, and no total variation, which hides what the others do."""
    spec = BundleSpec(style_distance=WASSERSTEIN)

    def changed(name: str, around: Around = nullcontext, steps: int = iterations, **options: Any) -> Suspect:
        options = {"tv_weight": 0.0, **options}
        kinds = {key: options.pop(key) for key in ("pooling", "padding", "style_distance", "tv") if key in options}
        return Suspect(Candidate(name, replace(spec, **kinds), options, steps=steps), around)

    def detail(share: float, *, colours: bool = False) -> Around:
        """Finer levels begin with a share of the detail of the photo's luma there; or with that of its colours, too."""

        def refine(self: Any, painted: Pixels, content: Pixels) -> Pixels:
            coarse, size = self._content(self._index), Size.of_array(content.shape)
            added = content - enlarge(coarse, size) if colours else luma(content) - enlarge(luma(coarse), size)
            return enlarge(painted, size) + np.float32(share) * added

        return partial(patch.object, painting.Painting, "_refine", refine)

    def first_steps(power: float) -> Around:
        """L-BFGS begins with the gradient over a power of |f|, which is 1; see `FrequencyPreconditioner`."""
        plain = FrequencyPreconditioner._at

        def at(self: Any, *frequencies: NDArray[np.floating]) -> NDArray[np.float32]:
            return plain(self, *frequencies) ** np.float32(power)

        return partial(patch.object, FrequencyPreconditioner, "_at", at)

    def smooth(image: Image.Image, size: Size) -> Image.Image:
        return image if image.size == size else image.resize(size, Image.Resampling.BICUBIC)

    return [
        changed("no total variation"),
        changed("TV 3", tv_weight=3.0),
        changed("TV 10", tv_weight=10.0),
        changed("TV 30", tv_weight=30.0),
        changed("TV 100", tv_weight=100.0),
        changed("TV of nine points, 30, and edge pixels", padding="replicate", tv="nine-point", tv_weight=30.0),
        changed("finer levels with all of the photo's detail", detail(1.0, colours=True)),
        changed("finer levels with half of its luma's detail", detail(0.5)),
        changed("finer levels without the photo's detail", detail(0.0)),
        changed("one scale", scales="1"),
        changed("levels enlarged bicubically", partial(patch, "nstbatch.runtime.pictures.pixels.resize", smooth)),
        changed("Gram matrices", style_distance=GRAM),
        changed("average pooling", pooling="average"),
        changed("L2 pooling", pooling="l2"),
        changed("edge pixels beyond the edge", padding="replicate"),
        changed("first steps along the gradient itself", first_steps(0.0)),
        changed("first steps along low frequencies, 1/f^2", first_steps(2.0)),
        changed("three times the iterations", steps=3 * iterations),
        changed("average of iterates, 0.9", average=0.9),
        changed("Adam", optimizer="adam"),
    ]


def pattern(values: NDArray[np.float64]) -> float:
    """Power at the frequencies of a period of two, four and eight pixels along an axis, over that next to them."""
    window = np.outer(np.hanning(values.shape[0]), np.hanning(values.shape[1]))
    power = np.abs(np.fft.fft2((values - values.mean()) * window)) ** 2
    fy, fx = np.meshgrid(*(np.fft.fftfreq(n) for n in values.shape), indexing="ij")
    at, beside = [], []
    for period in (2, 4, 8):
        for y, x in ((1 / period, 0), (0, 1 / period), (1 / period, 1 / period)):
            away = np.hypot(np.abs(fy) - y, np.abs(fx) - x)
            at.append(power[away < 0.006].mean())
            beside.append(power[(away > 0.012) & (away < 0.04)].mean())
    return float(np.exp(np.mean(np.log(np.array(at) / np.array(beside)))))


def sharpness(values: NDArray[np.float64]) -> float:
    """Mean length of the gradient, of differences over two pixels, which see nothing of a mesh of two."""
    y, x = values[2:, 1:-1] - values[:-2, 1:-1], values[1:-1, 2:] - values[1:-1, :-2]
    return float(np.hypot(y, x).mean())


def grey(image: Image.Image) -> NDArray[np.float64]:
    return np.asarray(image.convert("L"), np.float64)


@questions(__doc__, size=256, pairs=3, iterations=40)
def main(size: int, count: int, iterations: int, only: tuple[str, ...], save: bool) -> None:
    judge, asked = Judge(), [each for each in suspects(iterations) if not only or each.candidate.name in only]
    rows: dict[str, list[list[float]]] = {}
    sheet: list[list[Image.Image | None]] = []
    chosen = pairs()[:count]
    for photo, style in chosen:
        side = side_of(photo, size)
        pictures = [scaled(photo, side), scaled(style, side)]
        usual = float(np.mean([sharpness(grey(picture)) for picture in pictures]))
        for name, picture in zip(("photo", "style"), pictures, strict=True):
            own = [pattern(grey(picture)), sharpness(grey(picture)) / usual]
            rows.setdefault(name, []).append([np.nan] * 4 + of_picture(picture) + own)
        for each in asked:
            with each.around():
                picture, seconds = each.candidate.paint(photo, style, side)
            pictures.append(picture)
            own = [pattern(grey(picture)), sharpness(grey(picture)) / usual]
            scores = [seconds, *judge.scores(picture, photo, style), *of_picture(picture), *own]
            rows.setdefault(each.candidate.name, []).append(scores)
            print(photo.stem, style.stem, each.candidate.name, *(f"{value:.4g}" for value in scores), flush=True)
        sheet.append([crop(picture) for picture in pictures])
    columns = {"s": "{:.0f}", **COLUMNS, "pattern": "{:.2f}", "sharpness": "{:.2f}"}
    text = (
        f"# Where the mesh comes from\n\n`python bench/mesh.py --size {size} --pairs {count} --iterations {iterations}`: "
        f"means over {len(chosen)} pairs; its docstring describes the columns.\n\n{machine(available_cores())}\n\n"
        f"{table('painted', columns, rows)}"
    )
    if save:
        image = contact_sheet(sheet, [f"{photo.stem} x {style.stem}" for photo, style in chosen], list(rows))
        image.save(RESULTS / "mesh.jpg", quality=70, optimize=True)
        write("mesh.md", f"{text}\n![the middle of each, three times as large](mesh.jpg)\n")
    else:
        print(text)


if __name__ == "__main__":
    main()
