"""Signals: the first asks, the second leaves."""

import signal
import time
from pathlib import Path

import pytest

from nstbatch.runtime.bundle.spec import Bundle
from nstbatch.runtime.output.journal import Journal
from process import LONG, QUICK, Process
from seams import files, picture


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
