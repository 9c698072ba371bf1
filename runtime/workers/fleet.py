"""Paintings in processes of their own, one for each device: a GPU each, or several that share one.

A worker that dies, by a driver's fault or for want of memory, costs its picture an attempt and not the run.
"""

import contextlib
import multiprocessing
import pickle
import signal
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import LostWorkerError, NstbatchError
from ..files.scratch import zeros
from ..painting.painting import PhotoJob, Progress, Result
from ..painting.stylizer import Facts
from ..pictures.photo import Picture
from ..stop import SIGNALS
from .interface import MakeStylizer


class Fleet:
    """Stylizers in processes of their own, behind the face that a batch knows of one.

    A context manager that ends the processes.

    Args:
        make: makes the stylizer of a device.
        devices: their numbers; a worker for each, so that a number may stand twice.

    Attributes:
        facts: see `Stylizer`: of the first; the others are like it.

    Raises:
        NstbatchError: what the first ``make`` that failed has raised.
    """

    def __init__(self, make: MakeStylizer, devices: Sequence[int]) -> None:
        self._make = make
        self._context = multiprocessing.get_context("spawn")
        self._cancelled = self._context.Event()
        self._workers = [self._start(device) for device in devices]
        try:
            self.facts, *_ = [worker.facts() for worker in self._workers]
        except BaseException:
            self.close()
            raise
        self._idle = list(self._workers)
        self._choosing = threading.Lock()

    def __enter__(self) -> "Fleet":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._workers)

    @property
    def sharing(self) -> int:
        """Most workers on one device."""
        return max(Counter(worker.device for worker in self._workers).values())

    def begin(self, job: PhotoJob) -> "RemotePainting":
        """A painting in a worker that has none.

        Raises:
            LostWorkerError: the worker has ended, and so has the one that was started in its place.
            IndexError: every worker has a painting.
        """
        with self._choosing:
            worker = self._idle.pop(0)
            if not worker.alive:
                lost, worker = worker, self._start(worker.device)
                self._workers[self._workers.index(lost)] = worker
                lost.end()
                worker.facts()
        painting = RemotePainting(worker, self._free)
        try:
            painting.begin(job)
        except BaseException:
            painting.close()
            raise
        return painting

    def cancel(self) -> None:
        """From any thread: see `Engine.cancel`."""
        self._cancelled.set()

    def close(self) -> None:
        """End the processes."""
        for worker in self._workers:
            worker.end()

    def _free(self, worker: "_Worker") -> None:
        with self._choosing:
            self._idle.append(worker)

    def _start(self, device: int) -> "_Worker":
        return _Worker(self._context, self._make, device, self._cancelled)


class RemotePainting:
    """A `Painting` in a worker.

    Attributes:
        done, begun, empty: see `Painting`.
    """

    empty = staticmethod(zeros)

    def __init__(self, worker: "_Worker", free: "Callable[[_Worker], None]") -> None:
        self.done = False
        self.begun = False
        self._worker = worker
        self._free: Callable[[_Worker], None] | None = free

    def begin(self, job: PhotoJob) -> None:
        """Give the worker its photo."""
        self._ask("begin", job)

    def step(self) -> Progress:
        """Have the worker take one step."""
        progress: Progress = self._ask("step")
        return progress

    def state(self) -> dict[str, NDArray[Any]]:
        """The state of the painting, copied from the worker."""
        state: dict[str, NDArray[Any]] = self._ask("state")
        return state

    def snapshot(self) -> Picture:
        """The picture as it is, copied from the worker."""
        picture: Picture = self._ask("snapshot")
        return picture

    def resume(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Have the worker take up a state."""
        self._ask("resume", {name: np.asarray(value) for name, value in state.items()})

    def ending(self) -> Callable[[], Result]:
        """The finished result, fetched from the worker."""
        result: Result = self._ask("result")
        return lambda: result

    def close(self) -> None:
        """Leave the worker to another painting."""
        free, self._free = self._free, None
        if free is not None:
            free(self._worker)

    def _ask(self, name: str, *arguments: object) -> Any:
        value, self.done, self.begun = self._worker.ask(name, *arguments)
        return value


class _Worker:
    """A process and the line to it."""

    def __init__(self, context: Any, make: MakeStylizer, device: int, cancelled: Any) -> None:
        self.device = device
        self._line, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other, make, device, cancelled), daemon=True)
        self._process.start()
        # Held here, too, the line would stay open after the worker's end.
        other.close()

    @property
    def alive(self) -> bool:
        return bool(self._process.is_alive())

    def facts(self) -> Facts:
        """What it is; to be asked once, and first."""
        facts: Facts = self._answer()
        return facts

    def ask(self, name: str, *arguments: object) -> Any:
        try:
            self._line.send((name, arguments))
        except OSError:
            raise self._lost() from None
        return self._answer()

    def end(self) -> None:
        """End the process, at once if need be."""
        self._line.close()
        self._process.join(timeout=5)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def _answer(self) -> Any:
        try:
            succeeded, value = self._line.recv()
        except (EOFError, OSError):
            raise self._lost() from None
        if not succeeded:
            raise value
        return value

    def _lost(self) -> LostWorkerError:
        self._process.join(timeout=5)
        return LostWorkerError(f"the worker of device {self.device} has ended, exit code {self._process.exitcode}")


def _serve(line: Connection, make: MakeStylizer, device: int, cancelled: Any) -> None:
    """What a worker does: as it is asked, until the line is closed."""
    # A terminal and systemd send their signals to all processes of a run; it is the first that decides what is done.
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    try:
        stylizer = make(device=device)
    except Exception as error:
        _reply(line, False, error)
        return
    _reply(line, True, stylizer.facts)

    def cancel() -> None:
        cancelled.wait()
        stylizer.cancel()

    threading.Thread(target=cancel, daemon=True).start()
    painting = None
    while True:
        try:
            name, arguments = line.recv()
        except (EOFError, OSError):
            return
        try:
            value = None
            if name == "begin":
                painting = stylizer.begin(*arguments)
            else:
                value = getattr(painting, name)(*arguments)
            assert painting is not None, "the first that is asked is to begin"
            _reply(line, True, (value, painting.done, painting.begun))
        except Exception as error:
            _reply(line, False, error)


def _reply(line: Connection, succeeded: bool, value: object) -> None:
    if isinstance(value, Exception):
        value = travelling(value)
    # A parent that is gone needs no answer.
    with contextlib.suppress(OSError):
        line.send((succeeded, value))


def travelling(error: Exception) -> Exception:
    """The error, or one that says the same, where it cannot be pickled."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return NstbatchError(f"{type(error).__name__}: {error}")
    return error
