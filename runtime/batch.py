"""Run a plan: a failure is a row of the report, not the end of the run.

While a picture is painted, a thread encodes the one before and decodes the one after. Several can be painted at a time: each
step of one is taken on a thread, and whoever has taken his goes on. What is written is written by the thread that runs the
batch, between two evaluations, so that the order of the calls is one that can be reasoned about.
"""

import contextlib
import datetime
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from .atomic import make_folder
from .bundle import MIN_SIDE
from .checkpoint import Checkpoint
from .curves import make_curve
from .errors import DiskError, ImageError, NstbatchError, OutOfMemoryError, ProviderError, UsageError
from .fleet import Fleet, LostWorkerError, RemotePainting
from .images import FORMATS, Photo, Picture, encode_picture, fit, read_photo
from .journal import Entry, Journal
from .lockstep import LockStep
from .masks import MaskFiles
from .painting import Painting, Progress, Result
from .placement import Item
from .plan import Plan, Policy, State, Task, reason
from .regions import Guidance
from .report import Outcome, Row
from .saving import save
from .snapshots import Snapshots
from .sources import Stamp, sha256_file
from .stop import DroppedError, Stop, StopReason
from .stylizer import Stylizer

Told = Callable[[Item, Progress, Callable[[], Picture]], None]
"""Is told of an evaluation, with a function that gives the picture as it is then."""


