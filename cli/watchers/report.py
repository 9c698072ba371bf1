"""What a run adds to the report of its output folders, while it runs."""

import contextlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

from ...runtime.batch.outcome import Outcome, PhotoOutcome, Row
from ...runtime.errors import ExitCode, ImageError, NstbatchError, UsageError, first_line
from ...runtime.files.own import OwnFile
from ...runtime.output.folder import FolderOutput
from ...runtime.output.journal import Journal
from ...runtime.output.names import state
from ...runtime.output.remote import RemoteOutput
from ...runtime.output.runs import Run
from ...runtime.painting.painting import Progress
from ...runtime.pictures.photo import Picture
from ...runtime.pictures.pixels import resize
from ...runtime.planning.placement import Item
from ...runtime.planning.plan import Plan, Task, TaskState
from ...runtime.recipe.settings import Settings
from ..report.files import EASEL, discard_temporary
from ..report.index import renew_index
from ..report.page import CURVES, write_page
from ..report.thumbnails import jpeg, make_style_thumbnail, make_thumbnails, styles_of
from .status_file import StatusFile
from .watcher import CommandWatcher

_PAGE_EVERY, _EASEL_EVERY = 30.0, 2.0
"""Least seconds between two writings of the page, and of the picture in work."""

_SHARE = 100
"""Neither takes more than that part of the time, whatever the picture's size and the page's length."""

_EASEL_SIDE = 480


class ReportWatcher(CommandWatcher):
    """Keeps the reports of output folders. What is wrong with them costs no picture.

    Thumbnails are made, and pages written, on a thread of their own.

    Args:
        note: is called with what is wrong, at the end.
        clock: seconds, never set back.
    """

    def __init__(self, note: Callable[[str], None] = lambda _: None, clock: Callable[[], float] = time.monotonic) -> None:
        self._note = note
        self._clock = clock
        self._problems: dict[str, None] = {}
        """What was wrong, each once."""
        self._began = clock()
        self._page_due = self._began + _PAGE_EVERY
        self._easel_due = self._began
        self._journals: dict[Path, Journal] = {}
        self._status: list[StatusFile] = []
        self._run: Run | None = None
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="report")

    def opened(self, run: Run, journals: Mapping[Path, Journal], outcome: Outcome) -> None:
        """Add the run to the lists of its output folders."""
        self._run, self._journals = run, dict(journals)
        # What comes before, such as an export, is not the pace of painting.
        self._began = self._clock()
        for root, journal in journals.items():
            if journal.shard.whole:
                discard_temporary(root)
            run.append(root, journal.shard.suffix)
            with contextlib.suppress(UsageError):
                file = OwnFile(root, state(f"status{journal.shard.suffix}.json"))
                status = StatusFile(file, self._clock, journal.guard)
                status.opened(run, journals, outcome)
                self._status.append(status)

    def planned(self, plan: Plan, settings: Settings) -> None:
        """Begin the status files beside the journals, and make the thumbnails of the styles of what is to do."""
        names: dict[Path, set[str]] = {}
        for task in plan.tasks:
            if task.state is TaskState.TODO:
                names.setdefault(task.item.root, set()).add(task.item.style_name)
        for root in names.keys() & self._journals.keys():
            for _, style in styles_of([self._run] if self._run else [], names[root]):
                self._submit(partial(make_style_thumbnail, root, style, self._journals[root].guard))
        for status in self._status:
            status.planned(plan, settings)

    def started(self, task: Task) -> None:
        """Keep the status up to date."""
        for status in self._status:
            status.started(task)

    def progress(self, item: Item, progress: Progress, snapshot: Callable[[], Picture]) -> None:
        """Keep the status up to date, and now and then the picture in work."""
        for status in self._status:
            status.progress(item, progress, snapshot)
        began = self._clock()
        if began >= self._easel_due:
            with contextlib.suppress(OSError, ImageError):
                picture = snapshot()
                small = resize(picture.rgb, picture.size.fit(min(_EASEL_SIDE, picture.size.long_side)))
                self._journals[item.root].guard()
                OwnFile(item.root, EASEL).write(jpeg(small))
            self._easel_due = self._clock() + max(_EASEL_EVERY, _SHARE * (self._clock() - began))

    def finished(self, row: Row) -> None:
        """Make the thumbnails, and now and then the page."""
        for status in self._status:
            status.finished(row)
        journal = self._journals.get(row.item.root)
        if journal is None or row.outcome not in (PhotoOutcome.PAINTED, PhotoOutcome.FAILED):
            return
        entries = journal.painted if row.outcome is PhotoOutcome.PAINTED else journal.failed
        entry = entries.get(row.item.key)
        if entry is not None:
            self._submit(lambda: make_thumbnails(journal.output, entry, journal.guard))
        if self._clock() >= self._page_due:
            # Until it is written, and its time known.
            self._page_due = math.inf
            self._submit(lambda: self._write([row.item.root]))

    def ended(self, outcome: Outcome, code: ExitCode, error: str | None) -> None:
        """Add how the run ended, and write the page for the last time."""
        if self._run is not None:
            ended = replace(
                self._run,
                seconds=round(self._clock() - self._began, 1),
                exit_code=int(code),
                painted=outcome.count(PhotoOutcome.PAINTED),
                failed=outcome.count(PhotoOutcome.FAILED),
            )
            for root, journal in self._journals.items():
                with contextlib.suppress(OSError):
                    journal.guard()
                    ended.append(root, journal.shard.suffix)
                    OwnFile(root, EASEL).delete()
        for status in self._status:
            status.ended(outcome, code, error)
        self._submit(lambda: self._write(list(self._journals)))
        folders = [root for root, journal in self._journals.items() if isinstance(journal.output, FolderOutput)]
        self._submit(lambda: renew_index([root for root in folders if self._journals[root].apart is None]))
        for journal in self._journals.values():
            if isinstance(journal.output, RemoteOutput):
                self._submit(journal.output.push)
        self._pool.shutdown()
        for problem in self._problems:
            self._note(problem)

    def _write(self, roots: Sequence[Path]) -> None:
        began = self._clock()
        try:
            for root in roots:
                self._journals[root].guard()
                # From the file and not from memory, which the run changes meanwhile.
                write_page(root, self._journals[root].again(CURVES))
        finally:
            self._page_due = self._clock() + max(_PAGE_EVERY, _SHARE * (self._clock() - began))

    def _submit(self, work: Callable[[], object]) -> None:
        def guarded() -> None:
            try:
                work()
            except Exception as error:  # a report costs no picture, whatever befalls it
                what = (
                    first_line(error) if isinstance(error, NstbatchError | OSError) else f"{type(error).__name__}: {error}"
                )
                self._problems[f"the report is not complete ({what})"] = None

        self._pool.submit(guarded)
