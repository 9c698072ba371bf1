"""What is remembered of runs."""

from pathlib import Path

import seams
from nstbatch.runtime.output.names import STATE
from nstbatch.runtime.output.runs import Run, read_runs


def test_torn_lines_of_runs_are_skipped(tmp_path: Path) -> None:
    (tmp_path / STATE).mkdir()
    run = Run.begin("cpu", "float32", seams.bundle(), "nstbatch photos")
    run.append(tmp_path)
    with (tmp_path / STATE / "runs.jsonl").open("a") as file:
        file.write('{"id": "torn\n[]\n{"id": "other"}\n')
    assert read_runs(tmp_path) == [run]
