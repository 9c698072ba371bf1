"""Several pictures at a time, and in lock-step."""

import errno
import itertools
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import device
from nstbatch.runtime.batch.outcome import PhotoOutcome
from nstbatch.runtime.bundle.spec import Bundle
from nstbatch.runtime.errors import DiskError, OutOfMemoryError
from nstbatch.runtime.output.folder import FolderOutput
from nstbatch.runtime.stop import Stop, StopReason
from seams import Bench, Feeds, SeamEngine, after, fail, files, outcomes, picture


@pytest.fixture
def many(bench: Bench, tmp_path: Path) -> Bench:
    for seed, name in enumerate(("d.png", "e.png", "f.png", "g.png"), start=3):
        picture(tmp_path / "in" / name, (48, 36 + seed), seed=seed)
    return bench


@pytest.mark.parametrize("overlap", [2, 3, 16])
def test_pictures_painted_at_a_time_are_the_same_pictures(overlap: int, many: Bench, tmp_path: Path) -> None:
    reference = Bench(many.style, tmp_path / "reference")
    reference.run(tmp_path / "in")
    meeting = threading.Barrier(2)
    calls = itertools.count()

    def before(graph: str) -> None:
        # Two evaluations wait for each other: were they not under way together, this would time out.
        if graph == "gradient" and next(calls) < 2:
            meeting.wait(30)

    many.engine = lambda: SeamEngine(before)
    report = many.run(tmp_path / "in", overlap=overlap)
    assert set(outcomes(report).values()) == {"painted"}
    assert len(report.rows) == 7
    assert files(many.output) == files(reference.output)
    many.engine = SeamEngine
    assert set(outcomes(many.run(tmp_path / "in", overlap=overlap)).values()) == {"up to date"}


def test_where_cuda_captures_they_take_turns_on_one_thread(bundle: Bundle, bench: Bench, tmp_path: Path) -> None:
    reference = Bench(bench.style, tmp_path / "reference", engine=lambda: device.engine(bundle, device.Device()))
    reference.run(tmp_path / "in")
    gpu, threads, waiting = device.Device(), set[str](), []
    put = gpu.put

    def watched(work: Callable[[], object]) -> None:
        threads.add(threading.current_thread().name)
        waiting.append(len(gpu.waiting))
        put(work)

    gpu.put = watched  # type: ignore[method-assign]
    bench.engine = lambda: device.engine(bundle, gpu)
    assert set(outcomes(bench.run(tmp_path / "in", overlap=2)).values()) == {"painted"}
    assert files(bench.output) == files(reference.output)
    assert threads - {"MainThread"} == {"steps_0"}, "the main thread compares with the CPU provider before"
    assert max(waiting) > 3, "a step of one while another is waited for"


