"""``nstbatch warmup``: what a run would build or compute first, done ahead."""

from pathlib import Path
from typing import Any

import click

from .paint import paint


@click.pass_context
def _warm_up(
    context: click.Context,
    /,
    machine: bool,
    log_file: Path | None,
    status_file: Path | None,
    verbose: bool,
    quiet: bool,
    **options: Any,
) -> None:
    from .run import run

    context.exit(run(options, machine, log_file, status_file, verbose, quiet, warmup=True))


warmup = click.Command(
    "warmup",
    callback=_warm_up,
    params=paint.params,
    help="Prepare for a run with the same options, and paint nothing: export the bundle, compute the style's Gram matrices, "
    "and evaluate once in each shape that the plan has, for which TensorRT builds its engines, 20 to 100 seconds each.",
)
