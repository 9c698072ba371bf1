"""What looks on while a run goes."""

from collections.abc import Callable, Mapping
from pathlib import Path

from ..output.journal import Journal
from ..output.runs import Run
from ..painting.painting import Progress
from ..pictures.photo import Picture
from ..planning.placement import Item
from ..planning.plan import Plan, Task
from ..recipe.settings import Settings
from .outcome import Outcome, Row


class Watcher:
    """Is called at each event of a run. Each method does nothing; a watcher overrides those it has a use for."""

    def note(self, text: str) -> None:
        """A sentence about the run as a whole."""

    def opened(self, run: Run, journals: Mapping[Path, Journal], outcome: Outcome) -> None:
        """The output folders are held, and the workers have started. The outcome grows while the run goes."""

    def planned(self, plan: Plan, settings: Settings) -> None:
        """The plan is made; ``settings`` are those of the optimisation."""

    def started(self, task: Task) -> None:
        """A photo is begun."""

    def progress(self, item: Item, progress: Progress, snapshot: Callable[[], Picture]) -> None:
        """An evaluation is done; ``snapshot`` gives the picture as it is, until this returns."""

    def finished(self, row: Row) -> None:
        """A photo is settled, one way or another."""
