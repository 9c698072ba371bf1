"""A run of `paint`: from its options to its exit code."""

import contextlib
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

from ...runtime.batch.batch import Batch
from ...runtime.batch.estimate import estimate, warm_up
from ...runtime.batch.saving import recover
from ...runtime.bundle.spec import Bundle
from ...runtime.engine.providers import all_devices
from ...runtime.engine.tensorrt import SECONDS
from ...runtime.errors import ExitCode, ImageError, StyleError, UsageError
from ...runtime.files.location import Location
from ...runtime.output.journal import Journal
from ...runtime.output.lock import hold
from ...runtime.output.runs import Run
from ...runtime.output.shard import Shard
from ...runtime.painting.style import read_style
from ...runtime.painting.stylizer import NO_REGIONS, START, Stylizer
from ...runtime.pictures.photo import Photo
from ...runtime.pictures.regions import Mask
from ...runtime.planning.budget import Budget
from ...runtime.planning.discovery import discover
from ...runtime.planning.masks import MaskFiles
from ...runtime.planning.placement import Item, make_items
from ...runtime.planning.plan import Plan, Policy, State, make_plan
from ...runtime.recipe.settings import INITS, Settings
from ...runtime.stop import Stop
from ...runtime.workers.fleet import Fleet
from ...runtime.workers.interface import Painters, Procedure
from ...runtime.workers.local import LocalPainters
from ..text import printable, tell
from ..watchers.events import JsonLines
from ..watchers.log_file import LogFile
from ..watchers.report import ReportWatcher
from ..watchers.status_file import StatusFile
from ..watchers.terminal import RunDisplay, steps
from ..watchers.watcher import Watcher, Watchers
from .bundles import OF_BUNDLE, cache_dir, choose_spec, find_bundle
from .inputs import check_masks, read_listed, read_styles, style_paths, with_readable
from .outputs import Outputs
from .signals import stopping


def run(
    *,
    machine: bool,
    log_file: Path | None,
    status_file: Path | None,
    verbose: bool,
    quiet: bool,
    report: bool | None,
    preview: bool,
    warmup: bool = False,
    **options: Any,
) -> ExitCode:
    """Paint what the options of `paint` say, or with ``warmup`` only prepare for it.

    Returns the exit code, or raises what `Watchers.until_the_end` lets through.
    """
    watchers: list[Watcher] = [RunDisplay(verbose - quiet, machine, preview)]
    told = Watchers(watchers)
    events = JsonLines() if machine else None
    if events is not None:
        watchers.append(events)
    with told.until_the_end():
        if log_file is not None:
            watchers.append(LogFile(log_file, verbose))
        if status_file is not None:
            watchers.append(StatusFile(status_file, told.report))
        if report or (report is None and not quiet):
            watchers.append(ReportWatcher(told.report))
        _paint(_Options.of({**options, "warmup": warmup}), told, events)
    return told.exit_code


@dataclass(frozen=True, kw_only=True)
class _Options:
    """The options of `paint`, but for those of its watchers."""

    photos: Sequence[Location]
    styles: Sequence[Location]
    each: bool
    blend: tuple[float, ...] | None
    output: Location | None
    recursive: bool
    files_from: Path | None
    style_masks: Sequence[Path]
    content_mask: Path | None
    protect: Path | None
    feather: float
    of_bundle: dict[str, str | None]
    name: str
    settings: dict[str, Any]
    bundle: Location | None
    provider: str
    threads: int | None
    device: int | None
    devices: tuple[int, ...] | None
    engine: str
    ray_address: str | None
    workers: int | None
    gpus_per_worker: float | None
    overlap: int
    lock_step: bool
    vectors: str
    graphs: bool
    dry_run: bool
    policy: Policy
    fail_fast: bool
    on_stop: str
    max_duration: float | None
    checkpoint: float | None
    snapshots: int | None
    wait: bool
    shard: Shard | None
    warmup: bool

    @property
    def paints(self) -> bool:
        """Whether anything is to be painted."""
        return not (self.dry_run or self.warmup)

    @classmethod
    def of(cls, options: dict[str, Any]) -> "_Options":
        """From click's values by name."""

        def part(kind: type) -> dict[str, Any]:
            return {f.name: options.pop(f.name) for f in fields(kind) if f.name in options}

        settings = part(Settings) | {name: options.pop(name) for name in ("layer_weight", "strength")}
        of_bundle = {name: options.pop(name) for name in OF_BUNDLE}
        return cls(settings=settings, of_bundle=of_bundle, policy=Policy(**part(Policy)), **options)


