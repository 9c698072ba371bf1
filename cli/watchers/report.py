"""What a run adds to the report of its output folders, while it runs."""

import contextlib
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from ...runtime.batch.outcome import Outcome, Report, Row
from ...runtime.errors import ExitCode, ImageError, UsageError
from ...runtime.files.atomic import write_atomic
from ...runtime.output.folder import STATE
from ...runtime.output.journal import Journal
from ...runtime.output.remote import RemoteOutput
from ...runtime.output.runs import Run
from ...runtime.painting.painting import Progress
from ...runtime.pictures.photo import Picture
from ...runtime.pictures.pixels import fit, resize
from ...runtime.planning.placement import Item
from ...runtime.planning.plan import Plan, Task
from ...runtime.recipe.settings import Settings
from ..report.files import discard_temporary
from ..report.page import CURVES, write_page
from ..report.thumbnails import jpeg, make_thumbnails
from .status_file import StatusFile
from .watcher import Watcher

STATUS, EASEL = "status*.json", "easel.jpg"
"""In the folder of what nstbatch remembers: what a run and those of shards do now, and the picture in work."""

_PAGE_EVERY, _EASEL_EVERY = 30.0, 2.0
"""Least seconds between two writings of the page, and of the picture in work."""

_SHARE = 100
"""Neither takes more than that part of the time, whatever the picture's size and the page's length."""

_EASEL_SIDE = 480


class ReportWatcher(Watcher):
    """Keeps the reports of output folders. What is wrong with them costs no picture.

    Thumbnails are made, and pages written, on a thread of their own.

    Args:
        report: of the run, which others fill.
        clock: seconds, never set back.
    """

    def __init__(self, report: Report, clock: Callable[[], float] = time.monotonic) -> None:
        self._report = report
        self._clock = clock
        self._began = clock()
        self._page_due = self._began + _PAGE_EVERY
        self._easel_due = self._began
        self._journals: dict[Path, Journal] = {}
        self._status: list[StatusFile] = []
        self._run: Run | None = None
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="report")

    def opened(self, run: Run, journals: dict[Path, Journal]) -> None:
        """See `Watcher`."""
        self._run, self._journals = run, journals
        # What comes before, such as an export, is not the pace of painting.
        self._began = self._clock()
        for root, journal in journals.items():
            if journal.shard.whole:
                discard_temporary(root)
            run.append(root, journal.shard.suffix)
            with contextlib.suppress(UsageError):
                path = root / STATE / f"status{journal.shard.suffix}.json"
                self._status.append(StatusFile(path, self._report, self._clock))

    def planned(self, plan: Plan, settings: Settings) -> None:
        """See `Watcher`."""
        for status in self._status:
            status.planned(plan, settings)

    def started(self, task: Task) -> None:
        """See `Watcher`."""
        for status in self._status:
            status.started(task)

    def progress(self, item: Item, progress: Progress, snapshot: Callable[[], Picture]) -> None:
        """See `Watcher`."""
        for status in self._status:
            status.progress(item, progress, snapshot)
        began = self._clock()
        if began >= self._easel_due:
            with contextlib.suppress(OSError, ImageError):
                image = snapshot().rgb
                small = resize(image, fit(image.size, min(_EASEL_SIDE, max(image.size))))
                write_atomic(item.root / STATE / EASEL, jpeg(small))
            self._easel_due = self._clock() + max(_EASEL_EVERY, _SHARE * (self._clock() - began))

    def finished(self, row: Row) -> None:
        """See `Watcher`."""
        for status in self._status:
            status.finished(row)
        journal = self._journals.get(row.item.root)
        if journal is None or row.outcome not in (Outcome.PAINTED, Outcome.FAILED):
            return
        entries = journal.painted if row.outcome is Outcome.PAINTED else journal.failed
        entry = entries.get(row.item.key)
        if entry is not None:
            self._pool.submit(make_thumbnails, journal.output, entry)
        if self._clock() >= self._page_due:
            # Until it is written, and its time known.
            self._page_due = math.inf
            self._pool.submit(self._write, [row.item.root])

    def ended(self, report: Report, code: ExitCode, error: str | None) -> None:
        """See `Watcher`."""
        if self._run is not None:
            ended = replace(
                self._run,
                seconds=round(self._clock() - self._began, 1),
                exit_code=int(code),
                painted=report.count(Outcome.PAINTED),
                failed=report.count(Outcome.FAILED),
            )
            for root, journal in self._journals.items():
                ended.append(root, journal.shard.suffix)
                with contextlib.suppress(OSError):
                    (root / STATE / EASEL).unlink(missing_ok=True)
        for status in self._status:
            status.ended(report, code, error)
        self._pool.submit(self._write, list(self._journals))
        for journal in self._journals.values():
            if isinstance(journal.output, RemoteOutput):
                self._pool.submit(_push, journal.output)
        self._pool.shutdown()

    def _write(self, roots: Sequence[Path]) -> None:
        began = self._clock()
        for root in roots:
            # From the file and not from memory, which the run changes meanwhile.
            with contextlib.suppress(OSError, UsageError):
                write_page(root, self._journals[root].again(CURVES))
        self._page_due = self._clock() + max(_PAGE_EVERY, _SHARE * (self._clock() - began))


def _push(output: RemoteOutput) -> None:
    with contextlib.suppress(OSError):
        output.push()
