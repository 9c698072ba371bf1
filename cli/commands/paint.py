"""``nstbatch FOLDER... --style PICTURE``: the default command."""

from typing import Any

import click

from ...runtime.bundle.spec import PADDINGS, POOLINGS, STYLE_DISTANCES
from ...runtime.recipe.presets import PRESETS
from ...runtime.recipe.provider import AUTO, PRECISIONS, PROVIDER_CHOICES, VECTORS
from ...runtime.recipe.settings import (
    COLORS,
    ENLARGEMENT,
    FEATHER,
    INITS,
    MAX_MEGAPIXELS,
    NAME,
    OPTIMIZERS,
    OUTPUT_FORMATS,
    WHITENINGS,
    Settings,
)
from ..config import config_option
from ..help import Command, Group
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
    SIZE,
    TILE,
    explicit,
    option,
    preprocessing_option,
    weights_option,
)

_DEFAULTS = Settings()


@click.command(cls=Command)
@click.argument("photos", nargs=-1, type=LOCATION, metavar="[FOLDER|FILE|GLOB|URL]...")
@option(
    "--style",
    required=True,
    multiple=True,
    type=LOCATION,
    help="The picture whose style is taken; or several.",
    group=Group.STYLE,
)
@option(
    "--style-each",
    is_flag=True,
    help="Paint in each style by itself, and in each picture of a folder of styles.",
    group=Group.STYLE,
)
@option(
    "--style-blend", type=BLEND, metavar="A:B:...", help="Shares of several styles.  [default: equal]", group=Group.STYLE
)
@option(
    "--style-scale",
    type=float,
    help=f"Size of the style to that of the painting.  [default: 1, at most {ENLARGEMENT:g} times the style's own]",
    group=Group.STYLE,
)
@option(
    "--style-size",
    type=int,
    help="Long side of the style, in pixels, in place of --style-scale.",
    group=Group.STYLE,
    expert=True,
)
@option(
    "--colors",
    default=_DEFAULTS.colors,
    metavar="|".join(COLORS),
    help="Whose colours: as painted, the photo's, between (blend:0.5), or the style's matched to the photo's beforehand.",
    group=Group.STYLE,
)
@option(
    "--style-mask",
    multiple=True,
    type=PATH,
    metavar="FILE",
    help="Regions of a style by their colours; each goes to where its colour is in --content-mask. One for each --style.",
    group=Group.STYLE,
)
@option(
    "--content-mask",
    type=PATH,
    metavar="DIR|FILE",
    help="Regions of the photos: a mask of each photo's stem, or one for all.",
    group=Group.STYLE,
)
@option(
    "--preset",
    metavar="NAME",
    type=click.Choice(tuple(PRESETS)),
    default=_DEFAULTS.preset,
    help="A recipe of the field, see `nstbatch presets`: its network, terms, weights, start, optimiser and size, but for "
    "what is chosen here.",
    group=Group.STRENGTH,
)
@option(
    "--size",
    type=SIZE,
    metavar="INTEGER|original",
    default=_DEFAULTS.size,
    help="Long side, in pixels, that is optimised; original for the photo's own.",
    group=Group.STRENGTH,
)
@option(
    "--iterations",
    type=int,
    default=_DEFAULTS.iterations,
    help="Evaluations of the loss at each scale.",
    group=Group.STRENGTH,
)
@option(
    "--strength",
    type=float,
    help="Of the style, 0 to 1, in place of --style-weight; 0.5 is the preset's.",
    group=Group.STRENGTH,
)
@option("--style-weight", type=float, default=_DEFAULTS.style_weight, help="Weight of the style.", group=Group.STRENGTH)
@option(
    "--content-weight",
    type=float,
    default=_DEFAULTS.content_weight,
    help="Weight of the photo's content.",
    group=Group.STRENGTH,
    expert=True,
)
@option(
    "--tv-weight",
    type=float,
    default=_DEFAULTS.tv_weight_of(PRESETS[_DEFAULTS.preset].spec.tv),
    help="Weight of total variation: smoothness.",
    group=Group.STRENGTH,
)
@option(
    "--layer-weight",
    default="",
    show_default=False,
    metavar="TAP=FACTOR,...",
    help="What the weights of some layers are multiplied by, such as relu3_1=0.2.",
    group=Group.STRENGTH,
    expert=True,
)
@option(
    "--init",
    default=_DEFAULTS.init,
    metavar="|".join((*INITS, "FILE")),
    help="Where the optimisation starts.",
    group=Group.STRENGTH,
    expert=True,
)
@option(
    "--seed", type=int, default=_DEFAULTS.seed, help="Seed of the noise of --init noise.", group=Group.STRENGTH, expert=True
)
@option(
    "--scales",
    default=_DEFAULTS.scales,
    metavar="auto|1|SIZES",
    help="Long sides to work through, coarse to fine: auto, 1 (--size alone), or a list such as 128,256,512, whose last "
    "takes the place of --size.",
    group=Group.STRENGTH,
    expert=True,
)
@option(
    "--whitening",
    type=click.Choice(WHITENINGS),
    default=_DEFAULTS.whitening,
    help="Early work in a metric in which all of the style's features count alike: auto, where the style weighs much more "
    "than the content.",
    group=Group.STRENGTH,
    expert=True,
)
@option(
    "--tolerance",
    type=float,
    default=_DEFAULTS.tolerance,
    help="End a scale when the loss falls by less than this share for each evaluation's worth of time, such as 0.002.",
    group=Group.STRENGTH,
    expert=True,
)
@option(
    "--optimizer",
    type=click.Choice(OPTIMIZERS),
    default=_DEFAULTS.optimizer,
    help="What minimises the loss.",
    group=Group.STRENGTH,
    expert=True,
)
@option(
    "--learning-rate",
    type=float,
    help="Of adam, adagrad and sgd, in grey levels of 0..255.  [default: 10; sgd: whose first step is of 1 grey level]",
    group=Group.STRENGTH,
    expert=True,
)
@option(
    "--decay",
    type=float,
    default=_DEFAULTS.decay,
    help="Factor of the learning rate after --decay-every steps.",
    group=Group.STRENGTH,
    expert=True,
)
@option(
    "--decay-every",
    type=int,
    default=_DEFAULTS.decay_every,
    help="Steps after which --decay is reached.",
    group=Group.STRENGTH,
    expert=True,
)
@option(
    "--staircase",
    is_flag=True,
    help="Let the learning rate fall at once after --decay-every steps, not a little with each.",
    group=Group.STRENGTH,
    expert=True,
)
@option(
    "--average",
    type=float,
    default=_DEFAULTS.average,
    help="Paint the moving average of iterates, such as 0.9.",
    group=Group.STRENGTH,
    expert=True,
)
@option(
    "--content-taps",
    metavar="NAMES",
    help="Layers compared by their features: relu4_2.  [default: the preset's]",
    group=Group.STRENGTH,
    expert=True,
)
@option(
    "--style-taps",
    metavar="NAMES",
    help="Layers compared with the style.  [default: the preset's]",
    group=Group.STRENGTH,
    expert=True,
)
@option(
    "--style-distance",
    type=click.Choice(STYLE_DISTANCES),
    help="What is compared with the style: Gram matrices, or means and covariances, which gives larger and cleaner forms.  "
    "[default: the preset's]",
    group=Group.STRENGTH,
)
@option(
    "--pooling",
    type=click.Choice(POOLINGS),
    help="Kind of pooling.  [default: the preset's]",
    group=Group.STRENGTH,
    expert=True,
)
@option(
    "--padding",
    type=click.Choice(PADDINGS),
    help="Beyond the edges of the picture.  [default: the preset's]",
    group=Group.STRENGTH,
    expert=True,
)
@weights_option("Source of the weights, which decides the network", None, group=Group.STRENGTH)
@preprocessing_option(group=Group.STRENGTH, expert=True)
@option(
    "-o",
    "--output",
    type=LOCATION,
    help="Folder for the paintings; or, for one photo, a file.  [default: beside each folder, <folder>-<style's stem>]",
    group=Group.FILES,
)
@option(
    "-r",
    "--recursive",
    is_flag=True,
    help="Search folders to any depth, but for links; the output mirrors them.",
    group=Group.FILES,
)
@option(
    "--exclude",
    multiple=True,
    metavar="PATTERN",
    help="Leave out files and folders whose name, or path below the folder, is like that: '*_raw.jpg', 'trip/*'.",
    group=Group.FILES,
)
@option(
    "--files-from",
    type=PATH,
    metavar="FILE|-",
    help="Read photos and folders from a list, by lines or NULs.",
    group=Group.FILES,
)
@option(
    "--name", default=NAME, metavar="TEMPLATE", help="Names of the outputs, of {stem}, {style} and {ext}.", group=Group.FILES
)
@option(
    "--format",
    type=click.Choice(OUTPUT_FORMATS),
    help="Format of the outputs.  [default: the photo's; JPEG where that is not written]",
    group=Group.FILES,
)
@option(
    "--quality",
    type=click.IntRange(1, 100),
    help="Quality of outputs in JPEG and WebP.  [default: the photo's, 85 to 95]",
    group=Group.FILES,
)
@option("--strip-gps", is_flag=True, help="Leave out of the paintings where the photos were taken.", group=Group.FILES)
@option(
    "--strip-metadata",
    is_flag=True,
    help="Leave out of the paintings all EXIF, XMP, IPTC and comments.",
    group=Group.FILES,
)
@option(
    "--protect", type=PATH, metavar="DIR|FILE", help="Keep of the photos what is white in these masks.", group=Group.FILES
)
@option(
    "--feather",
    type=FEATHERS,
    default=FEATHER,
    help="Softness of the masks' edges, in percent of the long side.",
    group=Group.FILES,
    expert=True,
)
@option(
    "--keep-existing",
    is_flag=True,
    help="Never replace a file that is not nstbatch's, or was edited since.",
    group=Group.FILES,
)
@option(
    "--keep-times",
    is_flag=True,
    help="Give paintings the modification times of their photos, as galleries sort by them.",
    group=Group.FILES,
)
@option("--force", is_flag=True, help="Paint what is up to date, too.", group=Group.FILES)
@option(
    "--max-megapixels",
    type=MEGAPIXELS,
    default=MAX_MEGAPIXELS,
    help="Refuse photos that are larger.",
    group=Group.FILES,
    expert=True,
)
@option(
    "--report/--no-report",
    default=None,
    help="Write report.html into the output folder: photos and paintings, curves, failures.  [default: unless -q]",
    group=Group.FILES,
)
@option(
    "--snapshots",
    type=EVERY,
    metavar="every=N",
    help="Keep the picture as it is after every N evaluations.",
    group=Group.FILES,
    expert=True,
)
@option("-n", "--dry-run", is_flag=True, help="Print the plan and an estimate of time; paint nothing.", group=Group.RUN)
@option(
    "--max-duration", type=DURATION, metavar="TIME", help="Stop in time: 90s, 50m, 2h, 1h30m. Exit code 10.", group=Group.RUN
)
@option("--checkpoint", type=MINUTES, metavar="MINUTES", help="Keep a long picture's state this often.", group=Group.RUN)
@option(
    "--on-stop",
    type=click.Choice(("drop", "finish")),
    default="drop",
    help="What a first SIGINT or SIGTERM does to the picture in work; a second leaves at once.",
    group=Group.RUN,
    expert=True,
)
@option("--fail-fast", is_flag=True, help="Stop at the first photo that fails.", group=Group.RUN, expert=True)
@option(
    "--wait", is_flag=True, help="Wait for a run that holds the output folder.  [default: exit code 11]", group=Group.RUN
)
@option(
    "--shard",
    type=SHARD,
    metavar="I/N",
    help="Paint the I-th of N parts of the photos, while others paint theirs into the same output.  [default: that of the "
    "SLURM array task, if it is one]",
    group=Group.RUN,
    expert=True,
)
@option("--json", is_flag=True, help="Events on stdout, one JSON object a line.", group=Group.RUN)
@option("--log-file", type=PATH, help="Add lines with times to this file.", group=Group.RUN)
@option("--status-file", type=PATH, help="Keep the state of the run in this file, as JSON.", group=Group.RUN)
@option("--preview", is_flag=True, help="Show each painting on the terminal.", group=Group.RUN)
@option("-v", "--verbose", is_flag=True, help="Say more: what is up to date, and why a picture is painted.", group=Group.RUN)
@option("-q", "--quiet", is_flag=True, help="Say only what failed.", group=Group.RUN)
@option(
    "--provider",
    type=click.Choice(PROVIDER_CHOICES),
    default=AUTO,
    help="ONNX Runtime's execution provider.",
    group=Group.HARDWARE,
)
@option(
    "--device", type=click.IntRange(min=0), help="Number of the GPU.  [default: the first, if any]", group=Group.HARDWARE
)
@option(
    "--devices",
    type=DEVICES,
    metavar="all|NUMBERS",
    help="Paint on several GPUs at a time, a process for each: all, or 0,1. A number may stand twice.",
    group=Group.HARDWARE,
)
@option(
    "--precision",
    type=click.Choice(PRECISIONS),
    default=_DEFAULTS.precision,
    help="Of the network: tf32 with --provider cuda, fp16 with cuda or webgpu, bfloat16 with openvino on a CPU with AMX; "
    "mixed does the early work in tf32 or bfloat16 and ends in float32, as auto does where it can. fp16 has a bundle of its "
    "own.",
    group=Group.HARDWARE,
)
@option(
    "--threads",
    type=click.IntRange(min=1),
    help="CPU threads.  [default: every core of this host or container]",
    group=Group.HARDWARE,
)
@option(
    "--shrink-to-fit",
    is_flag=True,
    help="Paint smaller what does not fit into memory, instead of refusing it.",
    group=Group.HARDWARE,
)
@option(
    "--tile",
    type=TILE,
    metavar="auto|off|PIXELS",
    default=AUTO,
    help="Evaluate in tiles what memory does not hold in one piece; or every picture that is larger than so many pixels. "
    "The painting is the same, but for rounding.",
    group=Group.HARDWARE,
    expert=True,
)
@option(
    "--bundle",
    type=LOCATION,
    help="Bundle to use: its folder or URL, or the file of a kit.  [default: VGG-19's, from the cache]",
    group=Group.HARDWARE,
)
@option(
    "--overlap",
    type=click.IntRange(1, 64),
    help="Pictures painted at a time.  [default: on a GPU 4 at --size 256 and less, and 2 above; else 1]",
    group=Group.HARDWARE,
    expert=True,
)
@option(
    "--lock-step/--no-lock-step",
    default=None,
    help="Evaluate those of one shape as one batch, where several are painted.  [default: small ones on a GPU]",
    group=Group.HARDWARE,
    expert=True,
)
@option(
    "--vectors",
    type=click.Choice(VECTORS),
    default=AUTO,
    help="Where L-BFGS keeps its vectors: in this process, or on the GPU, so that an evaluation is one run there.",
    group=Group.HARDWARE,
    expert=True,
)
@option(
    "--cuda-graphs/--no-cuda-graphs",
    default=None,
    help="Let CUDA or WebGPU capture each painting's step and replay it, or TensorRT its gradient.  [default: where it "
    "holds the vectors]",
    group=Group.HARDWARE,
    expert=True,
)
@option(
    "--engine",
    type=click.Choice(("local", "ray")),
    default="local",
    help="What paints: this host; or the workers of a Ray cluster, which see the photos under the same names.",
    group=Group.HARDWARE,
    expert=True,
)
@option(
    "--ray-address",
    metavar="ADDRESS",
    help="Cluster of --engine ray, such as auto.  [default: one of this host, made now]",
    group=Group.HARDWARE,
    expert=True,
)
@option(
    "--workers",
    type=click.IntRange(min=1),
    help="Of --engine ray.  [default: one for each GPU of the cluster, or for each host where there are none]",
    group=Group.HARDWARE,
    expert=True,
)
@option(
    "--gpus-per-worker",
    type=click.FloatRange(min=0),
    help="Of --engine ray; 0.5 puts two on a GPU.  [default: 1; 0 where there are none]",
    group=Group.HARDWARE,
    expert=True,
)
@click.pass_context
def paint(context: click.Context, /, **options: Any) -> None:
    """Paint photos, and every photo of a folder, in the style of one picture.

    \b
      nstbatch holiday/ --style starry.jpg
      nstbatch photo.jpg --style starry.jpg -o painted.jpg

    The first paints holiday/*.jpg (and png, webp, tiff and others) into holiday-starry/. A photo that cannot be read is
    reported and skipped. What is painted already, from the same photo with the same options, is not painted again.
    - is a photo from stdin, and -o - the painting to stdout.

    Exit code: 0 all done, 1 fatal, 2 usage, 3 some photos failed, 4 provider not available, 10 --max-duration reached,
    11 another run holds the output folder, 130 interrupted.
    """
    from ..actions.paint import paint as act
    from ..actions.pipe import is_piped, pipe

    chosen = explicit(context, options)
    context.exit((pipe if is_piped(chosen) else act)(chosen, context.obj))


paint.params.append(config_option(paint.params))
