"""What became of a run: rows, summary, exit code."""

from pathlib import Path

from nstbatch.runtime.batch.outcome import Outcome, PhotoOutcome, Row
from nstbatch.runtime.errors import ExitCode
from nstbatch.runtime.planning.placement import Item
from nstbatch.runtime.stop import StopReason


def test_report_owns_the_exit_code_and_the_summary(tmp_path: Path) -> None:
    item = Item(tmp_path / "a.jpg", tmp_path / "b.jpg", tmp_path)
    report = Outcome(5, [Row(item, PhotoOutcome.PAINTED, "all iterations done", 1.5, 10.0)])
    assert report.exit_code is ExitCode.OK
    assert str(report) == "1 painted, 0 failed in 10 s (10.0 s a picture)"
    report.rows.append(Row(item, PhotoOutcome.FAILED, "truncated"))
    report.rows.append(Row(item, PhotoOutcome.UP_TO_DATE, "painted already"))
    assert report.exit_code is ExitCode.SOME_FAILED == 3
    assert str(report) == "1 painted, 1 failed, 1 up to date in 10 s (10.0 s a picture)"
    report.rows.append(Row(item, PhotoOutcome.DROPPED, "dropped", seconds=2))
    report.stopped = StopReason.INTERRUPTED
    assert report.left == 2, "the dropped one and one not reached"
    assert report.exit_code is ExitCode.INTERRUPTED == 130
    assert str(report) == "1 painted, 1 failed, 1 up to date, 2 left (interrupted) in 12 s (10.0 s a picture)"
    assert str(Outcome()) == "0 painted, 0 failed in 0 s"
    assert {reason.exit_code for reason in StopReason} == {130, 10, 3}


def test_seconds_of_a_run_are_those_on_the_wall() -> None:
    item = Item(Path("a.jpg"), Path("b.jpg"), Path())
    rows = [Row(item, PhotoOutcome.PAINTED, "all iterations done", 1.5, 10.0) for _ in range(3)]
    assert str(Outcome(3, rows, seconds=15)) == "3 painted, 0 failed in 15 s (5.0 s a picture)"
