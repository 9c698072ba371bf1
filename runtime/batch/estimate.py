"""How long a plan will take, from one evaluation for each shape."""

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from PIL import Image

from ..painting.painting import Painting, PhotoJob
from ..painting.schedule import make_schedule
from ..painting.stylizer import Stylizer
from ..pictures.photo import Picture
from ..pictures.regions import Guidance
from ..planning.plan import Plan, Task, TaskState
from ..recipe.size import Size

_SHAPES = 8
"""Shapes that are measured; of more, those between are taken to cost what their nearest neighbour costs by the pixel."""


def estimate(
    plan: Plan,
    stylizer: Stylizer,
    step: Callable[[str], None] = lambda _: None,
    measure: Callable[[Stylizer, Size, str], float] | None = None,
) -> list[float]:
    """Seconds for each task of a plan that is to do, in order: evaluations alone, without files and pictures.

    Args:
        plan: from `make_plan`.
        stylizer: would paint it.
        step: is called with what is measured.
        measure: seconds of an evaluation by a stylizer, at a size and in a precision; None to measure it.
    """
    measure = measure or evaluation_seconds
    tasks = [task for task in plan.tasks if task.state is TaskState.TODO]
    shapes = sorted({_measured(stylizer, task) for task in tasks}, key=lambda size: size.pixels)
    chosen = {shapes[round(i)] for i in np.linspace(0, len(shapes) - 1, _SHAPES)} if shapes else set()
    rates = {}
    for size in sorted(chosen):
        for precision in stylizer.precisions:
            step(f"one evaluation at {size}")
            rates[size.pixels, precision] = measure(stylizer, size, precision) / size.pixels

    def seconds(task: Task) -> float:
        pixels = [_work(stylizer, task, size) for size in _shapes(stylizer, task)]
        nearest = min((measured for measured, _ in rates), key=lambda measured: abs(measured - pixels[-1]))
        return sum(
            float(rates[nearest, phase.precision] * size * phase.evaluations)
            for i, size in enumerate(pixels)
            for phase in make_schedule(stylizer.settings, stylizer.precisions, last=i + 1 == len(pixels))
        )

    return [seconds(task) for task in tasks]


def _measured(stylizer: Stylizer, task: Task) -> Size:
    """The size that stands for a task: of its last level, or of a tile that is all of a picture."""
    size, tile = _shapes(stylizer, task)[-1], stylizer.tiling.size
    return Size(tile.side, tile.side) if tile is not None and _in_tiles(stylizer, task, size) else size


def _work(stylizer: Stylizer, task: Task, size: Size) -> float:
    """Pixels of one piece that take as long to evaluate as a task's level of a size."""
    tile = stylizer.tiling.size
    if tile is None or not _in_tiles(stylizer, task, size):
        return size.pixels
    return size.pixels * tile.pixels / tile.side**2 * _TILED


def _in_tiles(stylizer: Stylizer, task: Task, size: Size) -> bool:
    tile = stylizer.tiling.size
    return tile is not None and size.long_side > tile.side and bool(task.tiled)


_TILED = 1.65
"""Times as long as a pixel of one piece takes one that a tile sees, as its features are computed once more."""


def _shapes(stylizer: Stylizer, task: Task) -> list[Size]:
    """Sizes of a task's levels. A photo on its side counts as one that stands: it costs the same."""
    return [Size(max(size), min(size)) for size in task.shapes(stylizer.settings)]


def warm_up(plan: Plan, stylizer: Stylizer, step: Callable[[str], None] = lambda _: None) -> None:
    """Evaluate once in every shape and precision that a plan takes, so that what is built for one is built now."""
    tile = stylizer.tiling.size
    for size in plan.shapes(stylizer.settings):
        if tile is not None and stylizer.tiling.takes(size):
            continue
        for precision in stylizer.precisions:
            step(f"{size} in {precision}")
            _begun(stylizer, size, precision)


def _begun(stylizer: Stylizer, size: Size, precision: str) -> Painting:
    """A painting of noise after its first evaluation."""
    noise = np.random.default_rng(0).integers(0, 256, (size.height, size.width, 3), np.uint8)
    settings = replace(stylizer.settings, size=size.long_side, scales="1", iterations=2, precision=precision)
    guidance = Guidance.whole(max(1, len(stylizer.regions)))
    job = PhotoJob(Picture(Image.fromarray(noise)), guidance=guidance)
    start = None if stylizer.start is None else stylizer.start.picture
    painting = Painting(stylizer.engine, settings, job, stylizer.style_for(job.picture), start)
    painting.step()
    return painting


def evaluation_seconds(stylizer: Stylizer, size: Size, precision: str) -> float:
    """Seconds of an evaluation by a stylizer, at a size and in a precision, once what comes before it is done."""
    painting = _begun(stylizer, size, precision)
    began = time.perf_counter()
    painting.step()
    return time.perf_counter() - began
