"""Stylizers in processes of their own."""

import functools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fleets import SETTINGS, broken, dying, failing, make, slow, strange
from nstbatch.runtime.batch.outcome import Outcome, PhotoOutcome
from nstbatch.runtime.errors import LostWorkerError, ProviderError, StyleError
from nstbatch.runtime.output.journal import Journal
from nstbatch.runtime.output.lock import hold
from nstbatch.runtime.painting.painting import PhotoJob
from nstbatch.runtime.pictures.photo import Picture, read_picture
from nstbatch.runtime.planning.plan import make_plan
from nstbatch.runtime.stop import DroppedError, Stop, StopReason
from nstbatch.runtime.workers.fleet import Fleet, RemotePainting
from seams import Bench, files, outcomes, paint, picture


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    for seed in range(5):
        picture(tmp_path / "in" / f"{seed}.png", seed=seed)
    return Bench(picture(tmp_path / "starry.png", seed=9), tmp_path / "out", settings=SETTINGS)


def run(bench: Bench, fleet: Fleet, folder: Path, **options: Any) -> Outcome:
    """As `Bench.run`, by a fleet."""
    with fleet, hold([bench.output]):
        items = bench.items(folder)
        journals = {bench.output: Journal.read(bench.output)}
        plan = make_plan(items, journals, fleet.facts.recipe)
        stop = options.setdefault("stop", Stop())
        report = Outcome(len(plan.tasks))
        report.rows += paint(plan, fleet, journals, **options)
        report.stopped = stop.reason
    return report


def test_paintings_of_a_fleet_are_the_same(bench: Bench, tmp_path: Path) -> None:
    reference = Bench(bench.style, tmp_path / "reference", settings=SETTINGS)
    reference.run(tmp_path / "in")
    fleet = Fleet(functools.partial(make, style=bench.style), [0, 1])
    assert (len(fleet), fleet.sharing) == (2, 1)
    assert set(outcomes(run(bench, fleet, tmp_path / "in")).values()) == {"painted"}
    assert files(bench.output) == files(reference.output)
    assert set(outcomes(bench.run(tmp_path / "in")).values()) == {"up to date"}, "its journal is that of any run"


@pytest.mark.parametrize(("deaths", "failed"), [(1, 0), (2, 1)])
def test_a_worker_that_dies_costs_its_picture_an_attempt(deaths: int, failed: int, bench: Bench, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.mkdir()
    for index in range(deaths):
        (tokens / str(index)).touch()
    fleet = Fleet(functools.partial(dying, style=bench.style, times=tokens), [0])
    report = run(bench, fleet, tmp_path / "in")
    assert len(report.rows) == 5
    assert report.count(PhotoOutcome.FAILED) == failed
    assert report.count(PhotoOutcome.PAINTED) == 5 - failed
    if failed:
        (row,) = (row for row in report.rows if row.outcome is PhotoOutcome.FAILED)
        assert row.reason == "the worker of device 0 has ended, exit code -9"
    assert not list(tokens.iterdir())


def test_what_a_worker_cannot_make_is_told_at_once(bench: Bench) -> None:
    with pytest.raises(ProviderError, match="no such GPU: 7"):
        Fleet(functools.partial(broken, style=bench.style), [7])


def test_errors_travel(bench: Bench, tmp_path: Path) -> None:
    report = run(bench, Fleet(functools.partial(failing, style=bench.style), [0]), tmp_path / "in")
    assert all("memory ran out" in row.reason for row in report.rows)
    report = run(bench, Fleet(functools.partial(strange, style=bench.style), [0]), tmp_path / "in")
    assert {row.reason for row in report.rows} == {"StrangeError: very strange"}


def test_a_stop_drops_and_the_next_run_takes_up(bench: Bench, tmp_path: Path) -> None:
    reference = Bench(bench.style, tmp_path / "reference", settings=SETTINGS)
    reference.run(tmp_path / "in")
    stop = Stop()
    fleet = Fleet(functools.partial(slow, style=bench.style), [0, 1])
    timer = threading.Timer(0.45, lambda: stop.request(StopReason.INTERRUPTED, drop=True))
    timer.start()
    report = run(bench, fleet, tmp_path / "in", stop=stop, checkpoint=3600)
    dropped = [row for row in report.rows if row.outcome is PhotoOutcome.DROPPED]
    assert dropped
    assert report.exit_code == 130
    again = bench.run(tmp_path / "in")
    assert sum("taken up from a checkpoint" in row.reason for row in again.rows) == len(
        [row for row in dropped if row.reason == "a checkpoint is kept"]
    )
    assert files(bench.output) == files(reference.output)


@pytest.fixture
def fleet(bench: Bench) -> Iterator[Fleet]:
    with Fleet(functools.partial(slow, style=bench.style), [3, 3]) as fleet:
        yield fleet


def test_a_fleet_alone(fleet: Fleet, tmp_path: Path) -> None:
    photo: Picture = read_picture(tmp_path / "in" / "0.png")
    assert fleet.sharing == 2
    one, two = fleet.begin(PhotoJob(photo)), fleet.begin(PhotoJob(photo))
    with pytest.raises(IndexError):
        fleet.begin(PhotoJob(photo))
    assert not one.begun
    assert one.step().fraction > 0
    assert (one.begun, one.done, two.begun) == (True, False, False)
    while not one.done:
        one.step()
    assert one.ending()().picture.size == photo.size
    one.close()
    three = fleet.begin(PhotoJob(photo))
    fleet.cancel()
    with pytest.raises(DroppedError):
        step_on(three)
    fleet.close()
    with pytest.raises(LostWorkerError, match="device 3"):
        two.step()


def step_on(painting: RemotePainting) -> None:
    while not painting.done:
        painting.step()


def test_a_style_that_is_no_picture(tmp_path: Path) -> None:
    (tmp_path / "style.png").write_text("x")
    with pytest.raises(StyleError):
        Fleet(functools.partial(make, style=tmp_path / "style.png"), [0])


def test_workers_end_with_the_run_that_started_them(bench: Bench, tmp_path: Path) -> None:
    """Killed, so that nothing of it can tell them."""
    code = (
        "import functools, os, pathlib, sys, fleets\n"
        "from nstbatch.runtime.workers.fleet import Fleet\n"
        "if __name__ == '__main__':\n"
        "    fleet = Fleet(functools.partial(fleets.make, style=pathlib.Path(sys.argv[1])), [0, 1])\n"
        "    print(*(worker._process.pid for worker in fleet._workers), flush=True)\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    (tmp_path / "main.py").write_text(code)
    done = subprocess.run(
        [sys.executable, tmp_path / "main.py", bench.style],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    numbers = [int(number) for number in done.stdout.split()]
    assert len(numbers) == 2, done.stderr
    deadline = time.monotonic() + 30
    while any(_runs(number) for number in numbers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(_runs(number) for number in numbers)


def _runs(number: int) -> bool:
    try:
        state = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
