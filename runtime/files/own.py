"""nstbatch's own files in the folders of users: made, opened and deleted here, and nowhere else.

They lie in folders of the user, where anything may have taken their places since. So a file is reached through its open
folders, see `folders`; of links, only those in the path of the folder that the user named are followed; nothing but a
regular file is opened, and none is waited for. A file is either whole or not there, by the recipe of restic's local backend.

Every call that changes a disk is one of `os`, and unbuffered: so tests can stop the process after each of them.
"""

import contextlib
import errno
import hashlib
import os
import re
import secrets
import shutil
import stat
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from .folders import FILE, PATH, UNWAITED, Folder, NotRegularError, open_folder
from .name import Name

MOST = 64 * 2**20
"""Bytes that `OwnFile.read` takes."""

LONGEST_LINE = 2**20
"""Bytes of a line that `OwnFile.lines` takes."""

_MOST_LINES = 2**34
"""Bytes of lines that are read: a file of several terabytes of nothing would take a day."""

TEMPORARY = re.compile(r"\.[0-9a-f]{16}\.tmp")
"""Names of temporary files, which a killed run leaves."""


@dataclass(frozen=True, slots=True)
class OwnFile:
    """A file of nstbatch's own, which need not be there.

    Attributes:
        root: a folder that the user named, or one of the cache; its path's links are followed.
        name: of the file, below it.
    """

    root: Path
    name: Name

    @classmethod
    def at(cls, path: Path) -> "OwnFile":
        """The file at a path that the user named.

        Raises:
            OSError: it names no file.
        """
        try:
            return cls(path.parent, Name(path.name))
        except ValueError:
            raise OSError(errno.EINVAL, "not the name of a file", str(path)) from None

    @property
    def path(self) -> Path:
        """Where it is, for people and for libraries that take nothing else."""
        return self.root / self.name

    def beside(self, name: str) -> "OwnFile":
        """The file of that name in the same folder."""
        folder, slash, _ = self.name.rpartition("/")
        return OwnFile(self.root, Name(folder + slash + name))

    def status(self) -> os.stat_result | None:
        """What is there, links not followed; None for nothing.

        Raises:
            OSError: it cannot be asked for, or a link or a file is in the place of a folder.
        """
        try:
            with self._folder() as folder:
                return folder.stat(self._leaf)
        except FileNotFoundError:
            return None

    def is_there(self) -> bool:
        """Whether it is there, and can be read."""
        with contextlib.suppress(OSError):
            status = self.status()
            return status is not None and stat.S_ISREG(status.st_mode)
        return False

    @contextlib.contextmanager
    def reading(self) -> Iterator[BinaryIO]:
        """Open it for reading.

        Raises:
            OSError: it is not there, cannot be read, or is no regular file.
        """
        with self._folder() as folder:
            handle = _open(self._leaf, os.O_RDONLY, folder)
        with os.fdopen(handle, "rb") as file:
            yield file

    def read(self, most: int = MOST) -> bytes:
        """All of it.

        Raises:
            OSError: see `reading`; or it has more than ``most`` bytes.
        """
        with self.reading() as file:
            # What is asked for is taken from memory at once, however little there is to read.
            data = file.read(min(most, os.fstat(file.fileno()).st_size) + 1)
        if len(data) > most:
            raise OSError(errno.EFBIG, f"larger than {most:,} bytes")
        return data

    def sha256(self) -> str:
        """Hexadecimal sha256 of its bytes.

        Raises:
            OSError: see `reading`.
        """
        with self.reading() as file:
            return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]

    def lines(self) -> Iterator[bytes]:
        """Its lines, without those that are empty; of one that is too long, its beginning.

        Raises:
            OSError: see `reading`.
        """
        with self.reading() as file:
            while file.tell() < _MOST_LINES and (line := file.readline(LONGEST_LINE)):
                rest = line
                while rest and not rest.endswith(b"\n") and file.tell() < _MOST_LINES:
                    rest = file.readline(LONGEST_LINE)
                if line.strip():
                    yield line

    def appending(self) -> int:
        """A descriptor for adding to it; it is made if it is missing, with the folders below the root.

        What has another name besides, such as one in a backup, is copied first: the other stays as it is.

        Raises:
            OSError: it cannot be written to, or is no regular file.
        """
        handle = self.opened()
        if os.fstat(handle).st_nlink == 1:
            return handle
        os.close(handle)
        with self.writing() as new, self.reading() as old:
            shutil.copyfileobj(old, new)
        return self.opened()

    def opened(self) -> int:
        """A descriptor of it as it is; it is made if it is missing, with the folders below the root.

        Raises:
            OSError: it cannot be written to, or is no regular file.
        """
        with self._folder(make=True) as folder:
            handle = _open(self._leaf, os.O_RDWR | os.O_CREAT | os.O_APPEND, folder)
            # The file may be new: without this, what is in it outlives a power failure, and its name does not.
            folder.sync()
        return handle

    def check(self, opened: os.stat_result) -> None:
        """See that what was opened is still what is there.

        Args:
            opened: the status of the descriptor.

        Raises:
            OSError: there is nothing, or something else (`errno.ESTALE`).
        """
        found = self.status()
        if found is None or _identity(found) != _identity(opened):
            raise stale(self.path)

    def write(self, data: bytes | memoryview, mtime_ns: int | None = None) -> None:
        """Put ``data`` in its place: `stage` them in the same folder, then `publish` that.

        At every moment the file is either what it was or all of ``data``; a failure leaves no temporary file. Folders below
        the root are made.

        Args:
            data: all of it.
            mtime_ns: its modification time; None for now.

        Raises:
            OSError: the folder is not writable, the disk is full, or fewer bytes arrived than were written.
        """
        temporary = self.beside(_temporary_name())
        temporary.stage(data, mtime_ns)
        temporary.publish(self.name)

    @contextlib.contextmanager
    def writing(self, temporary: "OwnFile | None" = None) -> Iterator[BinaryIO]:
        """As `write`, of what is too large for memory: what is written to the file that this gives is staged.

        Args:
            temporary: where it is staged; None for any place.

        Raises:
            OSError: see `write`.
        """
        temporary = temporary or self.beside(_temporary_name())
        with temporary._made() as handle, os.fdopen(os.dup(handle), "w+b") as file:
            yield file
            file.flush()
            os.fsync(handle)
        temporary.publish(self.name)

    def stage(self, data: bytes | memoryview, mtime_ns: int | None = None) -> os.stat_result:
        """Write all of ``data`` to this temporary file and make it durable; a failure leaves no file. Folders are made.

        Returns:
            The file's status, as it will be under the name that it is published by.

        Raises:
            OSError: see `write`.
        """
        with self._made() as handle:
            write_all(handle, data)
            if mtime_ns is not None:
                os.utime(handle if os.utime in os.supports_fd else self.path, ns=(mtime_ns, mtime_ns))
            status = os.fstat(handle)
            if status.st_size != len(data):
                raise OSError(errno.EIO, f"{status.st_size} of {len(data)} bytes arrived")
            os.fsync(handle)
        return status

    def publish(self, name: Name) -> None:
        """Give this staged file its name, in the same folder, for good; where that fails it is removed.

        Raises:
            OSError: what is there cannot be replaced.
        """
        with self._folder() as folder:
            try:
                folder.replace(self._leaf, OwnFile(self.root, name)._leaf)
            except BaseException:
                _remove(self._leaf, folder)
                raise
            folder.sync()

    def delete(self) -> None:
        """Delete it, if it is there; a link is deleted, and not what it leads to.

        Raises:
            OSError: it cannot be deleted, or a link or a file is in the place of a folder.
        """
        with contextlib.suppress(FileNotFoundError), self._folder() as folder:
            folder.unlink(self._leaf)

    @property
    def _leaf(self) -> str:
        return self.name.rpartition("/")[2]

    @contextlib.contextmanager
    def _made(self) -> Iterator[int]:
        """A descriptor of this file, new and empty; an error removes it."""
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | FILE
        with self._folder(make=True) as folder:
            try:
                try:
                    handle = folder.open(self._leaf, flags)
                except FileExistsError:
                    # Left by a run that was killed; or anything else, which is not to be opened.
                    folder.unlink(self._leaf)
                    handle = folder.open(self._leaf, flags)
                try:
                    yield handle
                finally:
                    os.close(handle)
            except BaseException:
                _remove(self._leaf, folder)
                raise

    @contextlib.contextmanager
    def _folder(self, *, make: bool = False) -> Iterator[Folder]:
        """Its folder."""
        with contextlib.ExitStack() as opened:
            folder = open_folder(self.root)
            opened.callback(folder.close)
            for part in self.name.split("/")[:-1]:
                folder = folder.enter(part, make=make)
                opened.callback(folder.close)
            yield folder


