"""The face of what paints pictures, on this host or on others: submit pictures, receive what became of them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from ..output.journal import Entry
from ..painting.painting import Progress
from ..painting.stylizer import Facts, Stylizer
from ..pictures.photo import Picture
from ..planning.masks import MaskFiles
from ..planning.placement import Item
from ..planning.plan import Policy, Task
from ..stop import Stop

ProgressListener = Callable[[Item, Progress, Callable[[], Picture]], None]
"""Is called after an evaluation, with a function that gives the picture as it is then."""


class MakeStylizer(Protocol):
    """Makes the stylizer of a worker. It is called there, and pickled on the way."""

    def __call__(self, *, device: int | None = None, threads: int | None = None) -> Stylizer:
        """The stylizer.

        Args:
            device: number of the GPU; None for the default.
            threads: of the CPU; None for the default.
        """
        ...


@dataclass(frozen=True)
class Procedure:
    """How pictures are painted, besides by what recipe. It can be pickled.

    Attributes:
        policy: the plan's.
        masks: the plan's.
        checkpoint: seconds between two checkpoints of a picture; None for none.
        snapshots: evaluations between two snapshots of a picture, see `Snapshots`; None for none.
        run: an identifier for the journal.
    """

    policy: Policy = field(default_factory=Policy)
    masks: MaskFiles = field(default_factory=MaskFiles)
    checkpoint: float | None = None
    snapshots: int | None = None
    run: str = ""


RESCUE = ".png"
"""What is added to the name of a painting that the format which was asked for does not take."""


@dataclass(frozen=True)
class Painted:
    """A picture that is painted, and not yet saved.

    Attributes:
        task: that was submitted.
        data: the file.
        entry: its line of the journal, but for what the file adds to it.
        refused: why it is not in the format that was asked for, but in that of `RESCUE`; empty where it is.
    """

    task: Task
    data: bytes = field(repr=False)
    entry: Entry
    refused: str = ""


@dataclass(frozen=True)
class Unpainted:
    """A picture that could not be painted.

    Attributes:
        task: that was submitted.
        error: why; `DroppedError` where the run was asked to stop.
        seconds: wall time.
    """

    task: Task
    error: Exception
    seconds: float


Ending = Painted | Unpainted


class Painters(Protocol):
    """Paints the pictures that are submitted, some at a time.

    Attributes:
        facts: of the stylizer, or of each.
        sharing: pictures that are painted at a time in one memory.
        rate: seconds for each pixel of the last level, of the picture painted last; None before the first.
        by_shape: whether pictures of one shape are best submitted in a row.
        free: whether another may be submitted now.
        busy: whether there is anything left to receive.
    """

    @property
    def facts(self) -> Facts: ...  # noqa: D102

    @property
    def sharing(self) -> int: ...  # noqa: D102

    @property
    def rate(self) -> float | None: ...  # noqa: D102

    @property
    def by_shape(self) -> bool: ...  # noqa: D102

    @property
    def free(self) -> bool: ...  # noqa: D102

    @property
    def busy(self) -> bool: ...  # noqa: D102

    def open(self, procedure: Procedure, stop: Stop, progress: ProgressListener) -> None:
        """Make ready for a run.

        Args:
            procedure: how to paint.
            stop: drops the pictures in work when it is asked to.
            progress: is called after each evaluation, where those can be heard of.
        """
        ...

    def submit(self, task: Task, following: Task | None) -> None:
        """Begin a picture; `free` must be true.

        Args:
            task: one that is to do.
            following: the next that is to do, whose photo may be decoded meanwhile.

        Raises:
            DiskError, ProviderError: no picture can be painted.
        """
        ...

    def receive(self, *, wait: bool) -> list[Ending]:
        """What became of pictures since the last call; it may be nothing.

        Args:
            wait: for something to happen: a step, or the end of a picture.

        Raises:
            DiskError, ProviderError: no picture can be painted.
        """
        ...

    def close(self) -> None:
        """Leave what is in work; the end of `open`."""
        ...
