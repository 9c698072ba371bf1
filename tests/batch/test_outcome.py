"""What became of a run: rows, summary, exit code."""

from pathlib import Path

import pytest

from nstbatch.runtime.batch.outcome import Outcome, PhotoOutcome, Row, duration
from nstbatch.runtime.errors import ExitCode
from nstbatch.runtime.planning.placement import Item
from nstbatch.runtime.stop import StopReason


def test_report_owns_the_exit_code_and_the_summary(tmp_path: Path) -> None:
    item = Item(tmp_path / "a.jpg", tmp_path / "b.jpg", tmp_path)
    report = Outcome(5, [Row(item, PhotoOutcome.PAINTED, "all iterations done", 1.5, 10.0)])
    assert report.exit_code is ExitCode.OK
    assert str(report) == "1 painted, 0 failed in 10 s (10 s a picture)"
    report.rows.append(Row(item, PhotoOutcome.FAILED, "truncated"))
    report.rows.append(Row(item, PhotoOutcome.UP_TO_DATE, "painted already"))
    assert report.exit_code is ExitCode.SOME_FAILED == 3
    assert str(report) == "1 painted, 1 failed, 1 up to date in 10 s (10 s a picture)"
    report.rows.append(Row(item, PhotoOutcome.DROPPED, "dropped", seconds=2))
    report.stopped = StopReason.INTERRUPTED
    assert report.left == 2, "the dropped one and one not reached"
    assert report.exit_code is ExitCode.INTERRUPTED == 130
    assert str(report) == "1 painted, 1 failed, 1 up to date, 2 left (interrupted) in 12 s (10 s a picture)"
    assert str(Outcome()) == "0 painted, 0 failed"
    assert {reason.exit_code for reason in StopReason} == {130, 10, 3}


def test_seconds_of_a_run_are_those_on_the_wall() -> None:
    item = Item(Path("a.jpg"), Path("b.jpg"), Path())
    rows = [Row(item, PhotoOutcome.PAINTED, "all iterations done", 1.5, 10.0) for _ in range(3)]
    assert str(Outcome(3, rows, seconds=15)) == "3 painted, 0 failed in 15 s (5.0 s a picture)"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *((0, "0.0 s"), (3.21, "3.2 s"), (9.94, "9.9 s"), (9.96, "10 s"), (59.4, "59 s"), (59.6, "1 min 0 s")),
        *((3599.4, "59 min 59 s"), (3599.6, "1 h 0 min"), (7265, "2 h 1 min"), (86399.9, "1 d 0 h"), (277200, "3 d 5 h")),
    ],
)
def test_durations_have_one_form(seconds: float, text: str) -> None:
    assert duration(seconds) == text
