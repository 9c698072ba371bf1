"""``nstbatch pack``: a folder for a host without torch and without network."""

import re
from pathlib import Path
from typing import Any

import click

from ..options import PATH, new_folder, option
from ..text import say


class _Version(click.ParamType[str]):
    """Major and minor version."""

    name = "version"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not re.fullmatch(r"\d+\.\d+", str(value)):
            self.fail(f"'{value}' is not a version such as 3.12", param, ctx)
        return str(value)


VERSION = _Version()


@click.command()
@new_folder("PACK_OUTPUT")
@option("--bundle", type=PATH, help="Bundle to pack.  [default: VGG-19's, from the cache]")
@option("--extra", type=click.Choice(("gpu", "cpu", "webgpu")), default="gpu", help="What the host computes on.")
@option("--python", type=VERSION, default="3.12", metavar="VERSION", help="Version of Python on the host.")
@option("--machine", type=click.Choice(("x86_64", "aarch64")), default="x86_64", help="Processor of the host.")
@option("--glibc", type=VERSION, default="2.28", metavar="VERSION", help="Its C library: that version or newer.")
@option("--download", is_flag=True, help="Put every wheel into the kit: with CUDA, some GB.")
def pack(output: Path, bundle: Path | None, extra: str, python: str, machine: str, glibc: str, download: bool) -> None:
    """Make a kit for an inference-only host: bundle, wheel of nstbatch, requirements with hashes, how to install them."""
    from ..actions.bundles import BundleRequest, find_bundle
    from ..actions.kit import KitTarget, make_kit
    from ..watchers.terminal import steps

    with steps() as step:
        found = find_bundle(BundleRequest(bundle), note=say, step=step)
        step("asking pip which versions fit the host")
        wheel = make_kit(found, output, KitTarget(extra, python, machine, glibc), download=download)
    click.echo(f"{output}: bundle, {wheel.name}, requirements.txt; README.txt has the commands for the host")
