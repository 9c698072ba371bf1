"""What a run says: a progress bar on a terminal, one line a picture otherwise."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from ..runtime import Progress
from ..runtime.batch import Item, Outcome, Plan, Row


def say(text: str) -> None:
    """A note about the run, on stderr."""
    tell(f"nstbatch: {text}", err=True)


def tell(line: str, err: bool = False) -> None:
    """A line of the report, on stdout or stderr. Where it cannot be written (`| head`, a full disk) the run goes on."""
    try:
        click.echo(line, err=err)
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, (sys.stderr if err else sys.stdout).fileno())
        os.close(nowhere)


@contextmanager
def steps() -> Iterator[Callable[[str], None]]:
    """A function that shows what is being done now: in place on a terminal, line by line otherwise."""
    console = Console(stderr=True)
    if console.is_terminal:
        with console.status("") as status:
            yield lambda text: status.update(escape(text))
    else:
        yield say


class RunDisplay:
    """Progress of a batch. A context manager; `update` during a picture, `finish` after it."""

    def __init__(self, plan: Plan) -> None:
        self._done = 0
        console = Console(stderr=True)
        self._bar: Bar | None = None
        if console.is_terminal:
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
            self._task = self._bar.add_task("", total=len(plan.items), loss="-")

    def __enter__(self) -> "RunDisplay":
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, item: Item, progress: Progress) -> None:
        """Show how far a picture is."""
        if self._bar is not None:
            self._bar.update(
                self._task,
                description=f"{escape(_printable(item.source.name))} at {progress.size} px",
                completed=self._done + progress.fraction,
                loss=f"{progress.loss:.4g}",
            )

    def finish(self, row: Row) -> None:
        """Print a picture's line."""
        self._done += 1
        if self._bar is not None:
            self._bar.update(self._task, completed=self._done)
        source = _printable(str(row.item.source))
        if row.outcome is Outcome.PAINTED:
            target = _printable(str(row.item.target))
            self._print(f"{source} -> {target}: loss {row.loss:.4g}, {row.seconds:.1f} s, {row.reason}")
        else:
            self._print(f"{source}: failed: {_printable(row.reason)}", err=True)

    def _print(self, line: str, err: bool = False) -> None:
        if self._bar is not None:
            self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            tell(line, err)


def _printable(text: str) -> str:
    """A file name may hold line breaks, escape sequences, or bytes that are no UTF-8."""
    text = text.encode(sys.getfilesystemencoding(), "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
