"""``nstbatch classify``: what pictures show."""

import json
from dataclasses import asdict
from pathlib import Path

import click

from ...runtime.errors import ExitCode
from ...runtime.recipe.provider import AUTO, PROVIDER_CHOICES
from ..options import LOCATION, PATH, option, preprocessing_option


@click.command()
@click.argument("photos", nargs=-1, required=True, type=PATH, metavar="PHOTO...")
@click.option("--top", type=click.IntRange(1, 1000), default=3, show_default=True, help="How many classes of each.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a photo, on a line of its own.")
@option(
    "--weights",
    default="torchvision",
    metavar="SOURCE",
    help="Weights with dense layers: torchvision (VGG-16, downloads 528 MB once), or a file: .pth, .h5 (Keras, without "
    "notop in its name), .npz, .safetensors.",
)
@preprocessing_option()
@option("--bundle", type=LOCATION, help="Bundle that `nstbatch export --classes` made.  [default: from the cache]")
@option("--provider", type=click.Choice(PROVIDER_CHOICES), default=AUTO, help="ONNX Runtime's execution provider.")
@option("--device", type=click.IntRange(min=0), help="Number of the GPU.  [default: the first, if any]")
@option("--threads", type=click.IntRange(min=1), help="CPU threads.  [default: every core]")
@click.pass_context
def classify(
    context: click.Context,
    photos: tuple[Path, ...],
    top: int,
    as_json: bool,
    weights: str,
    preprocessing: str | None,
    bundle: Path | None,
    provider: str,
    device: int | None,
    threads: int | None,
) -> None:
    """Name what photos show: the likeliest of ImageNet's 1000 classes, with their probabilities.

    \b
      nstbatch classify samples/photos/*.jpg

    The network is the one that paints, with the dense layers that it was trained with. It sees the middle of each photo, at
    224 pixels. The first run writes a bundle of 650 MB into the cache.

    Exit code: 0 all done, 3 some photos failed.
    """
    from ...runtime.assembly.sources import WeightsSource
    from ...runtime.engine.host import Host
    from ..actions.classify import predict

    failed = False
    source = WeightsSource(weights, preprocessing)
    for path, found in predict(photos, top, source, bundle, Host(provider=provider, device=device, threads=threads)):
        failed = failed or found is None
        if found is None:
            continue
        if as_json:
            click.echo(json.dumps({"photo": str(path), "classes": [asdict(each) for each in found]}))
            continue
        click.echo(path)
        for each in found:
            click.echo(f"  {100 * each.probability:5.1f} %  {each.name}")
    context.exit(ExitCode.SOME_FAILED if failed else ExitCode.OK)
