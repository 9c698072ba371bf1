"""The report that a run leaves."""

import re
from pathlib import Path

from nstbatch.runtime.bundle.spec import Bundle
from nstbatch.runtime.output.names import REPORT_FILES
from pages import data_of
from process import QUICK, Call
from seams import picture


def test_a_run_leaves_a_report(painted_once: Path) -> None:
    painted = painted_once / "out"
    page = (painted / "report.html").read_text()
    data = data_of(page)
    rows = {row["name"]: row for row in data["rows"]}
    assert len(rows) == 3
    first = data["rows"][0]
    assert (first["name"], first["failed"], first["painting"]) == ("broken.jpg", True, None)
    assert first["reason"].startswith("not a picture")
    row = rows["a.png"]
    assert row["style"] == "starry"
    assert row["evaluations"] == 6
    assert [point[1] for point in row["curve"]] == [32] * 3 + [40] * 3
    assert row["curve"][-1][2] > 0
    for url in (row["photo"], row["painting"], row["photoThumbnail"], row["paintingThumbnail"]):
        assert (painted / url).exists()
    (run,) = data["runs"]
    assert (run["painted"], run["failed"], run["exit_code"]) == (2, 1, 3)
    assert run["seconds"] > 0
    assert "--style" in run["command"]
    assert "onnxruntime" in run["versions"]
    assert run["provider"] == "cpu, float32"
    assert set(re.findall(r"\w+://[^\"]+", page)) == {"http://www.w3.org/2000/svg", "https://pypi.org/project/nstbatch/"}


def test_quiet_runs_leave_none(bundle: Bundle, tmp_path: Path, nstbatch: Call) -> None:
    picture(tmp_path / "in" / "a.png")
    common = (tmp_path / "in", "--style", picture(tmp_path / "s.png"), "--bundle", bundle.path, *QUICK)
    for name, options in {"q": ["-q"], "no": ["--no-report"], "dry": ["--dry-run"]}.items():
        assert nstbatch(*common, "-o", tmp_path / name, *options).returncode == 0
        assert not (tmp_path / name / "report.html").exists()
        assert not (tmp_path / name / REPORT_FILES).exists()
    assert nstbatch(*common, "-o", tmp_path / "q", "-q", "--report").returncode == 0
    assert (tmp_path / "q" / "report.html").exists()


def test_what_is_wrong_with_a_report_costs_nothing(bundle: Bundle, tmp_path: Path, nstbatch: Call) -> None:
    picture(tmp_path / "in" / "a.png")
    (tmp_path / "out" / "report.html").mkdir(parents=True)
    (tmp_path / "out" / REPORT_FILES).write_text("a file in the way")
    done = nstbatch(
        tmp_path / "in", "--style", picture(tmp_path / "s.png"), "--bundle", bundle.path, "-o", tmp_path / "out", *QUICK
    )
    assert (done.returncode, "1 painted" in done.stdout) == (0, True), done.stderr
