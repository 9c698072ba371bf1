"""``nstbatch sweep``: one photo with several values of one or two options, as a grid to choose from."""

import copy
from pathlib import Path
from typing import Any

import click

from ...runtime.errors import UsageError
from ..help import Command, Group, Option
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

_LEFT_OUT = (
    "photos",
    "output",
    "name",
    "recursive",
    "files_from",
    "style_each",
    "dry_run",
    "keep_existing",
    "keep_times",
    "wait",
)
"""Options of `paint` that a sweep does not have; its photo, output and names are its own."""


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
        if parameter.name in _LEFT_OUT:
            continue
        if parameter.name in SWEEPABLE:
            parameter = copy.copy(parameter)
            parameter.type = _Values(parameter.type)
        found.append(parameter)
    return found


_PARAMETERS = _parameters()

_AS_IN_PAINT = [str(parameter.name) for parameter in _PARAMETERS if parameter.name not in ("style", *SWEEPABLE)]


@click.command(cls=Command, params=_PARAMETERS, elsewhere=_AS_IN_PAINT)
@click.argument("photo", type=PATH)
@click.option(
    "-o",
    "--output",
    cls=Option,
    group=Group.FILES,
    type=PATH,
    help="Folder for the pictures.  [default: beside the photo, <stem>-sweep]",
)
@click.pass_context
def sweep(context: click.Context, /, photo: Path, output: Path | None, **options: Any) -> None:
    """Paint a photo with several values of one or two options, and lay the pictures out on one sheet.

    \b
      nstbatch sweep photo.jpg --style starry.jpg --style-weight 1,10,100 --size 256,512

    Values are separated by commas. One option with several makes the columns, another the rows. The sheet is sheet.png in
    the output folder; what is painted already is not painted again. Other options are those of `nstbatch paint`.
    """
    from ..actions.sweep import Axis, paint_sheet

    chosen = dict(explicit(context, options))
    given = {name: chosen.pop(name) for name in SWEEPABLE if isinstance(chosen.get(name), tuple)}
    axes = [Axis(name, values) for name, values in given.items() if len(values) > 1]
    if not 1 <= len(axes) <= 2:
        known = ", ".join("--" + name.replace("_", "-") for name in SWEEPABLE)
        raise UsageError(f"a sweep takes one or two options with several values, got {len(axes)}; of {known}")
    others = chosen | {name: values[0] for name, values in given.items() if len(values) == 1}
    across, down = axes[0], axes[1] if len(axes) > 1 else None
    context.exit(paint_sheet(photo, output, across, down, others))
