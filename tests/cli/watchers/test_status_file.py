"""The status, for monitors."""

import json
import os
from pathlib import Path

import pytest

import seams
from nstbatch.cli.watchers.status_file import StatusFile
from nstbatch.runtime.batch.outcome import Outcome, PhotoOutcome, Row
from nstbatch.runtime.files.own import OwnFile
from nstbatch.runtime.output.runs import Run
from nstbatch.runtime.painting.painting import Progress
from nstbatch.runtime.recipe.settings import Settings
from process import QUICK, Call, Process
from seams import Bench, picture


def test_the_status(photos: Path, common: list[object], tmp_path: Path, nstbatch: Call) -> None:
    status = tmp_path / "status.json"
    options = ("--size", "44", "--iterations", "60", "--scales", "1", "--status-file", status)
    run = Process(photos, *common, *options, "-r", cache=tmp_path / "cache")
    run.until("picture")
    run.until("start")  # the status is written after the event
    found = json.loads(status.read_text())
    assert (found["state"], found["total"], found["pid"]) == ("running", 3, run.pid)
    assert found["painted"] >= 1
    assert run.end() == 0
    found = json.loads(status.read_text())
    assert (found["state"], found["exit_code"], found["painted"], found["left"]) == ("ended", 0, 3, 0)
    done = nstbatch(photos, "--style", tmp_path / "absent.jpg", "--status-file", status)
    assert done.returncode == 2
    found = json.loads(status.read_text())
    assert (found["state"], found["exit_code"]) == ("ended", 2)
    assert "absent.jpg" in found["error"]
    assert not list(tmp_path.glob(".status*")), "no temporary file"
    done = nstbatch(photos, *common, "--status-file", tmp_path / "no" / "status")
    assert done.returncode == 2
    assert "--status-file" in done.stderr


def test_a_status_file_replaces_no_device_and_no_text(
    nstbatch: Call, photos: Path, common: list[object], tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "notes.txt", tmp_path / "fifo"):
        # Not the time of the last access: whether it is one of ours, its text tells.
        before = path.lstat()
        assert nstbatch(photos, *common, *QUICK, "--status-file", path).returncode == 2
        after = path.lstat()
        assert (after.st_mode, after.st_ino, after.st_mtime_ns) == (before.st_mode, before.st_ino, before.st_mtime_ns)


def test_a_picture_that_is_saved_while_the_next_is_in_work(tmp_path: Path) -> None:
    for name in "ab":
        picture(tmp_path / "in" / f"{name}.png")
    bench = Bench(picture(tmp_path / "s.png", seed=1), tmp_path / "out")
    plan = bench.plan(tmp_path / "in")
    first, second = plan.tasks
    report = Outcome(2)
    now = 100.0
    status = StatusFile(OwnFile.at(tmp_path / "status.json"), clock=lambda: now)
    status.opened(Run.begin("cpu", "float32", seams.bundle(), ""), {}, report)

    def told() -> tuple[object, object]:
        found = json.loads((tmp_path / "status.json").read_text())
        return found["current"], found["seconds_left"]

    status.planned(plan, Settings(**bench.settings))
    status.started(first)
    status.started(second)
    status.progress(first.item, Progress(0.0, 40, 1.0, 0), lambda: pytest.fail("it has no use for the picture"))
    for task, expected in ((first, (str(second.item.source), 8)), (second, (None, 0))):
        now += 8
        row = Row(task.item, PhotoOutcome.PAINTED, "done", 1.0, 8.0, 4)
        report.rows.append(row)
        status.finished(row)
        assert told() == expected
