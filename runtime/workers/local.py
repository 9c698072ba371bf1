"""Paints on this host.

While a picture is painted, a thread encodes the one before and decodes the one after. Several can be painted at a time: each
step of one is taken on a thread, and whoever has taken his goes on. What is written is written by the thread that calls,
between two evaluations, so that the order of the calls is one that can be reasoned about.
"""

import contextlib
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from importlib.metadata import version

from ..batch.outcome import Outcome
from ..bundle.spec import MIN_SIDE
from ..errors import DiskError, LostWorkerError, OutOfMemoryError, ProviderError, UsageError
from ..files.location import Location, absolute
from ..files.reading import stamp_of
from ..output.checkpoint import Checkpoint
from ..output.curves import make_curve
from ..output.journal import Entry, now
from ..output.snapshots import Snapshots
from ..painting.lockstep import LockStep
from ..painting.painting import Painting, Progress, Result
from ..painting.stylizer import Stylizer
from ..pictures.photo import FORMATS, Photo, encode_picture, read_photo
from ..pictures.regions import Guidance
from ..planning.placement import Item
from ..planning.plan import Task
from ..stop import DroppedError, Stop
from .fleet import Fleet, RemotePainting
from .interface import Ending, Painted, Procedure, Told, Unpainted


class LocalPainters:
    """`Painters` of one stylizer, or of several that are each in a process of its own.

    Args:
        stylizer: paints; or several do.
        overlap: pictures that are painted at a time: on a GPU, one is evaluated there while the optimiser of another steps
            on the CPU. Of a fleet, as many as it has workers.
        lock_step: whether those that are painted at a time take each step together, with one evaluation for those of one
            shape.
        clock: seconds, never set back.

    Raises:
        UsageError: a fleet is to go in lock-step.
    """

    def __init__(
        self,
        stylizer: Stylizer | Fleet,
        *,
        overlap: int = 1,
        lock_step: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.facts = stylizer.facts
        self.sharing = stylizer.sharing if isinstance(stylizer, Fleet) else overlap
        self.rate: float | None = None
        self.stylizer = stylizer
        self._overlap = len(stylizer) if isinstance(stylizer, Fleet) else overlap
        if lock_step and isinstance(stylizer, Fleet):
            raise UsageError("pictures of several processes take no step together; leave out lock_step or the fleet")
        self._lock_step = LockStep(overlap if self.facts.static else None) if lock_step else None
        self._clock = clock
        self._works: list[_Work] = []
        self._ended: list[Ending] = []
        self._decoding: tuple[Task, Future[Photo]] | None = None
        self._encoding: _Encoding | None = None

    @property
    def by_shape(self) -> bool:
        """See `Painters`."""
        return self.facts.static or self._lock_step is not None

    @property
    def free(self) -> bool:
        """See `Painters`."""
        return len(self._works) < self._overlap

    @property
    def busy(self) -> bool:
        """See `Painters`."""
        return bool(self._works or self._ended or self._encoding)

    def open(self, procedure: Procedure, stop: Stop, progress: Told) -> None:
        """See `Painters`."""
        self._procedure = procedure
        self._stop = stop
        self._progress = progress
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="pictures")
        self._steps = ThreadPoolExecutor(self._overlap, thread_name_prefix="steps")
        stop.when_dropping(self.stylizer.cancel)

    def submit(self, task: Task, following: Task | None) -> None:
        """See `Painters`."""
        work = _Work(self._painted(task, following))
        self._ended += work.go_on()
        if work.awaited is not None:
            self._works.append(work)

    def receive(self, *, wait: bool) -> list[Ending]:
        """See `Painters`."""
        if wait and self._works and not self._ended:
            self._advance()
        else:
            # With no other in work, the one being encoded is as good as ended: rows keep the order of their tasks.
            self._ended += self._encoded(wait=not self._works and not self._ended)
        ended, self._ended = self._ended, []
        return ended

    def close(self) -> None:
        """See `Painters`."""
        if self._decoding is not None:
            self._decoding[1].cancel()
        for pool in (self._pool, self._steps):
            pool.shutdown()
        for work in self._works:
            work.close()
        self._works.clear()

    def _painted(self, task: Task, following: Task | None) -> "Generator[_Event]":
        """Paint a photo; the ending of this one, if it fails, and of the one before, when it is encoded."""
        began = self._clock()
        try:
            photo = self._photo(task)
            if following is not None:
                self._decoding = following, self._pool.submit(read_photo, *self._source(following))
            yield from self._paint(task, photo)
            self.rate = (self._clock() - began) / task.pixels(self.facts.settings)
        except (DiskError, ProviderError):
            raise
        except Exception as error:  # whatever a photo sets off, it must not cost the next one
            yield from self._encoded(wait=True)
            yield Unpainted(task, error, self._clock() - began)

    def _photo(self, task: Task) -> Photo:
        """The decoded photo, as the file is now."""
        ahead, self._decoding = self._decoding, None
        if ahead is not None and ahead[0] is task:
            # What failed ahead may succeed now: the file may be whole by now, or memory free.
            with contextlib.suppress(Exception):
                photo = ahead[1].result()
                if stamp_of(task.item.source) == photo.stamp:
                    return photo
        return read_photo(*self._source(task))

    def _source(self, task: Task) -> tuple[Location, float]:
        return task.item.source, self._procedure.policy.max_megapixels

    def _paint(self, task: Task, photo: Photo) -> "Generator[_Event]":
        try:
            try:
                yield from self._paint_at(task, photo, task.limit)
            except LostWorkerError:
                yield from self._paint_at(task, photo, task.limit)
        except (OutOfMemoryError, MemoryError) as error:
            smaller = self._smaller(photo, task.limit)
            if smaller < MIN_SIDE or not self._procedure.policy.shrink_to_fit:
                advice = f"try --size {smaller}, or --shrink-to-fit" if smaller >= MIN_SIDE else "no smaller size is left"
                raise OutOfMemoryError(f"memory ran out ({str(error) or type(error).__name__}); {advice}") from None
        else:
            return
        yield from self._paint_at(task, photo, smaller)

    def _smaller(self, photo: Photo, limit: int | None) -> int:
        """The next size down: half the pixels."""
        top = self.facts.settings.levels(max(photo.picture.size))[-1]
        return round((top if limit is None else min(top, limit)) / 2**0.5)

    def _paint_at(self, task: Task, photo: Photo, limit: int | None) -> "Generator[_Event]":
        item = task.item
        guidance = self._procedure.masks.read(item, photo.picture.size)
        decisive = photo.sha256, max(photo.picture.size), item.target, guidance.digest if guidance else "", item.style
        asked = self.facts.recipe.fingerprint(*decisive)
        made = asked if limit is None else self.facts.recipe.at_most(limit).fingerprint(*decisive)
        checkpoint = Checkpoint(item.root, item.key, made, self._procedure.checkpoint, self._clock)
        notes = []
        with contextlib.closing(self._begin(photo, limit, guidance, item.style, checkpoint)) as painting:
            snapshots = Snapshots(item.target, self._procedure.snapshots)
            if painting.begun:
                notes.append("taken up from a checkpoint")
            else:
                snapshots.clear()
            if FORMATS.get(item.source.suffix.lower()) != photo.kind:
                notes.append(f"the photo is a {photo.kind}, whatever its name says")
            if made != asked:
                notes.append(f"at {limit} px, since memory did not suffice for more")
            yield from self._optimise(item, painting, checkpoint, snapshots)
            ending = painting.ending()
        yield from self._encoded(wait=True)
        encoded = self._pool.submit(_encode, ending, item)
        self._encoding = _Encoding(task, photo, made, asked, notes, encoded)

    def _encoded(self, *, wait: bool) -> Iterator[Ending]:
        """The picture that is being encoded, if there is one and it is ready or is to be waited for."""
        encoding = self._encoding
        if encoding is None or not (wait or encoding.encoded.done()):
            return
        self._encoding = None
        try:
            result, data = encoding.encoded.result()
            yield Painted(encoding.task, data, self._entry(encoding, result))
        except Exception as error:  # whatever a photo sets off, it must not cost the next one
            yield Unpainted(encoding.task, error, 0.0)

    def _entry(self, encoding: "_Encoding", result: Result) -> Entry:
        item, photo = encoding.task.item, encoding.photo
        return Entry(
            target=item.key,
            source=str(absolute(item.source)),
            outcome=Outcome.PAINTED.value,
            reason="; ".join([result.status, *encoding.notes]),
            finished=now(),
            nstbatch=version("nstbatch"),
            fingerprint=encoding.made,
            asked=encoding.asked,
            photo_sha256=photo.sha256,
            photo_stamp=photo.stamp,
            long_side=max(photo.picture.size),
            loss=result.loss,
            evaluations=len(result.losses),
            seconds=round(result.seconds, 3),
            style=item.style_name,
            curve=make_curve(result.losses, result.sizes, result.content_terms),
            run=self._procedure.run,
        )

    def _begin(
        self, photo: Photo, limit: int | None, guidance: Guidance | None, style: int, checkpoint: Checkpoint
    ) -> Painting | RemotePainting:
        """A painting, taken up from the checkpoint if there is one of it."""
        painting = self.stylizer.begin(photo.picture, limit, guidance, style)
        state = checkpoint.load()
        if state is not None:
            try:
                painting.resume(state)
            except (KeyError, ValueError, IndexError):
                painting.close()
                return self.stylizer.begin(photo.picture, limit, guidance, style)
        return painting

    def _optimise(
        self, item: Item, painting: Painting | RemotePainting, checkpoint: Checkpoint, snapshots: Snapshots
    ) -> "Generator[_Event]":
        """Paint; the ending of the picture before, when it is encoded."""
        try:
            while not painting.done:
                self._stop.check()
                step = self._begin_step(painting)
                yield step
                done = step.taken.result()
                self._progress(item, done, painting.snapshot)
                if snapshots.due(done.evaluations):
                    snapshots.save(done.evaluations, painting.snapshot())
                yield from self._encoded(wait=False)
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
            return _Step(painting, self._steps.submit(painting.step))
        return _Step(painting, Future())

    def _advance(self) -> None:
        """Wait for a step, and go on with those whose step is taken; those at their end are no longer in work."""
        steps = [work.awaited for work in self._works if work.awaited is not None]
        if self._lock_step is not None:
            asked = [(step.painting, step.taken) for step in steps if isinstance(step.painting, Painting)]
            self._steps.submit(self._lock_step.step, asked).result()
        taken, _ = wait([step.taken for step in steps], return_when=FIRST_COMPLETED)
        for work in list(self._works):
            if work.awaited is not None and work.awaited.taken in taken:
                self._ended += work.go_on()
                if work.awaited is None:
                    self._works.remove(work)


