"""Files of our own: whole or not there, and nothing but files."""

import errno
import fcntl
import os
import re
import signal
import socket
from pathlib import Path

import pytest
from PIL import Image

from nstbatch.runtime.errors import ImageError
from nstbatch.runtime.files import folders
from nstbatch.runtime.files.folders import NotRegularError
from nstbatch.runtime.files.name import Name
from nstbatch.runtime.files.own import (
    LONGEST_LINE,
    TEMPORARY,
    OwnFile,
    delete_files,
    open_log,
    own_files,
    write_all,
    write_atomic,
)
from nstbatch.runtime.pictures.encoding import write_picture
from nstbatch.runtime.pictures.photo import Picture


def disaster(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let one step of the save fail."""

    def fail(*_: object, **__: object) -> None:
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
        write_atomic(tmp_path / "x", b"0123456789")
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []


def test_a_saved_file_has_ordinary_permissions(tmp_path: Path) -> None:
    (tmp_path / "ordinary").touch()
    write_atomic(tmp_path / "ours", b"x")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "ordinary").stat().st_mode


def thing(kind: str, path: Path, victim: Path) -> None:
    """Put something in a file's place."""
    if kind == "link":
        path.symlink_to(victim)
    elif kind == "dangling":
        path.symlink_to(victim.parent / "made by a link")
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as end:
            end.bind(os.path.relpath(path))
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()


THINGS = ["link", "dangling", "fifo", "socket", "device", "folder"]


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A file of somebody else's, outside of our folder."""
    (tmp_path / "others").mkdir()
    path = tmp_path / "others" / "theirs"
    path.write_bytes(b"precious")
    return path


@pytest.fixture(params=[True, False], ids=["by descriptor", "by path"])
def ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> OwnFile:
    monkeypatch.setattr(folders, "BY_DESCRIPTOR", request.param)
    (tmp_path / "root").mkdir()
    monkeypatch.chdir(tmp_path)
    return OwnFile(tmp_path / "root", Name("sub/file"))


@pytest.mark.parametrize("kind", THINGS)
def test_what_is_no_file_is_not_opened(kind: str, ours: OwnFile, victim: Path) -> None:
    ours.path.parent.mkdir()
    thing(kind, ours.path, victim)
    for use in (ours.read, ours.appending, ours.sha256, lambda: list(ours.lines())):
        with pytest.raises(OSError, match=r"link|regular"):
            use()
    assert ours.status() is not None
    assert not ours.is_there()
    assert sorted(victim.parent.iterdir()) == [victim]
    assert victim.read_bytes() == b"precious"


@pytest.mark.parametrize("kind", [kind for kind in THINGS if kind != "folder"])
@pytest.mark.parametrize("use", ["write", "stage", "writing", "delete"])
def test_what_is_in_its_place_is_replaced_or_deleted_and_not_followed(
    kind: str, use: str, ours: OwnFile, victim: Path
) -> None:
    ours.path.parent.mkdir()
    thing(kind, ours.path, victim)
    if use == "writing":
        with ours.writing() as file:
            file.write(b"ours")
    elif use == "delete":
        ours.delete()
    else:
        getattr(ours, use)(b"ours")
    assert not os.path.lexists(ours.path) if use == "delete" else ours.read() == b"ours"
    assert sorted(victim.parent.iterdir()) == [victim]
    assert victim.read_bytes() == b"precious"
    assert len(list(ours.path.parent.iterdir())) == (use != "delete")


def test_a_folder_in_its_place_stays(ours: OwnFile) -> None:
    ours.path.mkdir(parents=True)
    for use in (lambda: ours.write(b"x"), lambda: ours.stage(b"x"), ours.delete):
        with pytest.raises(OSError):  # noqa: PT011 - of the system
            use()
    assert [path.name for path in ours.path.parent.iterdir()] == ["file"]


@pytest.mark.parametrize("kind", ["link", "file"])
def test_a_link_or_a_file_in_place_of_a_folder_is_not_entered(kind: str, ours: OwnFile, victim: Path) -> None:
    (victim.parent / "file").write_bytes(b"theirs, too")
    if kind == "link":
        ours.path.parent.symlink_to(victim.parent)
    else:
        ours.path.parent.write_bytes(b"")
    uses = (
        ours.read,
        ours.appending,
        ours.status,
        ours.delete,
        lambda: ours.write(b"x"),
        lambda: ours.stage(b"x"),
        lambda: ours.publish(Name("sub/other")),
    )
    for use in uses:
        with pytest.raises(NotRegularError, match="'sub' is a link or a file"):
            use()
    assert own_files(ours.root, "sub", re.compile("f.*")) == []
    assert {path.name: path.read_bytes() for path in victim.parent.iterdir()} == {
        "theirs": b"precious",
        "file": b"theirs, too",
    }


def test_the_folder_that_the_user_named_may_be_a_link(ours: OwnFile, tmp_path: Path) -> None:
    (tmp_path / "way").symlink_to(ours.root)
    OwnFile(tmp_path / "way", ours.name).write(b"ours")
    assert ours.read() == b"ours"


def test_a_file_with_another_name_is_not_added_to(ours: OwnFile, tmp_path: Path) -> None:
    ours.write(b"old\n")
    os.link(ours.path, tmp_path / "backup")
    handle = ours.appending()
    os.write(handle, b"new\n")
    os.close(handle)
    assert ours.read() == b"old\nnew\n"
    assert (tmp_path / "backup").read_bytes() == b"old\n"


def test_a_file_that_another_process_has_a_lease_on_is_waited_for(ours: OwnFile) -> None:
    """As Samba takes them. This process is told, and gives it up."""
    ours.write(b"content\n")
    handle = os.open(ours.path, os.O_RDWR)
    broken = []

    def give_up(*_: object) -> None:
        broken.append(True)
        fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_UNLCK)

    before = signal.signal(signal.SIGIO, give_up)
    try:
        os.close(handle)
        handle = os.open(ours.path, os.O_RDONLY)
        fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        added = ours.appending()
    finally:
        signal.signal(signal.SIGIO, before)
        os.close(handle)
    os.write(added, b"more\n")
    os.close(added)
    assert broken
    assert ours.read() == b"content\nmore\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="another user has to be")
