"""The face of what paints: the same tests against this host, processes of this host, and actors of Ray."""

import functools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from clusters import ray_painters, run_with, tokens
from fleets import SETTINGS, dying, failing, make, meeting, slow, strange
from nstbatch.runtime.batch.outcome import PhotoOutcome
from nstbatch.runtime.output.journal import Journal
from nstbatch.runtime.planning.plan import Policy
from nstbatch.runtime.stop import Stop, StopReason
from nstbatch.runtime.workers.fleet import Fleet
from nstbatch.runtime.workers.interface import Ending, Painters, Procedure
from nstbatch.runtime.workers.local import LocalPainters
from seams import Bench, files, outcomes, picture

Engine = Callable[..., AbstractContextManager[Painters]]
"""Gives painters, of a function of `fleets` and its arguments."""


@contextmanager
def _local(function: Callable[..., Any], **arguments: Any) -> Iterator[Painters]:
    yield LocalPainters(function(device=0, **arguments))


@contextmanager
def _fleet(function: Callable[..., Any], **arguments: Any) -> Iterator[Painters]:
    with Fleet(functools.partial(function, **arguments), [0, 1]) as fleet:
        yield LocalPainters(fleet)


@pytest.fixture(params=["local", "fleet", "ray"])
def engine(request: pytest.FixtureRequest) -> Engine:
    if request.param == "ray":
        request.getfixturevalue("cluster")
    return {"local": _local, "fleet": _fleet, "ray": ray_painters}[request.param]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench.of(tmp_path, *(f"{number}.png" for number in range(5)), settings=SETTINGS)


def test_the_paintings_and_the_journal_are_those_of_any_run(engine: Engine, bench: Bench, tmp_path: Path) -> None:
    reference = Bench(bench.style, tmp_path / "reference", settings=SETTINGS)
    reference.run(tmp_path / "in")
    with engine(make, style=bench.style) as painters:
        report = run_with(bench, painters, tmp_path / "in")
    assert set(outcomes(report).values()) == {"painted"}
    assert len(report.rows) == 5
    assert files(bench.output) == files(reference.output)
    assert set(outcomes(bench.run(tmp_path / "in")).values()) == {"up to date"}
    entries = Journal.read(bench.output).painted
    expected = Journal.read(reference.output).painted
    for key, entry in entries.items():
        assert (entry.fingerprint, entry.curve, entry.source) == (
            expected[key].fingerprint,
            expected[key].curve,
            expected[key].source,
        )


