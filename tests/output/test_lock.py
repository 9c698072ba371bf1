"""One run at a time for each output folder."""

import json
import os
import shutil
from pathlib import Path

import pytest

from nstbatch.runtime.errors import LockedError, UsageError
from nstbatch.runtime.output.lock import hold


def test_a_folder_is_held_by_one_run(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with hold([out, tmp_path / "other"]):
        assert json.loads((out / ".nstbatch" / "holder.json").read_text())["pid"] > 0
        held = pytest.raises(LockedError, match=r"out: another run holds this output folder \(process \d+ on .* since")
        with held, hold([tmp_path / "third", out]):
            pass
        with hold([tmp_path / "third"]):
            pass
    with hold([out]):
        pass
    assert not (out / ".nstbatch" / "holder.json").exists()


def test_a_folder_named_in_two_ways_is_held_once(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "link").symlink_to("out")
    with hold([tmp_path / "out", tmp_path / "link", tmp_path / "out" / ".." / "out"]):
        pass


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be written to"), hold([tmp_path / "file" / "out"]):
        pass


def test_a_folder_that_is_there_no_more(tmp_path: Path) -> None:
    out = tmp_path / "out"
    for change in ("moved", "replaced", "a link", "its state removed"):
        with hold([out]) as held:
            held.check(out)
            (out / "file").touch()
            if change == "its state removed":
                shutil.rmtree(out / ".nstbatch")
            else:
                out.rename(tmp_path / "moved")
            if change == "replaced":
                (out / ".nstbatch").mkdir(parents=True)
                (out / ".nstbatch" / "lock").touch()
            elif change == "a link":
                (tmp_path / "elsewhere" / ".nstbatch").mkdir(parents=True)
                out.symlink_to("elsewhere")
            with pytest.raises(OSError, match=r"removed or replaced|No such file"):
                held.check(out)
        if out.is_symlink():
            out.unlink()
        shutil.rmtree(out, ignore_errors=True)
        shutil.rmtree(tmp_path / "moved", ignore_errors=True)


def test_a_backup_of_hard_links_takes_no_lock_away(tmp_path: Path) -> None:
    with hold([tmp_path / "out"]) as held:
        os.link(tmp_path / "out" / ".nstbatch" / "lock", tmp_path / "backup")
        with pytest.raises(LockedError), hold([tmp_path / "out"]):
            pass
        held.check(tmp_path / "out")


@pytest.mark.parametrize("name", ["lock", "."])
def test_a_link_in_the_locks_place_is_not_followed(name: str, tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "lock").write_text("precious")
    (tmp_path / "out").mkdir()
    if name == ".":
        (tmp_path / "out" / ".nstbatch").symlink_to(tmp_path / "theirs")
    else:
        (tmp_path / "out" / ".nstbatch").mkdir()
        (tmp_path / "out" / ".nstbatch" / "lock").symlink_to(tmp_path / "theirs" / "lock")
    with pytest.raises(UsageError, match="link"), hold([tmp_path / "out"]):
        pass
    assert [path.read_text() for path in (tmp_path / "theirs").iterdir()] == ["precious"]


@pytest.mark.parametrize("note", ["", "[]", '{"pid": []}', '{"pid": 1e999, "host": "h", "since": "s"}', "[" * 10**5])
def test_a_note_that_is_damaged_names_nobody(note: str, tmp_path: Path) -> None:
    with hold([tmp_path / "out"]):
        (tmp_path / "out" / ".nstbatch" / "holder.json").write_text(note)
        with pytest.raises(LockedError, match="it has not said which"), hold([tmp_path / "out"]):
            pass
