"""The command line as cron and systemd run it: signals, deadlines, checkpoints, events, logs, status."""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from filelock import FileLock

import seams
from nstbatch.cli.actions.bundles import cached_bundle_path, find_bundle
from nstbatch.cli.watchers.status_file import StatusFile
from nstbatch.runtime.batch.outcome import Outcome, PhotoOutcome, Row
from nstbatch.runtime.bundle.spec import Bundle, BundleSpec
from nstbatch.runtime.output.folder import REPORT_FILES
from nstbatch.runtime.output.journal import Journal
from nstbatch.runtime.output.runs import Run
from nstbatch.runtime.painting.painting import Progress
from nstbatch.runtime.recipe.settings import Settings
from places import ROOT
from process import MAIN, Process
from seams import Bench, files, picture

Call = Callable[..., subprocess.CompletedProcess[str]]
QUICK = ("--size", "40", "--iterations", "2", "--scales", "1")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for seed, name in enumerate(("a.jpg", "b.png", "deep/c.jpg")):
        picture(tmp_path / "in" / name, (60, 44), seed)
    return tmp_path / "in"


@pytest.fixture
def common(bundle: Bundle, samples: Path, tmp_path: Path) -> list[object]:
    return ["--style", samples / "ember.jpg", "--bundle", bundle.path, "-o", tmp_path / "out", "--provider", "cpu"]