def test_a_photo_that_cannot_be_read_is_a_row(engine: Engine, bench: Bench, tmp_path: Path) -> None:
    # Its header is whole, so that the plan has nothing against it.
    whole = (tmp_path / "in" / "2.png").read_bytes()
    (tmp_path / "in" / "2.png").write_bytes(whole[: len(whole) // 2])
    with engine(make, style=bench.style) as painters:
        report = run_with(bench, painters, tmp_path / "in")
    assert outcomes(report) == {f"{n}.png": "failed" if n == 2 else "painted" for n in range(5)}


def test_relative_paths_and_two_runs_of_the_same_painters(
    engine: Engine, bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    relative = Bench(bench.style, Path("out"), settings=SETTINGS)
    with engine(make, style=bench.style) as painters:
        assert run_with(relative, painters, Path("in")).count(PhotoOutcome.PAINTED) == 5
        picture(tmp_path / "in" / "more.png", seed=50)
        assert outcomes(run_with(relative, painters, Path("in")))["more.png"] == "painted"


def test_errors_travel(engine: Engine, bench: Bench, tmp_path: Path) -> None:
    with engine(failing, style=bench.style) as painters:
        report = run_with(bench, painters, tmp_path / "in")
    assert report.count(PhotoOutcome.FAILED) == 5
    assert all("memory ran out" in row.reason for row in report.rows)
    with engine(strange, style=bench.style) as painters:
        report = run_with(bench, painters, tmp_path / "in")
    assert {row.reason for row in report.rows} == {"StrangeError: very strange"}


def test_a_first_failure_ends_the_run_where_that_is_asked(engine: Engine, bench: Bench, tmp_path: Path) -> None:
    with engine(failing, style=bench.style) as painters:
        report = run_with(bench, painters, tmp_path / "in", fail_fast=True)
    assert report.stopped is StopReason.FAILURE
    assert 1 <= report.count(PhotoOutcome.FAILED) <= 3, "those in work when the first failed"


def test_a_stop_drops_what_is_in_work(engine: Engine, bench: Bench, tmp_path: Path) -> None:
    stop = Stop()
    with engine(slow, style=bench.style) as painters:
        timer = threading.Timer(0.3, lambda: stop.request(StopReason.INTERRUPTED, drop=True))
        timer.start()
        report = run_with(bench, painters, tmp_path / "in", stop=stop)
        timer.join()
    assert report.stopped is StopReason.INTERRUPTED
    assert 1 <= report.count(PhotoOutcome.DROPPED) <= 2
    assert report.count(PhotoOutcome.PAINTED) + report.left == 5
    assert set(outcomes(bench.run(tmp_path / "in")).values()) <= {"painted", "up to date"}


def test_a_checkpoint_is_kept_and_taken_up(engine: Engine, bench: Bench, tmp_path: Path) -> None:
    stop = Stop()
    reference = Bench(bench.style, tmp_path / "reference", settings=SETTINGS)
    reference.run(tmp_path / "in")
    count = 1 if engine is _local else 2
    marks = tmp_path / "marks"
    marks.mkdir()

    def stop_all() -> None:
        # Not after a time: a worker of Ray's may need seconds to begin.
        until = time.monotonic() + 60
        while len(list(marks.iterdir())) < count and time.monotonic() < until:
            time.sleep(0.02)
        stop.request(StopReason.INTERRUPTED, drop=True)

    with engine(meeting, style=bench.style, marks=marks, count=count) as painters:
        stopping = threading.Thread(target=stop_all)
        stopping.start()
        report = run_with(bench, painters, tmp_path / "in", Procedure(checkpoint=1000), stop=stop)
        stopping.join()
    dropped = [row for row in report.rows if row.outcome is PhotoOutcome.DROPPED]
    assert dropped
    assert {row.reason for row in dropped} == {"a checkpoint is kept"}
    with engine(make, style=bench.style) as painters:
        again = run_with(bench, painters, tmp_path / "in", Procedure(checkpoint=1000))
    assert sum("taken up from a checkpoint" in row.reason for row in again.rows) == len(dropped)
    assert files(bench.output) == files(reference.output)


def test_a_deadline_leaves_the_rest(engine: Engine, bench: Bench, tmp_path: Path) -> None:
    with engine(slow, style=bench.style) as painters:
        report = run_with(bench, painters, tmp_path / "in", duration=0.3)
    assert report.stopped is StopReason.DEADLINE
    assert report.left >= 1


def test_a_file_that_is_not_ours_is_kept(engine: Engine, bench: Bench, tmp_path: Path) -> None:
    picture(bench.output / "1.png", seed=70)
    with engine(make, style=bench.style) as painters:
        report = run_with(bench, painters, tmp_path / "in", Procedure(policy=Policy(keep_existing=True)))
    assert outcomes(report)["1.png"] == "kept"
    assert report.count(PhotoOutcome.PAINTED) == 4


@pytest.mark.parametrize("engine", ["fleet", "ray"], indirect=True)
def test_a_worker_that_dies_costs_a_retry(engine: Engine, bench: Bench, tmp_path: Path) -> None:
    with engine(dying, style=bench.style, times=tokens(tmp_path / "tokens", 1)) as painters:
        report = run_with(bench, painters, tmp_path / "in")
    assert outcomes(report) == {f"{n}.png": "painted" for n in range(5)}


def test_a_stop_ends_a_wait_for_workers_that_never_come(bench: Bench, tmp_path: Path) -> None:
    class Deserted(LocalPainters):
        @property
        def free(self) -> bool:
            return False

        def receive(self, *, wait: bool) -> list[Ending]:
            time.sleep(0.01)
            return []

    report = run_with(bench, Deserted(make(style=bench.style)), tmp_path / "in", duration=0.2)
    assert report.stopped is StopReason.DEADLINE
    assert report.left == 5
