"""An index of several output folders that lie in one, such as those of ``--style-each``."""

import contextlib
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ...runtime.errors import UsageError, first_line
from ...runtime.output.names import REPORT, REPORT_FILES
from ..text import printable
from .files import is_ours, is_output, page_file, replace_page, thumbnail_file
from .page import read_journal, rebuild, relative_url, render_page, sorted_entries
from .thumbnails import thumbnail_names

_PICTURES = 4
"""Of an output, that stand for it."""


def find_outputs(parent: Path) -> list[Path]:
    """The output folders in a folder, by name.

    Raises:
        UsageError: the folder cannot be read, or is none.
    """
    try:
        entries = sorted(os.scandir(parent), key=lambda entry: entry.name)
    except OSError as error:
        raise UsageError(f"{parent}: cannot be read ({first_line(error)})") from None
    folders = (parent / entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
    return [folder for folder in folders if not folder.name.startswith(".") and is_output(folder)]


def index_data(parent: Path) -> list[dict[str, Any]]:
    """What the index shows of each output; one whose journal cannot be read is left out."""
    shown = []
    for root in find_outputs(parent):
        with contextlib.suppress(UsageError):
            journal = read_journal(root)
            entries = sorted_entries(journal)
            painted = [entry for entry in entries if entry.outcome == "painted"]
            names = (thumbnail_names(entry)[1] for entry in painted)
            there = (name for name in names if thumbnail_file(root, name).is_there())
            pictures = [name for name, _ in zip(there, range(_PICTURES), strict=False)]
            shown.append(
                {
                    "name": printable(root.name),
                    "url": relative_url(f"{root.name}/"),
                    "page": relative_url(f"{root.name}/{REPORT}"),
                    "pictures": [relative_url(f"{root.name}/{REPORT_FILES}/{name}") for name in pictures],
                    "painted": len(painted),
                    "failed": len(journal.failed),
                    "newest": max((entry.finished for entry in entries), default=""),
                }
            )
    return shown


def render_index(parent: Path, *, served: bool = False) -> str:
    """The index as text; links are to pages, or where it is served to what serves them."""
    outputs = [{**each, "href": each["url" if served else "page"]} for each in index_data(parent)]
    return render_page("index", parent, outputs=outputs)


def write_index(parent: Path) -> Path:
    """Write the index of a folder of outputs.

    Raises:
        UsageError: there is a page that is not nstbatch's.
        OSError: the folder cannot be written to.
    """
    return replace_page(parent, partial(render_index, parent))


def rebuild_all(parent: Path) -> list[Path]:
    """`rebuild` each output in a folder, and write their index; the pages, the index last.

    Raises:
        UsageError, OSError: see there; there are no outputs.
    """
    return [*(rebuild(root) for root in require_outputs(parent)), write_index(parent)]


def require_outputs(parent: Path) -> list[Path]:
    """`find_outputs`.

    Raises:
        UsageError: see there; there are none.
    """
    outputs = find_outputs(parent)
    if not outputs:
        raise UsageError(f"{parent}: is no output folder of nstbatch, and none is in it")
    return outputs


def renew_index(roots: Sequence[Path]) -> None:
    """Write the index of a run's outputs, where they lie in a folder that holds nothing else; or that has an index already.

    Raises:
        UsageError, OSError: see `write_index`.
    """
    for parent in {root.parent for root in roots}:
        page = page_file(parent)
        there = page.is_there() and is_ours(page)
        alone = sum(root.parent == parent for root in roots) > 1 and all(
            is_output(parent / entry.name) or entry.name == REPORT for entry in os.scandir(parent)
        )
        if (there or alone) and not is_output(parent):
            write_index(parent)
