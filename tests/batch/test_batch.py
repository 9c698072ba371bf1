"""A run: a row for each photo, and ends before the last."""

import itertools
import os
import time
from pathlib import Path

import pytest

from seams import Bench, Clock, SeamEngine, after, fail, files, outcomes, picture


def test_any_failure_is_a_row(bench: Bench, tmp_path: Path) -> None:
    errors = iter([MemoryError(), OSError(5, "Input/output error"), ZeroDivisionError("in a provider")])
    bench.engine = lambda: SeamEngine(lambda graph: fail(next(errors))() if graph == "gradient" else None)
    report = bench.run(tmp_path / "in")
    assert set(outcomes(report).values()) == {"failed"}
    assert report.rows[0].reason.startswith("memory ran out")
    assert report.rows[1].reason == "OSError: Input/output error"
    assert report.rows[2].reason == "ZeroDivisionError: in a provider"
    assert files(bench.output) == {}, "nothing is made for a picture that failed"
    assert report.exit_code == 3


def test_fail_fast(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "in" / "b.png").write_text("x")
    report = bench.run(tmp_path / "in", fail_fast=True)
    assert outcomes(report) == {"a.png": "painted", "b.png": "failed"}
    assert (report.exit_code, report.left) == (3, 1)


def test_a_photo_that_vanishes_or_changes_during_the_run(bench: Bench, tmp_path: Path) -> None:
    photos = tmp_path / "in"
    before = picture(tmp_path / "other.png", seed=40).read_bytes()

    def meanwhile() -> None:
        (photos / "b.png").unlink()
        picture(photos / "a.png", seed=40)

    bench.engine = lambda: SeamEngine(after(3, meanwhile))
    report = bench.run(photos)
    assert outcomes(report) == {"a.png": "failed", "b.png": "failed", "c.png": "painted"}
    assert [row.reason.partition(";")[0] for row in report.rows[:2]] == [
        "changed while it was painted",
        "No such file or directory",
    ]
    bench.engine = SeamEngine
    assert outcomes(bench.run(photos)) == {"a.png": "painted", "c.png": "up to date"}
    assert (photos / "a.png").read_bytes() == before


def test_a_photo_that_changes_before_its_turn_is_painted_as_it_is_then(bench: Bench, tmp_path: Path) -> None:
    bench.run(tmp_path / "in", between=lambda _: picture(tmp_path / "in" / "c.png", seed=41))
    assert set(outcomes(bench.run(tmp_path / "in")).values()) == {"up to date"}


def test_a_mislabelled_photo_is_painted_and_said_so(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "in" / "a.png").rename(tmp_path / "in" / "a.jpg")
    report = bench.run(tmp_path / "in" / "a.jpg")
    assert outcomes(report) == {"a.jpg": "painted"}
    assert report.rows[0].reason.endswith("; the photo is a PNG, whatever its name says")
    assert files(bench.output)["a.jpg"][:2] == b"\xff\xd8", "the output is what its name says"


def test_a_deadline_ends_the_run_before_a_picture_that_would_pass_it(bench: Bench, tmp_path: Path) -> None:
    clock = Clock()
    bench.engine = lambda: SeamEngine(clock.tick)
    report = bench.run(tmp_path / "in", duration=200, clock=clock)
    assert outcomes(report) == {"a.png": "painted", "b.png": "painted"}, "80 s each: a third would end after 240"
    assert clock.now == 1160
    assert (report.exit_code, report.left) == (10, 1)


def test_a_deadline_within_the_first_picture_drops_it(bench: Bench, tmp_path: Path) -> None:
    bench.engine = lambda: SeamEngine(lambda _: time.sleep(0.05))
    began = time.monotonic()
    report = bench.run(tmp_path / "in", duration=0.2)
    assert outcomes(report) == {"a.png": "dropped"}
    assert report.exit_code == 10
    assert time.monotonic() - began < 5
    assert files(bench.output) == {}


def test_a_wall_clock_that_jumps_changes_nothing(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jumps = itertools.cycle([0.0, 4e9, -1e9, 1.6e9])
    monkeypatch.setattr(time, "time", lambda: next(jumps))
    for path in (tmp_path / "in").iterdir():
        os.utime(path, (next(jumps) % 2**31, 2**31 - 1))
    report = bench.run(tmp_path / "in", duration=3600, checkpoint=3600)
    assert set(outcomes(report).values()) == {"painted"}
    os.utime(bench.output / "a.png", (0, 0))
    report = bench.run(tmp_path / "in", duration=3600)
    assert set(outcomes(report).values()) == {"up to date"}
    assert all(row.seconds >= 0 for row in report.rows)
