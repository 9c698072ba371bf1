"""One run at a time for each output folder, by a lock of the file system that dies with its process."""

import contextlib
import datetime
import json
import os
import platform
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import LockedError, UsageError, first_line
from ..files.locking import lock_file
from ..files.own import OwnFile, make_folder, own_files
from ..files.records import Whole, decode
from .names import STATE, state
from .shard import SUFFIXES, Shard


class Held:
    """Output folders that a run holds."""

    def __init__(self) -> None:
        self._locks: dict[Path, list[_Lock]] = {}

    def check(self, root: Path) -> None:
        """See that a folder, by the path that it was held by, is still the same: else the lock keeps nobody from it.

        Raises:
            OSError: it has been removed, or something else is in its place (`errno.ESTALE`).
        """
        for lock in self._locks[root]:
            lock.check()


@contextlib.contextmanager
def hold(
    roots: Sequence[Path],
    wait: bool = False,
    note: Callable[[str], None] = lambda _: None,
    shard: Shard | None = None,
) -> Iterator[Held]:
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
    held = Held()
    # In one order for all, so that two runs that wait do not wait for each other.
    with contextlib.ExitStack() as stack:
        taken: dict[str, list[_Lock]] = {}
        for root in sorted(roots, key=os.path.realpath):
            real = os.path.realpath(root)
            if real not in taken:
                taken[real] = stack.enter_context(_hold_one(root, wait, note, shard or Shard()))
            held._locks[root] = taken[real]
        yield held


@contextlib.contextmanager
def _hold_one(root: Path, wait: bool, note: Callable[[str], None], shard: Shard) -> Iterator[list["_Lock"]]:
    locks = [_Lock(root, "lock")]
    if not shard.whole:
        locks = [_Lock(root, "lock", shared=True), _Lock(root, f"lock{shard.suffix}")]
    holder = OwnFile(root, state(f"holder{shard.suffix}.json"))
    with contextlib.ExitStack() as taken:
        try:
            make_folder(root)
            for lock in locks:
                try:
                    lock.take(wait=False)
                except BlockingIOError:
                    text = f"{root}: another run holds this output folder ({_who(root)})"
                    if not wait:
                        raise LockedError(f"{text}; wait for it with --wait, or name another folder with -o") from None
                    note(f"{text}; waiting for it")
                    lock.take(wait=True)
                taken.callback(lock.release)
            # The lock is what counts; on a full disk the note may be missing.
            with contextlib.suppress(OSError):
                holder.write(json.dumps(_self()).encode())
        except OSError as error:
            text = f"{root / STATE}: cannot be written to ({first_line(error)}); name another with -o"
            raise UsageError(text) from None
        try:
            yield locks
        finally:
            with contextlib.suppress(OSError):
                holder.delete()


class _Lock:
    """The lock of a file, which one process holds, or several share. It is the kernel's to release.

    Args:
        root: the output folder.
        name: of the file.
        shared: whether several may have it.
    """

    def __init__(self, root: Path, name: str, *, shared: bool = False) -> None:
        self._file = OwnFile(root, state(name))
        self._shared = shared
        self._handle: int | None = None
        self._opened: os.stat_result | None = None

    def take(self, *, wait: bool) -> None:
        """Take it.

        Raises:
            BlockingIOError: others hold it, and they are not to be waited for.
            OSError: its file cannot be opened, or is no regular file.
        """
        handle = self._file.opened()
        try:
            lock_file(handle, shared=self._shared, wait=wait)
            self._opened = os.fstat(handle)
            # Whoever held it may have gone, and the folder with it.
            self.check()
        except BaseException:
            os.close(handle)
            raise
        self._handle = handle

    def check(self) -> None:
        """See that its file is still the one that was taken, even after its release.

        Raises:
            OSError: it is not (`errno.ESTALE`).
        """
        assert self._opened is not None, "it has been taken"
        self._file.check(self._opened)

    def release(self) -> None:
        """Leave it to others."""
        handle, self._handle = self._handle, None
        if handle is not None:
            os.close(handle)


@dataclass(frozen=True)
class _Note:
    """Who holds a folder."""

    pid: Whole
    host: str
    since: str


def _self() -> dict[str, object]:
    since = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    return {"pid": os.getpid(), "host": platform.node(), "since": since, "command": sys.argv}


_HOLDERS = re.compile(rf"holder{SUFFIXES}\.json")


def _who(root: Path) -> str:
    """A run that holds the lock, in words. Its note may be missing for the moment between lock and note."""
    for holder in own_files(root, STATE, _HOLDERS):
        with contextlib.suppress(OSError, ValueError):
            note = decode(holder.read(), _Note)
            return f"process {note.pid} on {note.host} since {note.since}"
    return "it has not said which"
