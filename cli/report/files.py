"""What a report keeps in an output folder: the page, thumbnails beside it, and a line for each run."""

import contextlib
import re
from collections.abc import Callable
from pathlib import Path

from ...runtime.errors import UsageError
from ...runtime.files.location import is_folder
from ...runtime.files.name import Name
from ...runtime.files.own import TEMPORARY, OwnFile, delete_files
from ...runtime.output.names import REPORT, REPORT_FILES, STATE, state
from ...runtime.output.shard import SUFFIXES

EASEL = state("easel.jpg")
"""The picture in work."""

STATUS = re.compile(rf"status{SUFFIXES}\.json")
"""In the folder of what nstbatch remembers: what a run and those of shards do now."""

GENERATOR = "nstbatch"
"""Content of the page's meta element of that name: a page without it is somebody else's."""


def is_output(root: Path) -> bool:
    """Whether a folder is an output of nstbatch."""
    return is_folder(root / STATE)


def page_file(root: Path) -> OwnFile:
    """The page of an output folder."""
    return OwnFile(root, Name(REPORT))


def replace_page(root: Path, render: Callable[[], str]) -> Path:
    """Write the page of a folder in the place of an earlier one; its path.

    Args:
        root: the folder.
        render: gives the page.

    Raises:
        UsageError: there is a page that is not nstbatch's.
        OSError: the folder cannot be written to.
    """
    page = page_file(root)
    if not is_ours(page):
        raise UsageError(f"{page.path}: already exists, and is not a report of nstbatch; move it away")
    page.write(render().encode())
    return page.path


def thumbnail_file(root: Path, name: str) -> OwnFile:
    """A thumbnail of an output folder, by its name."""
    return OwnFile(root, Name(f"{REPORT_FILES}/{name}"))


def discard_temporary(root: Path) -> None:
    """Remove what a killed run has left of a page or of thumbnails; the folder is held."""
    for folder in ("", REPORT_FILES):
        delete_files(root, folder, TEMPORARY)


def is_ours(page: OwnFile) -> bool:
    """Whether nothing is lost when a page is replaced: it is missing, or an earlier one."""
    with contextlib.suppress(OSError):
        if page.status() is None:
            return True
        with page.reading() as file:
            return f'name="generator" content="{GENERATOR}'.encode() in file.read(2000)
    return False
