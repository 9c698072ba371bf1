"""A run: rows, early ends, memory, disks, checkpoints."""

import errno
import itertools
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nstbatch.runtime.batch.outcome import Outcome, PhotoOutcome, Row
from nstbatch.runtime.errors import DiskError, ExitCode, ImageError, OutOfMemoryError
from nstbatch.runtime.output.checkpoint import Checkpoint
from nstbatch.runtime.output.folder import FolderOutput
from nstbatch.runtime.output.journal import Journal
from nstbatch.runtime.pictures.photo import Photo, Picture, encode_picture, read_photo
from nstbatch.runtime.planning.placement import Item
from nstbatch.runtime.planning.plan import Policy
from nstbatch.runtime.stop import Stop, StopReason
from nstbatch.runtime.workers.one_photo import Codec
from seams import Bench, Feeds, SeamEngine, files, outcomes, picture


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    for seed, name in enumerate(("a.png", "b.png", "c.png")):
        picture(tmp_path / "in" / name, seed=seed)
    return Bench(picture(tmp_path / "starry.png", seed=9), tmp_path / "out")


def after(calls: int, action: Callable[[], object], graphs: tuple[str, ...] = ("gradient",)) -> Callable[[str], None]:
    """Does something before the engine's n-th evaluation of a gradient, or of any of ``graphs``."""
    counter = itertools.count(1)

    def before(graph: str) -> None:
        if graph in graphs and next(counter) == calls:
            action()

    return before


def fail(error: Exception) -> Callable[[], None]:
    def action() -> None:
        raise error

    return action


def opened_as(handle: int) -> str:
    return str(Path(f"/proc/self/fd/{handle}").readlink())


def test_report_owns_the_exit_code_and_the_summary(tmp_path: Path) -> None:
    item = Item(tmp_path / "a.jpg", tmp_path / "b.jpg", tmp_path)
    report = Outcome(5, [Row(item, PhotoOutcome.PAINTED, "all iterations done", 1.5, 10.0)])
    assert report.exit_code is ExitCode.OK
    assert str(report) == "1 painted, 0 failed in 10 s (10.0 s a picture)"
    report.rows.append(Row(item, PhotoOutcome.FAILED, "truncated"))
    report.rows.append(Row(item, PhotoOutcome.UP_TO_DATE, "painted already"))
    assert report.exit_code is ExitCode.SOME_FAILED == 3
    assert str(report) == "1 painted, 1 failed, 1 up to date in 10 s (10.0 s a picture)"
    report.rows.append(Row(item, PhotoOutcome.DROPPED, "dropped", seconds=2))
    report.stopped = StopReason.INTERRUPTED
    assert report.left == 2, "the dropped one and one not reached"
    assert report.exit_code is ExitCode.INTERRUPTED == 130
    assert str(report) == "1 painted, 1 failed, 1 up to date, 2 left (interrupted) in 12 s (10.0 s a picture)"
    assert str(Outcome()) == "0 painted, 0 failed in 0 s"
    assert {reason.exit_code for reason in StopReason} == {130, 10, 3}


def test_any_failure_is_a_row(bench: Bench, tmp_path: Path) -> None:
    errors = iter([MemoryError(), OSError(5, "Input/output error"), ZeroDivisionError("in a provider")])
    bench.engine = lambda: SeamEngine(lambda graph: fail(next(errors))() if graph == "gradient" else None)
    report = bench.run(tmp_path / "in")
    assert set(outcomes(report).values()) == {"failed"}
    assert report.rows[0].reason.startswith("memory ran out")
    assert report.rows[1].reason == "OSError: Input/output error"
    assert report.rows[2].reason == "ZeroDivisionError: in a provider"
    assert files(bench.output) == {}, "nothing is made for a picture that failed"
    assert report.exit_code == 3


def test_fail_fast(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "in" / "b.png").write_text("x")
    report = bench.run(tmp_path / "in", fail_fast=True)
    assert outcomes(report) == {"a.png": "painted", "b.png": "failed"}
    assert (report.exit_code, report.left) == (3, 1)