def own_files(root: Path, folder: str, pattern: re.Pattern[str]) -> list[OwnFile]:
    """Those in a folder whose whole names a pattern matches, in order, whatever they are; none where it cannot be read.

    Args:
        root: see `OwnFile`.
        folder: below it; empty for itself.
        pattern: of the names that nstbatch gives.
    """
    prefix = f"{folder}/" if folder else ""
    with contextlib.suppress(OSError), OwnFile(root, Name(f"{prefix}x"))._folder() as opened:
        return [OwnFile(root, Name(prefix + name)) for name in opened.names() if pattern.fullmatch(name)]
    return []


def delete_files(root: Path, folder: str, pattern: re.Pattern[str], kept: Container[str] = ()) -> None:
    """Delete those of `own_files` that are not among the names ``kept``; what cannot be deleted stays."""
    for file in own_files(root, folder, pattern):
        if file.path.name not in kept:
            with contextlib.suppress(OSError):
                file.delete()


def identity(folder: Path) -> tuple[int, int] | None:
    """What tells a folder from another that takes its name; None where there is none."""
    with contextlib.suppress(OSError):
        return _identity(folder.stat())
    return None


def stale(path: Path) -> OSError:
    """The error that something else has taken the place of what was in use (`errno.ESTALE`)."""
    return OSError(errno.ESTALE, "removed or replaced while it was in use", str(path))


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def write_atomic(path: Path, data: bytes) -> None:
    """`OwnFile.write` at a path.

    Raises:
        OSError: see there; the path's folder is not there.
    """
    OwnFile.at(path).write(data)


