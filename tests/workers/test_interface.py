"""The face of what paints: the same tests against this host, processes of this host, and actors of Ray."""

import contextlib
import functools
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from fleets import SETTINGS, dying, failing, make, meeting, slow, strange
from nstbatch.runtime.batch.batch import Batch
from nstbatch.runtime.batch.outcome import Outcome, PhotoOutcome
from nstbatch.runtime.errors import ProviderError, UsageError
from nstbatch.runtime.output.journal import Journal
from nstbatch.runtime.output.lock import hold
from nstbatch.runtime.planning.plan import Policy, make_plan
from nstbatch.runtime.stop import Stop, StopReason
from nstbatch.runtime.workers.fleet import Fleet
from nstbatch.runtime.workers.interface import Ending, Painters, Procedure
from nstbatch.runtime.workers.local import LocalPainters
from nstbatch.runtime.workers.ray_cluster import ATTEMPTS, Crew, RayPainters
from places import SUPPORT
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


@contextmanager
def _ray(function: Callable[..., Any], **arguments: Any) -> Iterator[Painters]:
    with RayPainters(functools.partial(function, **arguments), workers=2, threads=1) as painters:
        yield painters


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """A cluster of Ray for the module: one takes seconds to start."""
    ray = pytest.importorskip("ray")
    with pytest.MonkeyPatch.context() as patch:
        # Workers import the functions of `fleets`.
        patch.setenv("PYTHONPATH", str(SUPPORT))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
        yield
        ray.shutdown()


@pytest.fixture(params=["local", "fleet", "ray"])
def engine(request: pytest.FixtureRequest) -> Engine:
    if request.param == "ray":
        request.getfixturevalue("cluster")
    return {"local": _local, "fleet": _fleet, "ray": _ray}[request.param]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    for seed in range(5):
        picture(tmp_path / "in" / f"{seed}.png", seed=seed)
    return Bench(picture(tmp_path / "starry.png", seed=9), tmp_path / "out", settings=SETTINGS)


def run(bench: Bench, painters: Painters, folder: Path, procedure: Procedure | None = None, **options: Any) -> Outcome:
    with hold([bench.output]):
        journals = {bench.output: Journal.read(bench.output)}
        procedure = procedure or Procedure()
        plan = make_plan(bench.items(folder), journals, painters.facts.recipe, procedure.policy)
        stop = options.setdefault("stop", Stop())
        report = Outcome(len(plan.tasks))
        report.rows += Batch(plan, painters, journals, procedure, **options).run()
        report.stopped = stop.reason
    return report


def tokens(folder: Path, count: int) -> Path:
    folder.mkdir()
    for index in range(count):
        (folder / str(index)).touch()
    return folder


def test_the_paintings_and_the_journal_are_those_of_any_run(engine: Engine, bench: Bench, tmp_path: Path) -> None:
    reference = Bench(bench.style, tmp_path / "reference", settings=SETTINGS)
    reference.run(tmp_path / "in")
    with engine(make, style=bench.style) as painters:
        report = run(bench, painters, tmp_path / "in")
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
        report = run(bench, painters, tmp_path / "in")
    assert outcomes(report) == {f"{n}.png": "failed" if n == 2 else "painted" for n in range(5)}