def test_a_folder_that_cannot_be_listed_can_be_written_to(ours: OwnFile, tmp_path: Path) -> None:
    ours.path.parent.mkdir()
    ours.path.parent.chmod(0o733)
    for folder in (*tmp_path.parents, tmp_path, ours.root):
        if folder.stat().st_mode & 0o001 == 0:
            folder.chmod(folder.stat().st_mode | 0o011)
    os.seteuid(65534)
    try:
        ours.write(b"ours")
        assert ours.read() == b"ours"
        assert own_files(ours.root, "sub", re.compile(".*")) == []
    finally:
        os.seteuid(0)


def test_a_descriptor_of_what_is_there_no_more(ours: OwnFile) -> None:
    handle = ours.appending()
    ours.check(os.fstat(handle))
    ours.write(b"another")
    for _ in range(2):
        with pytest.raises(OSError, match="removed or replaced") as caught:
            ours.check(os.fstat(handle))
        assert caught.value.errno == errno.ESTALE
        ours.delete()
    os.close(handle)


def test_sizes_are_bounded(ours: OwnFile) -> None:
    ours.write(b"x" * 100)
    with pytest.raises(OSError, match="larger than 99 bytes"):
        ours.read(99)
    ours.write(b"a\n" + b"b" * (3 * LONGEST_LINE) + b"\n\nc\n" + b"d" * 10)
    assert [line[:1] for line in ours.lines()] == [b"a", b"b", b"c", b"d"]
    assert max(map(len, ours.lines())) == LONGEST_LINE


def test_only_whole_names_of_ours_are_listed(ours: OwnFile) -> None:
    for name in (".0123456789abcdef.tmp", "x.0123456789abcdef.tmp", ".0123456789abcdef.tmp.jpg", ".tmp", "mine.tmp"):
        ours.beside(name).write(b"")
    assert [file.path.name for file in own_files(ours.root, "sub", TEMPORARY)] == [".0123456789abcdef.tmp"]
    for folder in ("sub", "not there"):
        delete_files(ours.root, folder, TEMPORARY)
    assert len(list(ours.path.parent.iterdir())) == 4


def test_a_pipe_for_messages_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "log")
    with pytest.raises(OSError, match="No such device"):
        open_log(tmp_path / "log")
    reader = os.open(tmp_path / "log", os.O_RDONLY | os.O_NONBLOCK)
    handle = open_log(tmp_path / "log")
    with pytest.raises(BlockingIOError):
        write_all(handle, b"x" * 10**6)
    os.close(handle)
    os.close(reader)
