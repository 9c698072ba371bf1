"""What a run says to people: a progress bar on a terminal, one line a picture otherwise."""

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ...runtime.batch.outcome import Outcome, PhotoOutcome, Row, duration
from ...runtime.errors import ExitCode, UsageError
from ...runtime.files.location import Location
from ...runtime.output.journal import Journal
from ...runtime.output.names import REPORT
from ...runtime.output.runs import Run
from ...runtime.painting.painting import Progress
from ...runtime.pictures.photo import Picture, read_thumbnail
from ...runtime.planning.placement import Item
from ...runtime.planning.plan import Plan, Task, TaskState
from ...runtime.recipe.settings import Settings
from ..report.files import page_file
from ..text import print_line, printable, say, silence
from .advice import enlargement
from .pace import Pace
from .watcher import CommandWatcher


@contextmanager
def steps(note: Callable[[str], None] = say) -> Iterator[Callable[[str], None]]:
    """A function that shows what is being done now: in place on a terminal, by ``note`` otherwise."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield note
        return
    status = console.status("")
    _unless_closed(status.start)

    def show(text: str) -> None:
        _unless_closed(lambda: status.update(escape(printable(text))))

    try:
        yield show
    finally:
        _unless_closed(status.stop)


def _unless_closed(action: Callable[[], object]) -> bool:
    """Do what writes to the terminal; False where that has been closed."""
    try:
        action()
    except OSError:
        silence(err=True)
        return False
    return True


def describe(row: Row, *, verbose: bool = True, brief: bool = False) -> str:
    """A photo's line.

    Args:
        row: what became of it.
        verbose: say how the optimisation ended, too.
        brief: without folders, which may be as wide as a terminal.
    """
    source = printable(row.item.source.name if brief else str(row.item.source))
    if row.outcome is not PhotoOutcome.PAINTED:
        return f"{source}: {row.outcome.value}: {printable(row.reason)}"
    line = f"{source} painted" if brief else f"{source} -> {printable(str(row.item.target))}"
    line = f"{line} in {duration(row.seconds)}"
    if verbose:
        return f"{line}: loss {row.loss:.4g}, {printable(row.reason)}"
    return f"{line}: {printable(row.notes)}" if row.notes else line


_BLOCKS = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float], width: int = 16) -> str:
    """The last values as a row of blocks, on a log scale from the least of them to the largest."""
    logs = [math.log(value) for value in values[-width:] if value > 0 and math.isfinite(value)]
    if not logs:
        return ""
    low, span = min(logs), max(logs) - min(logs)
    return "".join(_BLOCKS[round((len(_BLOCKS) - 1) * (value - low) / span) if span else 0] for value in logs)


class RunDisplay(CommandWatcher):
    """A run on the terminal: a bar for all of it, and a line for each picture in work.

    Args:
        verbosity: below 0 only what failed; 0 what was painted, too; above, also what was not touched, and why.
        json: whether stdout belongs to a program, and is left alone.
        preview: whether each painting is shown, where the terminal can show pictures.
        clock: seconds, never set back.
    """

    def __init__(
        self,
        verbosity: int = 0,
        json: bool = False,
        preview: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._verbosity = verbosity
        self._json = json
        self._clock = clock
        self._console = Console(stderr=True)
        self._live: Live | None = None
        if self._console.is_terminal and verbosity >= 0 and not json:
            self._live = Live(console=self._console, transient=True, auto_refresh=False)
        self._drawn = -math.inf
        self._show = preview_of(self._console) if preview and self._live is not None else None
        self._pace = Pace(Plan(()), Settings(), clock)
        self._journals: Sequence[Journal] = ()
        self._todo = 0
        self._settled = 0
        self._losses: dict[Item, list[float]] = {}
        """Of the pictures in work."""
        self._states: dict[Item, Progress] = {}

    def note(self, text: str) -> None:
        """Print a sentence about the run."""
        if self._verbosity >= 0:
            self._print(f"nstbatch: {printable(text)}", err=True)

    def opened(self, run: Run, journals: Mapping[Path, Journal], outcome: Outcome) -> None:
        """Keep where the paintings go."""
        self._journals = list(journals.values())

    def planned(self, plan: Plan, settings: Settings) -> None:
        """Begin to draw, if there is anything to do."""
        if self._verbosity > 0:
            self.note(f"plan: {plan}")
        if advice := enlargement(plan, settings):
            self.note(advice)
        self._todo = plan.count(TaskState.TODO)
        self._pace = Pace(plan, settings, self._clock)
        if self._live is not None and self._todo:
            self._draw(self._live.start)
            self._refresh()

    def started(self, task: Task) -> None:
        """Add a line for the photo."""
        self._pace.started(task.item)
        self._losses[task.item] = []
        if self._verbosity > 0:
            self._print(f"{printable(str(task.item.source))}: begun ({printable(task.reason)})")
        self._refresh()

    def progress(self, item: Item, progress: Progress, snapshot: Callable[[], Picture]) -> None:
        """Advance the photo's bar."""
        self._pace.progress(item, progress.fraction)
        self._losses[item].append(progress.loss)
        self._states[item] = progress
        self._refresh()

    def finished(self, row: Row) -> None:
        """Print the photo's line, and take its bar away."""
        self._pace.finished(row.item, painted=row.outcome is PhotoOutcome.PAINTED)
        self._settled += self._losses.pop(row.item, None) is not None
        self._states.pop(row.item, None)
        untouched = row.outcome in (PhotoOutcome.UP_TO_DATE, PhotoOutcome.KEPT)
        failed = row.outcome is PhotoOutcome.FAILED
        if failed or self._verbosity >= untouched:
            line = describe(row, verbose=self._verbosity > 0, brief=self._live is not None)
            self._print(line, err=failed or row.outcome is PhotoOutcome.DROPPED, style="bold red" if failed else "")
        if self._show is not None and row.outcome is PhotoOutcome.PAINTED:
            self._show(row.item.target)
        self._refresh(now=True)

    def ended(self, outcome: Outcome, code: ExitCode, error: str | None) -> None:
        """Stop drawing, and print the summary."""
        if self._live is not None:
            self._draw(self._live.stop)
        if self._verbosity >= 0 and outcome.total:
            self._print(str(outcome))
            for journal in self._journals if outcome.count(PhotoOutcome.PAINTED) else ():
                report = f" and {REPORT}" if journal.apart is None and page_file(journal.root).is_there() else ""
                self._print(f"paintings{report} are in {printable(journal.output.name)}")

    def _refresh(self, now: bool = False) -> None:
        # An evaluation may take a millisecond.
        if self._live is None or not self._live.is_started or not (now or self._clock() - self._drawn >= _DRAW_EVERY):
            return
        self._drawn = self._clock()
        live = self._live
        self._draw(lambda: live.update(self._render(), refresh=True))

    def _draw(self, action: Callable[[], object]) -> None:
        """Do what writes to the terminal; where that has been closed, the run goes on without."""
        if not _unless_closed(action):
            self._live = None

    def _render(self) -> Table:
        table = Table.grid(padding=(0, 1))
        width = self._console.width
        # Widths that do not depend on what is shown, or everything would jump with each picture.
        name, bar = max(8, min(width // 4, 32)), max(5, min(width // 5, 30))
        table.add_column(width=name, no_wrap=True, overflow="ellipsis")
        table.add_column(width=bar)
        table.add_column(width=4, justify="right")
        table.add_column(width=max(1, width - name - bar - 4 - 4), no_wrap=True, overflow="ellipsis")

        def add(title: str, fraction: float, parts: Sequence[str]) -> None:
            meter = ProgressBar(total=1, completed=fraction, width=bar)
            table.add_row(Text(title), meter, Text(f"{fraction:.0%}"), Text(", ".join(parts)))

        left, rate = self._pace.seconds_left, self._pace.per_hour
        parts = [f"{self._settled}/{self._todo}"]
        parts += [f"{rate:,.0f} an hour" if rate >= _MANY else f"{rate:.1f} an hour"] if rate is not None else []
        parts += [_left(left)] if left is not None else []
        add("all", self._pace.fraction, parts)
        for item, losses in self._losses.items():
            state, left = self._states.get(item), self._pace.seconds_left_of(item)
            parts = [_left(left)] if left is not None else []
            parts += [f"{state.size} px"] if state is not None else []
            parts += [f"loss {state.loss:.4g} {sparkline(losses)}"] if state is not None and self._verbosity > 0 else []
            add(printable(item.source.name), self._pace.share(item), parts)
        return table

    def _print(self, line: str, err: bool = False, style: str = "") -> None:
        if self._json and not err:
            return
        if (self._live is not None and self._live.is_started) or (err and self._console.is_terminal):
            self._draw(lambda: self._console.print(Text(line, style=style)))
        else:
            print_line(line, err)


def _left(seconds: float) -> str:
    return f"{round(seconds)} s left" if seconds < 60 else f"{duration(seconds)} left"


_DRAW_EVERY = 0.25
"""Seconds."""

_MANY = 10
"""An hour, from which on no parts of a painting are told."""


def preview_of(console: Console) -> Callable[[Location], None]:
    """What shows a picture on a terminal: by its protocol for pictures (sixel, kitty), or else by coloured half blocks.

    Raises:
        UsageError: the library for it is not installed.
    """
    try:
        # It asks the terminal what it can do when it is imported.
        from textual_image.renderable import Image
    except ImportError:
        raise UsageError("--preview takes another package: `pip install 'nstbatch[preview]'`") from None
    except Exception:  # a terminal that cannot be asked has errors of many kinds
        return lambda _: None

    def show(path: Location) -> None:
        with contextlib.suppress(Exception):  # likewise; a preview costs no picture
            console.print(Image(read_thumbnail(path, _PREVIEW_SIDE, math.inf), width=_PREVIEW_COLUMNS, height="auto"))

    return show


_PREVIEW_SIDE, _PREVIEW_COLUMNS = 480, 48