def test_a_photo_that_vanishes_or_changes_during_the_run(bench: Bench, tmp_path: Path) -> None:
    photos = tmp_path / "in"
    before = picture(tmp_path / "other.png", seed=40).read_bytes()

    def meanwhile() -> None:
        (photos / "b.png").unlink()
        picture(photos / "a.png", seed=40)

    bench.engine = lambda: SeamEngine(after(3, meanwhile))
    report = bench.run(photos)
    assert outcomes(report) == {"a.png": "failed", "b.png": "failed", "c.png": "painted"}
    assert [row.reason.partition(";")[0] for row in report.rows[:2]] == [
        "changed while it was painted",
        "No such file or directory",
    ]
    bench.engine = SeamEngine
    assert outcomes(bench.run(photos)) == {"a.png": "painted", "c.png": "up to date"}
    assert (photos / "a.png").read_bytes() == before


def test_a_photo_that_changes_before_its_turn_is_painted_as_it_is_then(bench: Bench, tmp_path: Path) -> None:
    bench.run(tmp_path / "in", between=lambda _: picture(tmp_path / "in" / "c.png", seed=41))
    assert set(outcomes(bench.run(tmp_path / "in")).values()) == {"up to date"}


def test_a_mislabelled_photo_is_painted_and_said_so(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "in" / "a.png").rename(tmp_path / "in" / "a.jpg")
    report = bench.run(tmp_path / "in" / "a.jpg")
    assert outcomes(report) == {"a.jpg": "painted"}
    assert report.rows[0].reason.endswith("; the photo is a PNG, whatever its name says")
    assert files(bench.output)["a.jpg"][:2] == b"\xff\xd8", "the output is what its name says"


# Early ends


@pytest.mark.parametrize("drop", [True, False])
def test_a_stop_drops_or_finishes_the_picture_in_work(drop: bool, bench: Bench, tmp_path: Path) -> None:
    stop = Stop()
    # 8 evaluations a picture: the stop comes in the second.
    bench.engine = lambda: SeamEngine(after(11, lambda: stop.request(StopReason.INTERRUPTED, drop=drop)))
    report = bench.run(tmp_path / "in", stop=stop)
    second = "dropped" if drop else "painted"
    assert outcomes(report) == {"a.png": "painted", "b.png": second}
    assert report.exit_code == 130
    assert report.left == (2 if drop else 1)
    assert set(files(bench.output)) == ({"a.png"} if drop else {"a.png", "b.png"})
    bench.engine = SeamEngine
    assert outcomes(bench.run(tmp_path / "in")) == {
        "a.png": "up to date",
        "b.png": "painted" if drop else "up to date",
        "c.png": "painted",
    }


def test_a_stop_before_the_first_picture(bench: Bench, tmp_path: Path) -> None:
    stop = Stop()
    stop.request(StopReason.INTERRUPTED, drop=True)
    report = bench.run(tmp_path / "in", stop=stop)
    assert (report.rows, report.left, report.exit_code) == ([], 3, 130)


def test_a_second_request_hurries_the_first() -> None:
    stop = Stop()
    heard = []
    stop.when_dropping(lambda: heard.append("early"))
    stop.request(StopReason.DEADLINE, drop=False)
    assert (stop.reason, stop.dropping, heard) == (StopReason.DEADLINE, False, [])
    stop.request(StopReason.INTERRUPTED, drop=True)
    stop.request(StopReason.INTERRUPTED, drop=True)
    stop.when_dropping(lambda: heard.append("late"))
    assert (stop.reason, stop.dropping, heard) == (StopReason.DEADLINE, True, ["early", "late"])