def _paint(options: _Options, told: Watchers, events: JsonLines | None) -> None:
    deadline = None if options.max_duration is None else time.monotonic() + options.max_duration
    # What can be refused is refused before anything that takes time.
    settings = Settings.of(**options.settings)
    if options.device is not None and options.devices is not None:
        raise UsageError("--device names one GPU and --devices several; choose one of the two")
    if options.lock_step and (options.overlap == 1 or options.devices is not None or options.vectors == "device"):
        raise UsageError("--lock-step takes --overlap N, and neither --devices nor --vectors device")
    if options.graphs and options.overlap > 1:
        raise UsageError(
            "--cuda-graphs are replayed for one picture at a time, --overlap paints several; choose one of the two"
        )
    _check_engine(options)
    check_masks(options.styles, options.style_masks, options.content_mask, options.protect)
    masked = bool(options.style_masks or options.protect)
    spec = choose_spec(settings, options.bundle, masked, **options.of_bundle)
    if options.blend is not None and len(options.blend) != len(options.styles):
        raise UsageError(f"--style-blend has {len(options.blend)} shares for {len(options.styles)} styles")
    if options.each and (options.blend is not None or options.style_masks):
        raise UsageError("--style-each takes neither --style-blend nor --style-mask; leave them out")
    paths = style_paths(options.styles, options.each)
    styles, damaged = read_styles(paths, options.each)
    start = None if settings.init in INITS else read_style(Path(settings.init), role=START)
    outputs = Outputs()
    items = list(with_readable(_items(options, paths, outputs), damaged))
    if options.snapshots is not None and any(item.url for item in items):
        raise UsageError("--snapshots takes an output folder of this host, not one behind a URL")
    shard = Shard.of_slurm(os.environ) if options.shard is None else options.shard
    if not shard.whole:
        total, items = len(items), [item for item in items if shard.holds(item.key)]
        told.note(f"shard {shard}{'' if options.shard else ', by the variables of SLURM'}: {len(items)} of {total} photos")
    if not items:
        told.note("nothing to do: no photos there")
        return
    with contextlib.ExitStack() as stack:
        with steps(told.note) as step:
            bundle = find_bundle(options.bundle, step, spec)
            if masked and not bundle.manifest.spec.regions:
                raise UsageError(NO_REGIONS)
            painters = _painters(options, bundle, styles, start, stack)
        _paint_by(painters, bundle, items, outputs, shard, deadline, options, told, events)


def _check_engine(options: _Options) -> None:
    of_ray = (options.ray_address, options.workers, options.gpus_per_worker)
    if options.engine != "ray":
        if any(value is not None for value in of_ray):
            raise UsageError("--ray-address, --workers and --gpus-per-worker take --engine ray")
        return
    for name, used in (
        ("--device", options.device is not None),
        ("--devices", options.devices is not None),
        ("--overlap", options.overlap > 1),
    ):
        if used:
            raise UsageError(f"{name} is of one host; with --engine ray choose --workers and --gpus-per-worker")


def _painters(
    options: _Options, bundle: Bundle, styles: Sequence[Photo], start: Photo | None, stack: contextlib.ExitStack
) -> Painters:
    """Those of the engine that was chosen; a plan alone takes one of this host."""
    how: dict[str, Any] = {
        "blend": options.blend,
        "each": options.each,
        "provider": options.provider,
        "vectors": options.vectors,
        "graphs": options.graphs,
        "start": start,
        **options.settings,
    }
    if options.engine == "ray" and options.paints:
        from ...runtime.workers.ray_cluster import MakeElsewhere, RayPainters

        try:
            masks = [Mask.read(path) for path in options.style_masks]
        except ImageError as error:
            raise StyleError(f"style mask: {error}") from None
        make_there = MakeElsewhere(bundle, styles, cache_dir(), masks=masks, **how)
        ray = RayPainters(
            make_there,
            address=options.ray_address,
            workers=options.workers,
            threads=options.threads,
            gpus=options.gpus_per_worker,
        )
        return stack.enter_context(ray)
    make = partial(Stylizer, bundle, styles, masks=options.style_masks, threads=options.threads, cache=cache_dir(), **how)
    devices = None if options.devices is None else options.devices or all_devices()
    stylizer: Stylizer | Fleet
    if devices is not None and options.paints:
        stylizer = stack.enter_context(Fleet(make, devices))
    else:
        stylizer = make(device=devices[0] if devices else options.device)
    return LocalPainters(stylizer, overlap=options.overlap, lock_step=options.lock_step)


