"""``nstbatch losses``: the terms of the objective for any picture."""

import json
from pathlib import Path
from typing import Any

import click

from ..help import Command
from ..options import PATH, explicit, option
from .paint import paint

_SHARED = (
    *("style", "style_blend", "style_scale", "style_size", "colors", "preset", "layer_weight", "size"),
    *("content_weight", "style_weight", "strength", "tv_weight", "precision"),
    *("style_mask", "content_mask", "protect", "feather"),
    *("bundle", "content_taps", "style_taps", "pooling", "padding", "style_distance", "weights", "preprocessing"),
    *("provider", "device", "threads"),
)
"""Options of `paint` that decide the objective, or where it is computed."""


@click.command(cls=Command, params=[parameter for parameter in paint.params if parameter.name in _SHARED])
@click.argument("photo", type=PATH)
@click.argument("paintings", nargs=-1, required=True, type=PATH, metavar="PAINTING...")
@option("--json", is_flag=True, help="One JSON object a painting, on a line of its own.")
@click.pass_context
def losses(context: click.Context, /, photo: Path, paintings: tuple[Path, ...], **options: Any) -> None:
    """Print each term of the objective for paintings of a photo, whoever made them.

    \b
      nstbatch losses town.jpg town-painted.jpg --style starry.jpg --preset gatys

    A painting is scaled to --size, or the preset's, if it is larger; the photo to the same shape.
    """
    from ..actions.losses import measure

    for path, found in measure(photo, paintings, explicit(context, options)):
        size, terms = found.size, found.terms
        if options["json"]:
            rows = [{"kind": t.kind, "tap": t.tap, "value": t.value, "weight": t.weight} for t in terms]
            fields = {"painting": str(path), "width": size.width, "height": size.height, "loss": found.loss, "terms": rows}
            click.echo(json.dumps(fields))
            continue
        click.echo(f"{path} at {size}: loss {found.loss:.6g}")
        for term in terms:
            name = f"{term.kind} {term.tap}".strip()
            click.echo(f"  {name:<16} {term.value:>12.5g} x {term.weight:<12.5g} = {term.weighted:.6g}")
