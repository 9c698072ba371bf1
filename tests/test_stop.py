"""A request to stop, at any moment."""

from pathlib import Path

import pytest

from nstbatch.runtime.stop import Stop, StopReason
from seams import Bench, SeamEngine, after, files, outcomes


@pytest.mark.parametrize("drop", [True, False])
def test_a_stop_drops_or_finishes_the_picture_in_work(drop: bool, bench: Bench, tmp_path: Path) -> None:
    stop = Stop()
    # 8 evaluations a picture: the stop comes in the second.
    bench.engine = lambda: SeamEngine(after(11, lambda: stop.request(StopReason.INTERRUPTED, drop=drop)))
    report = bench.run(tmp_path / "in", stop=stop)
    second = "dropped" if drop else "painted"
    assert outcomes(report) == {"a.png": "painted", "b.png": second}
    assert report.exit_code == 130
    assert report.left == (2 if drop else 1)
    assert set(files(bench.output)) == ({"a.png"} if drop else {"a.png", "b.png"})
    bench.engine = SeamEngine
    assert outcomes(bench.run(tmp_path / "in")) == {
        "a.png": "up to date",
        "b.png": "painted" if drop else "up to date",
        "c.png": "painted",
    }


def test_a_stop_before_the_first_picture(bench: Bench, tmp_path: Path) -> None:
    stop = Stop()
    stop.request(StopReason.INTERRUPTED, drop=True)
    report = bench.run(tmp_path / "in", stop=stop)
    assert (report.rows, report.left, report.exit_code) == ([], 3, 130)


def test_a_second_request_hurries_the_first() -> None:
    stop = Stop()
    heard = []
    stop.when_dropping(lambda: heard.append("early"))
    stop.request(StopReason.DEADLINE, drop=False)
    assert (stop.reason, stop.dropping, heard) == (StopReason.DEADLINE, False, [])
    stop.request(StopReason.INTERRUPTED, drop=True)
    stop.request(StopReason.INTERRUPTED, drop=True)
    stop.when_dropping(lambda: heard.append("late"))
    assert (stop.reason, stop.dropping, heard) == (StopReason.DEADLINE, True, ["early", "late"])
