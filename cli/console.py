"""What a run says to people: a progress bar on a terminal, one line a picture otherwise."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from ..runtime import Progress, Report
from ..runtime.errors import ExitCode
from ..runtime.images import Picture
from ..runtime.placement import Item
from ..runtime.plan import Plan, State, Task
from ..runtime.report import Outcome, Row
from .text import printable, say, tell
from .watch import Watcher


@contextmanager
def steps(note: Callable[[str], None] = say) -> Iterator[Callable[[str], None]]:
    """A function that shows what is being done now: in place on a terminal, by ``note`` otherwise."""
    console = Console(stderr=True)
    if console.is_terminal:
        with console.status("") as status:
            yield lambda text: status.update(escape(printable(text)))
    else:
        yield note


def describe(row: Row) -> str:
    """A photo's line."""
    source, reason = printable(str(row.item.source)), printable(row.reason)
    if row.outcome is Outcome.PAINTED:
        return f"{source} -> {printable(str(row.item.target))}: loss {row.loss:.4g}, {row.seconds:.1f} s, {reason}"
    return f"{source}: {row.outcome.value}: {reason}"


class RunDisplay(Watcher):
    """A run on the terminal.

    Args:
        verbosity: below 0 only what failed; 0 what was painted, too; above, also what was not touched, and why.
        machine: whether stdout belongs to a program, and is left alone.
    """

    def __init__(self, verbosity: int = 0, machine: bool = False) -> None:
        self._verbosity = verbosity
        self._machine = machine
        self._fractions: dict[Item, float] = {}
        """Of what was begun."""
        self._completed = 0.0
        """Their sum."""
        console = Console(stderr=True)
        self._bar: Bar | None = None
        if console.is_terminal and verbosity >= 0:
            self._bar = Bar(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("loss {task.fields[loss]}"),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                console=console,
                transient=True,
            )

    def note(self, text: str) -> None:
        """See `Watcher`."""
        if self._verbosity >= 0:
            self._print(f"nstbatch: {printable(text)}", err=True)

    def planned(self, plan: Plan) -> None:
        """See `Watcher`."""
        if self._verbosity > 0:
            self.note(f"plan: {plan}")
        if self._bar is not None and plan.count(State.TODO):
            self._task = self._bar.add_task("", total=plan.count(State.TODO), loss="-")
            self._bar.start()

    def started(self, task: Task) -> None:
        """See `Watcher`."""
        self._fractions[task.item] = 0.0
        if self._verbosity > 0:
            self._print(f"{printable(str(task.item.source))}: begun ({printable(task.reason)})")

    def progress(self, item: Item, progress: Progress, snapshot: Callable[[], Picture]) -> None:
        """See `Watcher`."""
        self._complete(item, progress.fraction)
        if self._bar is not None:
            self._bar.update(
                self._task,
                description=f"{escape(printable(item.source.name))} at {progress.size} px",
                completed=self._completed,
                loss=f"{progress.loss:.4g}",
            )

    def finished(self, row: Row) -> None:
        """See `Watcher`."""
        if row.item in self._fractions:
            self._complete(row.item, 1.0)
        untouched = row.outcome in (Outcome.UP_TO_DATE, Outcome.KEPT)
        failed = row.outcome is Outcome.FAILED
        if failed or self._verbosity >= untouched:
            self._print(describe(row), err=failed or row.outcome is Outcome.DROPPED)

    def ended(self, report: Report, code: ExitCode, error: str | None) -> None:
        """See `Watcher`."""
        if self._bar is not None:
            self._bar.stop()
        if self._verbosity >= 0 and report.total:
            self._print(str(report))

    def _complete(self, item: Item, fraction: float) -> None:
        self._completed += fraction - self._fractions[item]
        self._fractions[item] = fraction

    def _print(self, line: str, err: bool = False) -> None:
        if self._machine and not err:
            return
        if self._bar is not None and self._bar.live.is_started:
            self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            tell(line, err)
