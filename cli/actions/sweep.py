"""What ``nstbatch sweep`` does."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from ...runtime.errors import ExitCode, ImageError, UsageError
from ...runtime.pictures.contact_sheet import contact_sheet
from ...runtime.pictures.encoding import write_picture
from ...runtime.pictures.photo import Picture, read_picture
from ...runtime.planning.placement import Destination, names_picture
from ...runtime.recipe.keywords import Options
from ..text import print_line
from .paint import paint

SHEET = "sheet.png"


@dataclass(frozen=True)
class Axis:
    """An option that is given several values.

    Attributes:
        name: of the option.
        values: that it takes, one after the other.
    """

    name: str
    values: tuple[Any, ...]

    def label(self, value: Any) -> str:
        """What the sheet says of a value."""
        return f"{self.name.replace('_', ' ')} {value}"


def paint_sheet(photo: Path, output: Path | None, across: Axis, down: Axis | None, options: Options) -> ExitCode:
    """Paint every combination of the values of one or two options, and the sheet.

    Args:
        photo: what to paint.
        output: folder; None for one beside the photo.
        across: makes the columns.
        down: makes the rows; None for one row.
        options: the others, of `paint`.

    Returns:
        The worst exit code of the runs.
    """
    if names_picture(output):
        raise UsageError(f"-o {output}: is the name of a picture; a sweep takes a folder, and makes {SHEET} there")
    folder = output or photo.parent / f"{photo.stem}-sweep"
    extension = Destination(format=options.get("format")).extension(photo.suffix)
    worst = ExitCode.OK
    pictures: list[list[Image.Image | None]] = []
    for row in down.values if down is not None else (None,):
        pictures.append([])
        for column in across.values:
            chosen = ({} if down is None else {down.name: row}) | {across.name: column}
            name = "{stem} " + ", ".join(f"{key.replace('_', '-')} {value}" for key, value in chosen.items())
            name = name.replace("/", "_") + "{ext}"
            code = paint({**options, **chosen, "photos": (photo,), "output": folder, "name": name})
            worst = max(worst, code)
            if code in _ENDS:
                return code
            pictures[-1].append(_read(folder / name.format(stem=photo.stem, ext=extension)))
    rows = [""] if down is None else [down.label(value) for value in down.values]
    sheet = contact_sheet(pictures, rows, [across.label(value) for value in across.values])
    write_picture(folder / SHEET, Picture(sheet))
    print_line(f"{folder / SHEET}")
    return worst


_ENDS = (ExitCode.INTERRUPTED, ExitCode.DEADLINE, ExitCode.LOCKED)
"""After which the next picture is not begun."""


def _read(path: Path) -> Image.Image | None:
    """A picture that was painted; None if it was not."""
    try:
        return read_picture(path, math.inf).rgb
    except ImageError:
        return None
