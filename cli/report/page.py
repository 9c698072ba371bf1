"""The page, from the journal of an output folder."""

import base64
import contextlib
import datetime
import hashlib
import json
import os
import re
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import quote_from_bytes

from jinja2 import Environment
from markupsafe import Markup

from ...runtime.errors import LockedError, UsageError, first_line
from ...runtime.files.location import exists
from ...runtime.files.own import delete_files
from ...runtime.output.folder import FolderOutput
from ...runtime.output.journal import Entry, Journal, journal_files, notes_of
from ...runtime.output.lock import hold
from ...runtime.output.names import REPORT_FILES, THUMBNAILS
from ...runtime.output.runs import Run, read_runs, run_files
from ..text import printable
from .files import GENERATOR, discard_temporary, is_output, replace_page, thumbnail_file
from .thumbnails import make_style_thumbnail, make_thumbnails, style_thumbnail_name, styles_of, thumbnail_names

_ROWS = CURVES = 5000
"""Pictures of a page; of more, those that failed and the newest."""

PHOTOS, PAINTINGS = "photo", "painting"
"""Paths under which `serve` serves photos, by the names of their paintings, and these."""


def write_page(root: Path, journal: Journal | None = None) -> Path:
    """Write the page of an output folder from its journal and the thumbnails that are there.

    Args:
        root: the folder.
        journal: its journal; None reads it.

    Raises:
        UsageError: there is no journal, or a page that is not nstbatch's.
        OSError: the folder cannot be written to.
    """
    return replace_page(root, lambda: render(root, page_data(root, journal or read_journal(root))))


def rebuild(root: Path, journal: Journal | None = None) -> Path:
    """`write_page`, with every thumbnail that is missing, and without those that nothing shows any more.

    Args:
        root: the folder.
        journal: its journal; None reads it.

    Raises:
        UsageError, OSError: see there.
    """
    journal = journal or read_journal(root)
    entries = sorted_entries(journal)
    for entry in entries:
        make_thumbnails(journal.output, entry)
    styles = [style for _, style in styles_of(read_runs(root), (entry.style for entry in entries))]
    for style in styles:
        make_style_thumbnail(root, style)
    # A run that goes on has its thumbnails, and would miss them.
    with contextlib.suppress(LockedError), hold([root]):
        known = {name for entry in sorted_entries(journal.again()) for name in thumbnail_names(entry)}
        known |= {style_thumbnail_name(style) for style in styles}
        delete_files(root, REPORT_FILES, THUMBNAILS, kept=known)
        discard_temporary(root)
    return write_page(root, journal)


def read_journal(root: Path) -> Journal:
    """The journal of an output folder.

    Raises:
        UsageError: there is none, or it cannot be read.
    """
    if not is_output(root):
        raise UsageError(f"{root}: is no output folder of nstbatch; it has no journal")
    try:
        return Journal.read(root, curves=CURVES)
    except OSError as error:
        raise UsageError(f"{root}: its journal cannot be read ({first_line(error)})") from None


def page_data(root: Path, journal: Journal, version: str | None = None) -> dict[str, Any]:
    """Everything that the page shows, as JSON has it.

    Args:
        root: the output folder.
        journal: its journal.
        version: for a page that is served, and asks for more: `data_version` from before the journal was read.
    """
    live = version is not None
    entries, found = sorted_entries(journal), read_runs(root)
    runs = []
    for run in found:
        rate = 3600 * run.painted / max(run.seconds, _SHORTEST) if run.painted and run.seconds else None
        shown = {name: value for name, value in asdict(run).items() if name != "styles"}
        runs.append({**shown, "command": _shown(run.command), "bundle": _shown(run.bundle), "rate": rate})
    return {
        "live": live,
        "version": version,
        "generated": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "runs": runs,
        "styles": _styles(root, found, entries),
        "failed": len(journal.failed),
        "painted": len(entries) - len(journal.failed),
        "rows": [_row(journal, entry, live) for entry in entries[:_ROWS]],
    }


def data_version(root: Path) -> str:
    """Something that changes when the page's data do."""
    found = []
    for ask in (*(file.status for file in (*journal_files(root), *run_files(root))), (root / REPORT_FILES).stat):
        try:
            status = ask()
        except OSError:
            status = None
        found.append("" if status is None else f"{status.st_size}.{status.st_mtime_ns}")
    return "-".join(found)


