"""Several paintings in turns: the device has the next evaluation before the host has read the last."""

from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from device import Device, engine
from nstbatch.runtime.bundle.spec import Bundle
from nstbatch.runtime.painting.objective import Evaluated
from nstbatch.runtime.painting.painting import Painting, PhotoJob, Progress
from nstbatch.runtime.painting.stylizer import Stylizer
from nstbatch.runtime.painting.turns import Turns
from nstbatch.runtime.pictures.photo import read_picture

OPTIONS = {"scales": "32,40", "size": 40, "iterations": 5}


class Recorded:
    """A painting, as far as turns go, that writes down what is done with it."""

    def __init__(self, name: str, log: list[str], broken: str = "") -> None:
        self.name = name
        self.broken = broken
        self._log = log

    def _note(self, what: str) -> None:
        self._log.append(f"{what} {self.name}")
        if what == self.broken:
            raise ValueError(self.name)

    def ask(self) -> tuple["Recorded", None]:
        self._note("ask")
        return self, None

    def launch(self, point: None) -> Callable[[], Evaluated]:
        self._note("launch")

        def wait() -> Evaluated:
            self._note("wait")
            return Evaluated(1.0, None, np.zeros(1))

        return wait

    def tell(self, evaluated: Evaluated, seconds: float) -> Progress:
        assert seconds >= 0
        self._note("tell")
        return Progress(0.5, 40, evaluated.loss, 1)


def take(turns: Turns, steps: list[tuple[Any, "Future[Progress]"]]) -> list[str]:
    """Take a turn, and begin the next step of the painting that has ended one; the names of those that ended it."""
    turns.step(steps)
    ended = [i for i, (_, step) in enumerate(steps) if step.done()]
    for i in ended:
        steps[i] = steps[i][0], Future()
    return [steps[i][0].name for i in ended]


def test_each_is_launched_before_the_other_is_waited_for() -> None:
    log: list[str] = []
    turns, steps = Turns(), [(Recorded(name, log), Future()) for name in "ab"]
    assert [take(turns, steps) for _ in range(4)] == [["a"], ["b"], ["a"], ["b"]]
    begin = ["ask a", "launch a", "ask b", "launch b"]
    assert log == [
        *begin,
        *("wait a", "tell a", "ask a", "launch a"),
        *("wait b", "tell b", "ask b", "launch b"),
        *("wait a", "tell a", "ask a", "launch a"),
        *("wait b", "tell b"),
    ]


@pytest.mark.parametrize("broken", ["ask", "launch", "wait", "tell"])
def test_what_a_painting_raises_is_its_own(broken: str) -> None:
    log: list[str] = []
    turns = Turns()
    steps: list[tuple[Any, Future[Progress]]] = [(Recorded("a", log, broken), Future()), (Recorded("b", log), Future())]
    turns.step(steps)
    assert isinstance(steps[0][1].exception(timeout=0), ValueError)
    if not steps[1][1].done():
        turns.step(steps[1:])
    assert steps[1][1].result(timeout=0).size == 40


def test_a_painting_that_is_given_up_is_not_waited_for() -> None:
    log: list[str] = []
    turns, steps = Turns(), [(Recorded(name, log), Future()) for name in "ab"]
    turns.step(steps)
    turns.step([(Recorded("c", log), Future())])
    assert "wait b" not in log
    assert log[-1] == "tell c"


def test_paintings_in_turns_are_those_painted_alone(bundle: Bundle, samples: Path) -> None:
    photos = [read_picture(samples / "photos" / f"{name}.jpg") for name in ("town", "tree")]
    device = Device()
    stylizer = Stylizer.open(engine(bundle, device), samples / "starry.jpg", **OPTIONS)

    def painted(painting: Painting) -> np.ndarray:
        return np.asarray(painting.result().image)

    alone = []
    for photo in photos:
        painting = stylizer.begin(PhotoJob(photo))
        while not painting.done:
            painting.step()
        alone.append(painted(painting))
    turns, waiting = Turns(), 0
    steps = [(stylizer.begin(PhotoJob(photo)), Future[Progress]()) for photo in photos]
    begun = list(steps)
    while steps:
        turns.step(steps)
        waiting += bool(device.waiting)
        for i, (painting, step) in enumerate(list(steps)):
            if step.done():
                step.result()
                steps[i] = painting, Future()
        steps = [(painting, step) for painting, step in steps if not painting.done]
    assert waiting > 10, "the device has work while the host thinks"
    for (painting, _), expected in zip(begun, alone, strict=True):
        np.testing.assert_array_equal(painted(painting), expected)
