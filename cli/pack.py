"""``nstbatch pack``: a folder for a host without torch and without network."""

from pathlib import Path

import click

from .cache import find_bundle
from .options import PATH, option


@click.command()
@option(
    "-o",
    "--output",
    required=True,
    type=PATH,
    envvar="NSTBATCH_PACK_OUTPUT",
    help="Folder to write; must be new or empty.",
)
@option("--bundle", type=PATH, help="Bundle to pack.  [default: VGG-19's, from the cache]")
@option("--extra", type=click.Choice(("gpu", "cpu")), default="gpu", help="What the host computes on.")
@option("--python", default="3.12", metavar="VERSION", help="Version of Python on the host.")
@option("--platform", default="manylinux_2_28_x86_64", metavar="TAG", help="Platform of the host, as wheels name it.")
@option("--download", is_flag=True, help="Put every wheel into the kit: with CUDA, some GB.")
def pack(output: Path, bundle: Path | None, extra: str, python: str, platform: str, download: bool) -> None:
    """Make a kit for an inference-only host: bundle, wheel of nstbatch, requirements with hashes, how to install them."""
    from .console import steps
    from .kit import Host, make_kit

    with steps() as step:
        found = find_bundle(bundle, step)
        step("asking pip which versions fit the host")
        wheel = make_kit(found, output, Host(extra, python, platform), download=download)
    click.echo(f"{output}: bundle, {wheel.name}, requirements.txt; README.txt has the commands for the host")
