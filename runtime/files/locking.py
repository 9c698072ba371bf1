"""A lock of an open file, which dies with its process: the system's, of the whole file, or on Windows of bytes of it."""

import importlib
import importlib.util
import os
import random
import time
from typing import Any

HAS_FLOCK = importlib.util.find_spec("fcntl") is not None
"""Whether the system has locks of whole files. They hold over NFS, too, where that is of version 4."""

_BYTES = 2**20
"""That an exclusive lock takes on Windows; a shared one takes one of them. They lie beyond the file's end."""

_TRIES = 4
"""Bytes that a shared lock tries: another may share the first."""

_PAUSE = 0.5
"""Seconds between tries of a lock that is waited for."""


def lock_file(handle: int, *, shared: bool, wait: bool) -> None:
    """Take the lock of an open file, until its descriptor is closed.

    Args:
        handle: the descriptor.
        shared: with others that share it, too; none of them may be exclusive.
        wait: for others to leave it.

    Raises:
        BlockingIOError: others hold it, and are not to be waited for.
        OSError: the file system has no locks.
    """
    if HAS_FLOCK:
        # Here, since Windows has no such module.
        import fcntl

        fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
        return
    while not any(_lock_bytes(handle, shared) for _ in range(_TRIES if shared else 1)):
        if not wait:
            raise BlockingIOError("another process holds it")
        time.sleep(_PAUSE)


def _lock_bytes(handle: int, shared: bool) -> bool:
    msvcrt: Any = importlib.import_module("msvcrt")
    os.lseek(handle, random.randrange(_BYTES) if shared else 0, os.SEEK_SET)
    try:
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1 if shared else _BYTES)
    except PermissionError:
        return False
    return True
