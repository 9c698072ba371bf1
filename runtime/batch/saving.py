"""Paintings onto the disk: staged, journalled, published; and what a killed run left of that."""

import contextlib
import errno
import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ..errors import DiskError, ImageError, first_line
from ..files.atomic import publish
from ..files.reading import sha256_file
from ..output.folder import STATE, Present
from ..output.journal import Entry, Journal
from ..planning.placement import Item, temporary
from ..planning.plan import is_known
from ..workers.interface import RESCUE

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""What would befall every other picture, too."""


def save(item: Item, journal: Journal, data: bytes, entry: Entry, *, keep_existing: bool = False) -> bool:
    """Have a painting committed by its output, and journalled: see `Output.commit` and `Entry`.

    Args:
        item: whose output it is.
        journal: of the output folder.
        data: the painting's file.
        entry: its line, but for what the file adds to it.
        keep_existing: see `Policy`.

    Returns:
        False if ``keep_existing`` forbids it: nothing was written.

    Raises:
        DiskError: the output folder takes no more.
        ImageError: this file cannot be written.
    """

    def journalled(found: Present) -> None:
        digest = hashlib.sha256(data).hexdigest()
        journal.append(replace(entry, output_sha256=digest, output_size=found.size, output_mtime_ns=found.mtime_ns))

    with _disk_errors(item, journal, item.key, data):
        if keep_existing and not is_known(item, journal):
            return False
        journal.output.commit(item.key, item.temporary, data, journalled)
    return True


def rescue(item: Item, journal: Journal, data: bytes, *, keep_existing: bool = False) -> str:
    """Keep a painting that is in another format than was asked for, beside its place; its name.

    Raises:
        DiskError: the output folder takes no more.
        ImageError: this file cannot be written, or something is there that ``keep_existing`` forbids to replace.
    """
    key, name = item.key + RESCUE, item.target.name + RESCUE
    with _disk_errors(item, journal, key, data):
        if keep_existing and journal.output.look(key) is not None:
            raise ImageError(f"{name} is there already, and --keep-existing forbids to replace it")
        # The item's own temporary file, which the next run looks for.
        journal.output.commit(key, item.temporary, data, lambda _: None)
    return name


@contextlib.contextmanager
def _disk_errors(item: Item, journal: Journal, key: str, data: bytes) -> Iterator[None]:
    """What writing a file raises as an error of ours: of the folder, or of this file alone."""
    try:
        yield
    except OSError as error:
        text = f"{journal.output.place(key)}: cannot write {len(data):,} bytes ({first_line(error)})"
        if error.errno in _NO_ROOM:
            free = shutil.disk_usage(item.root).free
            raise DiskError(f"{text}, {free:,} are free; make room and run again, it goes on from here") from None
        raise ImageError(text) from None


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
            path = temporary(root, key)
            if not os.path.lexists(path):
                continue
            item = Item(path, root / key, root)
            with contextlib.suppress(OSError):
                entry = journal.painted.get(key)
                whole = entry is not None and sha256_file(path) == entry.output_sha256
                if whole and not (keep_existing and not is_known(item, journal)):
                    publish(path, root / key)
                    completed.append(root / key)
                else:
                    path.unlink()
        if not journal.shard.whole:
            continue
        for pattern in (f"{STATE}/.*.tmp", f"{STATE}/checkpoints/*.tmp"):
            for path in root.glob(pattern):
                with contextlib.suppress(OSError):
                    path.unlink()
    return completed
