"""Folders on the way to a file of our own: by descriptors where the system has those, and by paths elsewhere.

A descriptor stays with its folder, whatever becomes of the path. On Windows, which has none, another program can put a link
in a folder's place between a look and what is done.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol


def flags(*names: str) -> int:
    """Flags of `os.open` by name, of which those count that the system has."""
    return sum(getattr(os, name, 0) for name in names)


UNWAITED = flags("O_NONBLOCK", "O_NOCTTY", "O_CLOEXEC", "O_BINARY")
"""Opens what there is without waiting, and its bytes as they are."""

FILE = UNWAITED | flags("O_NOFOLLOW")
"""The same, and no link."""

PATH: int | None = getattr(os, "O_PATH", None)
"""Of Linux: opens without reading, and without setting anything off."""

BY_DESCRIPTOR = hasattr(os, "O_DIRECTORY") and {os.open, os.stat, os.unlink, os.mkdir} <= os.supports_dir_fd
"""Whether the system has descriptors of folders."""

_FOLDER = (os.O_RDONLY if PATH is None else PATH) | flags("O_DIRECTORY", "O_CLOEXEC")
"""How a folder on the way is opened: with `PATH` that takes no permission to list it."""


class NotRegularError(OSError):
    """A link, a FIFO, a device, a socket or a folder where a file was expected; or a link in place of a folder."""


class Folder(Protocol):
    """A folder that stays open. Its methods take names in it, follow no link, and raise what `os` does."""

    def stat(self, name: str) -> os.stat_result:
        """What is there."""
        ...

    def open(self, name: str, flags: int) -> int:
        """A descriptor of a file."""
        ...

    def unlink(self, name: str) -> None:
        """Delete a file."""
        ...

    def replace(self, name: str, new: str) -> None:
        """Give a file a name that another may have had."""
        ...

    def names(self) -> list[str]:
        """All of them, in order."""
        ...

    def sync(self) -> None:
        """Make names durable, where the system can do that."""
        ...

    def enter(self, name: str, *, make: bool) -> "Folder":
        """A folder in it; made if it is missing, where that is asked for.

        Raises:
            NotRegularError: a link or a file is in its place.
        """
        ...

    def close(self) -> None:
        """Leave it."""
        ...


def open_folder(path: Path) -> Folder:
    """Open a folder whose path the user named: its links are followed.

    Raises:
        OSError: it is not there, or is none.
    """
    return _Described(os.open(path, _FOLDER)) if BY_DESCRIPTOR else _Named.at(path)


class _Described:
    """A folder by its descriptor."""

    def __init__(self, handle: int) -> None:
        self._handle = handle

    def stat(self, name: str) -> os.stat_result:
        return os.stat(name, dir_fd=self._handle, follow_symlinks=False)

    def open(self, name: str, flags: int) -> int:
        return os.open(name, flags, 0o666, dir_fd=self._handle)

    def unlink(self, name: str) -> None:
        os.unlink(name, dir_fd=self._handle)

    def replace(self, name: str, new: str) -> None:
        os.replace(name, new, src_dir_fd=self._handle, dst_dir_fd=self._handle)

    def names(self) -> list[str]:
        with self._readable() as handle:
            return sorted(os.listdir(handle))  # noqa: PTH208 - of a descriptor

    def sync(self) -> None:
        with contextlib.suppress(OSError), self._readable() as handle:
            os.fsync(handle)

    def enter(self, name: str, *, make: bool) -> "_Described":
        how = _FOLDER | os.O_NOFOLLOW
        try:
            try:
                return _Described(os.open(name, how, dir_fd=self._handle))
            except FileNotFoundError:
                if not make:
                    raise
                with contextlib.suppress(FileExistsError):
                    os.mkdir(name, dir_fd=self._handle)
                    self.sync()
                return _Described(os.open(name, how, dir_fd=self._handle))
        except OSError as error:
            if error.errno in (errno.ENOTDIR, errno.ELOOP):
                raise _not_entered(error.errno, name) from None
            raise

    def close(self) -> None:
        os.close(self._handle)

    @contextlib.contextmanager
    def _readable(self) -> Iterator[int]:
        """A descriptor by which it can be listed and made durable."""
        handle = os.open(".", os.O_RDONLY | flags("O_DIRECTORY", "O_CLOEXEC"), dir_fd=self._handle)
        try:
            yield handle
        finally:
            os.close(handle)


class _Named:
    """A folder by its path."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @classmethod
    def at(cls, path: Path) -> "_Named":
        """The one at a path, of which links are followed."""
        if not stat.S_ISDIR(path.stat().st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
        return cls(path)

    def stat(self, name: str) -> os.stat_result:
        return os.lstat(self._path / name)

    def open(self, name: str, flags: int) -> int:
        return os.open(self._path / name, flags, 0o666)

    def unlink(self, name: str) -> None:
        os.unlink(self._path / name)  # noqa: PTH108 - see `own`

    def replace(self, name: str, new: str) -> None:
        os.replace(self._path / name, self._path / new)  # noqa: PTH105 - likewise

    def names(self) -> list[str]:
        return sorted(os.listdir(self._path))  # noqa: PTH208 - likewise

    def sync(self) -> None:
        """Nothing: Windows keeps names by itself."""

    def enter(self, name: str, *, make: bool) -> "_Named":
        path = self._path / name
        try:
            status = self.stat(name)
        except FileNotFoundError:
            if not make:
                raise
            with contextlib.suppress(FileExistsError):
                os.mkdir(path)  # noqa: PTH102 - likewise
            status = self.stat(name)
        junction = getattr(status, "st_reparse_tag", 0) == _JUNCTION
        if junction or not stat.S_ISDIR(status.st_mode):
            raise _not_entered(errno.ENOTDIR, name)
        return _Named(path)

    def close(self) -> None:
        """Nothing is open."""


_JUNCTION = 0xA0000003
"""IO_REPARSE_TAG_MOUNT_POINT of Windows: a folder that leads to another."""


def _not_entered(number: int, name: str) -> NotRegularError:
    return NotRegularError(number, f"'{name}' is a link or a file where a folder is expected")
