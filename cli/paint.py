"""``nstbatch FOLDER... --style PICTURE``: the default command."""

from pathlib import Path
from typing import Any

import click

from ..runtime import Report, Settings, Stylizer, make_plan, run
from ..runtime.engine import CHOICES
from ..runtime.errors import UsageError
from ..runtime.settings import INITS
from .cache import cache_dir, find_bundle
from .console import RunDisplay, say, steps, tell
from .options import PATH, option

_DEFAULTS = Settings()


@click.command()
@click.argument("photos", nargs=-1, required=True, type=PATH, metavar="FOLDER_OR_FILE...")
@option("--style", required=True, type=PATH, help="The picture whose style is taken.")
@option(
    "-o",
    "--output",
    type=PATH,
    help="Folder for the paintings.  [default: beside each folder, <folder>-<style's stem>]",
)
@option("--size", type=int, default=_DEFAULTS.size, help="Long side, in pixels, that is optimised.")
@option("--iterations", type=int, default=_DEFAULTS.iterations, help="Evaluations of the loss at each scale.")
@option("--content-weight", type=float, default=_DEFAULTS.content_weight, help="Weight of the photo's content.")
@option("--style-weight", type=float, default=_DEFAULTS.style_weight, help="Weight of the style.")
@option("--tv-weight", type=float, default=_DEFAULTS.tv_weight, help="Weight of total variation: smoothness.")
@option("--init", default=_DEFAULTS.init, metavar="|".join((*INITS, "FILE")), help="Where the optimisation starts.")
@option("--seed", type=int, default=_DEFAULTS.seed, help="Seed of the noise of --init noise.")
@option(
    "--scales",
    default=_DEFAULTS.scales,
    metavar="auto|1|SIZES",
    help="Long sides to work through, coarse to fine: auto, 1 (--size alone), or a list such as 128,256,512, whose last "
    "takes the place of --size.",
)
@option("--bundle", type=PATH, help="Bundle to use.  [default: VGG-19's, from the cache]")
@option("--provider", type=click.Choice(CHOICES), default="auto", help="ONNX Runtime's execution provider.")
@option("--threads", type=click.IntRange(min=1), help="CPU threads.  [default: every core]")
@click.pass_context
def paint(
    context: click.Context,
    /,
    photos: tuple[Path, ...],
    style: Path,
    output: Path | None,
    bundle: Path | None,
    provider: str,
    threads: int | None,
    **settings: Any,
) -> None:
    """Paint photos, and every photo of a folder, in the style of one picture.

    \b
      nstbatch holiday/ --style starry.jpg

    paints holiday/*.jpg (and png, webp, tiff) into holiday-starry/. A photo that cannot be read is reported and skipped.

    Exit code: 0 all done, 1 fatal, 2 usage, 3 some photos failed, 4 provider not available, 130 interrupted.
    """
    Settings(**settings)
    if not style.is_file():
        raise UsageError(f"--style {style}: no such picture")
    plan = make_plan(photos, style, output)
    report = Report()
    if not plan.items:
        say("nothing to do: no photos there")
        return
    with steps() as step:
        found = find_bundle(bundle, step)
        step("preparing the style")
        stylizer = Stylizer(found, style, provider=provider, threads=threads, cache=cache_dir(), **settings)
    if provider == "auto":
        say(f"provider: {stylizer.engine.provider}")
    with RunDisplay(plan) as display:
        for row in run(plan, stylizer, display.update):
            report.rows.append(row)
            display.finish(row)
    tell(str(report))
    context.exit(report.exit_code)
