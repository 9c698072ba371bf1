"""What looks on while a command goes."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from ...runtime.batch.outcome import Outcome, Row
from ...runtime.batch.watcher import Watcher
from ...runtime.errors import ExitCode, NstbatchError
from ...runtime.output.journal import Journal
from ...runtime.output.runs import Run
from ...runtime.painting.painting import Progress
from ...runtime.pictures.photo import Picture
from ...runtime.planning.placement import Item
from ...runtime.planning.plan import Plan, Task
from ...runtime.recipe.settings import Settings


class CommandWatcher(Watcher):
    """A watcher of a run that also hears how the command ended."""

    def ended(self, outcome: Outcome, code: ExitCode, error: str | None) -> None:
        """The command is over: with ``code``, and with ``error`` if it could not go on. Always the last call."""


class Watchers(CommandWatcher):
    """Passes each event on to several watchers; a context manager that passes on the end, whatever it is.

    Attributes:
        outcome: of the run; an empty one until it has begun.
        refused: whether a dry run found photos that would fail.
    """

    def __init__(self, watchers: Sequence[CommandWatcher]) -> None:
        self.outcome = Outcome()
        self.refused = False
        self._watchers = list(watchers)

    def add(self, watcher: CommandWatcher) -> None:
        """Another one, which hears what comes from now on."""
        self._watchers.append(watcher)

    def note(self, text: str) -> None:
        """Pass on a sentence about the run as a whole."""
        for watcher in self._watchers:
            watcher.note(text)

    def opened(self, run: Run, journals: Mapping[Path, Journal], outcome: Outcome) -> None:
        """Pass on that the output folders are held, and keep the outcome for the end."""
        self.outcome = outcome
        for watcher in self._watchers:
            watcher.opened(run, journals, outcome)

    def planned(self, plan: Plan, settings: Settings) -> None:
        """Pass on the plan."""
        for watcher in self._watchers:
            watcher.planned(plan, settings)

    def started(self, task: Task) -> None:
        """Pass on that a photo is begun."""
        for watcher in self._watchers:
            watcher.started(task)

    def progress(self, item: Item, progress: Progress, snapshot: Callable[[], Picture]) -> None:
        """Pass on that an evaluation is done."""
        for watcher in self._watchers:
            watcher.progress(item, progress, snapshot)

    def finished(self, row: Row) -> None:
        """Pass on that a photo is settled."""
        for watcher in self._watchers:
            watcher.finished(row)

    @contextmanager
    def until_the_end(self) -> Iterator[None]:
        """Pass on the end, once the block is left."""
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
        return ExitCode.SOME_FAILED if self.refused else self.outcome.exit_code

    def _end(self, code: ExitCode, error: str | None) -> None:
        # Those that came last first: what one of them still notes, the others hear before their end.
        for watcher in reversed(self._watchers):
            watcher.ended(self.outcome, code, error)
