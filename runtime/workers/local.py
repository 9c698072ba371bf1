"""Paints on this host.

While a picture is painted, a thread encodes the one before and decodes the one after. Several can be painted at a time: each
step of one is taken on a thread, and whichever step is done first goes on; or one thread takes the steps of all. What is
written is written by the thread that calls, between two evaluations, so that the order of the calls is one that can be
reasoned about.
"""

import contextlib
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from ..errors import UsageError
from ..painting.lockstep import LockStep
from ..painting.painting import Painting
from ..painting.stylizer import Stylizer
from ..painting.turns import Turns
from ..planning.plan import Task
from ..stop import Stop
from .fleet import Fleet, RemotePainting
from .interface import Ending, Procedure, ProgressListener
from .one_photo import Codec, Decoder, Encoder, Event, Step, Studio


class LocalPainters:
    """`Painters` of one stylizer, or of several that are each in a process of its own.

    Args:
        stylizer: paints; or several do.
        overlap: pictures that are painted at a time: on a GPU, one is evaluated there while the optimizer of another steps
            on the CPU. Of a fleet, as many as it has workers.
        lock_step: whether those that are painted at a time take each step together, with one evaluation for those of one
            size.
        codec: reads and encodes files.
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
        codec: Codec = Codec(),  # noqa: B008 - it cannot be changed
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.facts = stylizer.facts
        self.sharing = stylizer.sharing if isinstance(stylizer, Fleet) else overlap
        self.rate: float | None = None
        self.stylizer = stylizer
        self._overlap = len(stylizer) if isinstance(stylizer, Fleet) else overlap
        if lock_step and isinstance(stylizer, Fleet):
            raise UsageError("pictures of several processes take no step together; leave out lock_step or the fleet")
        self._together: LockStep | Turns | None = None
        """What takes the steps of all, on one thread; None if each has a thread."""
        if lock_step:
            self._together = LockStep(overlap if self.facts.static else None)
        elif self.facts.captures and overlap > 1 and isinstance(stylizer, Stylizer):
            self._together = Turns()
        self._codec = codec
        self._clock = clock
        self._works: list[_Work] = []
        self._ended: list[Ending] = []

    @property
    def by_shape(self) -> bool:
        """Whether pictures of one size are best submitted in a row."""
        return self.facts.static or isinstance(self._together, LockStep)

    @property
    def free(self) -> bool:
        """Whether another picture may be submitted now."""
        return len(self._works) < self._overlap

    @property
    def busy(self) -> bool:
        """Whether there is anything left to receive."""
        return bool(self._works or self._ended or self._studio.encoder.busy)

    def open(self, procedure: Procedure, stop: Stop, progress: ProgressListener) -> None:
        """Make ready for a run: the threads, and what all of its photos are painted with."""
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="pictures")
        # ONNX Runtime keeps what CUDA captured by thread, and no other may use the GPU meanwhile.
        threads = self._overlap if self._together is None else 1
        self._steps = ThreadPoolExecutor(threads, thread_name_prefix="steps")
        self._studio = Studio(
            stylizer=self.stylizer,
            procedure=procedure,
            stop=stop,
            progress=progress,
            decoder=Decoder(self._codec, self._pool, procedure.policy.max_megapixels),
            encoder=Encoder(self._codec, self._pool, procedure.run),
            begin_step=self._begin_step,
            clock=self._clock,
        )
        stop.when_dropping(self.stylizer.cancel)

    def submit(self, task: Task, following: Task | None) -> None:
        """Begin a picture: its photo is decoded, and its first step begun."""
        work = _Work(self._timed(task, following))
        self._ended += work.go_on()
        if work.awaited is not None:
            self._works.append(work)

    def receive(self, *, wait: bool) -> list[Ending]:
        """What became of pictures since the last call, after a step if it is to be waited for."""
        if wait and self._works and not self._ended:
            self._advance()
        else:
            # With no other in work, the one being encoded is as good as ended: rows keep the order of their tasks.
            self._ended += self._studio.encoder.ended(wait=not self._works and not self._ended)
        ended, self._ended = self._ended, []
        return ended

    def close(self) -> None:
        """Give up what is in work, and end the threads."""
        self._studio.decoder.close()
        for pool in (self._pool, self._steps):
            pool.shutdown()
        for work in self._works:
            work.close()
        self._works.clear()

    def _timed(self, task: Task, following: Task | None) -> Generator[Event]:
        """Paint a photo, and keep the rate where it succeeds: what ended before it is on the way, too."""
        began, failed = self._clock(), False
        with contextlib.closing(self._studio.paint(task, following)) as events:
            for event in events:
                failed = failed or (not isinstance(event, Step) and event.task is task)
                yield event
        if not failed:
            self.rate = (self._clock() - began) / task.pixels(self.facts.settings)

    def _begin_step(self, painting: Painting | RemotePainting) -> Step:
        """Begin a step; one of several that are taken together begins in `_advance`."""
        if self._together is None:
            return Step(painting, self._steps.submit(painting.step))
        return Step(painting, Future())

    def _advance(self) -> None:
        """Wait for a step, and go on with those whose step is taken; those at their end are no longer in work."""
        steps = [work.awaited for work in self._works if work.awaited is not None]
        if self._together is not None:
            asked = [(step.painting, step.taken) for step in steps if isinstance(step.painting, Painting)]
            self._steps.submit(self._together.step, asked).result()
        taken, _ = wait([step.taken for step in steps], return_when=FIRST_COMPLETED)
        for work in list(self._works):
            if work.awaited is not None and work.awaited.taken in taken:
                self._ended += work.go_on()
                if work.awaited is None:
                    self._works.remove(work)


class _Work:
    """A photo that is being painted.

    Attributes:
        awaited: the step that it waits for; None if there is none any more.
    """

    def __init__(self, events: Generator[Event]) -> None:
        self.awaited: Step | None = None
        self._events = events

    def go_on(self) -> Iterator[Ending]:
        """Go on to the next step, and yield what ends on the way."""
        self.awaited = None
        for event in self._events:
            if isinstance(event, Step):
                self.awaited = event
                return
            yield event

    def close(self) -> None:
        """Give it up."""
        self._events.close()
