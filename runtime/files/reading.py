"""Files that are read: opened read-only, never waited for, and recognised when they come back."""

import contextlib
import hashlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from . import remote
from .folders import UNWAITED
from .location import Location, is_remote
from .own import refuse_others
from .stamp import Stamp


class _Object(io.BytesIO):
    """An object behind a URL, or its first bytes."""

    stamp: Stamp


@contextlib.contextmanager
def open_source(path: Location, head: int | None = None) -> Iterator[BinaryIO]:
    """Open a regular file for reading, or fetch an object.

    Args:
        path: of it.
        head: bytes that suffice, of an object.

    Raises:
        NotRegularError: it is no regular file; such a one is not waited for, and a device not touched.
        OSError: it cannot be opened.
    """
    if is_remote(path):
        before = remote.stamp_of(path)
        with _Object(remote.read_bytes(path, None if head is None else min(head, before.size))) as content:
            content.stamp = before
            yield content
        return
    assert isinstance(path, Path), "it is of this host"
    refuse_others(path.stat())
    # Should it have become a FIFO since then, O_NONBLOCK keeps the open from waiting for a writer.
    handle = os.open(path, os.O_RDONLY | UNWAITED)
    with os.fdopen(handle, "rb") as file:
        refuse_others(os.fstat(handle))
        yield file


def stamp_of_open(file: BinaryIO) -> Stamp:
    """The stamp of what `open_source` gave, as it is now; of an object, as it was before it was fetched."""
    return file.stamp if isinstance(file, _Object) else Stamp.of(os.fstat(file.fileno()))


def stamp_of(path: Location) -> Stamp:
    """The stamp of a file or an object.

    Raises:
        OSError: it is not there.
    """
    return remote.stamp_of(path) if is_remote(path) else Stamp.of(path.stat())


def sha256_file(path: Location) -> str:
    """Hexadecimal sha256 of a file's bytes.

    Raises:
        OSError: it cannot be read, or is no regular file.
    """
    with open_source(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
