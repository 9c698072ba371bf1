"""``nstbatch FOLDER... --style PICTURE``: the default command."""

import contextlib
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import click

from ..runtime import (
    Batch,
    Budget,
    Journal,
    Policy,
    Settings,
    Stop,
    Stylizer,
    discover,
    hold,
    make_items,
    make_plan,
    recipe_of,
    recover,
)
from ..runtime.discover import read_list
from ..runtime.errors import UsageError
from ..runtime.estimate import estimate
from ..runtime.images import MAX_MEGAPIXELS
from ..runtime.placement import NAME, Item
from ..runtime.plan import Plan, State
from ..runtime.providers import CHOICES
from ..runtime.settings import INITS, PRECISIONS, WHITENINGS
from ..runtime.style import read_style
from ..runtime.stylizer import START
from .cache import cache_dir, find_bundle
from .console import RunDisplay, printable, steps, tell
from .events import JsonLines
from .logfile import LogFile
from .options import DURATION, MEGAPIXELS, MINUTES, PATH, option
from .signals import stopping
from .status import StatusFile
from .watch import Watcher, Watchers

_DEFAULTS = Settings()


@click.command()
@click.argument("photos", nargs=-1, type=PATH, metavar="[FOLDER|FILE|GLOB]...")
@option("--style", required=True, type=PATH, help="The picture whose style is taken.")
@option(
    "-o",
    "--output",
    type=PATH,
    help="Folder for the paintings.  [default: beside each folder, <folder>-<style's stem>]",
)
@option("-r", "--recursive", is_flag=True, help="Search folders to any depth, but for links; the output mirrors them.")
@option("--files-from", type=PATH, metavar="FILE|-", help="Read photos and folders from a list, by lines or NULs.")
@option("--name", default=NAME, metavar="TEMPLATE", help="Names of the outputs, of {stem}, {style} and {ext}.")
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
@option(
    "--precision",
    type=click.Choice(PRECISIONS),
    default=_DEFAULTS.precision,
    help="Of the network: mixed does the early work in bfloat16, where the CPU has it, and ends in float32; with "
    "--provider openvino.",
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
@option("--bundle", type=PATH, help="Bundle to use.  [default: VGG-19's, from the cache]")
@option("--provider", type=click.Choice(CHOICES), default="auto", help="ONNX Runtime's execution provider.")
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
@option("--wait", is_flag=True, help="Wait for a run that holds the output folder.  [default: exit code 11]")
@option(
    "--max-megapixels",
    type=MEGAPIXELS,
    default=MAX_MEGAPIXELS,
    help="Refuse photos that are larger.",
)
@option("--shrink-to-fit", is_flag=True, help="Paint smaller what does not fit into memory, instead of refusing it.")
@option("--json", "machine", is_flag=True, help="Events on stdout, one JSON object a line.")
@option("--log-file", type=PATH, help="Add lines with times to this file.")
@option("--status-file", type=PATH, help="Keep the state of the run in this file, as JSON.")
@option("-v", "--verbose", is_flag=True, help="Say more: what is up to date, and why a picture is painted.")
@option("-q", "--quiet", is_flag=True, help="Say only what failed.")
@click.pass_context
def paint(
    context: click.Context,
    /,
    machine: bool,
    log_file: Path | None,
    status_file: Path | None,
    verbose: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Paint photos, and every photo of a folder, in the style of one picture.

    \b
      nstbatch holiday/ --style starry.jpg

    paints holiday/*.jpg (and png, webp, tiff) into holiday-starry/. A photo that cannot be read is reported and skipped.
    What is painted already, from the same photo with the same options, is not painted again.

    Exit code: 0 all done, 1 fatal, 2 usage, 3 some photos failed, 4 provider not available, 10 --max-duration reached,
    11 another run holds the output folder, 130 interrupted.
    """
    watchers: list[Watcher] = [RunDisplay(verbose - quiet, machine)]
    told = Watchers(watchers)
    events = JsonLines() if machine else None
    if events is not None:
        watchers.append(events)
    with told.until_the_end():
        if log_file is not None:
            watchers.append(LogFile(log_file, verbose))
        if status_file is not None:
            watchers.append(StatusFile(status_file, told.report))
        _paint(_Options.of(options), told, events)
    context.exit(told.exit_code)


@dataclass(frozen=True, kw_only=True)
class _Options:
    """The options of `paint`, but for those of its watchers."""

    photos: Sequence[Path]
    style: Path
    output: Path | None
    recursive: bool
    files_from: Path | None
    name: str
    settings: dict[str, Any]
    bundle: Path | None
    provider: str
    threads: int | None
    dry_run: bool
    policy: Policy
    fail_fast: bool
    on_stop: str
    max_duration: float | None
    checkpoint: float | None
    wait: bool

    @classmethod
    def of(cls, options: dict[str, Any]) -> "_Options":
        """From click's values by name."""

        def part(kind: type) -> dict[str, Any]:
            return {f.name: options.pop(f.name) for f in fields(kind) if f.name in options}

        return cls(settings=part(Settings), policy=Policy(**part(Policy)), **options)


def _paint(options: _Options, told: Watchers, events: JsonLines | None) -> None:
    deadline = None if options.max_duration is None else time.monotonic() + options.max_duration
    # What can be refused is refused before anything that takes time.
    settings = Settings(**options.settings)
    style = read_style(options.style)
    start = None if settings.init in INITS else read_style(Path(settings.init), role=START)
    items = _items(options)
    if not items:
        told.note("nothing to do: no photos there")
        return
    with steps(told.note) as step:
        bundle = find_bundle(options.bundle, step)
        stylizer = Stylizer(
            bundle,
            style,
            provider=options.provider,
            threads=options.threads,
            cache=cache_dir(),
            start=start,
            **options.settings,
        )
    if options.provider == "auto":
        told.note(f"provider: {stylizer.engine.provider}")
    if stylizer.settings.precision != settings.precision:
        told.note(f"precision: {stylizer.settings.precision}, since this CPU computes no bfloat16")
    roots = list(dict.fromkeys(item.root for item in items))
    with contextlib.nullcontext() if options.dry_run else hold(roots, options.wait, told.note):
        journals = {root: _journal(root, told) for root in roots}
        if not options.dry_run:
            for path in recover(items, journals, keep_existing=options.policy.keep_existing):
                told.note(f"{path}: completed, an earlier run was ended before it could give it its name")
        free = stylizer.engine.free_memory()
        budget = None if free is None else Budget(bundle.manifest.spec, settings, free)
        plan = make_plan(items, journals, recipe_of(stylizer), options.policy, budget)
        if options.dry_run:
            told.refused = plan.count(State.REFUSED) > 0
            _print_plan(plan, stylizer, told, events)
            return
        told.planned(plan)
        stop = Stop()
        batch = Batch(
            plan,
            stylizer,
            journals,
            policy=options.policy,
            stop=stop,
            checkpoint=None if options.checkpoint is None else 60 * options.checkpoint,
            duration=None if deadline is None else deadline - time.monotonic(),
            fail_fast=options.fail_fast,
        )
        with stopping(stop, drop=options.on_stop == "drop", told=told.note):
            for row in batch.run(told.started, told.progress):
                told.finished(row)
        told.report.stopped = stop.reason


def _items(options: _Options) -> list[Item]:
    if not options.photos and options.files_from is None:
        raise UsageError("nothing to paint: name photos, folders or patterns, or a list with --files-from")
    listed = [] if options.files_from is None else _read_list(options.files_from)
    inputs = discover(options.photos, listed, style=options.style, recursive=options.recursive)
    return make_items(inputs, options.style, options.output, options.name)


def _read_list(path: Path) -> list[Path]:
    try:
        return read_list(sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes())
    except OSError as error:
        raise UsageError(f"--files-from {path}: {error.strerror or error}") from None


def _journal(root: Path, told: Watchers) -> Journal:
    try:
        journal = Journal.read(root)
    except OSError as error:
        raise UsageError(f"{root}: its journal cannot be read ({error.strerror or error})") from None
    if journal.skipped:
        told.note(f"{journal.path}: {journal.skipped} lines are torn or of another version, and were skipped")
    return journal


def _print_plan(plan: Plan, stylizer: Stylizer, told: Watchers, events: JsonLines | None) -> None:
    with steps(told.note) as step:
        seconds = estimate(plan, stylizer, step)
    times = iter(seconds)
    if events is not None:
        events.planned(plan)
    for task in plan.tasks:
        time_of_task = next(times) if task.state is State.TODO else None
        if events is not None:
            events.estimated(task, time_of_task)
        else:
            place = f" -> {task.item.target}" if task.state is State.TODO else ""
            about = "" if time_of_task is None else f", about {_duration(time_of_task)}"
            tell(printable(f"{task.state.value}: {task.item.source}{place} ({task.reason}){about}"))
    if events is None:
        tell(f"{plan}, about {_duration(sum(seconds))}")


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"
