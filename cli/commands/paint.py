"""``nstbatch FOLDER... --style PICTURE``: the default command."""

from typing import Any

import click

from ...runtime.bundle.spec import PADDINGS, POOLINGS
from ...runtime.recipe.presets import PRESETS
from ...runtime.recipe.provider import AUTO, PRECISIONS, PROVIDER_CHOICES, VECTORS
from ...runtime.recipe.settings import COLORS, FEATHER, INITS, MAX_MEGAPIXELS, NAME, OPTIMIZERS, WHITENINGS, Settings
from ..options import (
    BLEND,
    DEVICES,
    DURATION,
    EVERY,
    FEATHERS,
    LOCATION,
    MEGAPIXELS,
    MINUTES,
    PATH,
    SHARD,
    explicit,
    option,
    preprocessing_option,
    weights_option,
)

_DEFAULTS = Settings()


@click.command()
@click.argument("photos", nargs=-1, type=LOCATION, metavar="[FOLDER|FILE|GLOB|URL]...")
@option("--style", required=True, multiple=True, type=LOCATION, help="The picture whose style is taken; or several.")
@option("--style-each", is_flag=True, help="Paint in each style by itself, and in each picture of a folder of styles.")
@option("--style-blend", type=BLEND, metavar="A:B:...", help="Shares of several styles.  [default: equal]")
@option("--style-scale", type=float, default=_DEFAULTS.style_scale, help="Size of the style to that of the painting.")
@option("--style-size", type=int, help="Long side of the style, in pixels, in place of --style-scale.")
@option(
    "-o",
    "--output",
    type=LOCATION,
    help="Folder for the paintings.  [default: beside each folder, <folder>-<style's stem>]",
)
@option("-r", "--recursive", is_flag=True, help="Search folders to any depth, but for links; the output mirrors them.")
@option("--files-from", type=PATH, metavar="FILE|-", help="Read photos and folders from a list, by lines or NULs.")
@option("--name", default=NAME, metavar="TEMPLATE", help="Names of the outputs, of {stem}, {style} and {ext}.")
@option(
    "--preset",
    type=click.Choice(tuple(PRESETS)),
    default=_DEFAULTS.preset,
    help="A recipe of the field, see `nstbatch presets`: its network, terms, weights, start, optimiser and size, but for "
    "what is chosen here.",
)
@option("--content-taps", metavar="NAMES", help="Layers compared by their features: relu4_2.  [default: the preset's]")
@option("--style-taps", metavar="NAMES", help="Layers compared by their Gram matrices.  [default: the preset's]")
@option("--pooling", type=click.Choice(POOLINGS), help="Kind of pooling.  [default: the preset's]")
@option("--padding", type=click.Choice(PADDINGS), help="Beyond the edges of the picture.  [default: the preset's]")
@weights_option("Source of the weights, which decides the network", None)
@preprocessing_option
@option(
    "--layer-weight",
    default="",
    show_default=False,
    metavar="TAP=FACTOR,...",
    help="What the weights of some layers are multiplied by, such as relu3_1=0.2.",
)
@option("--size", type=int, default=_DEFAULTS.size, help="Long side, in pixels, that is optimised.")
@option("--iterations", type=int, default=_DEFAULTS.iterations, help="Evaluations of the loss at each scale.")
@option("--content-weight", type=float, default=_DEFAULTS.content_weight, help="Weight of the photo's content.")
@option("--style-weight", type=float, default=_DEFAULTS.style_weight, help="Weight of the style.")
@option("--strength", type=float, help="Of the style, 0 to 1, in place of --style-weight; 0.5 is the preset's.")
@option("--tv-weight", type=float, default=_DEFAULTS.tv_weight, help="Weight of total variation: smoothness.")
@option(
    "--style-mask",
    multiple=True,
    type=PATH,
    metavar="FILE",
    help="Regions of a style by their colours; each goes to where its colour is in --content-mask. One for each --style.",
)
@option(
    "--content-mask",
    type=PATH,
    metavar="DIR|FILE",
    help="Regions of the photos: a mask of each photo's stem, or one for all.",
)
@option("--protect", type=PATH, metavar="DIR|FILE", help="Keep of the photos what is white in these masks.")
@option("--feather", type=FEATHERS, default=FEATHER, help="Softness of the masks' edges, in percent of the long side.")
@option(
    "--colors",
    default=_DEFAULTS.colors,
    metavar="|".join(COLORS),
    help="Whose colours: as painted, the photo's, between (blend:0.5), or the style's matched to the photo's beforehand.",
)
@option("--init", default=_DEFAULTS.init, metavar="|".join((*INITS, "FILE")), help="Where the optimisation starts.")
@option("--seed", type=int, default=_DEFAULTS.seed, help="Seed of the noise of --init noise.")
@option(
    "--scales",
    default=_DEFAULTS.scales,
    metavar="auto|1|SIZES",
    help="Long sides to work through, coarse to fine: auto, 1 (--size alone), or a list such as 128,256,512, whose last "
    "takes the place of --size.",
)
@option(
    "--precision",
    type=click.Choice(PRECISIONS),
    default=_DEFAULTS.precision,
    help="Of the network: tf32 or fp16 with --provider cuda, bfloat16 with --provider openvino on a CPU with AMX; mixed "
    "does the early work in tf32 or bfloat16, and ends in float32. fp16 takes a bundle of its own.",
)
@option(
    "--whitening",
    type=click.Choice(WHITENINGS),
    default=_DEFAULTS.whitening,
    help="Early work in a metric in which all of the style's features count alike: auto, where the style weighs much more "
    "than the content.",
)
@option(
    "--tolerance",
    type=float,
    default=_DEFAULTS.tolerance,
    help="End a scale when the loss falls by less than this share for each evaluation's worth of time, such as 0.002.",
)
@option("--optimizer", type=click.Choice(OPTIMIZERS), default=_DEFAULTS.optimizer, help="What minimises the loss.")
@option(
    "--learning-rate",
    type=float,
    help="Of adam, adagrad and sgd, in grey levels of 0..255.  [default: 10; sgd: whose first step is of 1 grey level]",
)
@option("--decay", type=float, default=_DEFAULTS.decay, help="Factor of the learning rate after --decay-every steps.")
@option("--decay-every", type=int, default=_DEFAULTS.decay_every, help="Steps after which --decay is reached.")
@option(
    "--staircase", is_flag=True, help="Let the learning rate fall at once after --decay-every steps, not a little with each."
)
@option("--average", type=float, default=_DEFAULTS.average, help="Paint the moving average of iterates, such as 0.9.")
@option(
    "--bundle",
    type=LOCATION,
    help="Bundle to use: its folder or URL, or the file of a kit.  [default: VGG-19's, from the cache]",
)
@option("--provider", type=click.Choice(PROVIDER_CHOICES), default=AUTO, help="ONNX Runtime's execution provider.")
@option("--device", type=click.IntRange(min=0), help="Number of the GPU.  [default: the first, if any]")
@option(
    "--devices",
    type=DEVICES,
    metavar="all|NUMBERS",
    help="Paint on several GPUs at a time, a process for each: all, or 0,1. A number may stand twice.",
)
@option(
    "--engine",
    type=click.Choice(("local", "ray")),
    default="local",
    help="What paints: this host; or the workers of a Ray cluster, which see the photos under the same names.",
)
@option(
    "--ray-address", metavar="ADDRESS", help="Cluster of --engine ray, such as auto.  [default: one of this host, made now]"
)
@option(
    "--workers",
    type=click.IntRange(min=1),
    help="Of --engine ray.  [default: one for each GPU of the cluster, or for each host where there are none]",
)
@option(
    "--gpus-per-worker",
    type=click.FloatRange(min=0),
    help="Of --engine ray; 0.5 puts two on a GPU.  [default: 1; 0 where there are none]",
)
@option(
    "--overlap",
    type=click.IntRange(1, 64),
    help="Pictures painted at a time.  [default: with CUDA 4 at --size 256 and less, and 2 above; else 1]",
)
@option(
    "--lock-step/--no-lock-step",
    default=None,
    help="Evaluate those of one shape as one batch, where several are painted.  [default: small ones with CUDA]",
)
@option(
    "--vectors",
    type=click.Choice(VECTORS),
    default=AUTO,
    help="Where L-BFGS keeps its vectors: in this process, or on the GPU, so that an evaluation is one run there.",
)
@option(
    "--cuda-graphs/--no-cuda-graphs",
    default=None,
    help="Let CUDA capture each painting's step, and replay it.  [default: where CUDA holds the vectors]",
)
@option("--threads", type=click.IntRange(min=1), help="CPU threads.  [default: every core of this host or container]")
@option("-n", "--dry-run", is_flag=True, help="Print the plan and an estimate of time; paint nothing.")
@option("--force", is_flag=True, help="Paint what is up to date, too.")
@option("--keep-existing", is_flag=True, help="Never replace a file that is not nstbatch's, or was edited since.")
@option("--fail-fast", is_flag=True, help="Stop at the first photo that fails.")
@option(
    "--on-stop",
    type=click.Choice(("drop", "finish")),
    default="drop",
    help="What a first SIGINT or SIGTERM does to the picture in work; a second leaves at once.",
)
@option("--max-duration", type=DURATION, metavar="TIME", help="Stop in time: 90s, 50m, 2h, 1h30m. Exit code 10.")
@option("--checkpoint", type=MINUTES, metavar="MINUTES", help="Keep a long picture's state this often.")
@option("--snapshots", type=EVERY, metavar="every=N", help="Keep the picture as it is after every N evaluations.")
@option(
    "--shard",
    type=SHARD,
    metavar="I/N",
    help="Paint the I-th of N parts of the photos, while others paint theirs into the same output.  [default: that of the "
    "SLURM array task, if it is one]",
)
@option("--wait", is_flag=True, help="Wait for a run that holds the output folder.  [default: exit code 11]")
@option(
    "--max-megapixels",
    type=MEGAPIXELS,
    default=MAX_MEGAPIXELS,
    help="Refuse photos that are larger.",
)
@option("--shrink-to-fit", is_flag=True, help="Paint smaller what does not fit into memory, instead of refusing it.")
@option("--json", is_flag=True, help="Events on stdout, one JSON object a line.")
@option("--log-file", type=PATH, help="Add lines with times to this file.")
@option("--status-file", type=PATH, help="Keep the state of the run in this file, as JSON.")
@option(
    "--report/--no-report",
    default=None,
    help="Write report.html into the output folder: photos and paintings, curves, failures.  [default: unless -q]",
)
@option("--preview", is_flag=True, help="Show each painting on the terminal.")
@option("-v", "--verbose", is_flag=True, help="Say more: what is up to date, and why a picture is painted.")
@option("-q", "--quiet", is_flag=True, help="Say only what failed.")
@click.pass_context
def paint(context: click.Context, /, **options: Any) -> None:
    """Paint photos, and every photo of a folder, in the style of one picture.

    \b
      nstbatch holiday/ --style starry.jpg

    paints holiday/*.jpg (and png, webp, tiff) into holiday-starry/. A photo that cannot be read is reported and skipped.
    What is painted already, from the same photo with the same options, is not painted again.

    Exit code: 0 all done, 1 fatal, 2 usage, 3 some photos failed, 4 provider not available, 10 --max-duration reached,
    11 another run holds the output folder, 130 interrupted.
    """
    from ..actions.paint import paint as act

    context.exit(act(explicit(context, options), context.obj))
