"""Several paintings a step at a time, with one evaluation for those of one shape."""

import contextlib
import math
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..bundle.spec import GRADIENT, STEP
from ..engine.binding import Buffer
from ..optimizer.step_vectors import StepRequest, gather
from .objective import Evaluated, Objective
from .painting import Painting, Progress


@dataclass(frozen=True)
class _Asked:
    """What a painting waits for."""

    painting: Painting
    step: "Future[Progress]"
    objective: Any
    point: Any


class LockStep:
    """Steps of paintings by one stylizer.

    Pictures of one size have the same weights. A batch gives what each of its images would give alone, but for rounding.

    Args:
        full: size of a batch, where every other has to be prepared for at length (see `STATIC`); None for any.
    """

    def __init__(self, full: int | None = None) -> None:
        self._full = full
        self._joint: _Joint | None = None
        self._failed: float = math.inf
        """Size of the smallest batch that has failed."""

    def step(self, steps: Sequence[tuple[Painting, "Future[Progress]"]]) -> None:
        """Take a step of each painting; what a painting raises is its own."""
        groups: defaultdict[object, list[_Asked]] = defaultdict(list)
        for painting, step in steps:
            try:
                objective, point = painting.ask()
            except BaseException as error:
                step.set_exception(error)
            else:
                alone = None if objective.joins else id(objective)
                kind = point.shape, objective.precision, objective.damping, alone
                groups[kind].append(_Asked(painting, step, objective, point))
        for group in groups.values():
            self._evaluate(group)

    def _evaluate(self, group: list[_Asked]) -> None:
        if 1 < len(group) < self._failed and self._full in (None, len(group)):
            # What a batch fails of, most often memory, may spare its pictures alone.
            with contextlib.suppress(Exception):
                began = time.perf_counter()
                found = self._together(group)
                seconds = (time.perf_counter() - began) / len(group)
                for asked, evaluated in zip(group, found, strict=True):
                    _tell(asked, evaluated, seconds)
                return
            self._joint, self._failed = None, len(group)
        for asked in group:
            began = time.perf_counter()
            try:
                evaluated = asked.objective(asked.point)
            except BaseException as error:
                asked.step.set_exception(error)
            else:
                _tell(asked, evaluated, time.perf_counter() - began)

    def _together(self, group: list[_Asked]) -> list[Evaluated]:
        if self._joint is None or not self._joint.is_of(group):
            self._joint = _Joint(group)
        return self._joint([asked.point for asked in group])


class _Joint:
    """Objectives of one shape and style as one graph's; with their vectors, where these are on a device."""

    def __init__(self, group: list[_Asked]) -> None:
        self._objectives = objectives = [asked.objective for asked in group]
        first = objectives[0]
        # Of one style, all have the same Gram matrices; not where the style takes on each photo's colours.
        own = [name for name in first.fixed if name.startswith(("content.", "mask.")) or not _shared(name, objectives)]
        fixed = first.fixed | {name: np.concatenate([each.fixed[name] for each in objectives]) for name in own}
        points = [asked.point for asked in group]
        self._rows: Buffer | None = None
        if isinstance(points[0], StepRequest):
            self._rows = gather(points, first.engine.place)
            self._places = [point.vectors.rows for point in points]
            self._bound = first.engine.bind(STEP, {**fixed, **points[0].vectors.constants}, first.precision)
        else:
            self._bound = first.engine.bind(GRADIENT, fixed, first.precision)

    def is_of(self, group: list[_Asked]) -> bool:
        """Whether it is of these, with their vectors where they are."""
        if [asked.objective for asked in group] != self._objectives:
            return False
        return self._rows is None or all(
            asked.point.vectors.rows is place for asked, place in zip(group, self._places, strict=True)
        )

    def __call__(self, points: list[Any]) -> list[Evaluated]:
        if self._rows is None:
            losses, gradients = self._bound({"image": np.concatenate(points)})()
            return [each.weigh(losses[i], gradients[i : i + 1]) for i, each in enumerate(self._objectives)]
        (numbers,) = self._bound(
            {"control": np.concatenate([point.control for point in points]), "rows": self._rows},
            {"rows_written": self._rows},
        )()
        return [each.weigh_report(numbers[i], self._rows.shape[1]) for i, each in enumerate(self._objectives)]


def _shared(name: str, objectives: list[Objective]) -> bool:
    return all(np.array_equal(each.fixed[name], objectives[0].fixed[name]) for each in objectives[1:])


def _tell(asked: _Asked, evaluated: Evaluated, seconds: float) -> None:
    try:
        asked.step.set_result(asked.painting.tell(evaluated, seconds))
    except BaseException as error:
        asked.step.set_exception(error)
