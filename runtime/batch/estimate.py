"""How long a plan will take, from one evaluation for each shape."""

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from PIL import Image

from ..painting.painting import Painting
from ..painting.schedule import make_schedule
from ..painting.stylizer import Stylizer
from ..pictures.photo import Picture
from ..pictures.regions import Guidance
from ..planning.plan import Plan, State, Task

_SHAPES = 8
"""Shapes that are measured; of more, those between are taken to cost what their nearest neighbour costs by the pixel."""


def estimate(plan: Plan, stylizer: Stylizer, step: Callable[[str], None] = lambda _: None) -> list[float]:
    """Seconds for each task of a plan that is to do, in order: evaluations alone, without files and pictures.

    Args:
        plan: from `make_plan`.
        stylizer: would paint it.
        step: is told what is measured.
    """
    tasks = [task for task in plan.tasks if task.state is State.TODO]
    shapes = sorted({_shapes(stylizer, task)[-1] for task in tasks}, key=lambda shape: shape[0] * shape[1])
    chosen = {shapes[round(i)] for i in np.linspace(0, len(shapes) - 1, _SHAPES)} if shapes else set()
    rates = {}
    for width, height in sorted(chosen):
        for precision in stylizer.precisions:
            step(f"one evaluation at {width} x {height}")
            taken = _seconds(stylizer, (width, height), precision)
            rates[width * height, precision] = taken / (width * height)

    def seconds(task: Task) -> float:
        pixels = [width * height for width, height in _shapes(stylizer, task)]
        nearest = min((measured for measured, _ in rates), key=lambda measured: abs(measured - pixels[-1]))
        return sum(
            float(rates[nearest, phase.precision] * size * phase.evaluations)
            for size in pixels
            for phase in make_schedule(stylizer.settings, stylizer.precisions, last=size == pixels[-1])
        )

    return [seconds(task) for task in tasks]


def _shapes(stylizer: Stylizer, task: Task) -> list[tuple[int, int]]:
    """Widths and heights of a task's levels. A photo on its side counts as one that stands: it costs the same."""
    return [(max(shape), min(shape)) for shape in task.shapes(stylizer.settings)]


def warm_up(plan: Plan, stylizer: Stylizer, step: Callable[[str], None] = lambda _: None) -> None:
    """Evaluate once in every shape and precision that a plan takes, so that what is built for one is built now."""
    for width, height in plan.shapes(stylizer.settings):
        for precision in stylizer.precisions:
            step(f"{width} x {height} in {precision}")
            _begun(stylizer, (width, height), precision)


def _begun(stylizer: Stylizer, shape: tuple[int, int], precision: str) -> Painting:
    """A painting of noise after its first evaluation."""
    noise = np.random.default_rng(0).integers(0, 256, (shape[1], shape[0], 3), np.uint8)
    settings = replace(stylizer.settings, size=max(shape), scales="1", iterations=2, precision=precision)
    guidance = Guidance.whole(max(1, len(stylizer.regions)))
    painting = Painting(stylizer, Picture(Image.fromarray(noise)), settings, guidance)
    painting.step()
    return painting


def _seconds(stylizer: Stylizer, shape: tuple[int, int], precision: str) -> float:
    painting = _begun(stylizer, shape, precision)
    began = time.perf_counter()
    painting.step()
    return time.perf_counter() - began
