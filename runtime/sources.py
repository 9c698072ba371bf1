"""Files that are read: opened read-only, never waited for, and recognised when they come back."""

import contextlib
import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path


@dataclass(frozen=True)
class Stamp:
    """What the file system says of a file's content without reading it; equal stamps, equal content.

    The change time is part of it, since a program that edits a file can set back the modification time, but not this.

    Attributes:
        size: in bytes.
        mtime_ns, ctime_ns: modification and change, in nanoseconds of the file system's clock. They are compared with
            each other only, so that a clock that jumps does no harm.
    """

    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> "Stamp":
        """The stamp in a status."""
        return cls(status.st_size, status.st_mtime_ns, status.st_ctime_ns)


class NotRegularError(OSError):
    """A FIFO, a device, a socket or a folder where a file was expected."""


@contextlib.contextmanager
def open_source(path: Path) -> Iterator[BufferedReader]:
    """Open a regular file for reading.

    Raises:
        NotRegularError: it is none; such a file is not waited for, and a device not touched.
        OSError: it cannot be opened.
    """
    _refuse_others(path.stat())
    # Should it have become a FIFO since then, O_NONBLOCK keeps the open from waiting for a writer.
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        _refuse_others(os.fstat(handle))
        yield file


def sha256_file(path: Path) -> str:
    """Hexadecimal sha256 of a file's bytes.

    Raises:
        OSError: it cannot be read, or is no regular file.
    """
    with open_source(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _refuse_others(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise NotRegularError("not a regular file")
