"""What arrives is painted, until somebody stops it."""

import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from nstbatch.cli.actions import watch as module
from nstbatch.cli.actions.jobs import Tools
from nstbatch.cli.actions.watch import arrivals, watch
from nstbatch.runtime.errors import ExitCode, UsageError
from nstbatch.runtime.stop import StopReason
from process import QUICK, Call, Process
from seams import files, picture


def test_what_arrives_is_painted(common: list[object], tmp_path: Path) -> None:
    pytest.importorskip("watchfiles")
    folder = tmp_path / "uploads"
    picture(folder / "first.png")
    run = Process("watch", folder, *common, *QUICK, cache=tmp_path / "cache")
    run.until("end")
    picture(folder / "second.png", seed=1)
    run.until("picture", outcome="painted", source=str(folder / "second.png"))
    run.until("end")
    run.send(signal.SIGTERM)
    assert run.end() == 130
    assert set(files(tmp_path / "out")) == {"first.png", "second.png"}
    assert "waiting for photos" in run.errors


def test_it_goes_on_until_a_run_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    codes = iter([ExitCode.OK, ExitCode.SOME_FAILED, StopReason.INTERRUPTED.exit_code])
    monkeypatch.setattr(module, "paint", lambda *_: next(codes))

    def changes(folders: Sequence[Path], recursive: bool) -> Iterator[object]:
        assert (folders, recursive) == ((tmp_path,), True)
        while True:
            yield ()

    assert watch({"photos": (tmp_path,), "recursive": True}, Tools(), changes) == ExitCode.INTERRUPTED
    assert next(codes, None) is None


@pytest.mark.parametrize("photos", [(), (Path("absent"),)])
def test_only_folders_can_be_watched(photos: tuple[Path, ...]) -> None:
    with pytest.raises(UsageError, match="watch takes folders of this host"):
        watch({"photos": photos})


def test_a_file_that_grows_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("watchfiles")
    monkeypatch.setattr(module, "QUIET", 0.2)
    sizes = iter([1, 2, 3, 3])
    monkeypatch.setattr(module, "_size", lambda _: next(sizes))
    waiting = arrivals([tmp_path], False)
    time.sleep(0.5)
    (tmp_path / "a.jpg").write_bytes(b"x")
    assert next(waiting) == {str(tmp_path / "a.jpg")}
    assert next(sizes, None) is None


def test_the_old_name_still_serves(painted: Path, nstbatch: Call) -> None:
    done = nstbatch("watch", painted, "--port", "99999")
    assert done.returncode == 2
    assert "is now `nstbatch serve OUTPUT`" in done.stderr
    assert "Invalid value for '--port'" in done.stderr
