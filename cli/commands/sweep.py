"""``nstbatch sweep``: one photo with several values of one or two options, as a grid to choose from."""

import copy
from pathlib import Path
from typing import Any

import click

from ..options import PATH, explicit
from .paint import paint

SWEEPABLE = (
    *(
        "preset",
        "size",
        "iterations",
        "content_weight",
        "style_weight",
        "strength",
        "tv_weight",
        "style_scale",
        "style_size",
    ),
    *("colors", "init", "seed", "optimizer", "learning_rate", "whitening", "precision"),
)
"""Options of `paint` that take several values."""

LEFT_OUT: dict[str, Any] = {
    "recursive": False,
    "files_from": None,
    "each": False,
    "dry_run": False,
    "keep_existing": False,
    "wait": False,
}
"""Options of `paint` that a sweep has not, and what it takes for them; its photo, output and names are its own."""


class _Values(click.ParamType[tuple[Any, ...]]):
    """One value of another type, or several separated by commas."""

    def __init__(self, one: click.ParamType[Any]) -> None:
        self.one = one
        self.name = f"{one.name},..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[Any, ...]:
        if isinstance(value, tuple):
            return value
        parts = [part.strip() for part in str(value).split(",")]
        return tuple(self.one.convert(part, param, ctx) for part in dict.fromkeys(parts))


def _parameters() -> list[click.Parameter]:
    """Those of `paint` that a sweep has."""
    found = []
    for parameter in paint.params:
        if parameter.name in ("photos", "output", "name", *LEFT_OUT):
            continue
        if parameter.name in SWEEPABLE:
            parameter = copy.copy(parameter)
            parameter.type = _Values(parameter.type)
        found.append(parameter)
    return found


@click.command(params=_parameters())
@click.argument("photo", type=PATH)
@click.option("-o", "--output", type=PATH, help="Folder for the pictures.  [default: beside the photo, <stem>-sweep]")
@click.pass_context
def sweep(context: click.Context, /, photo: Path, output: Path | None, **options: Any) -> None:
    """Paint a photo with several values of one or two options, and lay the pictures out on one sheet.

    \b
      nstbatch sweep photo.jpg --style starry.jpg --style-weight 1,10,100 --size 256,512

    Values are separated by commas. One option with several makes the columns, another the rows. The sheet is sheet.png in
    the output folder; what is painted already is not painted again.
    """
    from ..actions.sweep import paint_grid

    context.exit(paint_grid(photo, output, explicit(context, options)))
