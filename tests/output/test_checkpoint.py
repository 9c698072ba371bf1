"""A picture that is taken up again ends with the same pixels."""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nstbatch.runtime.files.arrays import write_arrays
from nstbatch.runtime.output.checkpoint import Checkpoint
from nstbatch.runtime.stop import Stop, StopReason
from seams import Bench, Clock, SeamEngine, after, files, outcomes, picture


def set_to(name: str, value: object) -> Callable[[dict[str, Any]], None]:
    """Changes an array of a state."""

    def change(state: dict[str, Any]) -> None:
        state[name] = np.asarray(value, state[name].dtype) if np.ndim(value) else np.full_like(state[name], value)

    return change


FORGED = {
    "not finite": set_to("x", np.nan),
    "black": set_to("x", 3e38),
    "one pixel": set_to("x", [7.0]),
    "no numbers": set_to("rows", np.nan),
    "another level": set_to("place", 7),
    "a level before": set_to("place", -1),
    "no search": set_to("search", "{}"),
    "no scalars": set_to("scalars", "[]"),
    "no seconds": set_to("seconds", [1.0]),
    "no order": set_to("order", [99]),
}
"""Damage with the right digest."""


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


@pytest.mark.parametrize(
    "damage", ["torn", "empty", "rubbish", "bytes", "of another photo", *FORGED, "fifo", "link", "folder"]
)
def test_a_checkpoint_that_is_no_use_is_not_taken_up(damage: str, bench: Bench, tmp_path: Path) -> None:
    photo = tmp_path / "in" / "a.png"
    stop = Stop()
    bench.engine = lambda: SeamEngine(after(5, lambda: stop.request(StopReason.INTERRUPTED, drop=True)))
    bench.run(photo, stop=stop, checkpoint=3600)
    (path,) = (bench.output / ".nstbatch" / "checkpoints").glob("*")
    data = path.read_bytes()
    (tmp_path / "theirs").write_bytes(data)
    if damage in FORGED:
        with np.load(path) as archive:
            state = {name: array for name, array in archive.items() if name != "sha256"}
        FORGED[damage](state)
        with path.open("wb") as file:
            write_arrays(file, state)
    elif damage in ("fifo", "link", "folder"):
        path.unlink()
        {"fifo": os.mkfifo, "link": lambda path: path.symlink_to(tmp_path / "theirs"), "folder": Path.mkdir}[damage](path)
    elif damage == "of another photo":
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
    assert (tmp_path / "theirs").read_bytes() == data
    assert damage == "folder" or not os.path.lexists(path), "it is not found again the next night"


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
