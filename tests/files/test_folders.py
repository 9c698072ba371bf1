"""Folders by descriptors, and by paths where the system has none."""

import contextlib
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from nstbatch.runtime.files import folders
from nstbatch.runtime.files.folders import NotRegularError, flags, open_folder


def test_flags_that_the_system_has_not_are_left_out() -> None:
    assert flags("O_NOFOLLOW", "O_OF_ANOTHER_SYSTEM") == os.O_NOFOLLOW
    assert flags("O_OF_ANOTHER_SYSTEM") == 0


@pytest.fixture(params=[True, False], ids=["by descriptor", "by path"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """How folders are reached: by descriptors or not."""
    monkeypatch.setattr(folders, "BY_DESCRIPTOR", request.param)
    return bool(request.param)


def test_what_can_be_done_in_a_folder(way: bool, tmp_path: Path) -> None:
    with contextlib.closing(open_folder(tmp_path)) as top:
        with contextlib.closing(top.enter("below", make=True)) as folder:
            with open(folder.open("a", os.O_WRONLY | os.O_CREAT), "wb") as file:  # noqa: PTH123 - of a descriptor
                file.write(b"content")
            assert folder.stat("a").st_size == 7
            folder.replace("a", "b")
            folder.sync()
            assert folder.names() == ["b"]
            folder.unlink("b")
            assert folder.names() == []
        with pytest.raises(FileNotFoundError):
            top.enter("missing", make=False)
        top.enter("below", make=True).close()
    with pytest.raises(NotADirectoryError):
        open_folder(Path(__file__))
    with pytest.raises(FileNotFoundError):
        open_folder(tmp_path / "missing")


def test_a_folder_that_stays_open_is_the_same_whatever_becomes_of_its_path(tmp_path: Path) -> None:
    with contextlib.closing(open_folder(tmp_path)) as top, contextlib.closing(top.enter("a", make=True)) as folder:
        (tmp_path / "a").rename(tmp_path / "b")
        (tmp_path / "others").mkdir()
        (tmp_path / "a").symlink_to(tmp_path / "others")
        os.close(folder.open("file", os.O_WRONLY | os.O_CREAT))
    assert (tmp_path / "b" / "file").exists()
    assert list((tmp_path / "others").iterdir()) == []


def test_a_junction_is_not_entered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows' own kind of link to a folder, which is a folder for `os.lstat`."""
    monkeypatch.setattr(folders, "BY_DESCRIPTOR", False)
    (tmp_path / "junction").mkdir()
    real = os.lstat

    def lstat(path: Path) -> SimpleNamespace:
        return SimpleNamespace(st_mode=real(path).st_mode, st_reparse_tag=0xA0000003 if path.name == "junction" else 0)

    monkeypatch.setattr(os, "lstat", lstat)
    top = open_folder(tmp_path)
    top.enter("folder", make=True)
    with pytest.raises(NotRegularError, match="'junction' is a link"):
        top.enter("junction", make=True)
