"""Paintings onto the disk: staged, journalled, published; and what a killed run left of that."""

import contextlib
import errno
import hashlib
import os
import shutil
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ..errors import DiskError, ImageError, first_line
from ..files.own import TEMPORARY, OwnFile, delete_files
from ..output.checkpoint import delete_unfinished
from ..output.folder import Present
from ..output.journal import Entry, Journal
from ..output.names import STATE, Key, temporary_name
from ..planning.placement import Item
from ..planning.plan import Policy, is_known
from ..workers.interface import RESCUE

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ESTALE)
"""What would befall every other picture, too."""


def save(item: Item, journal: Journal, data: bytes, entry: Entry, policy: Policy) -> bool:
    """Have a painting committed by its output, and journalled: see `Output.commit` and `Entry`.

    Args:
        item: whose output it is.
        journal: of the output folder.
        data: the painting's file.
        entry: its line, but for what the file adds to it.
        policy: what it forbids, and whether the painting has its photo's time.

    Returns:
        False if ``policy.keep_existing`` forbids it: nothing was written.

    Raises:
        DiskError: the output folder takes no more.
        ImageError: this file cannot be written.
    """

    def journalled(found: Present) -> None:
        digest = hashlib.sha256(data).hexdigest()
        journal.append(replace(entry, output_sha256=digest, output_size=found.size, output_mtime_ns=found.mtime_ns))

    mtime_ns = entry.photo_stamp.mtime_ns if policy.keep_times and entry.photo_stamp is not None else None
    with _disk_errors(item, journal, item.key, data):
        _check(item, journal)
        if policy.keep_existing and not is_known(item, journal):
            return False
        journal.output.commit(item.key, temporary_name(item.key), data, journalled, mtime_ns)
    return True


def rescue(item: Item, journal: Journal, data: bytes, *, keep_existing: bool = False) -> str:
    """Keep a painting that is in another format than was asked for, beside its place; its name.

    Raises:
        DiskError: the output folder takes no more.
        ImageError: this file cannot be written, or something is there that ``keep_existing`` forbids to replace.
    """
    key, name = Key(item.key + RESCUE), item.target.name + RESCUE
    with _disk_errors(item, journal, key, data):
        _check(item, journal)
        if keep_existing and journal.output.look(key) is not None:
            raise ImageError(f"{name} is there already, and --keep-existing forbids to replace it")
        # The item's own temporary file, which the next run looks for.
        journal.output.commit(key, temporary_name(item.key), data, lambda _: None)
    return name


@contextlib.contextmanager
def _disk_errors(item: Item, journal: Journal, key: Key, data: bytes) -> Iterator[None]:
    """What writing a file raises as an error of ours: of the folder, or of this file alone."""
    try:
        yield
    except OSError as error:
        text = f"{journal.output.place(key)}: cannot write {len(data):,} bytes ({first_line(error)})"
        if error.errno in _NO_ROOM:
            raise DiskError(f"{text}{_advice(error.errno, item.root)}") from None
        raise ImageError(text) from None


def _check(item: Item, journal: Journal) -> None:
    try:
        journal.guard()
    except OSError as error:
        # Whatever is there now, it is not what the run holds.
        raise OSError(errno.ESTALE, first_line(error), str(item.root)) from None


def _advice(number: int, root: Path) -> str:
    """What to do about an output folder that takes no more."""
    if number == errno.ESTALE:
        return f"; {root} is not the folder any more that the run began with: see what became of it, and run again"
    if number == errno.EROFS:
        return "; the file system has become read-only: look for its errors, and run again, it goes on from here"
    with contextlib.suppress(OSError):
        if hasattr(os, "statvfs") and (files := os.statvfs(root)).f_files and not files.f_favail:
            return "; there is no room for another file, whatever its size; delete some and run again, it goes on from here"
        return f", {shutil.disk_usage(root).free:,} are free; make room and run again, it goes on from here"
    return "; make room and run again, it goes on from here"


def recover(items: Sequence[Item], journals: Mapping[Path, Journal], *, keep_existing: bool = False) -> list[Path]:
    """Complete what a killed run had painted and journalled, but not yet given its name; remove its other leftovers.

    Args:
        items: of this run.
        journals: of the output folders, by `Item.root`; the folders are held (see `hold`).
        keep_existing: see `Policy`.

    Returns:
        The paintings that were completed.
    """
    completed = []
    for root, journal in journals.items():
        # What other shards have staged, they may be about to publish.
        known = (key for key in journal.painted if journal.shard.holds(key))
        keys = dict.fromkeys([*known, *(item.key for item in items if item.root == root)])
        for key in keys:
            staged = OwnFile(journal.output.folder, temporary_name(key))
            with contextlib.suppress(OSError):
                if (status := staged.status()) is None:
                    continue
                item = Item(staged.path, journal.output.place(key), root, folder=journal.output.folder)
                entry = journal.painted.get(key)
                # One of another size is not read: it may be anything.
                alike = entry is not None and status.st_size == entry.output_size and stat.S_ISREG(status.st_mode)
                whole = entry is not None and alike and staged.sha256() == entry.output_sha256
                if whole and not (keep_existing and not is_known(item, journal)):
                    staged.publish(key)
                    completed.append(journal.output.folder / key)
                else:
                    staged.delete()
        if journal.shard.whole:
            delete_files(root, STATE, TEMPORARY)
            delete_unfinished(root)
    return completed
