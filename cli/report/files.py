"""What a report keeps in an output folder: the page, thumbnails beside it, and a line for each run."""

import contextlib
import os
import re
from pathlib import Path

from ...runtime.output.folder import REPORT
from ...runtime.output.folder import REPORT_FILES as FOLDER

PAGE = REPORT


STATUS, EASEL = "status*.json", "easel.jpg"
"""In the folder of what nstbatch remembers: what a run and those of shards do now, and the picture in work."""

GENERATOR = "nstbatch"
"""Content of the page's meta element of that name: a page without it is somebody else's."""


def discard_temporary(root: Path) -> None:
    """Remove what a killed run has left of a page or of thumbnails; the folder is held."""
    for folder in (root, root / FOLDER):
        with contextlib.suppress(OSError):
            for path in folder.iterdir():
                if _TEMPORARY.fullmatch(path.name):
                    path.unlink()


_TEMPORARY = re.compile(r"\.[0-9a-f]{16}\.tmp")
"""Of `write_atomic`."""


def is_ours(path: Path) -> bool:
    """Whether nothing is lost when a page is replaced: it is missing, or an earlier one."""
    if not os.path.lexists(path):
        return True
    with contextlib.suppress(OSError), path.open(encoding="utf-8", errors="replace") as file:
        return f'name="generator" content="{GENERATOR}' in file.read(2000)
    return False
