"""A whole run as a function: what to paint, how, where to and on what go in, and what became of it comes out.

outcome = run(Job(photos=PhotoChoice(photos=[folder]), styles=StyleChoice(style=[style]), bundle=lambda: bundle))
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from ..bundle.spec import Bundle
from ..engine.engine import Engine
from ..engine.host import Host
from ..engine.tensorrt import SECONDS
from ..errors import UsageError
from ..files.cache import cache_dir
from ..files.location import Location, absolute
from ..output.journal import Journal
from ..output.lock import hold
from ..output.outputs import Outputs
from ..output.runs import Run
from ..output.shard import Shard
from ..painting.agreement import FULL_TRIAL
from ..painting.stylizer import NO_REGIONS, START, Facts, Stylizer
from ..pictures.photo import Photo
from ..pictures.styles import Styles, read_style
from ..planning.budget import Budget
from ..planning.discovery import PhotoChoice, discover
from ..planning.left_out import LeftOut
from ..planning.masks import MaskFiles
from ..planning.placement import Destination, Item, make_item, make_items, names_picture
from ..planning.plan import Plan, Policy, make_plan
from ..planning.styles import StyleChoice
from ..recipe.provider import AUTO, Precision
from ..recipe.settings import INITS, Settings
from ..stop import Stop
from ..workers.choose import MakeEngine, StylizerFactory, WorkerChoice, make_painters, one_stylizer
from ..workers.interface import Painters, Procedure
from ..workers.local import LocalPainters
from .batch import Batch
from .estimate import estimate
from .estimate import warm_up as evaluate_once
from .outcome import Outcome
from .saving import recover
from .watcher import Watcher


@dataclass(frozen=True, kw_only=True)
class Job:
    """Everything that a run is to do.

    Attributes:
        photos: what to paint.
        styles: in what style.
        bundle: finds the bundle; called once what can be refused at once has been.
        settings: how the pixels are optimised.
        masks: regions of the photos, and what is kept of them.
        host: what computes.
        workers: what paints, and how many pictures at a time.
        destination: where to.
        policy: what is painted again, and what is refused.
        checkpoint: seconds between two checkpoints of a picture; None for none.
        snapshots: evaluations between two snapshots of a picture; None for none.
        max_duration: seconds that the run may take; None for no limit.
        fail_fast: whether the first failure ends the run.
        command: what started it, for the report.
        make_engine: see `MakeEngine`.
    """

    photos: PhotoChoice
    styles: StyleChoice
    bundle: Callable[[], Bundle]
    settings: Settings = field(default_factory=Settings)
    masks: MaskFiles = field(default_factory=MaskFiles)
    host: Host = field(default_factory=Host)
    workers: WorkerChoice = field(default_factory=WorkerChoice)
    destination: Destination = field(default_factory=Destination)
    policy: Policy = field(default_factory=Policy)
    checkpoint: float | None = None
    snapshots: int | None = None
    max_duration: float | None = None
    fail_fast: bool = False
    command: str = ""
    make_engine: MakeEngine = Engine

    @property
    def masked(self) -> bool:
        """Whether the bundle has to have regions."""
        return bool(self.styles.style_mask or self.masks.protect)

    def check(self) -> None:
        """Refuse choices that do not go together, before anything is read.

        Raises:
            UsageError: there are some.
        """
        self.workers.check(self.host)
        self.styles.check()
        self.masks.check(len(self.styles.style_mask))
        if not self.photos.photos and self.photos.listed is None:
            raise UsageError("nothing to paint: name photos, folders or patterns, or a list with --files-from")


Guard = Callable[[Stop], AbstractContextManager[object]]
"""Surrounds the painting, and may ask it to stop."""


def run(job: Job, watcher: Watcher | None = None, guard: Guard = contextlib.nullcontext) -> Outcome:
    """Paint the photos of a job.

    A failure of a photo is a row of the outcome. The run goes on from where an earlier one of the same job was stopped.

    Args:
        job: what to do.
        watcher: is called at each event.
        guard: surrounds the painting.

    Raises:
        NstbatchError: the run could not begin, or could not go on.
    """
    watcher = watcher or Watcher()
    deadline = None if job.max_duration is None else time.monotonic() + job.max_duration
    prepared = _prepare(job, watcher)
    outcome = Outcome()
    if prepared is None:
        return outcome
    roots = list(dict.fromkeys(item.root for item in prepared.items))
    with make_painters(job.workers, prepared.make) as painters:
        facts = painters.facts
        _note_choices(job, facts, watcher)
        with hold(roots, job.destination.wait, watcher.note, prepared.shard) as held:
            journals = prepared.journals(roots, watcher)
            for path in recover(prepared.items, journals, keep_existing=job.policy.keep_existing):
                watcher.note(f"{path}: completed, an earlier run was ended before it could give it its name")
            for root, journal in journals.items():
                journal.guard = partial(held.check, root)
            plan, masks = prepared.plan(job, journals, facts, painters.sharing)
            _note_small_styles(prepared, plan, facts, watcher)
            if isinstance(painters, LocalPainters) and isinstance(painters.stylizer, Stylizer):
                _announce_builds(plan, painters.stylizer, watcher)
            styles = tuple(str(absolute(path)) for path in prepared.styles)
            record = Run.begin(facts.provider, facts.settings.precision, prepared.bundle, job.command, styles)
            watcher.opened(record, journals, outcome)
            outcome.total = len(plan.tasks)
            began = time.monotonic()
            watcher.planned(plan, facts.settings)
            stop = Stop()
            batch = Batch(
                plan,
                painters,
                journals,
                Procedure(job.policy, masks, job.checkpoint, job.snapshots, record.id),
                stop=stop,
                duration=None if deadline is None else deadline - time.monotonic(),
                fail_fast=job.fail_fast,
            )
            try:
                with guard(stop):
                    for row in batch.run(watcher.started, watcher.progress):
                        outcome.rows.append(row)
                        watcher.finished(row)
                outcome.stopped = stop.reason
            finally:
                outcome.seconds = time.monotonic() - began
                _note_failed_capture(painters, watcher)
                if text := str(prepared.left_out):
                    watcher.note(text)
    return outcome


@dataclass(frozen=True)
class Forecast:
    """What a run would do.

    Attributes:
        plan: its tasks.
        settings: of the optimisation.
        seconds: that each task which is to do will take, in order.
        left_out: what is in the folders besides.
    """

    plan: Plan
    settings: Settings
    seconds: list[float]
    left_out: LeftOut


def forecast(job: Job, watcher: Watcher | None = None, step: Callable[[str], None] = lambda _: None) -> Forecast | None:
    """Plan a job and estimate its time, and write nothing.

    Args:
        job: what would be done.
        watcher: hears what is noted.
        step: is called with what is measured.

    Returns:
        None if there are no photos.

    Raises:
        NstbatchError: the run could not begin.
    """
    planned = _planned(job, watcher or Watcher())
    if planned is None:
        return None
    prepared, plan, stylizer = planned
    return Forecast(plan, stylizer.settings, estimate(plan, stylizer, step), prepared.left_out)


def warm_up(job: Job, watcher: Watcher | None = None, step: Callable[[str], None] = lambda _: None) -> None:
    """Prepare for a job: compute the Gram matrices, and evaluate once in each size and precision of its plan.

    Args:
        job: what will be done.
        watcher: hears what is noted.
        step: is called with what is evaluated.

    Raises:
        NstbatchError: the run could not begin.
    """
    watcher = watcher or Watcher()
    planned = _planned(job, watcher)
    if planned is not None:
        _, plan, stylizer = planned
        stylizer.agree(FULL_TRIAL)
        _announce_builds(plan, stylizer, watcher)
        evaluate_once(plan, stylizer, step)


@dataclass(frozen=True)
class _Prepared:
    """A job whose photos and styles are known and whose bundle is there; nothing is held or written yet."""

    items: list[Item]
    styles: Sequence[Location]
    left_out: LeftOut
    outputs: Outputs
    shard: Shard
    make: StylizerFactory

    @property
    def bundle(self) -> Bundle:
        return self.make.bundle

    def journals(self, roots: Sequence[Path], watcher: Watcher) -> dict[Path, Journal]:
        journals = {root: self.outputs.journal(root, self.shard) for root in roots}
        for journal in journals.values():
            if journal.skipped:
                watcher.note(f"{journal.path}: {journal.skipped} lines are torn or of another version, and were skipped")
        return journals

    def plan(self, job: Job, journals: Mapping[Path, Journal], facts: Facts, sharing: int) -> tuple[Plan, MaskFiles]:
        budget = None
        spec = self.bundle.manifest.spec
        if facts.free_memory is not None:
            regions = max(len(facts.regions), spec.regions)
            budget = Budget(spec, facts.settings, facts.free_memory, sharing, regions, facts.largest_buffer, facts.tile)
        masks = replace(job.masks, regions=facts.regions, max_megapixels=job.policy.max_megapixels)
        return make_plan(self.items, journals, facts.recipe, job.policy, budget, masks), masks


def _prepare(job: Job, watcher: Watcher) -> _Prepared | None:
    """What can be refused is refused before anything that takes time; None if there are no photos."""
    job.check()
    paths = job.styles.paths()
    styles, damaged = job.styles.read(paths)
    start = _start(job.settings)
    outputs = Outputs(job.host.cache or cache_dir())
    masks = [path for path in (*job.styles.style_mask, job.masks.content_mask, job.masks.protect) if path is not None]
    photos = job.photos
    inputs = discover(
        photos.photos, photos.listed or (), styles=paths, masks=masks, recursive=photos.recursive, exclude=photos.exclude
    )
    output = job.destination.output
    picture = output if names_picture(output) and inputs.photos and not job.styles.style_each else None
    if picture is not None:
        items = [make_item(inputs, paths, picture, outputs.beside)]
    else:
        items = make_items(inputs, paths, job.destination, job.styles.style_each, outputs.mirror)
    items = list(_with_readable(items, damaged))
    if job.snapshots is not None and any(item.folder is not None for item in items):
        raise UsageError("--snapshots takes an output folder of this host, not a picture or a URL")
    # The one photo of a picture's name is a task's own, whatever the array.
    shard = job.destination.shard or (Shard.of_slurm(os.environ) if picture is None else Shard())
    if not shard.whole:
        total, items = len(items), [item for item in items if shard.holds(item.key)]
        by_slurm = "" if job.destination.shard else ", by the variables of SLURM"
        watcher.note(f"shard {shard}{by_slurm}: {len(items)} of {total} photos")
    if not items:
        watcher.note("; ".join(text for text in ("nothing to do: no photos there", str(inputs.left_out)) if text))
        return None
    return _Prepared(items, paths, inputs.left_out, outputs, shard, _factory(job, styles, start))


def _start(settings: Settings) -> Photo | None:
    return None if settings.init in INITS else read_style(Path(settings.init), role=START)


def _factory(job: Job, styles: Styles, start: Photo | None) -> StylizerFactory:
    bundle = job.bundle()
    if job.masked and not bundle.manifest.spec.regions:
        raise UsageError(NO_REGIONS)
    return StylizerFactory(bundle, styles, job.settings, job.host, start, job.make_engine)


def _with_readable(items: Sequence[Item], damaged: Mapping[int, str]) -> Iterator[Item]:
    """Items whose styles are numbered without the damaged ones; the photos of these have their errors."""
    for item in items:
        error = item.error or damaged.get(item.style)
        yield replace(item, style=item.style - sum(number < item.style for number in damaged), error=error)


def _planned(job: Job, watcher: Watcher) -> tuple[_Prepared, Plan, Stylizer] | None:
    """The plan of a job, and a stylizer that stands for its workers; nothing is held."""
    prepared = _prepare(job, watcher)
    if prepared is None:
        return None
    stylizer = one_stylizer(job.workers, prepared.make)
    facts = stylizer.facts
    _note_choices(job, facts, watcher)
    journals = prepared.journals(list(dict.fromkeys(item.root for item in prepared.items)), watcher)
    overlap, _ = job.workers.at_once(prepared.bundle.manifest.spec, facts)
    plan, _ = prepared.plan(job, journals, facts, overlap)
    _note_small_styles(prepared, plan, facts, watcher)
    return prepared, plan, stylizer


def _note_choices(job: Job, facts: Facts, watcher: Watcher) -> None:
    if job.host.provider == AUTO:
        watcher.note(f"provider: {facts.provider}{', which captures each step and replays it' if facts.captures else ''}")
    precision = facts.settings.precision
    if job.settings.precision == AUTO:
        if precision != Precision.FLOAT32:
            watcher.note(f"precision: {precision}")
    elif precision != job.settings.precision:
        watcher.note(f"precision: {precision}, since this CPU computes no bfloat16")


def _note_small_styles(prepared: _Prepared, plan: Plan, facts: Facts, watcher: Watcher) -> None:
    """Say that styles are too small for the paintings, which no option mends."""
    settings, styles = facts.settings, prepared.make.styles.pictures
    largest = max((shape.long_side for shape in plan.shapes(settings)), default=0)
    small = sum(settings.enlargement * style.picture.size.long_side < largest for style in styles)
    if small:
        who = prepared.styles[0] if len(styles) == 1 else f"{small} of {len(styles)} styles"
        watcher.note(
            f"{who}: small for paintings of {largest} px, and enlarged {settings.enlargement:g} times at most, as more "
            f"would blur them; a larger picture of the style would give larger strokes"
        )


def _note_failed_capture(painters: Painters, watcher: Watcher) -> None:
    if isinstance(painters, LocalPainters) and isinstance(painters.stylizer, Stylizer):
        why = painters.stylizer.engine.not_captured
        if why is not None:
            watcher.note(
                f"steps are not captured: {painters.facts.provider} could not ({why}); --no-cuda-graphs does not try it"
            )


def _announce_builds(plan: Plan, stylizer: Stylizer, watcher: Watcher) -> None:
    count = stylizer.engine.prepare(plan.shapes(stylizer.settings), stylizer.precisions)
    if count:
        low, high = (seconds * count / 60 for seconds in SECONDS)
        watcher.note(
            f"TensorRT has to build {count} engines first, {low:.0f} to {high:.0f} minutes, once; `nstbatch warmup` with "
            f"the same options does it ahead"
        )
