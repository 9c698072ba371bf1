"""Paintings onto disks that fail."""

import errno
import itertools
import os
from pathlib import Path

import pytest

from nstbatch.runtime.errors import DiskError, ExitCode
from nstbatch.runtime.output.journal import Journal
from nstbatch.runtime.planning.plan import Policy
from seams import Bench, SeamEngine, after, files, outcomes


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


@pytest.mark.parametrize("change", ["removed", "replaced", "a link", "the journal replaced"])
def test_a_folder_that_goes_during_the_run_ends_it(change: str, bench: Bench, tmp_path: Path) -> None:
    moved, elsewhere, output = tmp_path / "moved", tmp_path / "elsewhere", bench.output
    (elsewhere / ".nstbatch").mkdir(parents=True)

    def strike() -> None:
        if change == "the journal replaced":
            (output / ".nstbatch" / "journal.jsonl").unlink()
            (output / ".nstbatch" / "journal.jsonl").touch()
            return
        output.rename(moved)
        if change == "replaced":
            output.mkdir()
        elif change == "a link":
            output.symlink_to(elsewhere)

    # In the third picture, of two levels of four evaluations each: the first is saved.
    bench.engine = lambda: SeamEngine(after(20, strike))
    with pytest.raises(DiskError, match="cannot write") as caught:
        bench.run(tmp_path / "in", checkpoint=3600)
    assert caught.value.exit_code is ExitCode.FATAL
    assert files(elsewhere) == {}
    if change == "removed":
        assert not output.exists()
    elif change == "replaced":
        assert files(output) == {}
    kept = files(output if change == "the journal replaced" else moved)
    assert "a.png" in kept
    assert "c.png" not in kept


def test_no_space_tells_files_from_bytes_and_a_read_only_disk(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, full = os.replace, [errno.ENOSPC]

    def fail(source: object, target: object, **options: object) -> None:
        if ".nstbatch-" in str(source):
            raise OSError(full[0], os.strerror(full[0]))
        real(source, target, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "replace", fail)
    kept = os.statvfs(tmp_path)
    for number, left, said in (
        (errno.ENOSPC, 7, r"\(No space left on device\), [\d,]+ are free; make room"),
        (errno.ENOSPC, 0, "no room for another file, whatever its size; delete some"),
        (errno.EROFS, 7, "the file system has become read-only"),
    ):
        full[0] = number
        fields = list(kept)
        fields[5:8] = 1000, left, left
        monkeypatch.setattr(os, "statvfs", lambda _, fields=fields: os.statvfs_result(fields))
        with pytest.raises(DiskError, match=said):
            bench.run(tmp_path / "in")


def test_paintings_have_the_times_of_their_photos(bench: Bench, tmp_path: Path) -> None:
    taken = 1_000_000_000_123_456_789
    os.utime(tmp_path / "in" / "a.png", ns=(taken, taken))
    policy = Policy(keep_times=True)
    assert set(outcomes(bench.run(tmp_path / "in", policy=policy)).values()) == {"painted"}
    assert (tmp_path / "out" / "a.png").stat().st_mtime_ns == taken
    assert set(outcomes(bench.run(tmp_path / "in")).values()) == {"up to date"}
    (tmp_path / "out" / "a.png").write_bytes(b"edited")
    assert outcomes(bench.run(tmp_path / "in", policy=policy))["a.png"] == "painted"
    bench.run(tmp_path / "in", policy=Policy(force=True))
    assert (tmp_path / "out" / "a.png").stat().st_mtime_ns > taken
