"""The command line as cron and systemd run it: over and over, within a deadline, without a home."""

import signal
import time
from pathlib import Path

from nstbatch.runtime.output.journal import Journal
from nstbatch.runtime.output.names import REPORT_FILES
from process import LONG, QUICK, Call, Process
from seams import files


def test_a_second_run_has_nothing_to_do(nstbatch: Call, photos: Path, common: list[object], tmp_path: Path) -> None:
    first = nstbatch(photos, *common, *QUICK, "-r")
    assert first.returncode == 0, first.stderr
    before = {
        path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.[jp]*g") if REPORT_FILES not in path.parts
    }
    assert len(before) == 3
    again = nstbatch(photos, *common, *QUICK, "-r")
    assert again.returncode == 0
    assert again.stdout == "0 painted, 0 failed, 3 up to date\n", "one line for cron's mail, or none with -q"
    assert {path: path.stat().st_mtime_ns for path in before} == before
    verbose = nstbatch(photos, *common, *QUICK, "-r", "-v")
    assert f"{photos}/a.jpg: up to date: painted already" in verbose.stdout
    assert nstbatch(photos, *common, *QUICK, "-r", "-q").stdout == ""
    other = nstbatch(photos, *common, *QUICK, "-r", "-v", "--style-weight", "20")
    assert "begun (the options have changed)" in other.stdout
    assert "3 painted" in other.stdout


def test_max_duration(photos: Path, common: list[object], tmp_path: Path) -> None:
    run = Process(photos, *common, *LONG, "--max-duration", "5s", cache=tmp_path / "cache")
    assert run.end() == 10
    assert run.pictures() == {"a.jpg": "dropped"}
    assert run.events[-1]["stopped"] == "deadline reached"


def test_a_checkpoint_carries_a_picture_over_runs(photos: Path, common: list[object], tmp_path: Path) -> None:
    options = ("--size", "44", "--iterations", "200", "--scales", "1", "--threads", "1", "--checkpoint", "0")
    whole = Process(photos / "a.jpg", *common, *options, "-o", tmp_path / "whole", cache=tmp_path / "cache")
    assert whole.end() == 0, whole.errors
    checkpoints = tmp_path / "out" / ".nstbatch" / "checkpoints"

    def mtime_of(folder: Path) -> int:
        return max((path.stat().st_mtime_ns for path in folder.glob("*.npz")), default=0)

    for _ in range(3):
        run = Process(photos / "a.jpg", *common, *options, cache=tmp_path / "cache")
        run.until("start")
        # Further than the run before, however long this machine takes to get there.
        reached = mtime_of(checkpoints)
        while mtime_of(checkpoints) <= reached + 100_000_000:
            time.sleep(0.01)
        run.send(signal.SIGTERM)
        assert run.end() == 130
        assert run.events[-2]["reason"] == "a checkpoint is kept"
    last = Process(photos / "a.jpg", *common, *options, cache=tmp_path / "cache")
    assert last.end() == 0
    assert files(tmp_path / "out") == files(tmp_path / "whole"), "the same pixels, the same file"
    entries = [Journal.read(tmp_path / name).painted["a.jpg"] for name in ("out", "whole")]
    assert entries[0].evaluations == entries[1].evaluations == 200
    assert entries[0].loss == entries[1].loss


def test_nothing_is_sent_home_and_no_home_is_needed(
    photos: Path, common: list[object], tmp_path: Path, nstbatch: Call
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    for place in (home, Path("/proc/nowhere")):
        done = nstbatch(photos, *common, *QUICK, "-q", "--force", HOME=str(place), XDG_CACHE_HOME=str(place / "cache"))
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(home.rglob("*")) == []


def test_a_deadline_beyond_what_a_clock_can_wait_for(nstbatch: Call, photos: Path, common: list[object]) -> None:
    done = nstbatch(photos / "a.jpg", *common, *QUICK, "--max-duration", "99999999999999h")
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
