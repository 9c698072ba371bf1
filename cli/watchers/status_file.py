"""``--status-file``: what a run does now, in one small JSON file, for monitoring."""

import contextlib
import datetime
import json
import os
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...runtime.batch.outcome import Outcome, PhotoOutcome, Row
from ...runtime.errors import ExitCode, UsageError, first_line
from ...runtime.files.own import OwnFile
from ...runtime.files.records import MOST, Whole, decode
from ...runtime.output.journal import Journal
from ...runtime.output.runs import Run
from ...runtime.painting.painting import Progress
from ...runtime.pictures.photo import Picture
from ...runtime.planning.placement import Item
from ...runtime.planning.plan import Plan, Task
from ...runtime.recipe.settings import Settings
from .events import PROGRESS_EVERY, VERSION, counts
from .pace import Pace
from .watcher import CommandWatcher


class StatusFile(CommandWatcher):
    """Keeps the file. It is whole at every moment; once the run has begun, a disk that is full does not stop it.

    Args:
        file: the file.
        clock: seconds, never set back.
        guard: see `Journal.guard`; None for a file that the user has named, which is replaced only where it is a status.

    Raises:
        UsageError: the file cannot be written.
    """

    def __init__(
        self,
        file: OwnFile,
        clock: Callable[[], float] = time.monotonic,
        guard: Callable[[], None] | None = None,
    ) -> None:
        self._file = file
        self._guard = guard or (lambda: None)
        self._outcome = Outcome()
        self._clock = clock
        self._began = clock()
        self._last = self._began
        self._pace = Pace(Plan(()), Settings(), clock)
        self._status: dict[str, Any] = {
            "v": VERSION,
            "state": "planning",
            "pid": os.getpid(),
            "host": platform.node(),
            "started": _now(),
            "current": None,
            "fraction": None,
            "seconds_left": None,
            "exit_code": None,
            "error": None,
        }
        try:
            if guard is None and not _is_ours(file):
                raise UsageError(
                    f"--status-file {file.path}: already exists, and is not a status file of nstbatch; name another"
                )
            self._write()
        except OSError as error:
            raise UsageError(f"--status-file {file.path}: {first_line(error)}") from None

    def opened(self, run: Run, journals: Mapping[Path, Journal], outcome: Outcome) -> None:
        """Keep the outcome, which grows while the run goes."""
        self._outcome = outcome

    def planned(self, plan: Plan, settings: Settings) -> None:
        """Say that the run has begun."""
        self._pace = Pace(plan, settings, self._clock)
        self._update(state="running")

    def started(self, task: Task) -> None:
        """Say which photo is in work."""
        self._pace.started(task.item)
        self._update(current=str(task.item.source), fraction=0.0)

    def progress(self, item: Item, progress: Progress, snapshot: Callable[[], Picture]) -> None:
        """Say how far it is, every few seconds."""
        self._pace.progress(item, progress.fraction)
        if self._clock() - self._last >= PROGRESS_EVERY:
            self._update(current=str(item.source), fraction=round(progress.fraction, 4), seconds_left=self._left)

    def finished(self, row: Row) -> None:
        """Say how many are done, and how long the rest will take."""
        if row.outcome in (PhotoOutcome.UP_TO_DATE, PhotoOutcome.KEPT):
            return
        self._pace.finished(row.item, painted=row.outcome is PhotoOutcome.PAINTED)
        # The next may be in work already: this one was encoded meanwhile.
        over = self._status["current"] == str(row.item.source)
        self._update(seconds_left=self._left, **({"current": None, "fraction": None} if over else {}))

    def ended(self, outcome: Outcome, code: ExitCode, error: str | None) -> None:
        """Say how the run ended."""
        self._update(state="ended", current=None, fraction=None, seconds_left=None, exit_code=int(code), error=error)

    @property
    def _left(self) -> int | None:
        left = self._pace.seconds_left
        return None if left is None else round(left)

    def _update(self, **fields: Any) -> None:
        self._status |= fields
        with contextlib.suppress(OSError):
            self._write()

    def _write(self) -> None:
        self._last = self._clock()
        status = self._status | {
            "updated": _now(),
            "seconds": round(self._last - self._began, 1),
            "total": self._outcome.total,
            "left": self._outcome.left,
            **counts(self._outcome),
        }
        self._guard()
        temporary = self._file.beside(f".{self._file.path.name}.tmp")
        temporary.stage((json.dumps(status, indent=2) + "\n").encode())
        temporary.publish(self._file.name)


@dataclass(frozen=True)
class _Earlier:
    """What shows that a file is a status."""

    v: Whole
    exit_code: Whole | None


def _is_ours(file: OwnFile) -> bool:
    """Whether nothing is lost when the file is replaced: it is missing, empty, or an earlier status.

    Raises:
        OSError: it cannot be read, or is no regular file.
    """
    if file.status() is None:
        return True
    try:
        text = file.read(MOST)
        return not text or decode(text, _Earlier) is not None
    except ValueError:
        return False


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