def open_log(path: Path) -> int:
    """A descriptor for adding to a file that the user named for messages; links are followed.

    A terminal or a pipe is taken, too, but not waited for: one that nobody reads from is refused, and one that is full loses
    what is written.

    Raises:
        OSError: it cannot be opened.
    """
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | UNWAITED, 0o666)


def write_all(handle: int, data: bytes | memoryview) -> None:
    """Write ``data``, however many calls that takes.

    Raises:
        OSError: the disk is full, or the device fails.
    """
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(handle, rest) :]


def make_folder(folder: Path) -> None:
    """Make ``folder`` and those above it that are missing, and make their names durable.

    Raises:
        OSError: it cannot be made, or is a file.
    """
    if folder.is_dir():
        return
    make_folder(folder.parent)
    with contextlib.suppress(FileExistsError):
        folder.mkdir()
        sync_folder(folder.parent)
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder}: a file is in the way of a folder")


def sync_folder(folder: Path) -> None:
    """Make the renames in ``folder`` durable, where the file system can do that."""
    with contextlib.suppress(OSError), contextlib.closing(open_folder(folder)) as opened:
        opened.sync()


def refuse_others(status: os.stat_result) -> None:
    """Raise a `NotRegularError` for what is no regular file."""
    if stat.S_ISLNK(status.st_mode):
        raise NotRegularError(errno.ELOOP, "a link, which is not followed there")
    if not stat.S_ISREG(status.st_mode):
        raise NotRegularError(errno.EINVAL, "not a regular file")


def _temporary_name() -> str:
    return f".{secrets.token_hex(8)}.tmp"


def _open(name: str, flags: int, folder: Folder) -> int:
    # Not opened to find out: that alone can set a device off.
    with contextlib.suppress(FileNotFoundError):
        refuse_others(folder.stat(name))
    try:
        handle = folder.open(name, flags | FILE)
    except BlockingIOError:
        # Another process has a lease on it (fcntl's F_SETLEASE), as Samba has: that is waited for, and only of a file.
        # Only Linux has leases.
        if PATH is None:
            raise
        handle = _waited_for(name, flags, folder, PATH)
    try:
        refuse_others(os.fstat(handle))
    except BaseException:
        os.close(handle)
        raise
    return handle


def _waited_for(name: str, flags: int, folder: Folder, path: int) -> int:
    place = folder.open(name, path | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        refuse_others(os.fstat(place))
        return os.open(f"/proc/self/fd/{place}", (flags & ~os.O_CREAT) | os.O_CLOEXEC)
    finally:
        os.close(place)


def _remove(name: str, folder: Folder) -> None:
    with contextlib.suppress(OSError):
        folder.unlink(name)
