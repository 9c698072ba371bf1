"""Signals: the first asks, the second leaves."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nstbatch.runtime.bundle.spec import Bundle
from nstbatch.runtime.output.journal import Journal
from process import LONG, MAIN, QUICK, Process
from seams import files, picture


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
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


def test_a_signal_does_not_wait_for_an_evaluation(photos: Path, common: list[object], vgg19: Bundle, tmp_path: Path) -> None:
    picture(photos / "a.jpg", (1500, 1500))
    options = ("--bundle", vgg19.path, "--size", "1500", "--scales", "1", "--threads", "1")
    run = Process(photos / "a.jpg", *common, *options, cache=tmp_path / "cache")
    run.until("start")
    time.sleep(2)  # into the first evaluation, which takes a minute
    assert not [event for event in run.events if event["event"] == "progress"]
    run.send(signal.SIGTERM)
    assert run.end(timeout=30) == 130


def test_on_stop_finish(photos: Path, common: list[object], tmp_path: Path) -> None:
    options = ("--size", "44", "--iterations", "240", "--scales", "1", "--on-stop", "finish")
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


def on_a_terminal(*arguments: object, cache: Path) -> tuple[int, int]:
    """The command line on a terminal of its own: its process, and the other end of the terminal."""
    pid, end = pty.fork()
    if pid == 0:
        env = {"NSTBATCH_CACHE_DIR": str(cache), "PATH": os.environ["PATH"], "TERM": "xterm"}
        os.execve(sys.executable, [*MAIN, *map(str, arguments)], env)
    return pid, end


def read_until(end: int, text: bytes) -> bytes:
    """What comes, up to a text."""
    seen = b""
    while text not in seen:
        seen += os.read(end, 4096)
    return seen


def test_a_terminal_that_is_closed_stops_the_run(photos: Path, common: list[object], tmp_path: Path) -> None:
    pid, end = on_a_terminal(photos, *common, *LONG, "--checkpoint", "60", cache=tmp_path / "cache")
    read_until(end, b"a.jpg")
    time.sleep(1)
    os.close(end)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 130
    assert len(list((tmp_path / "out" / ".nstbatch" / "checkpoints").iterdir())) == 1


def test_nohup_outlives_the_terminal(photos: Path, common: list[object], tmp_path: Path) -> None:
    options = ("--size", "44", "--iterations", "150", "--scales", "1", "--json")
    command = [*map(str, ["nohup", *MAIN, photos / "a.jpg", *common, *options])]
    environment = {"NSTBATCH_CACHE_DIR": str(tmp_path / "cache"), "PATH": os.environ["PATH"], "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        next(line for line in run.stdout if json.loads(line)["event"] == "start")
        run.send_signal(signal.SIGHUP)
        assert json.loads(run.stdout.read().splitlines()[-1])["event"] == "end"
    assert run.returncode == 0
    assert set(files(tmp_path / "out")) == {"a.jpg"}


def test_the_second_signal_gives_the_cursor_back(photos: Path, common: list[object], tmp_path: Path) -> None:
    pid, end = on_a_terminal(photos, *common, *LONG, "--on-stop", "finish", cache=tmp_path / "cache")
    assert b"\x1b[?25l" in read_until(end, b"\x1b[?25l"), "a bar hides it"
    time.sleep(1)
    os.kill(pid, signal.SIGINT)
    read_until(end, b"once more to leave at once")
    os.kill(pid, signal.SIGTERM)
    assert read_until(end, b"\x1b[?25h")
    _, status = os.waitpid(pid, 0)
    os.close(end)
    assert os.waitstatus_to_exitcode(status) == 130


@pytest.mark.parametrize("numbers", [(signal.SIGTERM, signal.SIGTERM), (signal.SIGHUP, signal.SIGINT)])
def test_two_signals_at_any_moment(numbers: tuple[int, int], photos: Path, common: list[object], tmp_path: Path) -> None:
    """While it starts, plans, paints and ends: there is no moment at which they do anything else."""
    for delay in (0, 0.3, 0.7, 1.0):
        run = subprocess.Popen(
            [*map(str, [*MAIN, photos, *common, *QUICK, "-o", tmp_path / "out", "--force"])],
            env={"NSTBATCH_CACHE_DIR": str(tmp_path / "cache"), "PATH": os.environ["PATH"]},
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        wait_until_caught(run.pid, numbers[0])
        time.sleep(delay)
        for number in numbers:
            run.send_signal(number)
            time.sleep(0.02)
        _, errors = run.communicate(timeout=60)
        assert run.returncode in (130, 0), (delay, errors)
        assert "Traceback" not in errors


def wait_until_caught(pid: int, number: int) -> None:
    """Before Python has come to our first line, signals are the system's."""
    while not int(re.search(r"SigCgt:\s*(\w+)", Path(f"/proc/{pid}/status").read_text())[1], 16) >> (number - 1) & 1:
        time.sleep(0.01)
