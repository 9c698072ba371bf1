"""What became of a run: a row for each photo, the summary, the exit code."""

from dataclasses import dataclass, field
from enum import Enum

from ..errors import ExitCode
from ..output.journal import FAILED, PAINTED, notes_of
from ..planning.placement import Item
from ..stop import StopReason


def duration(seconds: float) -> str:
    """A time for people: ``3.2 s``, ``45 s``, ``12 min 5 s``, ``2 h 10 min``, ``3 d 4 h``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    rest = round(seconds)
    for name, size, smaller, parts in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if rest >= size:
            return f"{rest // size} {name} {rest % size // parts} {smaller}"
    return f"{rest} s"


class PhotoOutcome(Enum):
    """What became of a photo; the value is the word for the user."""

    PAINTED = PAINTED
    UP_TO_DATE = "up to date"
    KEPT = "kept"
    FAILED = FAILED
    DROPPED = "dropped"


@dataclass(frozen=True)
class Row:
    """One photo's line of the report.

    Attributes:
        item: the photo and its output.
        outcome: what became of it.
        reason: the optimiser's status and notes, see `Entry`; or why it was not painted, in a sentence.
        loss: lowest loss of the last level, None if it was not painted.
        seconds: wall time.
        evaluations: of loss and gradient.
    """

    item: Item
    outcome: PhotoOutcome
    reason: str
    loss: float | None = None
    seconds: float = 0.0
    evaluations: int = 0

    @property
    def notes(self) -> str:
        """What is to be known of a painting, but for the optimiser's status."""
        return notes_of(self.reason)


@dataclass
class Outcome:
    """The outcome of a run; owns the exit code and the summary.

    Attributes:
        total: tasks of the plan.
        rows: of those that were reached.
        stopped: why the run ended early, None if it did not.
        seconds: wall time; None for the sum of the rows', which is more where pictures are painted at a time.
    """

    total: int = 0
    rows: list[Row] = field(default_factory=list)
    stopped: StopReason | None = None
    seconds: float | None = None

    def count(self, outcome: PhotoOutcome) -> int:
        """Number of rows of an outcome."""
        return sum(row.outcome is outcome for row in self.rows)

    @property
    def left(self) -> int:
        """Number of photos that the run did not get to, or dropped."""
        return self.total - len(self.rows) + self.count(PhotoOutcome.DROPPED)

    @property
    def exit_code(self) -> ExitCode:
        """The reason of an early end before `SOME_FAILED`, and that before `OK`."""
        if self.stopped is not None:
            return self.stopped.exit_code
        return ExitCode.SOME_FAILED if self.count(PhotoOutcome.FAILED) else ExitCode.OK

    def __str__(self) -> str:
        painted = self.count(PhotoOutcome.PAINTED)
        parts = [f"{painted} painted", f"{self.count(PhotoOutcome.FAILED)} failed"]
        parts += [f"{self.count(o)} {o.value}" for o in (PhotoOutcome.UP_TO_DATE, PhotoOutcome.KEPT) if self.count(o)]
        parts += [f"{self.left} left ({self.stopped.value})"] if self.stopped else []
        text = ", ".join(parts)
        if not painted:
            return text
        spent = sum(row.seconds for row in self.rows)
        seconds = spent if self.seconds is None else self.seconds
        each = sum(row.seconds for row in self.rows if row.outcome is PhotoOutcome.PAINTED)
        return f"{text} in {duration(seconds)} ({duration(seconds * each / (spent or 1) / painted)} a picture)"