def _paint_by(
    painters: Painters,
    bundle: Bundle,
    items: list[Item],
    outputs: Outputs,
    shard: Shard,
    deadline: float | None,
    options: _Options,
    told: Watchers,
    events: JsonLines | None,
) -> None:
    facts = painters.facts
    if options.provider == "auto":
        told.note(f"provider: {facts.provider}")
    if facts.settings.precision != Settings.of(**options.settings).precision:
        told.note(f"precision: {facts.settings.precision}, since this CPU computes no bfloat16")
    roots = list(dict.fromkeys(item.root for item in items))
    with hold(roots, options.wait, told.note, shard) if options.paints else contextlib.nullcontext():
        journals = {root: _journal(root, outputs, shard, told) for root in roots}
        if options.paints:
            for path in recover(items, journals, keep_existing=options.policy.keep_existing):
                told.note(f"{path}: completed, an earlier run was ended before it could give it its name")
        budget = None
        if facts.free_memory is not None:
            regions = max(len(facts.regions), bundle.manifest.spec.regions)
            budget = Budget(bundle.manifest.spec, facts.settings, facts.free_memory, painters.sharing, regions)
        masks = MaskFiles(
            facts.regions, options.content_mask, options.protect, options.feather, options.policy.max_megapixels
        )
        plan = make_plan(items, journals, facts.recipe, options.policy, budget, masks)
        if isinstance(painters, LocalPainters) and isinstance(stylizer := painters.stylizer, Stylizer):
            if options.dry_run:
                told.refused = plan.count(State.REFUSED) > 0
                _print_plan(plan, stylizer, told, events)
                return
            _tell_of_builds(plan, stylizer, told)
            if options.warmup:
                with steps(told.note) as step:
                    warm_up(plan, stylizer, step)
                return
        run = Run.begin(facts.provider, facts.settings.precision, f"{bundle.manifest.spec.network}, {bundle.path}")
        told.opened(run, journals)
        told.planned(plan, facts.settings)
        stop = Stop()
        batch = Batch(
            plan,
            painters,
            journals,
            Procedure(
                policy=options.policy,
                masks=masks,
                checkpoint=None if options.checkpoint is None else 60 * options.checkpoint,
                snapshots=options.snapshots,
                run=run.id,
            ),
            stop=stop,
            duration=None if deadline is None else deadline - time.monotonic(),
            fail_fast=options.fail_fast,
        )
        with stopping(stop, drop=options.on_stop == "drop", told=told.note):
            for row in batch.run(told.started, told.progress):
                told.finished(row)
        told.report.stopped = stop.reason


def _tell_of_builds(plan: Plan, stylizer: Stylizer, told: Watchers) -> None:
    count = stylizer.engine.prepare(plan.shapes(stylizer.settings), stylizer.precisions)
    if count:
        low, high = (seconds * count / 60 for seconds in SECONDS)
        told.note(
            f"TensorRT has to build {count} engines first, {low:.0f} to {high:.0f} minutes, once; `nstbatch warmup` with "
            f"the same options does it ahead"
        )


def _items(options: _Options, styles: Sequence[Location], outputs: Outputs) -> list[Item]:
    if not options.photos and options.files_from is None:
        raise UsageError("nothing to paint: name photos, folders or patterns, or a list with --files-from")
    listed = [] if options.files_from is None else read_listed(options.files_from)
    masks = [path for path in (*options.style_masks, options.content_mask, options.protect) if path is not None]
    inputs = discover(options.photos, listed, styles=styles, masks=masks, recursive=options.recursive)
    return make_items(inputs, styles, options.output, options.name, options.each, outputs.mirror)


def _journal(root: Path, outputs: Outputs, shard: Shard, told: Watchers) -> Journal:
    journal = outputs.journal(root, shard)
    if journal.skipped:
        told.note(f"{journal.path}: {journal.skipped} lines are torn or of another version, and were skipped")
    return journal


def _print_plan(plan: Plan, stylizer: Stylizer, told: Watchers, events: JsonLines | None) -> None:
    with steps(told.note) as step:
        seconds = estimate(plan, stylizer, step)
    times = iter(seconds)
    if events is not None:
        events.planned(plan, stylizer.settings)
    for task in plan.tasks:
        time_of_task = next(times) if task.state is State.TODO else None
        if events is not None:
            events.estimated(task, time_of_task)
        else:
            place = f" -> {task.item.url or task.item.target}" if task.state is State.TODO else ""
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