class Clock:
    """Seconds that pass with the engine's work: ten for each evaluation."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def tick(self, graph: str) -> None:
        if graph == "gradient":
            self.now += 10


def test_a_deadline_ends_the_run_before_a_picture_that_would_pass_it(bench: Bench, tmp_path: Path) -> None:
    clock = Clock()
    bench.engine = lambda: SeamEngine(clock.tick)
    report = bench.run(tmp_path / "in", duration=200, clock=clock)
    assert outcomes(report) == {"a.png": "painted", "b.png": "painted"}, "80 s each: a third would end after 240"
    assert clock.now == 1160
    assert (report.exit_code, report.left) == (10, 1)


def test_a_deadline_within_the_first_picture_drops_it(bench: Bench, tmp_path: Path) -> None:
    bench.engine = lambda: SeamEngine(lambda _: time.sleep(0.05))
    began = time.monotonic()
    report = bench.run(tmp_path / "in", duration=0.2)
    assert outcomes(report) == {"a.png": "dropped"}
    assert report.exit_code == 10
    assert time.monotonic() - began < 5
    assert files(bench.output) == {}


def test_a_wall_clock_that_jumps_changes_nothing(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jumps = itertools.cycle([0.0, 4e9, -1e9, 1.6e9])
    monkeypatch.setattr(time, "time", lambda: next(jumps))
    for path in (tmp_path / "in").iterdir():
        os.utime(path, (next(jumps) % 2**31, 2**31 - 1))
    report = bench.run(tmp_path / "in", duration=3600, checkpoint=3600)
    assert set(outcomes(report).values()) == {"painted"}
    os.utime(bench.output / "a.png", (0, 0))
    report = bench.run(tmp_path / "in", duration=3600)
    assert set(outcomes(report).values()) == {"up to date"}
    assert all(row.seconds >= 0 for row in report.rows)


# Memory


def memory_runs_out(times: int) -> Callable[[], SeamEngine]:
    counter = itertools.count(1)

    def before(graph: str) -> None:
        if graph == "gradient" and next(counter) <= times:
            raise OutOfMemoryError("onnxruntime could not evaluate 'gradient': Failed to allocate memory")

    return lambda: SeamEngine(before)


def test_out_of_memory_is_a_row_that_names_a_size(bench: Bench, tmp_path: Path) -> None:
    bench.engine = memory_runs_out(1)
    bench.settings |= {"size": 48, "scales": "1"}
    report = bench.run(tmp_path / "in")
    assert outcomes(report) == {"a.png": "failed", "b.png": "painted", "c.png": "painted"}
    assert "try --size 34, or --shrink-to-fit" in report.rows[0].reason


def test_out_of_memory_with_shrink_to_fit_is_tried_once_at_half_the_pixels(bench: Bench, tmp_path: Path) -> None:
    bench.settings |= {"size": 48, "scales": "1"}
    bench.engine = memory_runs_out(1)
    policy = Policy(shrink_to_fit=True)
    report = bench.run(tmp_path / "in", policy=policy)
    assert set(outcomes(report).values()) == {"painted"}
    assert "at 34 px, since memory did not suffice" in report.rows[0].reason
    assert "at 34 px" not in report.rows[1].reason
    bench.engine = SeamEngine
    assert set(outcomes(bench.run(tmp_path / "in", policy=policy)).values()) == {"up to date"}
    assert outcomes(bench.run(tmp_path / "in"))["a.png"] == "painted", "the full size was asked for"
    bench.engine = memory_runs_out(2)
    report = bench.run(tmp_path / "in", policy=Policy(shrink_to_fit=True, force=True))
    assert outcomes(report) == {"a.png": "failed", "b.png": "painted", "c.png": "painted"}


# Disks


@pytest.mark.parametrize("call", ["open", "write", "fsync", "replace"])
def test_a_full_disk_ends_the_run_and_the_next_goes_on(
    call: str, bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = Bench(bench.style, tmp_path / "reference")
    reference.run(tmp_path / "in")
    real = getattr(os, call)

    def full(*arguments: object, **options: object) -> object:
        target = str(arguments[0])
        opened = opened_as(arguments[0]) if isinstance(arguments[0], int) else target
        writing = call != "open" or arguments[1] & os.O_CREAT  # type: ignore[operator]
        if (bench.output / "a.png").exists() and writing and ".nstbatch-" in opened:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*arguments, **options)

    monkeypatch.setattr(os, call, full)
    with pytest.raises(
        DiskError, match=r"out/b\.png: cannot write [\d,]+ bytes \(No space left on device\), [\d,]+ are free"
    ):
        bench.run(tmp_path / "in")
    monkeypatch.undo()
    assert set(files(bench.output)) == {"a.png"}, "no torn file, no leftover"
    assert Journal.read(bench.output).skipped == 0
    report = bench.run(tmp_path / "in")
    assert outcomes(report)["a.png"] == "up to date"
    assert files(bench.output) == files(reference.output)


def test_a_journal_on_a_full_disk_survives(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    lines = itertools.count()

    def full(handle: int, data: bytes) -> int:
        if opened_as(handle).endswith("journal.jsonl") and next(lines) == 1:
            real(handle, bytes(data)[:50])
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(handle, data)

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(DiskError):
        bench.run(tmp_path / "in")
    monkeypatch.undo()
    assert Journal.read(bench.output).skipped == 1, "a torn line"
    assert outcomes(bench.run(tmp_path / "in")) == {"a.png": "up to date", "b.png": "painted", "c.png": "painted"}
    assert Journal.read(bench.output).skipped == 1
    assert len(Journal.read(bench.output).painted) == 3


def test_an_output_that_cannot_be_replaced_is_a_row(bench: Bench, tmp_path: Path) -> None:
    report = bench.run(tmp_path / "in", between=lambda _: (bench.output / "b.png").mkdir())
    assert outcomes(report) == {"a.png": "painted", "b.png": "failed", "c.png": "painted"}
    assert "cannot write" in report.rows[1].reason
    assert set(files(bench.output)) == {"a.png", "c.png"}


# Checkpoints


def test_a_resumed_picture_ends_with_the_same_pixels(bench: Bench, tmp_path: Path) -> None:
    photo = tmp_path / "in" / "a.png"
    reference = Bench(bench.style, tmp_path / "reference")
    whole = reference.run(photo).rows[0]
    # 4 evaluations at each of two levels, and before each the features of photo and style.
    for stop_at in range(1, 13):
        shutil.rmtree(bench.output, ignore_errors=True)
        stop = Stop()
        request = lambda stop=stop: stop.request(StopReason.INTERRUPTED, drop=True)  # noqa: E731
        bench.engine = lambda request=request, n=stop_at: SeamEngine(after(n, request, ("encode", "gradient")))  # type: ignore[misc]
        assert outcomes(bench.run(photo, stop=stop, checkpoint=3600)) == {"a.png": "dropped"}
        kept = list((bench.output / ".nstbatch" / "checkpoints").glob("*"))
        done = max(0, min(stop_at - 3, 4)) + max(0, stop_at - 9)
        assert [path.suffix for path in kept] == ([".npz"] if done else []), "nothing to keep before the first"
        rest = SeamEngine()
        bench.engine = lambda rest=rest: rest  # type: ignore[misc]
        row = bench.run(photo).rows[0]
        assert row.evaluations == whole.evaluations == 8
        assert row.loss == whole.loss
        assert rest.calls.count("gradient") == 8 - done, "what was evaluated before is not again"
        assert files(bench.output) == files(reference.output)
        assert row.reason == whole.reason + ("; taken up from a checkpoint" if done else "")
        assert not list((bench.output / ".nstbatch" / "checkpoints").glob("*")), "done: nothing is left"


@pytest.mark.parametrize("damage", ["torn", "empty", "rubbish", "bytes", "of another photo"])
def test_a_checkpoint_that_is_no_use_is_not_taken_up(damage: str, bench: Bench, tmp_path: Path) -> None:
    photo = tmp_path / "in" / "a.png"
    stop = Stop()
    bench.engine = lambda: SeamEngine(after(5, lambda: stop.request(StopReason.INTERRUPTED, drop=True)))
    bench.run(photo, stop=stop, checkpoint=3600)
    (path,) = (bench.output / ".nstbatch" / "checkpoints").glob("*")
    data = path.read_bytes()
    if damage == "of another photo":
        picture(photo, seed=30)
    else:
        other = bytearray(data)
        other[len(data) // 2] ^= 255
        path.write_bytes(
            {"torn": data[: len(data) // 2], "empty": b"", "rubbish": b"x" * 999, "bytes": bytes(other)}[damage]
        )
    bench.engine = SeamEngine
    report = bench.run(photo)
    assert outcomes(report) == {"a.png": "painted"}
    reference = Bench(bench.style, tmp_path / "reference")
    reference.run(photo)
    assert files(bench.output) == files(reference.output)


def test_checkpoints_are_kept_as_often_as_asked(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    bench.engine = lambda: SeamEngine(clock.tick)
    saved: list[float] = []
    save = Checkpoint.save

    def spy(self: object, state: object) -> None:
        saved.append(clock.now)
        save(self, state)  # type: ignore[arg-type]

    monkeypatch.setattr(Checkpoint, "save", spy)
    bench.run(tmp_path / "in" / "a.png", checkpoint=30, clock=clock)
    assert saved == [1030, 1060], "and none when the picture is done"


def test_a_disk_too_full_for_a_checkpoint_may_have_room_for_the_picture(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Checkpoint, "save", full)
    assert set(outcomes(bench.run(tmp_path / "in", checkpoint=0)).values()) == {"painted"}


def test_the_runtime_loads_neither_torch_nor_onnx() -> None:
    code = (
        "import sys, nstbatch.runtime; "
        "print([m for m in ('torch', 'onnx', 'onnxscript', 'torchvision', 'click', 'rich') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


# While a picture is painted


def test_the_next_photo_is_decoded_and_the_last_one_encoded_meanwhile(bench: Bench, tmp_path: Path) -> None:
    painter = threading.current_thread()
    read: list[tuple[str, bool]] = []
    encoded = []
    decoding = {"b.png": threading.Event(), "c.png": threading.Event()}

    def slow_read(path: Path, *limits: float) -> Photo:
        read.append((path.name, threading.current_thread() is painter))
        photo = read_photo(path, *limits)
        if path.name in decoding:
            decoding[path.name].set()
        return photo

    def encode(*arguments: object) -> bytes:
        encoded.append(threading.current_thread() is painter)
        return encode_picture(*arguments)  # type: ignore[arg-type]

    calls = itertools.count()

    def before(graph: str) -> None:
        # In the middle of the first photo the second is waited for: were it not decoded meanwhile, this would time out.
        if graph == "gradient" and next(calls) == 4:
            assert decoding["b.png"].wait(30)

    bench.engine = lambda: SeamEngine(before)
    assert outcomes(bench.run(tmp_path / "in", codec=Codec(slow_read, encode))) == dict.fromkeys(
        ("a.png", "b.png", "c.png"), "painted"
    )
    assert read == [("a.png", True), ("b.png", False), ("c.png", False)]
    assert encoded == [False] * 3


def test_a_photo_that_changed_after_it_was_decoded_ahead_is_read_anew(bench: Bench, tmp_path: Path) -> None:
    def change() -> None:
        picture(tmp_path / "in" / "b.png", seed=77)

    # In the last evaluation of the first photo, when the second is long decoded.
    bench.engine = lambda: SeamEngine(after(8, change))
    assert outcomes(bench.run(tmp_path / "in"))["b.png"] == "painted"
    bench.engine = SeamEngine
    assert outcomes(bench.run(tmp_path / "in")) == dict.fromkeys(("a.png", "b.png", "c.png"), "up to date")


def test_a_picture_that_cannot_be_encoded_is_a_row_in_its_place(bench: Bench, tmp_path: Path) -> None:
    def encode(result: Picture, extension: str) -> bytes:
        if next(count) == 1:
            raise ImageError("no such luck")
        return encode_picture(result, extension)

    count = itertools.count()
    report = bench.run(tmp_path / "in", codec=Codec(encode=encode))
    assert [(row.item.source.name, row.outcome.value) for row in report.rows] == [
        ("a.png", "painted"),
        ("b.png", "failed"),
        ("c.png", "painted"),
    ]


# Several pictures at a time


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
    assert all(row.reason == "a checkpoint is kept" for row in dropped)
    many.engine = SeamEngine
    again = many.run(tmp_path / "in", overlap=3)
    assert sum("taken up from a checkpoint" in row.reason for row in again.rows) == len(dropped)
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


def test_seconds_of_a_run_are_those_on_the_wall() -> None:
    item = Item(Path("a.jpg"), Path("b.jpg"), Path())
    rows = [Row(item, PhotoOutcome.PAINTED, "all iterations done", 1.5, 10.0) for _ in range(3)]
    assert str(Outcome(3, rows, seconds=15)) == "3 painted, 0 failed in 15 s (5.0 s a picture)"
