"""What a run says on a terminal."""

import io
import os
import pty
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from nstbatch.cli.watchers.pace import Pace
from nstbatch.cli.watchers.terminal import preview_of, sparkline
from nstbatch.runtime.batch.outcome import PhotoOutcome
from nstbatch.runtime.bundle.spec import Bundle
from nstbatch.runtime.errors import UsageError
from nstbatch.runtime.planning.placement import Item
from nstbatch.runtime.planning.plan import Plan, Task, TaskState
from nstbatch.runtime.recipe.settings import Settings
from nstbatch.runtime.recipe.size import Size
from process import MAIN
from seams import picture


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True)), st.integers(1, 30))
def test_any_losses_have_a_sparkline(values: list[float], width: int) -> None:
    line = sparkline(values, width)
    assert len(line) <= width
    assert set(line) <= set("▁▂▃▄▅▆▇█")


def test_a_sparkline_by_hand() -> None:
    assert sparkline([1000, 100, 10]) == "█▅▁"
    assert sparkline([5, 5]) == "▁▁"


def plan_of(sizes: list[tuple[int, int]]) -> Plan:
    return Plan(
        tuple(
            Task(Item(Path(f"{i}.jpg"), Path(f"o/{i}.jpg"), Path("o")), TaskState.TODO, "new", Size(*size))
            for i, size in enumerate(sizes)
        )
    )


@given(
    sizes=st.lists(st.tuples(st.integers(40, 600), st.integers(40, 600)), min_size=1, max_size=8),
    rate=st.floats(1e-7, 1e-3),
    start=st.floats(0, 100),
)
def test_where_work_costs_the_same_the_time_left_is_exact(sizes: list[tuple[int, int]], rate: float, start: float) -> None:
    plan, now = plan_of(sizes), 50.0
    pace = Pace(plan, Settings(size=256), clock=lambda: now)
    work = {task.item: pace._work[task.item] for task in plan.tasks}
    end = None
    for item, amount in work.items():
        pace.started(item)
        for quarter in (0.25, 0.5, 0.75, 1.0):
            # Sessions and styles are made before the first evaluation is done, and never again.
            now += rate * amount / 4 + (start if end is None else 0.0)
            pace.progress(item, quarter)
            if end is None:
                assert pace.seconds_left is None
                end = now + rate * (sum(work.values()) - amount / 4)
            else:
                assert pace.seconds_left == pytest.approx(end - now, abs=1e-6 * end)
        pace.finished(item, PhotoOutcome.PAINTED)
    assert pace.fraction == pytest.approx(1)
    assert pace.per_hour is not None


def test_what_was_refused_before_the_run_is_no_work() -> None:
    plan = plan_of([(100, 100)])
    refused = Task(Item(Path("x.jpg"), Path("o/x.jpg"), Path("o")), TaskState.REFUSED, "damaged")
    pace = Pace(Plan((*plan.tasks, refused)), Settings())
    pace.finished(refused.item, PhotoOutcome.FAILED)
    assert pace.fraction == 0
    assert pace.seconds_left is None


def on_a_terminal(*arguments: object, **environment: str) -> str:
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
    assert run.wait(120) == 0
    reader.join()
    os.close(ours)
    return b"".join(said).decode()


@pytest.fixture
def arguments(bundle: Bundle, tmp_path: Path) -> list[object]:
    for seed in range(2):
        picture(tmp_path / "in" / f"{seed}.png", seed=seed)
    style = picture(tmp_path / "s.png", seed=9)
    options = ("--size", 40, "--iterations", 6, "--scales", 1, "--provider", "cpu", "-o", tmp_path / "out")
    return [tmp_path / "in", "--style", style, "--bundle", bundle.path, *options]


def test_the_bar_on_a_terminal(arguments: list[object], tmp_path: Path) -> None:
    text = on_a_terminal(*arguments, NSTBATCH_CACHE_DIR=str(tmp_path / "cache"))
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    assert "0/2" in plain
    assert re.search(r"1/2, [\d.e+]+ an hour, 0:00:\d\d left", plain)
    assert re.search(r"0\.png .* 40 px, loss [\d.e+]+ [▁▂▃▄▅▆▇█]+", plain)
    assert re.search(r"\x1b\[[\d;]*3\dm", text), "in colours"


def test_no_color_and_preview(arguments: list[object], tmp_path: Path) -> None:
    text = on_a_terminal(*arguments, "--preview", NSTBATCH_CACHE_DIR=str(tmp_path / "cache"), NO_COLOR="1")
    assert "0/2" in text
    assert not re.search(r"\x1b\[[\d;]*3\dm", text)
    assert sum(len(line) == 48 and set(line) <= set(" ░▒▓█▀▄") for line in text.splitlines()) > 10, "in blocks, here"


def test_nothing_of_it_without_a_terminal(
    arguments: list[object], nstbatch: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
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
