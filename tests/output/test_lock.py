"""One run at a time for each output folder."""

import json
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
