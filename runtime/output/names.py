"""The names in an output folder: those of paintings, and those that nstbatch keeps for itself."""

import hashlib
import os
import re
from typing import Self

from ..files.name import Name

STATE = ".nstbatch"
"""Folder, in every output folder, of what nstbatch remembers of it."""

REPORT_FILES = "report_files"
"""Folder, in every output folder, of a report's thumbnails: the name that browsers give to what they save beside a page."""

REPORT = "report.html"
"""The report's page."""

SNAPSHOTS = ".snapshots"
"""Of the name of a folder of snapshots, after the painting's."""


THUMBNAILS = re.compile(r"[0-9a-f]{24}\.jpg")
"""Names of thumbnails."""


def is_reserved(folder: str) -> bool:
    """Whether a folder of that name holds what nstbatch makes besides paintings."""
    return folder in (STATE, REPORT_FILES) or folder.endswith(SNAPSHOTS)


class Key(Name):
    """The name of a painting, relative to its output folder."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Check a text.

        Raises:
            ValueError: it is no `Name`, or names a folder that nstbatch keeps for itself.
        """
        reserved = next((part for part in text.split("/")[:-1] if is_reserved(part)), None)
        if reserved is not None:
            raise ValueError(f"{text!r}: nstbatch keeps the folder {reserved} for itself")
        return super().__new__(cls, text)


def temporary_name(key: Key) -> Name:
    """Where a painting is written before it gets its name, the same for every run: in its folder, and short."""
    folder, slash, leaf = key.rpartition("/")
    return Name(f"{folder}{slash}.nstbatch-{hashlib.sha256(os.fsencode(leaf)).hexdigest()[:24]}.tmp")


def state(name: str) -> Name:
    """The name of a file of the folder `STATE`."""
    return Name(f"{STATE}/{name}")
