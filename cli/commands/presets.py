"""``nstbatch presets``: the recipes of the field."""

import click

from ...runtime.recipe.presets import PRESETS, Preset


@click.command()
def presets() -> None:
    """List the presets: formula, source, network, and in what they depart from their source."""
    for name, preset in PRESETS.items():
        click.echo(f"{name}\n    " + "\n    ".join(_lines(preset)))


def _lines(preset: Preset) -> list[str]:
    spec, weights = preset.spec, preset.weights
    settings = ", ".join(f"{name} {value}" for name, value in preset.settings.items())
    lines = [
        preset.formula,
        f"a = {weights.content:g}, b = {weights.style:g}, c = {weights.tv:g}; {preset.source}",
        f"{spec.network}, weights {spec.weights}, {spec.pooling} pooling; content {', '.join(spec.content_taps)}; "
        f"style {', '.join(spec.style_taps)}",
    ]
    return [line for line in (*lines, settings, preset.notes) if line]
