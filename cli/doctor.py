"""``nstbatch doctor``: what is installed, what really starts, and what a run would use."""

from pathlib import Path

import click

from ..runtime.providers import CHOICES
from .options import PATH, option


@click.command()
@option("--provider", type=click.Choice(CHOICES), default="auto", help="Provider that has to start.")
@option("--bundle", type=PATH, help="Bundle that has to be sound.  [default: from the cache]")
@option("--threads", type=click.IntRange(min=1), help="CPU threads.  [default: every core]")
@click.pass_context
def doctor(context: click.Context, provider: str, bundle: Path | None, threads: int | None) -> None:
    """Tell versions, providers that really start, threads, cache and bundle; exit 4 if what was asked for is not there."""
    from .diagnosis import diagnose

    context.exit(diagnose(provider, bundle, threads))
