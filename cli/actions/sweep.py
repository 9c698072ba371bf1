"""What ``nstbatch sweep`` does."""

from pathlib import Path
from typing import Any

from PIL import Image

from ...runtime.errors import ExitCode, UsageError
from ...runtime.pictures.contact_sheet import contact_sheet
from ...runtime.pictures.photo import Picture, write_picture
from ..commands.sweep import LEFT_OUT, SWEEPABLE
from ..text import tell
from .paint import run

SHEET = "sheet.png"


def paint_grid(photo: Path, output: Path | None, options: dict[str, Any]) -> ExitCode:
    """Paint every combination of the options' values, and the sheet.

    Args:
        photo: what to paint.
        output: folder; None for one beside the photo.
        options: of `run`; each of `SWEEPABLE` that is there is a tuple of values.

    Returns:
        The worst exit code of the runs.

    Raises:
        UsageError: no option has several values, or more than two have.
    """
    given = {name: options.pop(name) for name in SWEEPABLE if isinstance(options.get(name), tuple)}
    several = [name for name, values in given.items() if len(values) > 1]
    if not 1 <= len(several) <= 2:
        known = ", ".join("--" + name.replace("_", "-") for name in SWEEPABLE)
        raise UsageError(f"a sweep takes one or two options with several values, got {len(several)}; of {known}")
    across, down = several[0], several[1] if len(several) > 1 else None
    folder = output or photo.parent / f"{photo.stem}-sweep"
    fixed = options | {name: values[0] for name, values in given.items()}
    worst = ExitCode.OK
    pictures: list[list[Image.Image | None]] = []
    rows, columns = _values(given, down), _values(given, across)
    for row in rows:
        pictures.append([])
        for column in columns:
            chosen = dict([*row, *column])
            name = "{stem} " + ", ".join(f"{key.replace('_', '-')} {value}" for key, value in chosen.items())
            name = name.replace("/", "_") + "{ext}"
            code = run(photos=(photo,), output=folder, name=name, **LEFT_OUT, **(fixed | chosen))
            worst = max(worst, code)
            if code in _ENDS:
                return code
            pictures[-1].append(_read(folder / name.format(stem=photo.stem, ext=photo.suffix)))
    sheet = contact_sheet(pictures, *([_label(pairs) for pairs in group] for group in (rows, columns)))
    write_picture(folder / SHEET, Picture(sheet))
    tell(f"{folder / SHEET}")
    return worst


_ENDS = (ExitCode.INTERRUPTED, ExitCode.DEADLINE, ExitCode.LOCKED)
"""After which the next picture is not begun."""


def _values(given: dict[str, tuple[Any, ...]], name: str | None) -> list[list[tuple[str, Any]]]:
    return [[]] if name is None else [[(name, value)] for value in given[name]]


def _label(pairs: list[tuple[str, Any]]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in pairs)


def _read(path: Path) -> Image.Image | None:
    """A picture that was painted; None if it was not."""
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except OSError:
        return None
