"""Thumbnails of photos and paintings, for a report's page."""

import contextlib
import hashlib
import io
import math
import os
from collections.abc import Callable, Iterable
from pathlib import Path, PurePath

from PIL import Image

from ...runtime.errors import NstbatchError
from ...runtime.files.folders import NotRegularError
from ...runtime.files.location import Location, to_location
from ...runtime.output.folder import Output
from ...runtime.output.journal import Entry
from ...runtime.output.runs import Run
from ...runtime.pictures.photo import read_thumbnail
from ...runtime.recipe.settings import MAX_MEGAPIXELS
from .files import thumbnail_file

_SIDE = 480
"""Long side of a thumbnail, in pixels."""


_QUALITY = 82


def thumbnail_names(entry: Entry) -> tuple[str, str]:
    """Names of the thumbnails of a photo and of its painting; another photo or painting has others."""
    photo = f"{entry.source}\n{entry.photo_sha256}"
    painting = f"{entry.target}\n{entry.output_sha256}"
    first, second = (hashlib.sha256(os.fsencode(text)).hexdigest()[:24] for text in (photo, painting))
    return f"{first}.jpg", f"{second}.jpg"


def styles_of(runs: Iterable[Run], names: Iterable[str]) -> list[tuple[str, str]]:
    """Name, and path or URL, of each style picture of runs that a name stands for, by itself or in a mixture (``a+b``).

    Args:
        runs: the newest first, whose pictures count where several have a name.
        names: see `Entry.style`.
    """
    named = {part for name in names for part in (name, *name.split("+"))}
    found: dict[str, str] = {}
    for run in runs:
        for style in run.styles:
            found.setdefault(PurePath(style).stem, style)
    return sorted((name, style) for name, style in found.items() if name in named)


def style_thumbnail_name(style: str) -> str:
    """Name of the thumbnail of a style's picture, by its path or URL."""
    return f"{hashlib.sha256(b'style ' + os.fsencode(style)).hexdigest()[:24]}.jpg"


def make_style_thumbnail(root: Path, style: str, guard: Callable[[], None] = lambda: None) -> None:
    """Make the thumbnail of a style's picture, again where another one has its name; none of what cannot be read.

    Args:
        root: the output folder.
        style: path or URL.
        guard: see `make_thumbnails`.
    """
    with contextlib.suppress(OSError, NstbatchError):
        small = jpeg(read_thumbnail(to_location(style), _SIDE))
        thumbnail = thumbnail_file(root, style_thumbnail_name(style))
        if not thumbnail.is_there() or thumbnail.read() != small:
            guard()
            thumbnail.write(small)


def make_thumbnails(output: Output, entry: Entry, guard: Callable[[], None] = lambda: None) -> None:
    """Make what is missing of an entry's thumbnails; what cannot be read has none.

    Args:
        output: where the painting is.
        entry: its line.
        guard: is called before one is written, see `Journal.guard`.
    """
    sources: list[Callable[[], Location]] = [lambda: to_location(entry.source)]
    if entry.outcome == "painted":
        sources.append(lambda: _painting(output, entry))
    for name, source in zip(thumbnail_names(entry), sources, strict=False):
        thumbnail = thumbnail_file(output.root, name)
        if thumbnail.is_there():
            continue
        with contextlib.suppress(OSError, NstbatchError):
            # What was painted was not too large; what was not may have been.
            limit = math.inf if entry.outcome == "painted" else MAX_MEGAPIXELS
            small = jpeg(read_thumbnail(source(), _SIDE, limit))
            guard()
            thumbnail.write(small)


def _painting(output: Output, entry: Entry) -> Location:
    """Where a painting is.

    Raises:
        NotRegularError: a link or anything else is in its place.
    """
    found = output.look(entry.target)
    if found is None or not found.regular:
        raise NotRegularError("no painting")
    return output.place(entry.target)


def jpeg(image: Image.Image) -> bytes:
    """A file for a page: smaller than a painting's, and without its profile."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()
