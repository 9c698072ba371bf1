"""One run at a time for each output folder, by a lock of the file system that dies with its process."""

import contextlib
import datetime
import fcntl
import json
import os
import platform
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from filelock import FileLock, Timeout

from ..errors import LockedError, UsageError, first_line
from ..files.atomic import make_folder, write_atomic
from .folder import STATE
from .shard import Shard


@contextlib.contextmanager
def hold(
    roots: Sequence[Path],
    wait: bool = False,
    note: Callable[[str], None] = lambda _: None,
    shard: Shard | None = None,
) -> Iterator[None]:
    """Hold output folders, which are made if they are missing, against other runs.

    Args:
        roots: the folders.
        shard: of the photos that the run paints. Runs of other shards may go on meanwhile; one of all photos may not.
        wait: for a run that holds one to end, instead of failing.
        note: is called with a sentence about the run that is waited for.

    Raises:
        LockedError: another run holds one of them.
        UsageError: a folder cannot be made or written to.
    """
    # In one order for all, so that two runs that wait do not wait for each other.
    with contextlib.ExitStack() as stack:
        for root in sorted({os.path.realpath(root) for root in roots}):
            stack.enter_context(_hold_one(Path(root), wait, note, shard or Shard()))
        yield


@contextlib.contextmanager
def _hold_one(root: Path, wait: bool, note: Callable[[str], None], shard: Shard) -> Iterator[None]:
    state = root / STATE
    holder = state / f"holder{shard.suffix}.json"
    locks: list[FileLock | _SharedLock] = [_file_lock(state / "lock")]
    if not shard.whole:
        locks = [_SharedLock(state / "lock"), _file_lock(state / f"lock{shard.suffix}")]
    with contextlib.ExitStack() as held:
        try:
            make_folder(state)
            for lock in locks:
                try:
                    lock.acquire(timeout=0)
                except Timeout:
                    text = f"{root}: another run holds this output folder ({_who(state)})"
                    if not wait:
                        raise LockedError(f"{text}; wait for it with --wait, or name another folder with -o") from None
                    note(f"{text}; waiting for it")
                    lock.acquire()
                held.callback(lock.release)
            # The lock is what counts; on a full disk the note may be missing.
            with contextlib.suppress(OSError):
                write_atomic(holder, _self().encode())
        except OSError as error:
            text = f"{state}: cannot be written to ({first_line(error)}); name another with -o"
            raise UsageError(text) from None
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                holder.unlink(missing_ok=True)


def _file_lock(path: Path) -> FileLock:
    # With a mode that only the owner may write, filelock 4.3 does not first try the folder out with a file of its own, which
    # a kill would leave in the user's output.
    return FileLock(path, mode=_MODE)


_MODE = 0o644
"""Permissions of the lock's file."""


class _SharedLock:
    """The lock of a file that several hold at a time, and that `FileLock` of the same file excludes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle: int | None = None

    def acquire(self, timeout: float = -1) -> None:
        """Take it: at once with ``timeout=0``, or `Timeout`."""
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE)
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | (fcntl.LOCK_NB if timeout == 0 else 0))
        except BlockingIOError:
            os.close(handle)
            raise Timeout(str(self._path)) from None
        self._handle = handle

    def release(self) -> None:
        """Leave it to others."""
        handle, self._handle = self._handle, None
        if handle is not None:
            os.close(handle)


def _self() -> str:
    since = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    return json.dumps({"pid": os.getpid(), "host": platform.node(), "since": since, "command": sys.argv})


def _who(state: Path) -> str:
    """A run that holds the lock, in words. Its note may be missing for the moment between lock and note."""
    for holder in sorted(state.glob("holder*.json")):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            note = json.loads(holder.read_text())
            return f"process {note['pid']} on {note['host']} since {note['since']}"
    return "it has not said which"
