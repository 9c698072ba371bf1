"""Run a plan: a failure is a row of the report, not the end of the run.

What is painted comes from `Painters`; it is saved and journalled here, by one thread, wherever it was painted.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path

from ..errors import DiskError, ImageError, NonFiniteError, NstbatchError
from ..files.location import Location, absolute
from ..files.reading import sha256_file, stamp_of
from ..output.checkpoint import Checkpoint
from ..output.journal import FAILED, Entry, Journal, now
from ..planning.placement import Item
from ..planning.plan import Plan, Task, TaskState, reason
from ..stop import DroppedError, Stop, StopReason
from ..workers.interface import Ending, Painted, Painters, Procedure, ProgressListener
from .outcome import PhotoOutcome, Row
from .saving import rescue, save


class Batch:
    """Paints what a plan says is to do.

    Args:
        plan: from `make_plan`.
        painters: paint.
        journals: of the output folders, by `Item.root`.
        procedure: how to paint.
        stop: ends the run early.
        duration: seconds that the run may take; None for no limit.
        fail_fast: whether the first failure ends the run.
        clock: seconds, never set back.
    """

    def __init__(
        self,
        plan: Plan,
        painters: Painters,
        journals: Mapping[Path, Journal],
        procedure: Procedure | None = None,
        *,
        stop: Stop | None = None,
        duration: float | None = None,
        fail_fast: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._plan = plan.by_shape() if painters.by_shape else plan
        self._painters = painters
        self._journals = journals
        self._procedure = procedure or Procedure()
        self._stop = stop or Stop()
        self._fail_fast = fail_fast
        self._clock = clock
        self._deadline = None if duration is None else clock() + duration

    def run(
        self,
        started: Callable[[Task], None] = lambda _: None,
        progress: ProgressListener = lambda *_: None,
    ) -> Iterator[Row]:
        """Paint, and yield a row as each photo ends; then those that a stop left are not yielded.

        Args:
            started: is called before a photo is begun.
            progress: is called after each evaluation, with a function that gives the picture as it is then.

        Raises:
            DiskError: an output folder takes no more.
            ProviderError: the provider computes something else than the CPU provider.
        """
        self._painters.open(self._procedure, self._stop, progress)
        timer = self._start_timer()
        try:
            for row in self._rows(started):
                if row.outcome is PhotoOutcome.FAILED:
                    self._journal_failure(row)
                yield row
                if self._fail_fast and row.outcome is PhotoOutcome.FAILED:
                    self._stop.request(StopReason.FAILURE, drop=False)
        finally:
            if timer is not None:
                timer.cancel()
            self._painters.close()
            for journal in self._journals.values():
                journal.close()

    def _rows(self, started: Callable[[Task], None]) -> Iterator[Row]:
        painters = self._painters
        for task, following in self._plan.with_following():
            # Workers that died may never be replaced: a stop is to end that, too.
            while not painters.free and (painters.busy or self._stop.reason is None):
                yield from self._received(wait=True)
            if task.state is not TaskState.TODO:
                yield from self._received(wait=False)
                yield self._settled(task)
                continue
            if self._out_of_time(task):
                self._stop.request(StopReason.DEADLINE, drop=False)
            if self._stop.reason is not None:
                break
            started(task)
            painters.submit(task, following)
            yield from self._received(wait=False)
        while painters.busy:
            yield from self._received(wait=True)

    def _received(self, *, wait: bool) -> Iterator[Row]:
        for ending in self._painters.receive(wait=wait):
            yield self._row(ending)

    def _row(self, ending: Ending) -> Row:
        item = ending.task.item
        if isinstance(ending, Painted):
            try:
                return self._save(ending)
            except DiskError:
                raise
            except Exception as error:  # whatever a photo sets off, it must not cost the next one
                return Row(item, PhotoOutcome.FAILED, _describe(error, item))
        if isinstance(ending.error, DroppedError):
            kept = "a checkpoint is kept" if ending.error.kept else "the next run begins it anew"
            return Row(item, PhotoOutcome.DROPPED, kept, seconds=ending.seconds)
        if isinstance(ending.error, NonFiniteError):
            # It may have come from there, and would again.
            Checkpoint(item.root, item.key).discard()
        return Row(item, PhotoOutcome.FAILED, _describe(ending.error, item), seconds=ending.seconds)

    def _save(self, painted: Painted) -> Row:
        item, entry = painted.task.item, painted.entry
        journal, policy = self._journals[item.root], self._procedure.policy
        if not _unchanged(item.source, entry):
            raise ImageError(f"{item.source}: changed while it was painted; the next run paints it as it is now")
        if painted.refused:
            kept = rescue(item, journal, painted.data, keep_existing=policy.keep_existing)
            raise ImageError(f"{painted.refused}; it is kept as {kept}, and --name decides the format")
        if not save(item, journal, painted.data, entry, policy):
            return Row(item, PhotoOutcome.KEPT, "a file that the journal does not know appeared in its place")
        Checkpoint(item.root, item.key).discard()
        return Row(item, PhotoOutcome.PAINTED, entry.reason, entry.loss, entry.seconds, entry.evaluations)

    def _settled(self, task: Task) -> Row:
        if task.state is TaskState.UP_TO_DATE:
            # A run that was killed between a picture and its checkpoint has left it.
            Checkpoint(task.item.root, task.item.key).discard()
            journal = self._journals[task.item.root]
            if task.item.key in journal.failed:
                # It failed since, and is sound again: for those who read the journal.
                with contextlib.suppress(OSError):
                    journal.append(journal.painted[task.item.key])
        return Row(task.item, _SETTLED[task.state], task.reason)

    def _journal_failure(self, row: Row) -> None:
        item = row.item
        source = str(absolute(item.source))
        entry = Entry(
            item.key,
            source,
            FAILED,
            row.reason,
            now(),
            version("nstbatch"),
            seconds=round(row.seconds, 3),
            style=item.style_name,
            run=self._procedure.run,
        )
        # Nothing depends on this line, and the row is reported in any case.
        with contextlib.suppress(OSError):
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
        rate = None if self._procedure.checkpoint is not None else self._painters.rate
        expected = 0.0 if rate is None else rate * task.pixels(self._painters.facts.settings)
        return left <= expected


_SETTLED = {
    TaskState.UP_TO_DATE: PhotoOutcome.UP_TO_DATE,
    TaskState.KEPT: PhotoOutcome.KEPT,
    TaskState.REFUSED: PhotoOutcome.FAILED,
}


def _unchanged(path: Location, entry: Entry) -> bool:
    """Whether the file still has the bytes that were painted; a backup may have touched its times."""
    try:
        return stamp_of(path) == entry.photo_stamp or sha256_file(path) == entry.photo_sha256
    except OSError:
        return False


def _describe(error: Exception, item: Item) -> str:
    """One line without the photo's name, which the row has already; what was not foreseen says its class."""
    text, kind = reason(error, item), type(error).__name__
    return text if isinstance(error, NstbatchError) or text == kind else f"{kind}: {text}"