@dataclass(frozen=True)
class _Step:
    """A step of a painting, that may not have begun."""

    painting: Painting | RemotePainting
    taken: "Future[Progress]"


_Event = Ending | _Step
"""What painting a photo comes up with: what became of one, or a step to wait for."""


class _Work:
    """A photo that is being painted.

    Attributes:
        awaited: the step that it waits for; None if there is none any more.
    """

    def __init__(self, events: Generator[_Event]) -> None:
        self.awaited: _Step | None = None
        self._events = events

    def go_on(self) -> Iterator[Ending]:
        """Go on to the next step; what ends on the way."""
        self.awaited = None
        for event in self._events:
            if isinstance(event, _Step):
                self.awaited = event
                return
            yield event

    def close(self) -> None:
        """Give it up."""
        self._events.close()


@dataclass(frozen=True)
class _Encoding:
    """A picture that is painted, and all that its journal line needs.

    Attributes:
        task, photo: what was painted.
        made, asked: fingerprints of what was made, and of what had been asked for.
        notes: for its reason.
        encoded: result and file.
    """

    task: Task
    photo: Photo
    made: str
    asked: str
    notes: list[str]
    encoded: "Future[tuple[Result, bytes]]" = field(repr=False)


def _encode(ending: Callable[[], Result], item: Item) -> tuple[Result, bytes]:
    result = ending()
    return result, encode_picture(result.picture, item.target.suffix)
