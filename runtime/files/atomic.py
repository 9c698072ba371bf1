"""Files that are either whole or not there, by the recipe of restic's local backend.

Every call that changes a disk is one of `os`, and unbuffered: so tests can stop the process after each of them.
"""

import contextlib
import os
import secrets
from pathlib import Path


def write_atomic(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path``: `stage` it in the same folder, then `publish` it.

    At every moment ``path`` is either its old content or all of ``data``; a failure leaves no temporary file.

    Raises:
        OSError: the folder is not writable, the disk is full, or fewer bytes arrived than were written.
    """
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
    stage(temporary, data)
    publish(temporary, path)


def stage(temporary: Path, data: bytes) -> os.stat_result:
    """Write all of ``data`` to ``temporary`` and make it durable; a failure leaves no file.

    Returns:
        The file's status, as it will be under the name that it is published by.

    Raises:
        OSError: see `write_atomic`.
    """
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            write_all(handle, data)
            status = os.fstat(handle)
            if status.st_size != len(data):
                raise OSError(f"{temporary}: {status.st_size} of {len(data)} bytes arrived")
            os.fsync(handle)
        finally:
            os.close(handle)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return status


def publish(temporary: Path, path: Path) -> None:
    """Give a staged file its name, for good; where that fails it is removed.

    Raises:
        OSError: ``path`` cannot be replaced.
    """
    try:
        os.replace(temporary, path)  # noqa: PTH105 - see the top of the module
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_all(handle: int, data: bytes) -> None:
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
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
