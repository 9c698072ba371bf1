"""One run at a time for each output folder, by a lock of the file system that dies with its process."""

import contextlib
import datetime
import json
import os
import platform
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from filelock import FileLock, Timeout

from .atomic import make_folder, write_atomic
from .errors import LockedError, UsageError
from .journal import STATE


@contextlib.contextmanager
def hold(roots: Sequence[Path], wait: bool = False, told: Callable[[str], None] = lambda _: None) -> Iterator[None]:
    """Hold output folders, which are made if they are missing, against other runs.

    Args:
        roots: the folders.
        wait: for a run that holds one to end, instead of failing.
        told: is told whom it waits for.

    Raises:
        LockedError: another run holds one of them.
        UsageError: a folder cannot be made or written to.
    """
    # In one order for all, so that two runs that wait do not wait for each other.
    with contextlib.ExitStack() as stack:
        for root in sorted({os.path.realpath(root) for root in roots}):
            stack.enter_context(_hold_one(Path(root), wait, told))
        yield


@contextlib.contextmanager
def _hold_one(root: Path, wait: bool, told: Callable[[str], None]) -> Iterator[None]:
    state = root / STATE
    lock = FileLock(state / "lock")
    holder = state / "holder.json"
    try:
        make_folder(state)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            text = f"{root}: another run holds this output folder ({_who(holder)})"
            if not wait:
                raise LockedError(f"{text}; wait for it with --wait, or name another folder with -o") from None
            told(f"{text}; waiting for it")
            lock.acquire()
        # The lock is what counts; on a full disk the note may be missing.
        with contextlib.suppress(OSError):
            write_atomic(holder, _self().encode())
    except OSError as error:
        lock.release(force=True)
        raise UsageError(f"{state}: cannot be written to ({error.strerror or error}); name another with -o") from None
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            holder.unlink(missing_ok=True)
        lock.release()


def _self() -> str:
    since = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    return json.dumps({"pid": os.getpid(), "host": platform.node(), "since": since, "command": sys.argv})


def _who(holder: Path) -> str:
    """The run that holds the lock, in words. Its note may be missing for the moment between lock and note."""
    try:
        note = json.loads(holder.read_text())
        return f"process {note['pid']} on {note['host']} since {note['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "it has not said which"
