"""``nstbatch warmup``: what a run would build or compute first, done ahead."""

from typing import Any

import click

from ..help import Command
from ..options import explicit
from .paint import paint


@click.pass_context
def _warm_up(context: click.Context, /, **options: Any) -> None:
    from ..actions.paint import warm_up

    context.exit(warm_up(explicit(context, options), context.obj))


warmup = Command(
    "warmup",
    callback=_warm_up,
    params=paint.params,
    elsewhere=[str(parameter.name) for parameter in paint.params if parameter.name != "style"],
    help="Prepare for a run with the same options, and paint nothing: make the bundle, compute the style's Gram matrices, "
    "and evaluate once in each shape that the plan has, for which TensorRT builds its engines, 20 to 100 seconds a scale. "
    "Other options are those of `nstbatch paint`.",
)