@pytest.mark.parametrize("static", [False, True])
def test_in_lock_step_they_are_the_same_pictures(
    static: bool, bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed, name in enumerate(("d.png", "e.png", "g.png"), start=3):
        picture(tmp_path / "in" / name, (48, 40 if name == "g.png" else 36), seed=seed)
    reference = Bench(bench.style, tmp_path / "reference")
    reference.run(tmp_path / "in")
    engines: list[SeamEngine] = []
    monkeypatch.setattr(SeamEngine, "static", static)
    bench.engine = lambda: engines.append(SeamEngine()) or engines[-1]  # type: ignore[func-returns-value]
    report = bench.run(tmp_path / "in", overlap=3, lock_step=True)
    assert set(outcomes(report).values()) == {"painted"}
    assert files(bench.output) == files(reference.output)
    # Five photos of one shape, and one of another.
    found = set(engines[0].batches)
    assert found == ({1, 3} if static else {1, 2, 3}), "where a size costs a preparation, a batch is full or none"


def test_in_lock_step_a_failure_is_one_pictures_own(many: Bench, tmp_path: Path) -> None:
    (tmp_path / "in" / "b.png").write_text("x")
    many.engine = lambda: SeamEngine(after(6, fail(ZeroDivisionError("in a provider"))))
    report = many.run(tmp_path / "in", overlap=3, lock_step=True)
    assert len(report.rows) == 7
    assert {row.outcome.value for row in report.rows} == {"painted", "failed"}
    assert outcomes(report)["b.png"] == "failed"
    assert set(outcomes(many.run(tmp_path / "in", overlap=3, lock_step=True)).values()) >= {"up to date"}


def test_a_batch_that_memory_does_not_suffice_for_is_evaluated_one_by_one(bench: Bench, tmp_path: Path) -> None:
    for seed, name in enumerate(("d.png", "e.png"), start=3):
        picture(tmp_path / "in" / name, (48, 36), seed=seed)
    reference = Bench(bench.style, tmp_path / "reference")
    reference.run(tmp_path / "in")

    class Small(SeamEngine):
        def run(self, graph: str, feeds: Feeds, precision: str = "float32") -> list[np.ndarray]:
            if len(feeds["image"]) > 1:
                raise OutOfMemoryError("too many")
            return super().run(graph, feeds, precision)

    bench.engine = Small
    report = bench.run(tmp_path / "in", overlap=4, lock_step=True)
    assert set(outcomes(report).values()) == {"painted"}
    assert files(bench.output) == files(reference.output)


def test_in_lock_step_a_stop_keeps_checkpoints(many: Bench, tmp_path: Path) -> None:
    reference = Bench(many.style, tmp_path / "reference")
    reference.run(tmp_path / "in")
    stop = Stop()
    many.engine = lambda: SeamEngine(after(12, lambda: stop.request(StopReason.INTERRUPTED, drop=True)))
    report = many.run(tmp_path / "in", stop=stop, overlap=3, lock_step=True, checkpoint=3600)
    assert "dropped" in outcomes(report).values()
    many.engine = SeamEngine
    again = many.run(tmp_path / "in", overlap=3, lock_step=True)
    assert any("taken up from a checkpoint" in row.reason for row in again.rows)
    assert files(many.output) == files(reference.output)


def test_a_failure_costs_none_of_those_beside_it(many: Bench, tmp_path: Path) -> None:
    (tmp_path / "in" / "b.png").write_text("x")
    many.engine = lambda: SeamEngine(after(6, fail(ZeroDivisionError("in a provider"))))
    report = many.run(tmp_path / "in", overlap=3)
    assert sorted(outcomes(report).values()) == ["failed"] * 2 + ["painted"] * 5
    assert report.exit_code == 3


def test_a_stop_drops_all_that_are_in_work_and_their_checkpoints_are_taken_up(many: Bench, tmp_path: Path) -> None:
    reference = Bench(many.style, tmp_path / "reference")
    reference.run(tmp_path / "in")
    stop = Stop()
    many.engine = lambda: SeamEngine(after(15, lambda: stop.request(StopReason.INTERRUPTED, drop=True)))
    report = many.run(tmp_path / "in", stop=stop, overlap=3, checkpoint=3600)
    found = outcomes(report)
    dropped = [row for row in report.rows if row.outcome is PhotoOutcome.DROPPED]
    assert 1 <= len(dropped) <= 3
    assert set(found.values()) <= {"painted", "dropped"}
    assert report.left == 7 - list(found.values()).count("painted")
    # One whose first step was under way has nothing to keep.
    kept = [row for row in dropped if row.reason == "a checkpoint is kept"]
    assert kept
    many.engine = SeamEngine
    again = many.run(tmp_path / "in", overlap=3)
    assert sum("taken up from a checkpoint" in row.reason for row in again.rows) == len(kept)
    assert files(many.output) == files(reference.output)


def test_a_stop_that_finishes_lets_all_that_are_in_work_end(many: Bench, tmp_path: Path) -> None:
    stop = Stop()
    many.engine = lambda: SeamEngine(after(10, lambda: stop.request(StopReason.INTERRUPTED, drop=False)))
    report = many.run(tmp_path / "in", stop=stop, overlap=3)
    assert set(outcomes(report).values()) == {"painted"}
    assert 3 <= len(report.rows) < 7
    assert report.exit_code == 130


def test_a_full_disk_ends_a_run_of_several_at_a_time(many: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(FolderOutput, "commit", full)
    with pytest.raises(DiskError):
        many.run(tmp_path / "in", overlap=3)
    monkeypatch.undo()
    assert set(outcomes(many.run(tmp_path / "in", overlap=3)).values()) == {"painted"}
