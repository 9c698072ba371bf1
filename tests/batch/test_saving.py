"""Paintings onto disks that fail."""

import errno
import itertools
import os
from pathlib import Path

import pytest

from nstbatch.runtime.errors import DiskError
from nstbatch.runtime.output.journal import Journal
from seams import Bench, files, outcomes


def opened_as(handle: int) -> str:
    return str(Path(f"/proc/self/fd/{handle}").readlink())


@pytest.mark.parametrize("call", ["open", "write", "fsync", "replace"])
def test_a_full_disk_ends_the_run_and_the_next_goes_on(
    call: str, bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = Bench(bench.style, tmp_path / "reference")
    reference.run(tmp_path / "in")
    real = getattr(os, call)

    def full(*arguments: object, **options: object) -> object:
        target = str(arguments[0])
        opened = opened_as(arguments[0]) if isinstance(arguments[0], int) else target
        writing = call != "open" or arguments[1] & os.O_CREAT  # type: ignore[operator]
        if (bench.output / "a.png").exists() and writing and ".nstbatch-" in opened:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*arguments, **options)

    monkeypatch.setattr(os, call, full)
    with pytest.raises(
        DiskError, match=r"out/b\.png: cannot write [\d,]+ bytes \(No space left on device\), [\d,]+ are free"
    ):
        bench.run(tmp_path / "in")
    monkeypatch.undo()
    assert set(files(bench.output)) == {"a.png"}, "no torn file, no leftover"
    assert Journal.read(bench.output).skipped == 0
    report = bench.run(tmp_path / "in")
    assert outcomes(report)["a.png"] == "up to date"
    assert files(bench.output) == files(reference.output)


def test_a_journal_on_a_full_disk_survives(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    lines = itertools.count()

    def full(handle: int, data: bytes) -> int:
        if opened_as(handle).endswith("journal.jsonl") and next(lines) == 1:
            real(handle, bytes(data)[:50])
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(handle, data)

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(DiskError):
        bench.run(tmp_path / "in")
    monkeypatch.undo()
    assert Journal.read(bench.output).skipped == 1, "a torn line"
    assert outcomes(bench.run(tmp_path / "in")) == {"a.png": "up to date", "b.png": "painted", "c.png": "painted"}
    assert Journal.read(bench.output).skipped == 1
    assert len(Journal.read(bench.output).painted) == 3


def test_an_output_that_cannot_be_replaced_is_a_row(bench: Bench, tmp_path: Path) -> None:
    report = bench.run(tmp_path / "in", between=lambda _: (bench.output / "b.png").mkdir())
    assert outcomes(report) == {"a.png": "painted", "b.png": "failed", "c.png": "painted"}
    assert "cannot write" in report.rows[1].reason
    assert set(files(bench.output)) == {"a.png", "c.png"}
