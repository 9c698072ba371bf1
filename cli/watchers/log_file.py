"""``--log-file``: a line for everything that happens, with its time, for people who come later."""

import contextlib
import logging
import logging.handlers
import os
from io import TextIOWrapper
from pathlib import Path

from ...runtime.batch.outcome import Outcome, PhotoOutcome, Row
from ...runtime.errors import ExitCode, UsageError, first_line
from ...runtime.files.own import open_log
from ...runtime.files.reading import open_source
from ...runtime.planning.plan import Plan, Task
from ...runtime.recipe.settings import Settings
from ..text import printable
from .terminal import describe
from .watcher import CommandWatcher


class _Handler(logging.handlers.WatchedFileHandler):
    """Opens the file anew when logrotate has moved it; a log that cannot be written does not stop the run."""

    def _open(self) -> TextIOWrapper:
        return os.fdopen(open_log(Path(self.baseFilename)), "w", encoding="utf-8")

    def handleError(self, record: logging.LogRecord) -> None:
        """Nothing: there is nobody left to tell."""


class LogFile(CommandWatcher):
    """Adds lines to a file.

    Args:
        path: the file; made if it is missing.
        verbose: whether pictures that were up to date are logged, too.

    Raises:
        UsageError: the file cannot be opened.
    """

    def __init__(self, path: Path, verbose: bool = False) -> None:
        try:
            if _is_no_text(path):
                raise UsageError(f"--log-file {path}: already exists, and is not a log; name another")
            handler = _Handler(path, encoding="utf-8")
        except OSError as error:
            raise UsageError(f"--log-file {path}: {first_line(error)}") from None
        formatter = logging.Formatter("%(asctime)s [%(process)d] %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S%z")
        handler.setFormatter(formatter)
        # Not from logging.getLogger: a logger of this run alone, whatever the process logs besides.
        self._logger = logging.Logger("nstbatch", logging.DEBUG if verbose else logging.INFO)
        self._logger.addHandler(handler)

    def note(self, text: str) -> None:
        """Add a sentence about the run."""
        self._logger.info("%s", printable(text))

    def planned(self, plan: Plan, settings: Settings) -> None:
        """Add a line with the plan."""
        self._logger.info("plan: %s", plan)

    def started(self, task: Task) -> None:
        """Add a line for the photo, if the log is verbose."""
        self._logger.debug("%s: begun (%s)", printable(str(task.item.source)), task.reason)

    def finished(self, row: Row) -> None:
        """Add the photo's line, at a level that fits what became of it."""
        levels = {
            PhotoOutcome.FAILED: logging.ERROR,
            PhotoOutcome.DROPPED: logging.WARNING,
            PhotoOutcome.PAINTED: logging.INFO,
        }
        self._logger.log(levels.get(row.outcome, logging.DEBUG), "%s", describe(row))

    def ended(self, outcome: Outcome, code: ExitCode, error: str | None) -> None:
        """Add the exit code and the summary, and close the file."""
        if error is not None:
            self._logger.error("%s", printable(error))
        self._logger.info("exit %d: %s", code, outcome)
        for handler in self._logger.handlers:
            with contextlib.suppress(OSError):
                handler.close()


def _is_no_text(path: Path) -> bool:
    """Whether lines would be added to a picture, or another file of bytes."""
    if not path.is_file():
        return False
    with open_source(path) as file:
        head = file.read(64)
    return b"\0" in head or head[:1] >= b"\x80" or head[:6] in (b"GIF87a", b"GIF89a")