def test_relative_paths_and_two_runs_of_the_same_painters(
    engine: Engine, bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    relative = Bench(bench.style, Path("out"), settings=SETTINGS)
    with engine(make, style=bench.style) as painters:
        assert run(relative, painters, Path("in")).count(PhotoOutcome.PAINTED) == 5
        picture(tmp_path / "in" / "more.png", seed=50)
        assert outcomes(run(relative, painters, Path("in")))["more.png"] == "painted"


def test_errors_travel(engine: Engine, bench: Bench, tmp_path: Path) -> None:
    with engine(failing, style=bench.style) as painters:
        report = run(bench, painters, tmp_path / "in")
    assert report.count(PhotoOutcome.FAILED) == 5
    assert all("memory ran out" in row.reason for row in report.rows)
    with engine(strange, style=bench.style) as painters:
        report = run(bench, painters, tmp_path / "in")
    assert {row.reason for row in report.rows} == {"StrangeError: very strange"}


def test_a_first_failure_ends_the_run_where_that_is_asked(engine: Engine, bench: Bench, tmp_path: Path) -> None:
    with engine(failing, style=bench.style) as painters:
        report = run(bench, painters, tmp_path / "in", fail_fast=True)
    assert report.stopped is StopReason.FAILURE
    assert 1 <= report.count(PhotoOutcome.FAILED) <= 3, "those in work when the first failed"


def test_a_stop_drops_what_is_in_work(engine: Engine, bench: Bench, tmp_path: Path) -> None:
    stop = Stop()
    with engine(slow, style=bench.style) as painters:
        timer = threading.Timer(0.3, lambda: stop.request(StopReason.INTERRUPTED, drop=True))
        timer.start()
        report = run(bench, painters, tmp_path / "in", stop=stop)
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
        report = run(bench, painters, tmp_path / "in", Procedure(checkpoint=1000), stop=stop)
        stopping.join()
    dropped = [row for row in report.rows if row.outcome is PhotoOutcome.DROPPED]
    assert dropped
    assert {row.reason for row in dropped} == {"a checkpoint is kept"}
    with engine(make, style=bench.style) as painters:
        again = run(bench, painters, tmp_path / "in", Procedure(checkpoint=1000))
    assert sum("taken up from a checkpoint" in row.reason for row in again.rows) == len(dropped)
    assert files(bench.output) == files(reference.output)


def test_a_deadline_leaves_the_rest(engine: Engine, bench: Bench, tmp_path: Path) -> None:
    with engine(slow, style=bench.style) as painters:
        report = run(bench, painters, tmp_path / "in", duration=0.3)
    assert report.stopped is StopReason.DEADLINE
    assert report.left >= 1


def test_a_file_that_is_not_ours_is_kept(engine: Engine, bench: Bench, tmp_path: Path) -> None:
    picture(bench.output / "1.png", seed=70)
    with engine(make, style=bench.style) as painters:
        report = run(bench, painters, tmp_path / "in", Procedure(policy=Policy(keep_existing=True)))
    assert outcomes(report)["1.png"] == "kept"
    assert report.count(PhotoOutcome.PAINTED) == 4


@pytest.mark.parametrize("engine", ["fleet", "ray"], indirect=True)
def test_a_worker_that_dies_costs_a_retry(engine: Engine, bench: Bench, tmp_path: Path) -> None:
    with engine(dying, style=bench.style, times=tokens(tmp_path / "tokens", 1)) as painters:
        report = run(bench, painters, tmp_path / "in")
    assert outcomes(report) == {f"{n}.png": "painted" for n in range(5)}


@pytest.mark.usefixtures("cluster")
def test_a_picture_that_kills_its_worker_three_times_is_a_row(bench: Bench, tmp_path: Path) -> None:
    for path in list((tmp_path / "in").iterdir())[1:]:
        path.unlink()
    with _ray(dying, style=bench.style, times=tokens(tmp_path / "tokens", ATTEMPTS + 5)) as painters:
        (row,) = run(bench, painters, tmp_path / "in").rows
    assert row.outcome is PhotoOutcome.FAILED
    assert row.reason.startswith(f"its worker ended {ATTEMPTS} times, at last so: ")
    assert len(list((tmp_path / "tokens").iterdir())) == 5
    assert set(outcomes(bench.run(tmp_path / "in")).values()) == {"painted"}


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_workers_killed_at_random_moments(bench: Bench, tmp_path: Path, figures: dict[str, str]) -> None:
    for seed in range(5, 40):
        picture(tmp_path / "in" / f"{seed}.png", seed=seed)
    killed = 0
    over = threading.Event()

    def kill() -> None:
        nonlocal killed
        while killed < 20 and not over.wait(0.3):
            workers = _workers()
            if workers:
                # One that ends at this moment is not there to kill.
                with contextlib.suppress(ProcessLookupError):
                    os.kill(workers[killed % len(workers)], signal.SIGKILL)
                    killed += 1

    killer = threading.Thread(target=kill, daemon=True)
    rows: list[Any] = []
    with _ray(slow, style=bench.style) as painters:
        killer.start()
        # Those that three kills befell are failures: the next run paints them.
        for attempt in range(1, 100):
            rows += run(bench, painters, tmp_path / "in").rows
            if not killer.is_alive():
                break
            for path in (tmp_path / "in").iterdir():
                picture(path, seed=int(path.stem) + 100 * attempt)
        rows += (last := run(bench, painters, tmp_path / "in")).rows
        over.set()
        killer.join()
    assert killed == 20
    entries = [e for e in (bench.output / ".nstbatch" / "journal.jsonl").read_text().splitlines() if '"painted"' in e]
    painted = sum(row.outcome is PhotoOutcome.PAINTED for row in rows)
    lost = 40 - len(files(bench.output))
    twice = len(entries) - painted
    assert (lost, twice) == (0, 0)
    assert not last.count(PhotoOutcome.FAILED)
    figures["workers of Ray killed"] = f"{killed} times, {painted} paintings; pictures lost {lost}, done twice {twice}"


def _workers() -> list[int]:
    """Processes of actors that paint at this moment."""
    import psutil

    found = []
    for process in psutil.Process().children(recursive=True):
        # Those that end meanwhile have no command line.
        with contextlib.suppress(psutil.Error):
            if " ".join(process.cmdline()).startswith("ray::_Worker.paint"):
                found.append(process.pid)
    return sorted(found)


@pytest.mark.usefixtures("cluster")
def test_no_more_pictures_are_in_work_than_there_are_workers(bench: Bench, tmp_path: Path) -> None:
    most = 0
    with _ray(slow, style=bench.style) as painters:
        submit = painters.submit

        def counted(*arguments: Any) -> None:
            nonlocal most
            submit(*arguments)
            most = max(most, len(painters._working))  # type: ignore[attr-defined]

        painters.submit = counted  # type: ignore[method-assign]
        run(bench, painters, tmp_path / "in")
    assert most == 2


@pytest.mark.usefixtures("cluster")
def test_what_a_worker_cannot_make_is_told(bench: Bench) -> None:
    from fleets import broken

    with pytest.raises(ProviderError, match="no such GPU"), _ray(broken, style=bench.style, device=7):
        pass


def test_a_stop_ends_a_wait_for_workers_that_never_come(bench: Bench, tmp_path: Path) -> None:
    class Deserted(LocalPainters):
        @property
        def free(self) -> bool:
            return False

        def receive(self, *, wait: bool) -> list[Ending]:
            time.sleep(0.01)
            return []

    report = run(bench, Deserted(make(style=bench.style)), tmp_path / "in", duration=0.2)
    assert report.stopped is StopReason.DEADLINE
    assert report.left == 5


def test_a_cluster_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    # Another test's cluster is none of this one's.
    monkeypatch.setattr(pytest.importorskip("ray"), "is_initialized", lambda: False)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(UsageError, match=f"--ray-address {address}: no cluster there"):
            RayPainters(make, address=address)  # type: ignore[arg-type]


def test_a_crew_that_fits_the_cluster() -> None:
    gpus = {"CPU": 64.0, "GPU": 8.0}
    assert Crew.fit(gpus, 2, None, None, None) == Crew(8, 8, 1.0)
    assert Crew.fit(gpus, 2, None, None, 0.5) == Crew(16, 4, 0.5)
    assert Crew.fit(gpus, 2, 3, 2, None) == Crew(3, 2, 1.0)
    assert Crew.fit({"CPU": 6.0}, 3, None, None, None) == Crew(3, 2, 0.0)
    with pytest.raises(UsageError, match="has no GPU"):
        Crew.fit({"CPU": 6.0}, 3, None, None, 1.0)