class Batch:
    """Paints what a plan says is to do.

    Args:
        plan: from `make_plan`.
        stylizer: paints; or several do, each in a process of its own.
        journals: of the output folders, by `Item.root`; the folders are held (see `hold`).
        policy: the plan's.
        masks: the plan's.
        stop: ends the run early.
        checkpoint: seconds between two checkpoints of a picture; None for none.
        snapshots: evaluations between two snapshots of a picture, see `Snapshots`; None for none.
        duration: seconds that the run may take; None for no limit.
        fail_fast: whether the first failure ends the run.
        overlap: pictures that are painted at a time: on a GPU, one is evaluated there while the optimiser of another steps
            on the CPU. Of a fleet, as many as it has workers.
        lock_step: whether those that are painted at a time take each step together, with one evaluation for those of one
            shape.
        run: an identifier for the journal.
        clock: seconds, never set back.

    Raises:
        UsageError: a fleet is to go in lock-step.
    """

    def __init__(
        self,
        plan: Plan,
        stylizer: Stylizer | Fleet,
        journals: Mapping[Path, Journal],
        *,
        policy: Policy | None = None,
        masks: MaskFiles | None = None,
        stop: Stop | None = None,
        checkpoint: float | None = None,
        snapshots: int | None = None,
        duration: float | None = None,
        fail_fast: bool = False,
        overlap: int = 1,
        lock_step: bool = False,
        run: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        facts = stylizer.facts
        self._plan = plan.by_shape() if facts.static or lock_step else plan
        self._stylizer = stylizer
        self._settings = facts.settings
        self._journals = journals
        self._policy = policy or Policy()
        self._masks = masks or MaskFiles()
        self._stop = stop or Stop()
        self._checkpoint = checkpoint
        self._snapshots = snapshots
        self._fail_fast = fail_fast
        self._overlap = len(stylizer) if isinstance(stylizer, Fleet) else overlap
        if lock_step and isinstance(stylizer, Fleet):
            raise UsageError("pictures of several processes take no step together; leave out lock_step or the fleet")
        self._lock_step = LockStep(overlap if facts.static else None) if lock_step else None
        self._run = run
        self._clock = clock
        self._deadline = None if duration is None else clock() + duration
        self._recipe = facts.recipe
        self._rate: float | None = None
        """Seconds for each pixel of the last level, of the pictures painted so far."""
        self._decoding: tuple[Task, Future[Photo]] | None = None
        self._encoding: _Encoding | None = None

    def run(
        self,
        started: Callable[[Task], None] = lambda _: None,
        progress: Told = lambda *_: None,
    ) -> Iterator[Row]:
        """Paint, and yield a row as each photo ends; then those that a stop left are not yielded.

        Args:
            started: is told before a photo is begun.
            progress: is told after each evaluation, with a function that gives the picture as it is then.

        Raises:
            DiskError: an output folder takes no more.
            ProviderError: the provider computes something else than the CPU provider.
        """
        self._stop.when_dropping(self._stylizer.cancel)
        timer = self._start_timer()
        try:
            with (
                ThreadPoolExecutor(1, thread_name_prefix="pictures") as self._pool,
                ThreadPoolExecutor(self._overlap, thread_name_prefix="steps") as self._painters,
            ):
                try:
                    for row in self._rows(started, progress):
                        if row.outcome is Outcome.FAILED:
                            self._journal_failure(row)
                        yield row
                        if self._fail_fast and row.outcome is Outcome.FAILED:
                            self._stop.request(StopReason.FAILURE, drop=False)
                finally:
                    if self._decoding is not None:
                        self._decoding[1].cancel()
        finally:
            if timer is not None:
                timer.cancel()
            for journal in self._journals.values():
                journal.close()

    def _rows(self, started: Callable[[Task], None], progress: Told) -> Iterator[Row]:
        works: list[_Work] = []
        for index, task in enumerate(self._plan.tasks):
            while len(works) >= self._overlap:
                yield from self._advance(works)
            if task.state is State.TODO and self._out_of_time(task):
                self._stop.request(StopReason.DEADLINE, drop=False)
            if self._stop.reason is not None:
                break
            if task.state is State.TODO:
                work = _Work(self._painted(task, index, started, progress))
                yield from work.go_on()
                if work.awaited is not None:
                    works.append(work)
            else:
                yield from self._saved(wait=True)
                yield self._settled(task)
        while works:
            yield from self._advance(works)
        yield from self._saved(wait=True)

    def _settled(self, task: Task) -> Row:
        if task.state is State.UP_TO_DATE:
            # A run that was killed between a picture and its checkpoint has left it.
            Checkpoint(task.item.root, task.item.key).discard()
            journal = self._journals[task.item.root]
            if task.item.key in journal.failed:
                # It failed since, and is sound again: for those who read the journal.
                with contextlib.suppress(OSError):
                    journal.append(journal.painted[task.item.key])
        return Row(task.item, _SETTLED[task.state], task.reason)

    def _painted(
        self,
        task: Task,
        index: int,
        started: Callable[[Task], None],
        progress: Told,
    ) -> "Iterator[_Event]":
        """Paint a photo; rows of this one, if it fails, and of the one before, when it is saved."""
        began = self._clock()
        started(task)
        try:
            photo = self._photo(task)
            self._decode_next(index)
            yield from self._paint(task, photo, progress)
            self._rate = (self._clock() - began) / self._pixels(task)
        except DroppedError as error:
            yield from self._saved(wait=True)
            kept = "a checkpoint is kept" if error.kept else "the next run begins it anew"
            yield Row(task.item, Outcome.DROPPED, kept, seconds=self._clock() - began)
        except (DiskError, ProviderError):
            raise
        except Exception as error:  # whatever a photo sets off, it must not cost the next one
            yield from self._saved(wait=True)
            yield Row(task.item, Outcome.FAILED, _describe(error, task.item), seconds=self._clock() - began)

    def _photo(self, task: Task) -> Photo:
        """The decoded photo, as the file is now."""
        ahead, self._decoding = self._decoding, None
        if ahead is not None and ahead[0] is task:
            # What failed ahead may succeed now: the file may be whole by now, or memory free.
            with contextlib.suppress(Exception):
                photo = ahead[1].result()
                if Stamp.of(task.item.source.stat()) == photo.stamp:
                    return photo
        return read_photo(task.item.source, self._policy.max_megapixels)

    def _decode_next(self, index: int) -> None:
        tasks = self._plan.tasks
        following = next((i for i in range(index + 1, len(tasks)) if tasks[i].state is State.TODO), None)
        if following is not None:
            task = tasks[following]
            self._decoding = task, self._pool.submit(read_photo, task.item.source, self._policy.max_megapixels)

    def _paint(self, task: Task, photo: Photo, progress: Told) -> "Iterator[_Event]":
        try:
            try:
                yield from self._paint_at(task, photo, task.limit, progress)
            except LostWorkerError:
                yield from self._paint_at(task, photo, task.limit, progress)
        except (OutOfMemoryError, MemoryError) as error:
            smaller = self._smaller(photo, task.limit)
            if smaller < MIN_SIDE or not self._policy.shrink_to_fit:
                advice = f"try --size {smaller}, or --shrink-to-fit" if smaller >= MIN_SIDE else "no smaller size is left"
                raise OutOfMemoryError(f"memory ran out ({str(error) or type(error).__name__}); {advice}") from None
        else:
            return
        yield from self._paint_at(task, photo, smaller, progress)

    def _smaller(self, photo: Photo, limit: int | None) -> int:
        """The next size down: half the pixels."""
        top = self._settings.levels(max(photo.picture.size))[-1]
        return round((top if limit is None else min(top, limit)) / 2**0.5)

    def _paint_at(self, task: Task, photo: Photo, limit: int | None, progress: Told) -> "Iterator[_Event]":
        item = task.item
        long_side = max(photo.picture.size)
        guidance = self._masks.read(item, photo.picture.size)
        decisive = photo.sha256, long_side, item.target, guidance.digest if guidance else "", item.style
        asked = self._recipe.fingerprint(*decisive)
        made = asked if limit is None else self._recipe.at_most(limit).fingerprint(*decisive)
        checkpoint = Checkpoint(item.root, item.key, made, self._checkpoint, self._clock)
        notes = []
        with contextlib.closing(self._begin(photo, limit, guidance, item.style, checkpoint)) as painting:
            snapshots = Snapshots(item.target, self._snapshots)
            if painting.begun:
                notes.append("taken up from a checkpoint")
            else:
                snapshots.clear()
            if FORMATS.get(item.source.suffix.lower()) != photo.kind:
                notes.append(f"the photo is a {photo.kind}, whatever its name says")
            if made != asked:
                notes.append(f"at {limit} px, since memory did not suffice for more")
            yield from self._optimise(painting, checkpoint, snapshots, lambda step: progress(item, step, painting.snapshot))
            ending = painting.ending()
        yield from self._saved(wait=True)
        encoded = self._pool.submit(_encode, ending, item)
        self._encoding = _Encoding(task, photo, checkpoint, made, asked, long_side, notes, encoded)

    def _saved(self, *, wait: bool) -> Iterator[Row]:
        """Save the picture that is being encoded, if there is one and it is ready or is to be waited for; its row."""
        encoding = self._encoding
        if encoding is None or not (wait or encoding.encoded.done()):
            return
        self._encoding = None
        try:
            row = self._save(encoding)
        except DiskError:
            raise
        except Exception as error:  # whatever a photo sets off, it must not cost the next one
            yield Row(encoding.task.item, Outcome.FAILED, _describe(error, encoding.task.item))
            return
        yield row

    def _save(self, encoding: "_Encoding") -> Row:
        item, photo = encoding.task.item, encoding.photo
        result, data = encoding.encoded.result()
        if not _unchanged(item.source, photo):
            raise ImageError(f"{item.source}: changed while it was painted; the next run paints it as it is now")
        entry = Entry(
            target=item.key,
            source=os.path.abspath(item.source),  # noqa: PTH100 - links stay what they are
            outcome=Outcome.PAINTED.value,
            reason="; ".join([result.status, *encoding.notes]),
            finished=_now(),
            nstbatch=version("nstbatch"),
            fingerprint=encoding.made,
            asked=encoding.asked,
            photo_sha256=photo.sha256,
            photo_stamp=photo.stamp,
            long_side=encoding.long_side,
            loss=result.loss,
            evaluations=len(result.losses),
            seconds=round(result.seconds, 3),
            style=item.style_name,
            curve=make_curve(result.losses, result.sizes, result.content_terms),
            run=self._run,
        )
        if not save(item, self._journals[item.root], data, entry, keep_existing=self._policy.keep_existing):
            return Row(item, Outcome.KEPT, "a file that the journal does not know appeared in its place")
        encoding.checkpoint.discard()
        return Row(item, Outcome.PAINTED, entry.reason, result.loss, result.seconds, entry.evaluations)

    def _begin(
        self, photo: Photo, limit: int | None, guidance: Guidance | None, style: int, checkpoint: Checkpoint
    ) -> Painting | RemotePainting:
        """A painting, taken up from the checkpoint if there is one of it."""
        painting = self._stylizer.begin(photo.picture, limit, guidance, style)
        state = checkpoint.load()
        if state is not None:
            try:
                painting.resume(state)
            except (KeyError, ValueError, IndexError):
                painting.close()
                return self._stylizer.begin(photo.picture, limit, guidance, style)
        return painting

    def _optimise(
        self,
        painting: Painting | RemotePainting,
        checkpoint: Checkpoint,
        snapshots: Snapshots,
        progress: Callable[[Progress], None],
    ) -> "Iterator[_Event]":
        """Paint; the row of the picture before, when it is saved."""
        try:
            while not painting.done:
                self._stop.check()
                step = self._begin_step(painting)
                yield step
                done = step.taken.result()
                progress(done)
                if snapshots.due(done.evaluations):
                    snapshots.save(done.evaluations, painting.snapshot())
                yield from self._saved(wait=False)
                if checkpoint.due and not painting.done:
                    # A disk that is too full for a checkpoint may still have room for the picture.
                    with contextlib.suppress(OSError):
                        checkpoint.save(painting.state())
        except DroppedError:
            if checkpoint.interval is None or not painting.begun:
                raise
            with contextlib.suppress(OSError):
                checkpoint.save(painting.state())
                raise DroppedError(kept=True) from None
            raise

    def _begin_step(self, painting: Painting | RemotePainting) -> "_Step":
        """A step: in lock-step, one that begins when all others do."""
        if self._lock_step is None:
            return _Step(painting, self._painters.submit(painting.step))
        return _Step(painting, Future())

    def _advance(self, works: "list[_Work]") -> Iterator[Row]:
        """Wait for a step, and go on with those whose step is taken; those at their end leave the list."""
        steps = [work.awaited for work in works if work.awaited is not None]
        if self._lock_step is not None:
            asked = [(step.painting, step.taken) for step in steps if isinstance(step.painting, Painting)]
            self._painters.submit(self._lock_step.step, asked).result()
        taken, _ = wait([step.taken for step in steps], return_when=FIRST_COMPLETED)
        for work in list(works):
            if work.awaited is not None and work.awaited.taken in taken:
                yield from work.go_on()
                if work.awaited is None:
                    works.remove(work)

    def _journal_failure(self, row: Row) -> None:
        item = row.item
        source = os.path.abspath(item.source)  # noqa: PTH100 - links stay what they are
        entry = Entry(
            item.key,
            source,
            Outcome.FAILED.value,
            row.reason,
            _now(),
            version("nstbatch"),
            seconds=round(row.seconds, 3),
            style=item.style_name,
            run=self._run,
        )
        # Nothing depends on this line, and the row is reported in any case.
        with contextlib.suppress(OSError):
            make_folder(self._journals[item.root].path.parent)
            self._journals[item.root].append(entry)

    def _start_timer(self) -> threading.Timer | None:
        if self._deadline is None:
            return None
        left = max(0.0, self._deadline - self._clock())
        timer = threading.Timer(min(left, threading.TIMEOUT_MAX), lambda: self._stop.request(StopReason.DEADLINE, drop=True))
        timer.daemon = True
        timer.start()
        return timer

    def _out_of_time(self, task: Task) -> bool:
        """Whether the deadline has passed, or will before the picture is done, if no checkpoint would keep its work."""
        if self._deadline is None:
            return False
        left = self._deadline - self._clock()
        expected = 0.0 if self._rate is None or self._checkpoint is not None else self._rate * self._pixels(task)
        return left <= expected

    def _pixels(self, task: Task) -> int:
        level = self._settings.levels(max(task.size))[-1]
        width, height = fit(task.size, level)
        return width * height


@dataclass(frozen=True)
class _Step:
    """A step of a painting, that may not have begun."""

    painting: Painting | RemotePainting
    taken: "Future[Progress]"


_Event = Row | _Step
"""What painting a photo comes up with: a row, or a step to wait for."""


class _Work:
    """A photo that is being painted.

    Attributes:
        awaited: the step that it waits for; None if there is none any more.
    """

    def __init__(self, events: Iterator[_Event]) -> None:
        self.awaited: _Step | None = None
        self._events = events

    def go_on(self) -> Iterator[Row]:
        """Go on to the next step; rows on the way."""
        self.awaited = None
        for event in self._events:
            if isinstance(event, _Step):
                self.awaited = event
                return
            yield event


@dataclass(frozen=True)
class _Encoding:
    """A picture that is painted, and all that its journal line needs.

    Attributes:
        task, photo, checkpoint: what was painted.
        made, asked: fingerprints of what was made, and of what had been asked for.
        long_side: of the photo.
        notes: for its reason.
        encoded: result and file.
    """

    task: Task
    photo: Photo
    checkpoint: Checkpoint
    made: str
    asked: str
    long_side: int
    notes: list[str]
    encoded: "Future[tuple[Result, bytes]]" = field(repr=False)


def _encode(ending: Callable[[], Result], item: Item) -> tuple[Result, bytes]:
    result = ending()
    return result, encode_picture(result.picture, item.target.suffix)


_SETTLED = {State.UP_TO_DATE: Outcome.UP_TO_DATE, State.KEPT: Outcome.KEPT, State.REFUSED: Outcome.FAILED}


def _unchanged(path: Path, photo: Photo) -> bool:
    """Whether the file still has the bytes that were painted; a backup may have touched its times."""
    try:
        return Stamp.of(path.stat()) == photo.stamp or sha256_file(path) == photo.sha256
    except OSError:
        return False


def _describe(error: Exception, item: Item) -> str:
    """One line without the photo's name, which the row has already; what was not foreseen says its class."""
    text, kind = reason(error, item), type(error).__name__
    return text if isinstance(error, NstbatchError) or text == kind else f"{kind}: {text}"


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
