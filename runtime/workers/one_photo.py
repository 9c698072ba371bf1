"""The course of one photo on this host: decoded, painted with its checkpoints and snapshots, and handed on to be encoded."""

import contextlib
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field, replace
from importlib.metadata import version

from ..bundle.spec import MIN_SIDE
from ..errors import DiskError, LostWorkerError, NstbatchError, OutOfMemoryError, ProviderError, first_line
from ..files.location import Location, absolute
from ..files.reading import stamp_of
from ..output.checkpoint import Checkpoint
from ..output.curves import make_curve
from ..output.journal import PAINTED, Entry, now
from ..output.snapshots import Snapshots
from ..painting.painting import Painting, PhotoJob, Progress, Result, state_bytes
from ..painting.stylizer import Stylizer
from ..pictures.encoding import Encoded, encode_picture
from ..pictures.formats import format_of
from ..pictures.metadata import Metadata
from ..pictures.photo import Photo, Picture, read_photo
from ..planning.plan import Task
from ..recipe.fingerprint import Subject
from ..stop import DroppedError, Stop
from .fleet import Fleet, RemotePainting
from .interface import RESCUE, Ending, Painted, Procedure, ProgressListener, Unpainted


@dataclass(frozen=True)
class Codec:
    """What turns files into pictures and back, see `read_photo` and `encode_picture`."""

    read: Callable[[Location, float], Photo] = read_photo
    encode: Callable[[Picture, str], Encoded] = encode_picture


@dataclass(frozen=True)
class Step:
    """A step of a painting, which may not have begun."""

    painting: Painting | RemotePainting
    taken: "Future[Progress]"


Event = Ending | Step
"""What painting a photo comes up with: what became of one, or a step to wait for."""


