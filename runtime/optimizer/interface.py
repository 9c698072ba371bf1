"""The optimisers behind one ask/tell face, and the choice among them."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from numpy.typing import NDArray

from .vectors import Vector


class Status(Enum):
    """Why an optimiser stopped; the value is the sentence for the user."""

    RUNNING = "still running"
    CONVERGED = "the gradient is zero"
    STALLED = "no further decrease within float32 rounding"
    DIVERGED = "the loss stopped being finite, the best picture before is taken; a lower --learning-rate may help"


class Optimizer(Protocol):
    """Minimises a function that somebody else evaluates.

    while not optimizer.done:
        optimizer.tell(*evaluate(optimizer.ask()))
    """

    status: Status
    """Why `done` is true."""

    @property
    def x(self) -> Vector:
        """The best iterate so far, ``[n]``."""
        ...

    @property
    def done(self) -> bool:
        """Whether there is nothing left to gain."""
        ...

    def ask(self) -> Any:
        """The point to evaluate next, which must not be written to."""
        ...

    def tell(self, loss: float, gradient: Any) -> None:
        """Take loss and gradient at the point that `ask` gave.

        Raises:
            NonFiniteError: the first of them is not finite.
        """
        ...

    def rebase(self, *, forget: bool) -> None:
        """Go on from x with another function; ``forget`` what was learned of the old one's shape."""
        ...

    def state(self) -> dict[str, NDArray[Any]]:
        """Everything that `restore` needs to go on with the very same iterates, by name; vectors are not copied."""
        ...

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take on a `state` of an optimiser with the same arguments.

        Raises:
            KeyError, ValueError: it is of another kind.
        """
        ...


@dataclass(frozen=True)
class Rate:
    """A learning rate that decays.

    Attributes:
        first: rate of the first step, in pixels' units of 0..255; None for the optimiser's own.
        decay: factor after each ``every`` steps.
        every: see there.
        staircase: whether it falls at once after so many steps, or a little with each.
    """

    first: float | None = None
    decay: float = 1.0
    every: int = 100
    staircase: bool = False

    def at(self, step: int, first: float) -> float:
        """Rate of a step, counted from 0, where ``first`` is that of the first."""
        periods = step // self.every if self.staircase else step / self.every
        return first * self.decay**periods
