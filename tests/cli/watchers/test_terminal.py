"""What a run says on a terminal."""

import io
import os
import pty
import re
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from nstbatch.cli.watchers.terminal import preview_of, sparkline
from nstbatch.runtime.bundle.spec import Bundle
from nstbatch.runtime.errors import UsageError
from process import MAIN, Call
from seams import picture


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True)), st.integers(1, 30))
def test_any_losses_have_a_sparkline(values: list[float], width: int) -> None:
    line = sparkline(values, width)
    assert len(line) <= width
    assert set(line) <= set("▁▂▃▄▅▆▇█")


def test_a_sparkline_by_hand() -> None:
    assert sparkline([1000, 100, 10]) == "█▅▁"
    assert sparkline([5, 5]) == "▁▁"


def on_a_terminal(*arguments: object, code: int = 0, **environment: str) -> str:
    """What a run writes to a terminal on stderr."""
    ours, theirs = pty.openpty()
    said: list[bytes] = []

    def read() -> None:
        # The terminal is closed when its last writer is gone, which is an error to its reader.
        try:
            while data := os.read(ours, 65536):
                said.append(data)
        except OSError:
            pass

    env = {"PATH": os.environ["PATH"], "TERM": "xterm-256color", "COLUMNS": "120", **environment}
    run = subprocess.Popen([*map(str, [*MAIN, *arguments])], env=env, stdout=subprocess.DEVNULL, stderr=theirs)
    os.close(theirs)
    reader = threading.Thread(target=read)
    reader.start()
    assert run.wait(120) == code
    reader.join()
    os.close(ours)
    return b"".join(said).decode()


@pytest.fixture
def arguments(bundle: Bundle, tmp_path: Path) -> list[object]:
    for seed in range(2):
        picture(tmp_path / "in" / f"{seed}.png", seed=seed)
    style = picture(tmp_path / "s.png", seed=9)
    options = ("--size", 40, "--iterations", 60, "--scales", 1, "--provider", "cpu", "-o", tmp_path / "out")
    return [tmp_path / "in", "--style", style, "--bundle", bundle.path, *options]


def test_the_bar_on_a_terminal(arguments: list[object], tmp_path: Path) -> None:
    text = on_a_terminal(*arguments, NSTBATCH_CACHE_DIR=str(tmp_path / "cache"))
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    assert "0/2" in plain
    assert re.search(r"1/2, [\d,]+ an hour, \d+ s left", plain)
    assert re.search(r"0\.png .* +\d+% \d+ s left, 40 px", plain)
    assert "loss" not in plain
    assert re.search(r"\x1b\[[\d;]*3\dm", text), "in colours"


def test_nothing_is_wider_than_the_terminal(bundle: Bundle, tmp_path: Path) -> None:
    photo = picture(tmp_path / "in" / f"{'a long name ' * 8}.png", (300, 200))
    (tmp_path / "in" / f"{'broken ' * 16}.jpg").write_text("no picture")
    options = ("--size", 40, "--iterations", 30, "--scales", 1, "--provider", "cpu", "-o", tmp_path / "out", "-v")
    style = ("--style", picture(tmp_path / "s.png", seed=9), "--bundle", bundle.path)
    environment = {"NSTBATCH_CACHE_DIR": str(tmp_path / "cache"), "COLUMNS": "80"}
    text = on_a_terminal(photo.parent, *style, *options, code=3, **environment)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    # What names no file is nstbatch's own to fit.
    lines = [line for line in re.split(r"[\r\n]+", plain) if str(tmp_path) not in line]
    assert max(map(len, lines)) <= 80
    assert any(re.search(r"a long name .*… +[━╺╸ ]+ +\d+% \d+ s left, 40 px, loss ", line) for line in lines)
    assert re.search(r"\x1b\[1;31m[^\x1b]*broken", text), "failures stand out"


def test_no_color_and_preview(arguments: list[object], tmp_path: Path) -> None:
    text = on_a_terminal(*arguments, "--preview", NSTBATCH_CACHE_DIR=str(tmp_path / "cache"), NO_COLOR="1")
    assert "0/2" in text
    assert not re.search(r"\x1b\[[\d;]*3\dm", text)
    assert sum(len(line) == 48 and set(line) <= set(" ░▒▓█▀▄") for line in text.splitlines()) > 10, "in blocks, here"


def test_nothing_of_it_without_a_terminal(arguments: list[object], nstbatch: Call) -> None:
    done = nstbatch(*arguments, "--preview")
    assert done.returncode == 0
    assert "\x1b" not in done.stdout + done.stderr
    assert "left" not in done.stdout + done.stderr


def test_a_terminal_that_cannot_be_asked_costs_no_picture(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Broken:
        def __init__(self, *_: object, **__: object) -> None:
            raise ZeroDivisionError

    monkeypatch.setitem(sys.modules, "textual_image.renderable", SimpleNamespace(Image=Broken))
    preview_of(Console(file=io.StringIO()))(picture(tmp_path / "a.png"))
    monkeypatch.setitem(sys.modules, "textual_image.renderable", None)
    with pytest.raises(UsageError, match=r"nstbatch\[preview\]"):
        preview_of(Console(file=io.StringIO()))
