"""``--json``: one event a line on stdout, for programs. The schema is docs/events.schema.json."""

import datetime
import json
import time
from collections.abc import Callable
from typing import Any

from ...runtime.batch.outcome import Outcome, PhotoOutcome, Row
from ...runtime.errors import ExitCode
from ...runtime.painting.painting import Progress
from ...runtime.pictures.photo import Picture
from ...runtime.planning.placement import Item
from ...runtime.planning.plan import Plan, Task, TaskState
from ...runtime.recipe.settings import Settings
from ..text import print_line
from .watcher import CommandWatcher

VERSION = 1
"""Version of the events. A new field or a new event does not change it; a field that goes or means something else does."""

PROGRESS_EVERY = 5.0
"""Seconds between two tidings of progress, by event or by status."""


class JsonLines(CommandWatcher):
    """Writes events."""

    def __init__(self, write: Callable[[str], None] = print_line, clock: Callable[[], float] = time.monotonic) -> None:
        self._write = write
        self._clock = clock
        self._last = clock()

    def note(self, text: str) -> None:
        """Write a sentence about the run."""
        self._event("note", text=text)

    def planned(self, plan: Plan, settings: Settings) -> None:
        """Write how many photos are in which state."""
        self._event("plan", **{_name(state): plan.count(state) for state in TaskState})

    def estimated(self, task: Task, seconds: float | None) -> None:
        """A line of a dry run."""
        self._event(
            "task",
            source=str(task.item.source),
            target=str(task.item.target),
            state=_name(task.state),
            reason=task.reason,
            seconds=seconds,
        )

    def started(self, task: Task) -> None:
        """Write that a photo is begun, and its size."""
        width, height = task.size
        self._event("start", source=str(task.item.source), target=str(task.item.target), width=width, height=height)

    def progress(self, item: Item, progress: Progress, snapshot: Callable[[], Picture]) -> None:
        """Write how far a photo is, every few seconds."""
        now = self._clock()
        if now - self._last >= PROGRESS_EVERY:
            self._last = now
            self._event(
                "progress",
                source=str(item.source),
                fraction=round(progress.fraction, 4),
                size=progress.size,
                loss=progress.loss,
            )

    def finished(self, row: Row) -> None:
        """Write what became of a photo."""
        self._event(
            "picture",
            source=str(row.item.source),
            target=str(row.item.target),
            outcome=_name(row.outcome),
            reason=row.reason,
            loss=row.loss,
            seconds=round(row.seconds, 3),
            evaluations=row.evaluations,
        )

    def ended(self, outcome: Outcome, code: ExitCode, error: str | None) -> None:
        """Write how the run ended."""
        stopped = None if outcome.stopped is None else outcome.stopped.value
        self._event("end", exit_code=int(code), error=error, stopped=stopped, left=outcome.left, **counts(outcome))

    def _event(self, kind: str, **fields: Any) -> None:
        time = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        self._write(json.dumps({"v": VERSION, "event": kind, "time": time, **fields}))


def counts(outcome: Outcome) -> dict[str, int]:
    """Rows of each outcome, by a name for programs."""
    return {_name(kind): outcome.count(kind) for kind in PhotoOutcome}


def _name(value: TaskState | PhotoOutcome) -> str:
    return value.name.lower()
