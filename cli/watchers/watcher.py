"""Those who are told what a run does: the terminal, a log, a program, a monitor."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ...runtime.batch.outcome import Report, Row
from ...runtime.errors import ExitCode, NstbatchError
from ...runtime.output.journal import Journal
from ...runtime.painting.painting import Progress
from ...runtime.pictures.photo import Picture
from ...runtime.planning.placement import Item
from ...runtime.planning.plan import Plan, Task
from ...runtime.recipe.settings import Settings

if TYPE_CHECKING:
    from ...runtime.output.runs import Run


class Watcher:
    """Is told what a run does. Each method does nothing; a watcher overrides those it has a use for."""

    def note(self, text: str) -> None:
        """Something about the run as a whole."""

    def opened(self, run: "Run", journals: dict[Path, Journal]) -> None:
        """The output folders are held, and what will paint is there."""

    def planned(self, plan: Plan, settings: Settings) -> None:
        """The plan is made; ``settings`` are those of the optimisation."""

    def started(self, task: Task) -> None:
        """A photo is begun."""

    def progress(self, item: Item, progress: Progress, snapshot: Callable[[], Picture]) -> None:
        """An evaluation is done; ``snapshot`` gives the picture as it is, until this returns."""

    def finished(self, row: Row) -> None:
        """A photo is settled, one way or another."""

    def ended(self, report: Report, code: ExitCode, error: str | None) -> None:
        """The run is over: with ``code``, and with ``error`` if it could not go on. Always the last call."""


class Watchers(Watcher):
    """Tells several watchers; a context manager that tells them of the end, whatever it is."""

    def __init__(self, watchers: Sequence[Watcher]) -> None:
        self.report = Report()
        self.refused = False
        """Whether a dry run found photos that would fail."""
        self._watchers = watchers
        self._began = time.monotonic()

    def note(self, text: str) -> None:
        """See `Watcher`."""
        for watcher in self._watchers:
            watcher.note(text)

    def opened(self, run: "Run", journals: dict[Path, Journal]) -> None:
        """See `Watcher`."""
        for watcher in self._watchers:
            watcher.opened(run, journals)

    def planned(self, plan: Plan, settings: Settings) -> None:
        """See `Watcher`."""
        self.report.total = len(plan.tasks)
        self._began = time.monotonic()
        for watcher in self._watchers:
            watcher.planned(plan, settings)

    def started(self, task: Task) -> None:
        """See `Watcher`."""
        for watcher in self._watchers:
            watcher.started(task)

    def progress(self, item: Item, progress: Progress, snapshot: Callable[[], Picture]) -> None:
        """See `Watcher`."""
        for watcher in self._watchers:
            watcher.progress(item, progress, snapshot)

    def finished(self, row: Row) -> None:
        """See `Watcher`."""
        self.report.rows.append(row)
        for watcher in self._watchers:
            watcher.finished(row)

    @contextmanager
    def until_the_end(self) -> Iterator[None]:
        """Tell every watcher of the end, once the block is left."""
        try:
            yield
        except NstbatchError as error:
            self._end(error.exit_code, str(error))
            raise
        except KeyboardInterrupt:
            self._end(ExitCode.INTERRUPTED, "interrupted")
            raise
        except BaseException as error:
            self._end(ExitCode.FATAL, f"{type(error).__name__}: {error}")
            raise
        else:
            self._end(self.exit_code, None)

    @property
    def exit_code(self) -> ExitCode:
        """Code of a run that got to its end."""
        return ExitCode.SOME_FAILED if self.refused else self.report.exit_code

    def _end(self, code: ExitCode, error: str | None) -> None:
        self.report.seconds = time.monotonic() - self._began
        for watcher in self._watchers:
            watcher.ended(self.report, code, error)
