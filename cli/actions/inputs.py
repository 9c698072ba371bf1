"""What a run reads before it begins: styles, and lists of photos."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ...runtime.errors import StyleError, UsageError, first_line
from ...runtime.files.location import Location
from ...runtime.painting.style import read_style
from ...runtime.pictures.photo import Photo
from ...runtime.planning.discovery import find_styles, read_list
from ...runtime.planning.placement import Item


def style_paths(named: Sequence[Location], each: bool) -> Sequence[Location]:
    """The style pictures that a user names, those of folders if ``each`` is painted by itself.

    Raises:
        UsageError: a folder is named otherwise, or one without pictures.
    """
    if each:
        return find_styles(named)
    for path in named:
        if isinstance(path, Path) and path.is_dir():
            raise UsageError(f"--style {path}: is a folder; --style-each paints in each of its pictures")
    return named


def read_styles(paths: Sequence[Location], each: bool) -> tuple[list[Photo], dict[int, str]]:
    """Styles; and where ``each`` is painted by itself the errors of those that cannot be read, by number.

    Raises:
        StyleError: one cannot be read, or none.
    """
    styles: list[Photo] = []
    damaged: dict[int, str] = {}
    for number, path in enumerate(paths):
        try:
            styles.append(read_style(path))
        except StyleError as error:
            if not each or (not styles and number == len(paths) - 1):
                raise
            damaged[number] = str(error)
    return styles, damaged


def with_readable(items: Sequence[Item], damaged: Mapping[int, str]) -> Iterator[Item]:
    """Items whose styles are numbered without the damaged ones; the photos of these have their errors."""
    for item in items:
        error = item.error or damaged.get(item.style)
        yield replace(item, style=item.style - sum(number < item.style for number in damaged), error=error)


def check_masks(styles: Sequence[Location], style_masks: Sequence[Path], content: Path | None, protect: Path | None) -> None:
    """Refuse options of masks that cannot be meant.

    Raises:
        UsageError: there are masks of styles and none of photos, or the other way round, or not one for each style; or
            there is nothing where photos' masks are said to be.
    """
    if bool(style_masks) != bool(content):
        raise UsageError("--style-mask and --content-mask go together: name both, or none")
    if style_masks and len(style_masks) != len(styles):
        raise UsageError(
            f"{len(style_masks)} --style-mask for {len(styles)} --style: one for each; one of a single colour takes all"
        )
    for place in (content, protect):
        if place is not None and not place.exists():
            raise UsageError(f"{place}: no such file or folder of masks")


def read_listed(path: Path) -> list[Location]:
    """The paths and URLs of a list, ``-`` for stdin.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        return read_list(sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes())
    except OSError as error:
        raise UsageError(f"--files-from {path}: {first_line(error)}") from None
