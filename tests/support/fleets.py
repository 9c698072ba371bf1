"""What workers of a fleet paint with: functions that a process of its own can import."""

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import Any

from nstbatch.runtime.errors import OutOfMemoryError, ProviderError
from nstbatch.runtime.painting.stylizer import Stylizer
from seams import SeamEngine

SETTINGS: dict[str, Any] = {"size": 40, "iterations": 4, "scales": "32,40"}


def make(*, style: Path, device: int | None = None, threads: int | None = None) -> Stylizer:
    """What a worker paints with."""
    return Stylizer.open(SeamEngine(), style, **SETTINGS)


def slow(*, style: Path, device: int | None = None, threads: int | None = None) -> Stylizer:
    return Stylizer.open(SeamEngine(lambda _: time.sleep(0.05)), style, **SETTINGS)


def meeting(*, style: Path, marks: Path, count: int, device: int | None = None, threads: int | None = None) -> Stylizer:
    """Waits in its second evaluation for as many workers to have come there, and goes on slowly."""
    calls = iter(range(10**6))

    def before(graph: str) -> None:
        if graph != "gradient":
            return
        if next(calls) == 1:
            (marks / str(os.getpid())).touch()
            until = time.monotonic() + 60
            while len(list(marks.iterdir())) < count and time.monotonic() < until:
                time.sleep(0.02)
        time.sleep(0.2)

    return Stylizer.open(SeamEngine(before), style, **SETTINGS)


def broken(*, style: Path, device: int | None = None, threads: int | None = None) -> Stylizer:
    raise ProviderError(f"no such GPU: {device}")


def dying(*, style: Path, times: Path, device: int | None = None, threads: int | None = None) -> Stylizer:
    """Ends itself in the fifth evaluation of a picture, for as long as there is a file to delete."""
    calls = iter(range(10**6))

    def before(graph: str) -> None:
        if graph == "gradient" and next(calls) == 4:
            for token in sorted(times.iterdir())[:1]:
                # Another worker may have taken it at this moment.
                with contextlib.suppress(FileNotFoundError):
                    token.unlink()
                    os.kill(os.getpid(), signal.SIGKILL)

    return Stylizer.open(SeamEngine(before), style, **SETTINGS)


def failing(*, style: Path, device: int | None = None, threads: int | None = None) -> Stylizer:
    def before(graph: str) -> None:
        if graph == "gradient":
            raise OutOfMemoryError("onnxruntime could not evaluate 'gradient': Failed to allocate memory")

    return Stylizer.open(SeamEngine(before), style, **SETTINGS)


class StrangeError(Exception):
    def __init__(self, one: str, two: str) -> None:
        super().__init__(f"{one} {two}")


def strange(*, style: Path, device: int | None = None, threads: int | None = None) -> Stylizer:
    def before(graph: str) -> None:
        raise StrangeError("very", "strange")

    return Stylizer.open(SeamEngine(before), style, **SETTINGS)
