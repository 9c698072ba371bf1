"""Files that are whole or not there."""

import errno
import os
from pathlib import Path

import pytest
from PIL import Image

from nstbatch.runtime.errors import ImageError
from nstbatch.runtime.files import atomic
from nstbatch.runtime.pictures.encoding import write_picture
from nstbatch.runtime.pictures.photo import Picture


def disaster(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let one step of the save fail."""

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, name, fail)


@pytest.mark.parametrize("step", ["open", "write", "fstat", "fsync", "replace"])
@pytest.mark.parametrize("existing", [True, False])
def test_a_failing_save_leaves_the_old_file_or_none(
    step: str, existing: bool, scene: Image.Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out.png"
    if existing:
        path.write_bytes(b"old")
    with monkeypatch.context() as patch:
        disaster(step, patch)
        with pytest.raises(ImageError, match="No space left") as caught:
            write_picture(path, Picture(scene))
    assert "bytes" in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == (["out.png"] if existing else [])
    if existing:
        assert path.read_bytes() == b"old"


def test_fewer_bytes_than_written_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.fstat

    def short(handle: int) -> object:
        class Short:
            st_size = real(handle).st_size - 1

        return Short()

    monkeypatch.setattr(os, "fstat", short)
    with pytest.raises(OSError, match="9 of 10 bytes"):
        atomic.write_atomic(tmp_path / "x", b"0123456789")
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []


def test_a_saved_file_has_ordinary_permissions(tmp_path: Path) -> None:
    (tmp_path / "ordinary").touch()
    atomic.write_atomic(tmp_path / "ours", b"x")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "ordinary").stat().st_mode
