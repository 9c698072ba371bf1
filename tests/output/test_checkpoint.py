"""A picture that is taken up again ends with the same pixels."""

import errno
import shutil
from pathlib import Path

import pytest

from nstbatch.runtime.output.checkpoint import Checkpoint
from nstbatch.runtime.stop import Stop, StopReason
from seams import Bench, Clock, SeamEngine, after, files, outcomes, picture


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