class Decoder:
    """Reads photos, and the next one ahead, on a thread.

    Args:
        codec: reads them.
        pool: the thread.
        max_megapixels: photos with more are refused.
    """

    def __init__(self, codec: Codec, pool: Executor, max_megapixels: float) -> None:
        self._codec = codec
        self._pool = pool
        self._max_megapixels = max_megapixels
        self._ahead: tuple[Task, Future[Photo]] | None = None

    def photo(self, task: Task) -> Photo:
        """The decoded photo of a task, as its file is now."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None and ahead[0] is task:
            # What failed ahead may succeed now: the file may be whole by now, or memory free.
            with contextlib.suppress(Exception):
                photo = ahead[1].result()
                if stamp_of(task.item.source) == photo.stamp:
                    return photo
        return self._codec.read(task.item.source, self._max_megapixels)

    def begin(self, task: Task | None) -> None:
        """Begin to decode the photo of a task ahead."""
        if task is not None:
            self._ahead = task, self._pool.submit(self._codec.read, task.item.source, self._max_megapixels)

    def close(self) -> None:
        """Give up what has not begun."""
        if self._ahead is not None:
            self._ahead[1].cancel()


@dataclass(frozen=True)
class Finished:
    """A picture that is painted, and all that its journal line needs.

    Attributes:
        task, photo: what was painted.
        made, asked: fingerprints of what was made, and of what had been asked for.
        notes: for its reason.
        ending: what is left to do, see `Painting.ending`.
    """

    task: Task
    photo: Photo
    made: str
    asked: str
    notes: list[str]
    ending: Callable[[], Result] = field(repr=False)


class Encoder:
    """Encodes paintings on a thread, one at a time.

    Args:
        codec: encodes them.
        pool: the thread.
        run: an identifier for the journal.
    """

    def __init__(self, codec: Codec, pool: Executor, run: str) -> None:
        self._codec = codec
        self._pool = pool
        self._run = run
        self._encoding: tuple[Finished, Future[Painted]] | None = None

    @property
    def busy(self) -> bool:
        """Whether there is anything left to receive."""
        return self._encoding is not None

    def begin(self, finished: Finished) -> None:
        """Begin to encode a painting; the one before must have been received."""
        self._encoding = finished, self._pool.submit(self._encode, finished)

    def ended(self, *, wait: bool) -> Iterator[Ending]:
        """The picture that is being encoded, if there is one and it is ready or is to be waited for."""
        if self._encoding is None or not (wait or self._encoding[1].done()):
            return
        (finished, encoded), self._encoding = self._encoding, None
        try:
            yield encoded.result()
        except Exception as error:  # whatever a photo sets off, it must not cost the next one
            yield Unpainted(finished.task, error, 0.0)

    def _encode(self, finished: Finished) -> Painted:
        result, extension = finished.ending(), finished.task.item.target.suffix
        refused = ""
        try:
            encoded = self._codec.encode(result.picture, extension)
        except Exception as error:  # whatever an encoder does not take, the painting is not lost
            refused = f"cannot be written as {extension} ({first_line(error)})"
            encoded = encode_picture(replace(result.picture, metadata=Metadata()), RESCUE)
        return Painted(finished.task, encoded.data, self._entry(finished, result, encoded.notes), refused)

    def _entry(self, finished: Finished, result: Result, notes: tuple[str, ...]) -> Entry:
        item, photo = finished.task.item, finished.photo
        return Entry(
            target=item.key,
            source=str(absolute(item.source)),
            outcome=PAINTED,
            reason="; ".join([result.status, *finished.notes, *notes]),
            finished=now(),
            nstbatch=version("nstbatch"),
            fingerprint=finished.made,
            asked=finished.asked,
            photo_sha256=photo.sha256,
            photo_stamp=photo.stamp,
            long_side=photo.picture.size.long_side,
            loss=result.loss,
            evaluations=result.evaluations,
            seconds=round(result.seconds, 3),
            style=item.style_name,
            curve=make_curve(result.losses.parts, result.sizes),
            run=self._run,
        )


@dataclass(frozen=True)
class Studio:
    """What all photos of a run are painted with.

    Attributes:
        stylizer: paints.
        procedure: how.
        stop: drops the pictures in work when it is asked to.
        progress: is called after each evaluation.
        decoder, encoder: the ends of a photo's course.
        begin_step: begins the next step of a painting.
        clock: seconds, never set back.
    """

    stylizer: Stylizer | Fleet
    procedure: Procedure
    stop: Stop
    progress: ProgressListener
    decoder: Decoder
    encoder: Encoder
    begin_step: Callable[[Painting | RemotePainting], Step]
    clock: Callable[[], float]

    def paint(self, task: Task, following: Task | None) -> Generator[Event]:
        """Paint a photo, and begin to decode the following one.

        Yields:
            Steps to wait for; the ending of this photo if it fails, and of the one before when that is encoded.

        Raises:
            DiskError, ProviderError: no picture can be painted.
        """
        began = self.clock()
        try:
            photo = self.decoder.photo(task)
            self.decoder.begin(following)
            yield from self._within_memory(task, photo)
        except (DiskError, ProviderError):
            raise
        except Exception as error:  # whatever a photo sets off, it must not cost the next one
            yield from self.encoder.ended(wait=True)
            yield Unpainted(task, error, self.clock() - began)

    def _within_memory(self, task: Task, photo: Photo) -> Generator[Event]:
        """Paint, once more where a worker dies, and smaller where memory runs out and the policy allows that."""
        try:
            try:
                yield from self._paint_at(task, photo, task.limit)
            except LostWorkerError:
                yield from self._paint_at(task, photo, task.limit)
        except (OutOfMemoryError, MemoryError) as error:
            smaller = self._smaller(photo, task.limit)
            if smaller < MIN_SIDE or not self.procedure.policy.shrink_to_fit:
                advice = f"try --size {smaller}, or --shrink-to-fit" if smaller >= MIN_SIDE else "no smaller size is left"
                raise OutOfMemoryError(f"memory ran out ({str(error) or type(error).__name__}); {advice}") from None
        else:
            return
        yield from self._paint_at(task, photo, smaller)

    def _smaller(self, photo: Photo, limit: int | None) -> int:
        """The next size down: half the pixels."""
        top = self.stylizer.facts.settings.levels(photo.picture.size.long_side)[-1]
        return round((top if limit is None else min(top, limit)) / 2**0.5)

    def _paint_at(self, task: Task, photo: Photo, limit: int | None) -> Generator[Event]:
        item, recipe = task.item, self.stylizer.facts.recipe
        guidance = self.procedure.masks.read(item, photo.picture.size)
        digest = guidance.digest if guidance else ""
        subject = Subject(photo.sha256, photo.picture.size.long_side, item.format, digest, item.style)
        asked = recipe.fingerprint(subject)
        made = asked if limit is None else recipe.at_most(limit).fingerprint(subject)
        checkpoint = Checkpoint(item.root, item.key, made, self.procedure.checkpoint, self.clock)
        notes = list(photo.notes)
        job = PhotoJob(photo.picture, limit, guidance, item.style, task.tiled)
        with contextlib.closing(self._begin(job, checkpoint)) as painting:
            # The folder of this host: a run with snapshots takes no other.
            snapshots = Snapshots(item.root, item.key, self.procedure.snapshots)
            if painting.begun:
                notes.append("taken up from a checkpoint")
            else:
                snapshots.clear()
            if format_of(item.source.suffix) != photo.kind:
                notes.append(f"the photo is a {photo.kind}, whatever its name says")
            if made != asked:
                notes.append(f"at {limit} px, since memory did not suffice for more")
            try:
                yield from self._optimise(task, painting, checkpoint, snapshots)
            except (DroppedError, NstbatchError, OSError, MemoryError):
                raise
            except Exception:
                # What nobody foresaw may have come with the state that was taken up, and would again.
                checkpoint.discard()
                raise
            ending = painting.ending()
        yield from self.encoder.ended(wait=True)
        self.encoder.begin(Finished(task, photo, made, asked, notes, ending))

    def _begin(self, job: PhotoJob, checkpoint: Checkpoint) -> Painting | RemotePainting:
        """A painting, taken up from the checkpoint if there is one of it."""
        painting = self.stylizer.begin(job)
        state = checkpoint.load(state_bytes(self.stylizer.facts.settings, job.picture.size), painting.empty)
        if state is not None:
            try:
                painting.resume(state)
            except (DroppedError, ProviderError, LostWorkerError, OutOfMemoryError, MemoryError):
                raise
            except Exception:  # whatever is wrong with it, it costs its work, and not the photo
                checkpoint.discard()
                painting.close()
                return self.stylizer.begin(job)
        return painting

    def _optimise(
        self, task: Task, painting: Painting | RemotePainting, checkpoint: Checkpoint, snapshots: Snapshots
    ) -> Generator[Event]:
        """Step until the painting is done, and keep checkpoints and snapshots on the way."""
        try:
            while not painting.done:
                self.stop.check()
                step = self.begin_step(painting)
                yield step
                done = step.taken.result()
                self.progress(task.item, done, painting.snapshot)
                if snapshots.due(done.evaluations):
                    snapshots.save(done.evaluations, painting.snapshot())
                yield from self.encoder.ended(wait=False)
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