@pytest.fixture
def valid() -> Callable[[str], list[dict[str, Any]]]:
    """Parses events and holds each against the documented schema."""
    schema = json.loads((ROOT / "docs" / "events.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)

    def parse(text: str) -> list[dict[str, Any]]:
        events = [json.loads(line) for line in text.splitlines()]
        for event in events:
            validator.validate(event)
        return events

    return parse


# The plan


def test_a_dry_run_tells_and_touches_nothing(nstbatch: Call, photos: Path, common: list[object], tmp_path: Path) -> None:
    (photos / "bad.jpg").write_text("x")
    assert nstbatch(photos / "a.jpg", *common, *QUICK).returncode == 0
    before = {path: path.lstat().st_mtime_ns for path in tmp_path.rglob("*") if "cache" not in path.parts}
    done = nstbatch(photos, *common, *QUICK, "--dry-run", "-r")
    assert done.returncode == 3, "as the run would end"
    lines = done.stdout.splitlines()
    assert lines[0] == f"up to date: {photos}/a.jpg (painted already)"
    assert re.fullmatch(rf"to do: {photos}/b\.png -> {tmp_path}/out/b\.png \(new\), about \d+\.\d s", lines[1])
    assert lines[2].startswith(f"refused: {photos}/bad.jpg (not a picture")
    assert re.fullmatch(r"2 to do, 1 up to date, 1 refused, about \d+\.\d s", lines[-1])
    after = {path: path.lstat().st_mtime_ns for path in tmp_path.rglob("*") if "cache" not in path.parts}
    assert after == before


def test_lists_patterns_trees_and_names(nstbatch: Call, photos: Path, common: list[object], tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = nstbatch(photos / "**" / "*.jpg", *common, *QUICK, "--name", "{stem}.{style}{ext}")
    assert done.returncode == 0, done.stderr
    assert set(files(out)) == {"a.ember.jpg", "deep/c.ember.jpg"}
    listed = tmp_path / "list"
    listed.write_bytes(b"\0".join(os.fsencode(path) for path in (photos / "b.png", photos / "absent.jpg")) + b"\0")
    done = nstbatch("--files-from", listed, *common, *QUICK)
    assert done.returncode == 3
    assert f"{photos}/absent.jpg: failed: no such file" in done.stderr
    assert "b.png" in files(out)
    done = nstbatch(*common, *QUICK, NSTBATCH_FILES_FROM=str(listed), NSTBATCH_RECURSIVE="1", NSTBATCH_QUIET="1")
    assert done.returncode == 3
    assert done.stdout == ""
    done = nstbatch("--files-from", tmp_path / "nowhere", *common)
    assert done.returncode == 2
    assert "--files-from" in done.stderr
    assert nstbatch(*common).returncode == 2


def test_a_list_on_standard_input(photos: Path, common: list[object], tmp_path: Path) -> None:
    done = subprocess.run(
        [*MAIN, "--files-from", "-", *map(str, [*common, *QUICK])],
        input="a.jpg\ndeep/c.jpg\n",
        cwd=photos,
        env={"NSTBATCH_CACHE_DIR": str(tmp_path / "cache"), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert set(files(tmp_path / "out")) == {"a.jpg", "deep/c.jpg"}, "relative paths are mirrored"


def test_a_second_run_has_nothing_to_do(nstbatch: Call, photos: Path, common: list[object], tmp_path: Path) -> None:
    first = nstbatch(photos, *common, *QUICK, "-r")
    assert first.returncode == 0, first.stderr
    before = {
        path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.[jp]*g") if REPORT_FILES not in path.parts
    }
    assert len(before) == 3
    again = nstbatch(photos, *common, *QUICK, "-r")
    assert again.returncode == 0
    assert again.stdout == "0 painted, 0 failed, 3 up to date in 0 s\n", "one line for cron's mail, or none with -q"
    assert {path: path.stat().st_mtime_ns for path in before} == before
    verbose = nstbatch(photos, *common, *QUICK, "-r", "-v")
    assert f"{photos}/a.jpg: up to date: painted already" in verbose.stdout
    assert nstbatch(photos, *common, *QUICK, "-r", "-q").stdout == ""
    other = nstbatch(photos, *common, *QUICK, "-r", "-v", "--style-weight", "20")
    assert "begun (the options have changed)" in other.stdout
    assert "3 painted" in other.stdout


# Signals and deadlines


LONG = ("--size", "44", "--iterations", "100000", "--scales", "1")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_drops_the_picture_in_work(number: int, photos: Path, common: list[object], tmp_path: Path) -> None:
    run = Process(photos, *common, *LONG, cache=tmp_path / "cache")
    run.until("start")
    run.send(number)
    assert run.end() == 130
    assert run.pictures() == {"a.jpg": "dropped"}
    assert run.events[-1] | {"time": 0} == {
        "v": 1, "event": "end", "time": 0, "exit_code": 130, "error": None, "stopped": "interrupted", "left": 2,
        "painted": 0, "up_to_date": 0, "kept": 0, "failed": 0, "dropped": 1,
    }  # fmt: skip
    assert "interrupted: dropping the picture in work" in run.errors
    assert "Traceback" not in run.errors
    assert files(tmp_path / "out") == {}


def test_a_signal_does_not_wait_for_an_evaluation(photos: Path, common: list[object], tmp_path: Path) -> None:
    picture(photos / "a.jpg", (1500, 1500))
    run = Process(photos / "a.jpg", *common, "--size", "1500", "--scales", "1", "--threads", "1", cache=tmp_path / "cache")
    run.until("start")
    time.sleep(2)  # into the first evaluation, which takes a minute
    assert not [event for event in run.events if event["event"] == "progress"]
    run.send(signal.SIGTERM)
    assert run.end(timeout=30) == 130


def test_on_stop_finish(photos: Path, common: list[object], tmp_path: Path) -> None:
    options = ("--size", "44", "--iterations", "60", "--scales", "1", "--on-stop", "finish")
    run = Process(photos, *common, *options, cache=tmp_path / "cache")
    run.until("start")
    run.send(signal.SIGTERM)
    assert run.end() == 130
    assert run.pictures() == {"a.jpg": "painted"}
    assert set(files(tmp_path / "out")) == {"a.jpg"}
    assert list(Journal.read(tmp_path / "out").painted) == ["a.jpg"]


def test_a_second_signal_leaves_at_once(photos: Path, common: list[object], tmp_path: Path) -> None:
    run = Process(photos, *common, *LONG, "--on-stop", "finish", cache=tmp_path / "cache")
    run.until("start")
    run.send(signal.SIGTERM)
    run.until("note", text="interrupted: finishing the picture in work; once more to leave at once")
    run.send(signal.SIGINT)
    assert run.end(timeout=30) == 130
    assert files(tmp_path / "out") == {}
    again = Process(photos / "a.jpg", *common, *QUICK, cache=tmp_path / "cache")
    assert again.end() == 0, "the lock went with the process"


def test_max_duration(photos: Path, common: list[object], tmp_path: Path) -> None:
    run = Process(photos, *common, *LONG, "--max-duration", "8s", cache=tmp_path / "cache")
    assert run.end() == 10
    assert run.pictures() == {"a.jpg": "dropped"}
    assert run.events[-1]["stopped"] == "deadline reached"


@pytest.mark.parametrize("text", ["", "50", "m", "1d", "-5m", "5m5h"])
def test_durations_that_cannot_be_meant(text: str, nstbatch: Call, photos: Path, common: list[object]) -> None:
    done = nstbatch(photos, *common, f"--max-duration={text}")
    assert done.returncode == 2
    assert "is not a duration such as 90s, 50m, 2h or 1h30m" in done.stderr


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


# Being watched


def test_events(
    nstbatch: Call, photos: Path, common: list[object], valid: Callable[[str], list[dict[str, Any]]], tmp_path: Path
) -> None:
    odd = photos / os.fsdecode(b"caf\xe9\n.jpg")
    odd.write_bytes((photos / "a.jpg").read_bytes())
    (photos / "bad.jpg").write_text("x")
    done = nstbatch(photos, *common, *QUICK, "--json")
    assert done.returncode == 3
    events = valid(done.stdout)
    # A picture is saved while the next is in work, or before it.
    assert [e["event"] for e in events if e["event"] != "start"] == ["plan", *["picture"] * 4, "end"]
    begun = [e["source"] for e in events if e["event"] == "start"]
    assert begun == [e["source"] for e in events if e["event"] == "picture" and e["outcome"] == "painted"]
    for source in begun:
        of_it = [e["event"] for e in events if e.get("source") == source]
        assert of_it == ["start", "picture"]
    assert events[0] | {"time": 0} == {
        "v": 1,
        "event": "plan",
        "time": 0,
        "todo": 3,
        "up_to_date": 0,
        "kept": 0,
        "refused": 1,
    }
    assert events[-2]["source"] == str(odd)
    assert events[-1]["exit_code"] == 3
    assert (events[-1]["painted"], events[-1]["failed"]) == (3, 1)
    assert [e["outcome"] for e in valid(nstbatch(photos, *common, *QUICK, "--json").stdout) if e["event"] == "picture"] == [
        "up_to_date", "up_to_date", "failed", "up_to_date",
    ]  # fmt: skip
    # Whatever ends a run, the last event says so.
    (event,) = valid(nstbatch(photos, "--style", tmp_path / "absent.jpg", "--json").stdout)
    assert (event["event"], event["exit_code"]) == ("end", 2)
    assert "absent.jpg: No such file" in event["error"]


def test_the_log(nstbatch: Call, photos: Path, common: list[object], tmp_path: Path) -> None:
    log = tmp_path / "log"
    odd = photos / "new\nline.jpg"
    odd.write_bytes((photos / "a.jpg").read_bytes())
    (photos / "bad.jpg").write_text("x")
    assert nstbatch(photos, *common, *QUICK, "--log-file", log, "-q").returncode == 3
    nstbatch(photos, "--style", tmp_path / "absent.jpg", "--log-file", log)
    lines = log.read_text().splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} \[\d+\] (INFO|ERROR|WARNING) ", line) for line in lines)
    text = "\n".join(line.split("] ")[1] for line in lines)
    assert "INFO plan: 3 to do, 0 up to date, 1 refused" in text
    assert "new\\nline.jpg -> " in text
    assert "ERROR " in text
    assert "bad.jpg: failed: not a picture" in text
    assert "INFO exit 3: 3 painted, 1 failed" in text
    assert text.splitlines()[-1].startswith("INFO exit 2: ")
    done = nstbatch(photos, *common, "--log-file", tmp_path / "no" / "log")
    assert done.returncode == 2
    assert "--log-file" in done.stderr


def test_the_log_may_be_rotated_while_it_is_written(photos: Path, common: list[object], tmp_path: Path) -> None:
    log = tmp_path / "log"
    options = ("--size", "44", "--iterations", "40", "--scales", "1", "--log-file", log, "-r")
    run = Process(photos, *common, *options, cache=tmp_path / "cache")
    run.until("picture")
    log.rename(tmp_path / "log.1")
    assert run.end() == 0
    assert "plan: " in (tmp_path / "log.1").read_text()
    assert "exit 0: 3 painted" in log.read_text()


def test_the_status(photos: Path, common: list[object], tmp_path: Path, nstbatch: Call) -> None:
    status = tmp_path / "status.json"
    options = ("--size", "44", "--iterations", "40", "--scales", "1", "--status-file", status)
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


def test_fail_fast(nstbatch: Call, photos: Path, common: list[object]) -> None:
    (photos / "a.jpg").write_text("x")
    done = nstbatch(photos, *common, *QUICK, "--fail-fast")
    assert done.returncode == 3
    assert "0 painted, 1 failed, 1 left (a picture failed)" in done.stdout


@pytest.mark.parametrize("option", ["--status-file", "--log-file"])
@pytest.mark.parametrize("victim", ["photo", "style"])
def test_no_file_of_the_users_is_written_over(
    option: str, victim: str, nstbatch: Call, photos: Path, common: list[object], tmp_path: Path
) -> None:
    style = picture(tmp_path / "style.png", seed=5)
    path = {"photo": photos / "b.png", "style": style}[victim]
    before = path.read_bytes()
    done = nstbatch(photos, *common, *QUICK, "--style", style, option, path)
    assert done.returncode == 2
    assert f"{option} {path}: is there already" in done.stderr
    assert path.read_bytes() == before


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


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_log_on_a_full_disk_costs_lines_and_no_picture(nstbatch: Call, photos: Path, common: list[object]) -> None:
    done = nstbatch(photos, *common, *QUICK, "--log-file", "/dev/full")
    assert done.returncode == 0
    assert "Traceback" not in done.stderr


def test_nothing_is_sent_home_and_no_home_is_needed(
    photos: Path, common: list[object], tmp_path: Path, nstbatch: Call
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    for place in (home, Path("/proc/nowhere")):
        done = nstbatch(photos, *common, *QUICK, "-q", "--force", HOME=str(place), XDG_CACHE_HOME=str(place / "cache"))
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(home.rglob("*")) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--max-megapixels", "nan"), "no finite number"),
        (("--max-megapixels", "0"), "not in the range"),
        (("--checkpoint", "inf"), "no finite number"),
        (("--tv-weight", "1e308"), "weights must be between 0 and 1e+30"),
    ],
)
def test_numbers_that_cannot_be_meant(
    arguments: tuple[str, str], message: str, nstbatch: Call, photos: Path, common: list[object]
) -> None:
    done = nstbatch(photos, *common, *arguments)
    assert done.returncode == 2
    assert message in done.stderr


def test_a_deadline_beyond_what_a_clock_can_wait_for(nstbatch: Call, photos: Path, common: list[object]) -> None:
    done = nstbatch(photos / "a.jpg", *common, *QUICK, "--max-duration", "99999999999999h")
    assert done.returncode == 0
    assert "Traceback" not in done.stderr


def test_a_misspelt_variable_is_told(nstbatch: Call, photos: Path, common: list[object]) -> None:
    done = nstbatch(photos / "a.jpg", *common, *QUICK, NSTBATCH_SIZ="64")
    assert done.returncode == 0
    assert "NSTBATCH_SIZ is set, and is none of the options" in done.stderr
    assert "NSTBATCH_CACHE_DIR" not in done.stderr


def test_a_cache_that_can_only_be_read(bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NSTBATCH_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "cache" / "bundles").mkdir(parents=True)
    cached_bundle_path(BundleSpec()).symlink_to(bundle.path)
    # Root may write anywhere, so the answer of the system is stood in for.
    monkeypatch.setattr(FileLock, "acquire", lambda *_: pytest.fail("locked"))
    assert find_bundle(None).id == bundle.id


def test_a_picture_that_is_saved_while_the_next_is_in_work(tmp_path: Path) -> None:
    for name in "ab":
        picture(tmp_path / "in" / f"{name}.png")
    bench = Bench(picture(tmp_path / "s.png", seed=1), tmp_path / "out")
    plan = bench.plan(tmp_path / "in")
    first, second = plan.tasks
    report = Outcome(2)
    now = 100.0
    status = StatusFile(tmp_path / "status.json", clock=lambda: now)
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
