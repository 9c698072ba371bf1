"""What passes between host and device in an evaluation, and how long the host takes: counted, on the CPU provider.

    python bench/round_trips.py [--size 64] [--evaluations 100] [--pictures 1] [--json] [--bundle DIR]

`runs` of graphs, `synchronisations` with the device, `reads` and `writes` of arrays there, bytes each way, and
`python_ms`, all for an evaluation; of several pictures in lock-step, for an evaluation of all. A run that is waited for is a
synchronisation, and so is an array that is read. Time is taken with an engine that computes nothing: it reports what a real
one did before.
"""

import ctypes
import json
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import click
import numpy as np

from common import ROOT, load_bundle
from nstbatch.runtime.bundle.spec import Bundle
from nstbatch.runtime.engine.binding import Array, Buffer
from nstbatch.runtime.engine.engine import Engine
from nstbatch.runtime.engine.host import Host
from nstbatch.runtime.engine.providers import OnnxRuntime
from nstbatch.runtime.painting.lockstep import LockStep
from nstbatch.runtime.painting.painting import Painting, PhotoJob
from nstbatch.runtime.painting.stylizer import Stylizer
from nstbatch.runtime.pictures.photo import read_picture

SAMPLES = ROOT / "samples"

REPORT = "report"


@click.command(help=__doc__)
@click.option("--size", default=64, show_default=True, help="Long side, in pixels.")
@click.option("--evaluations", default=100, show_default=True, help="Of each picture.")
@click.option("--pictures", default=1, show_default=True, help="At a time, in lock-step.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
@click.option("--bundle", type=click.Path(path_type=Path), help="Bundle to paint with.")
def main(size: int, evaluations: int, pictures: int, as_json: bool, bundle: Path | None) -> None:
    found = measure(load_bundle(bundle), size, evaluations, pictures)
    if as_json:
        print(json.dumps(found))
    else:
        for name, value in found.items():
            print(f"{name:>16} {value:g}")


def measure(bundle: Bundle, size: int, evaluations: int, pictures: int = 1) -> dict[str, float]:
    """What the table has, by name."""
    watch = Watch()
    engine = Engine(bundle, Host(provider="cpu", threads=1, vectors="device"), onnxruntime=Watched(watch))
    stylizer = Stylizer.open(
        engine, SAMPLES / "starry.jpg", size=size, iterations=evaluations + 1, scales="1", whitening="off"
    )
    with watch.copies():
        paint(stylizer, pictures, watch)
        counted = watch.told()
        watch.replaying = iter(watch.reports)
        seconds = paint(stylizer, pictures, watch)
    return counted | {"python_ms": 1000 * median(seconds)}


def paint(stylizer: Stylizer, pictures: int, watch: "Watch") -> list[float]:
    """Paint, and give the seconds of each step that were not a run's. The first is not counted: it binds."""
    job = PhotoJob(read_picture(SAMPLES / "photos" / "town.jpg"))
    paintings = [stylizer.begin(job) for _ in range(pictures)]
    together = LockStep()
    seconds = []
    while not all(painting.done for painting in paintings):
        before = watch.inside
        began = time.perf_counter()
        step(paintings, together)
        seconds.append(time.perf_counter() - began - (watch.inside - before))
        if len(seconds) == 1:
            watch.reset()
    return seconds[1:]


def step(paintings: list[Painting], together: LockStep) -> None:
    if len(paintings) == 1:
        paintings[0].step()
        return
    steps: list[tuple[Painting, Future[Any]]] = [(painting, Future()) for painting in paintings]
    together.step(steps)
    for _, taken in steps:
        taken.result()


@dataclass
class Watch:
    """What was done since `reset`."""

    runs: int = 0
    waits: int = 0
    reads: int = 0
    writes: int = 0
    to_host: int = 0
    to_device: int = 0
    inside: float = 0.0
    """Seconds in runs."""
    reports: list[Array] = field(default_factory=list)
    replaying: Iterator[Array] | None = None

    def reset(self) -> None:
        self.runs = self.waits = self.reads = self.writes = self.to_host = self.to_device = 0

    def told(self) -> dict[str, float]:
        totals = {
            "runs": self.runs,
            "synchronisations": self.waits + self.reads,
            "reads": self.reads,
            "writes": self.writes,
            "bytes_to_host": self.to_host,
            "bytes_to_device": self.to_device,
        }
        # The first report is of the step that is not counted.
        return {name: total / (len(self.reports) - 1) for name, total in totals.items()}

    @contextmanager
    def copies(self) -> Iterator[None]:
        """Count what buffers copy."""
        read, write = Buffer.read, Buffer.write

        def counted_read(buffer: Buffer) -> Array:
            array = read(buffer)
            self.reads += 1
            self.to_host += array.nbytes
            return array

        def counted_write(buffer: Buffer, array: Array) -> None:
            self.writes += 1
            self.to_device += array.nbytes
            write(buffer, array)

        Buffer.read, Buffer.write = counted_read, counted_write  # type: ignore[method-assign]
        try:
            yield
        finally:
            Buffer.read, Buffer.write = read, write  # type: ignore[method-assign]


class Watched(OnnxRuntime):
    """Makes sessions that are watched."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def make_session(self, model: str, provider: str, threads: int, **options: Any) -> Any:
        return WatchedSession(super().make_session(model, provider, threads, **options), self._watch)


class WatchedSession:
    """A session whose runs are counted and timed; of a step, computed or replayed."""

    def __init__(self, session: Any, watch: Watch) -> None:
        self._session = session
        self._watch = watch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def run(self, *arguments: Any) -> Any:
        self._watch.runs += 1
        self._watch.waits += 1
        return self._session.run(*arguments)

    def io_binding(self) -> Any:
        return WatchedBinding(self._session.io_binding())

    def run_with_iobinding(self, binding: "WatchedBinding", options: Any) -> None:
        began = time.perf_counter()
        watch = self._watch
        watch.runs += 1
        watch.waits += options.get_run_config_entry("disable_synchronize_execution_providers") != "1"
        if watch.replaying is None:
            self._session.run_with_iobinding(binding.binding, options)
            watch.reports.append(binding.report.copy())
        else:
            binding.report[...] = next(watch.replaying)
        watch.inside += time.perf_counter() - began


class WatchedBinding:
    """A binding that knows where the report is."""

    report: Array

    def __init__(self, binding: Any) -> None:
        self.binding = binding

    def __getattr__(self, name: str) -> Any:
        return getattr(self.binding, name)

    def bind_output(self, name: str, kind: str, number: int, dtype: Any, shape: list[int], pointer: int) -> None:
        self.binding.bind_output(name, kind, number, dtype, shape, pointer)
        if name == REPORT:
            self.report = np.ctypeslib.as_array(ctypes.cast(pointer, ctypes.POINTER(ctypes.c_float)), tuple(shape))


if __name__ == "__main__":
    main()
