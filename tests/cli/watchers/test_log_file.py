"""The log, rotated and on a full disk."""

import re
from pathlib import Path

import pytest

from process import QUICK, Call, Process


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
    options = ("--size", "44", "--iterations", "20", "--scales", "1", "--log-file", log, "-r")
    run = Process(photos, *common, *options, cache=tmp_path / "cache")
    run.until("picture")
    log.rename(tmp_path / "log.1")
    assert run.end() == 0
    assert "plan: " in (tmp_path / "log.1").read_text()
    assert "exit 0: 3 painted" in log.read_text()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_log_on_a_full_disk_costs_lines_and_no_picture(nstbatch: Call, photos: Path, common: list[object]) -> None:
    done = nstbatch(photos, *common, *QUICK, "--log-file", "/dev/full")
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
