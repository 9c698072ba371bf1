"""Several paintings in turns: while a device evaluates one, the host decides what comes next for another."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from .objective import Evaluated
from .painting import Painting, Progress


@dataclass(frozen=True)
class _Launched:
    """A step whose evaluation has begun.

    Attributes:
        painting: whose step it is.
        evaluated: waits for the evaluation.
        began: when, in seconds.
    """

    painting: Painting
    evaluated: Callable[[], Evaluated]
    began: float


class Turns:
    """Steps of paintings by one stylizer, all of which one thread takes.

    That is the thread for which ONNX Runtime keeps what CUDA captured. A device that is given the evaluations of two
    paintings is never without work, if an evaluation takes longer than the host's part of a step.
    """

    def __init__(self) -> None:
        self._launched: dict[Future[Progress], _Launched] = {}
        """By the step, in the order in which the device evaluates them."""
        self._ended = 0.0
        """When the last evaluation ended."""

    def step(self, steps: Sequence[tuple[Painting, "Future[Progress]"]]) -> None:
        """Begin each step that has not begun, and end the one that began first; what a painting raises is its own."""
        asked = {step for _, step in steps}
        # A painting that has been given up is not asked for again.
        self._launched = {step: launched for step, launched in self._launched.items() if step in asked}
        for painting, step in steps:
            if step not in self._launched:
                try:
                    objective, point = painting.ask()
                    began = time.perf_counter()
                    self._launched[step] = _Launched(painting, objective.launch(point), began)
                except BaseException as error:
                    step.set_exception(error)
        if self._launched:
            self._end(next(iter(self._launched)))

    def _end(self, step: "Future[Progress]") -> None:
        launched = self._launched.pop(step)
        try:
            evaluated = launched.evaluated()
            # Until then, the device was at the one before.
            began, self._ended = max(launched.began, self._ended), time.perf_counter()
            step.set_result(launched.painting.tell(evaluated, self._ended - began))
        except BaseException as error:
            step.set_exception(error)
