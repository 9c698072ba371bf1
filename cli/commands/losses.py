"""``nstbatch losses``: the terms of the objective for any picture."""

import json
from pathlib import Path
from typing import Any

import click

from ..actions.bundles import OF_BUNDLE
from ..options import PATH, explicit, option
from .paint import paint

_SHARED = (
    *("styles", "blend", "style_scale", "style_size", "colors", "preset", "layer_weight", "size"),
    *("content_weight", "style_weight", "strength", "tv_weight", "precision"),
    *("style_masks", "content_mask", "protect", "feather"),
    *("bundle", *OF_BUNDLE, "provider", "device", "threads"),
)
"""Options of `paint` that decide the objective, or where it is computed."""


@click.command(params=[parameter for parameter in paint.params if parameter.name in _SHARED])
@click.argument("photo", type=PATH)
@click.argument("paintings", nargs=-1, required=True, type=PATH, metavar="PAINTING...")
@option("--json", "machine", is_flag=True, help="One JSON object a painting, on a line of its own.")
@click.pass_context
def losses(context: click.Context, /, photo: Path, paintings: tuple[Path, ...], machine: bool, **options: Any) -> None:
    """Print each term of the objective for paintings of a photo, whoever made them.

    \b
      nstbatch losses town.jpg town-painted.jpg --style starry.jpg --preset gatys

    A painting is scaled to --size, or the preset's, if it is larger; the photo to the same shape.
    """
    from ..actions.losses import measure

    for path, (width, height), terms in measure(photo, paintings, **explicit(context, options)):
        total = sum(term.weighted for term in terms)
        if machine:
            rows = [{"kind": t.kind, "tap": t.tap, "value": t.value, "weight": t.weight} for t in terms]
            click.echo(json.dumps({"painting": str(path), "width": width, "height": height, "loss": total, "terms": rows}))
            continue
        click.echo(f"{path} at {width} x {height}: loss {total:.6g}")
        for term in terms:
            name = f"{term.kind} {term.tap}".strip()
            click.echo(f"  {name:<16} {term.value:>12.5g} x {term.weight:<12.5g} = {term.weighted:.6g}")
