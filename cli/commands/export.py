"""``nstbatch export``: make a bundle."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from ...runtime.bundle.spec import PADDINGS, POOLINGS, PRECISIONS, STYLE_DISTANCES, TVS
from ...runtime.recipe.presets import DEFAULT, PRESETS
from ..options import PREFIX, is_chosen, new_folder, option, preprocessing_option, split_names, weights_option

_DEFAULTS = PRESETS[DEFAULT].spec


@click.command()
@new_folder("EXPORT_OUTPUT")
@option("--preset", type=click.Choice(tuple(PRESETS)), default=DEFAULT, help="Whose network, taps and total variation.")
@option("--network", type=click.Choice(("vgg16", "vgg19")), default=_DEFAULTS.network, help="Which VGG.")
@option("--pooling", type=click.Choice(POOLINGS), default=_DEFAULTS.pooling, help="Kind of pooling.")
@option("--padding", type=click.Choice(PADDINGS), default=_DEFAULTS.padding, help="Beyond the edges of the picture.")
@option("--content-taps", default=",".join(_DEFAULTS.content_taps), help="Layers compared by their features.")
@option("--style-taps", default=",".join(_DEFAULTS.style_taps), help="Layers compared with the style.")
@weights_option("Source of the weights", _DEFAULTS.weights)
@preprocessing_option()
@option(
    "--precision",
    type=click.Choice(PRECISIONS),
    default=_DEFAULTS.precision,
    envvar=PREFIX + "EXPORT_PRECISION",
    help="Of the layers; Gram matrices and losses are float32 in either.",
)
@option("--tv", type=click.Choice(TVS), default=_DEFAULTS.tv, help="Kind of total variation.")
@option(
    "--style-distance",
    type=click.Choice(STYLE_DISTANCES),
    default=_DEFAULTS.style_distance,
    help="What of the features is compared: Gram matrices, or means and covariances.",
)
@option("--regions", is_flag=True, help="Compare the style in each region of a mask by itself: for masks.")
@option("--classes", is_flag=True, help="Add the graph for `nstbatch classify`; takes weights with dense layers.")
@click.pass_context
def export(context: click.Context, /, output: Path, preset: str, preprocessing: str | None, **options: Any) -> None:
    """Write a bundle: the graphs and weights that the runtime needs.

    The package has the graphs of every preset. Those of other layers are traced by PyTorch, which has to be installed then.
    Both are checked against autograd in float64.

    Layers are named relu4_2 (after the activation) or conv4_2 (before it), and separated by commas.
    """
    from ...runtime.assembly.sources import WeightsSource
    from ..actions.bundles import make_bundle
    from ..text import say
    from ..watchers.terminal import steps

    began = time.perf_counter()
    chosen: dict[str, Any] = {name: value for name, value in options.items() if is_chosen(context, name)}
    for name in {"content_taps", "style_taps"} & chosen.keys():
        chosen[name] = split_names(chosen[name])
    source = WeightsSource(chosen.pop("weights", PRESETS[preset].spec.weights), preprocessing)
    chosen.setdefault("network", source.network(PRESETS[preset].spec.network))
    spec = replace(PRESETS[preset].spec, weights=source.id, **chosen)
    spec.check()
    if doubt := source.doubt(spec.network):
        say(doubt)
    with steps() as step:
        bundle = make_bundle(spec, output, source, step)
    parity, seconds = bundle.manifest.parity, time.perf_counter() - began
    click.echo(
        f"{output}: {spec.network}, {spec.pooling} pooling, {spec.precision}, in {seconds:.0f} s; largest difference from "
        f"float64 autograd over {parity.cases} cases: loss {parity.loss:.1e}, gradient {parity.gradient:.1e}"
    )