def render(root: Path, data: dict[str, Any]) -> str:
    """The page as text."""
    # Nothing that a file's name can hold may end the script element, or begin another one.
    text = json.dumps(data, allow_nan=False).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return render_page("page", root, data=Markup(text), script=_resource("page.js"))


def render_page(kind: str, root: Path, *, script: str = "", **values: object) -> str:
    """A page of a folder as text: what is in it, and what a browser may do with it.

    Args:
        kind: of the template.
        root: the folder, whose name is the title.
        script: of the page.
        values: for the template.
    """
    style = _resource("page.css")
    policy = (
        "default-src 'none'; img-src 'self' file: data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        + "; ".join(f"{kind}-src 'sha256-{_digest(content)}'" for kind, content in (("style", style), ("script", script)))
    )
    template = Environment(autoescape=True, trim_blocks=True).from_string(_resource(f"{kind}.html.jinja"))
    common = {"title": printable(root.absolute().name), "generator": GENERATOR, "policy": policy}
    return template.render(**common, style=Markup(style), script=Markup(script), **values)


def _resource(name: str) -> str:
    source = files(__package__)
    return source.joinpath(name).read_text("utf-8")


_SHORTEST = 0.1
"""Seconds of a run that its rate is told of."""

_ABOVE = re.compile(r"(?<![\w.:/~])/(?:[^/\s'\"]+/)+")
"""The folders of an absolute path, with what is between them."""


def _shown(text: str) -> str:
    """Text for those who get the page, which may be sent anywhere: of absolute paths only the last part."""
    return printable(_ABOVE.sub("", text))


def _digest(content: str) -> str:
    return base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()


def sorted_entries(journal: Journal) -> list[Entry]:
    """The newest line of each target, failures first and then the newest; a failure after a painting goes before it."""
    painted = (entry for key, entry in journal.painted.items() if key not in journal.failed)
    return [*journal.failed.values(), *sorted(painted, key=lambda entry: entry.finished, reverse=True)]


def _styles(root: Path, runs: list[Run], entries: list[Entry]) -> list[dict[str, Any]]:
    """The styles of entries, with their pictures."""
    found = ((name, style_thumbnail_name(style)) for name, style in styles_of(runs, (entry.style for entry in entries)))
    return [
        {"name": printable(name), "thumbnail": f"{REPORT_FILES}/{thumbnail}"}
        for name, thumbnail in found
        if thumbnail_file(root, thumbnail).is_there()
    ]


def _row(journal: Journal, entry: Entry, live: bool) -> dict[str, Any]:
    root = journal.root
    painted = entry.outcome == "painted" and _is_painting(journal, entry)
    photo_thumbnail, painting_thumbnail = (
        f"{REPORT_FILES}/{name}" if thumbnail_file(root, name).is_there() else None for name in thumbnail_names(entry)
    )
    # `serve` serves what decodes as a picture.
    unseen = live and entry.outcome == "failed" and photo_thumbnail is None
    # Not Path.resolve: links stay what they are.
    target = f"{PAINTINGS}/{entry.target}" if live else entry.target
    source = f"{PHOTOS}/{entry.target}" if live else os.path.relpath(entry.source or ".", os.path.abspath(root))  # noqa: PTH100
    return {
        "name": printable(entry.target),
        "photoName": printable(PurePath(entry.source).name),
        "failed": entry.outcome != "painted",
        "reason": _shown(notes_of(entry.reason) if entry.outcome == "painted" else entry.reason),
        "style": printable(entry.style),
        "finished": entry.finished,
        "seconds": entry.seconds,
        "evaluations": entry.evaluations,
        "curve": entry.curve,
        "photo": relative_url(source) if _can_be_shown(journal, entry) and not unseen else None,
        "painting": relative_url(target) if painted else None,
        "photoThumbnail": photo_thumbnail,
        "paintingThumbnail": painting_thumbnail if painted else None,
    }


def _is_painting(journal: Journal, entry: Entry) -> bool:
    """Whether there is a file in the painting's place."""
    with contextlib.suppress(OSError):
        found = journal.output.look(entry.target)
        return found is not None and found.regular
    return False


def _can_be_shown(journal: Journal, entry: Entry) -> bool:
    """Whether a browser can follow a link from the page to the photo itself."""
    return (
        isinstance(journal.output, FolderOutput)
        and bool(entry.source)
        and "://" not in entry.source
        and exists(Path(entry.source))
    )


def relative_url(path: str) -> str:
    """A relative URL of a path; by ``./``, so that no name is taken for a scheme."""
    return "./" + quote_from_bytes(os.fsencode(path))
