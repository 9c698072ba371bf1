"""The vectors of L-BFGS and the arithmetic on them: what takes memory and time, apart from what decides.

`LBFGS` sees losses, inner products and step lengths alone. So its vectors can lie in this process's memory, `HostVectors`,
or where the objective is evaluated, `StepVectors`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]
Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Combination:
    """A direction as a sum of vectors that are held.

    Attributes:
        conditioned: factor of P·gradient.
        rows: factors of the history's first rows; None for no history.
    """

    conditioned: float = 1.0
    rows: Vector | None = None


class Vectors(Protocol):
    """What `LBFGS` needs of vectors, wherever they are.

    A gradient is given as whatever the objective gives it as, unscaled; the one that is held is scaled and projected: zero
    where -gradient leads out of the bounds. Row 2i of the history is the step s of pair i, row 2i + 1 is w = P·y, with y
    the difference of gradients.
    """

    @property
    def x(self) -> Vector:
        """The best iterate, ``[n]``, on the host."""
        ...

    @property
    def trial(self) -> Any:
        """The point to evaluate next, as the objective takes it."""
        ...

    @property
    def stationary(self) -> bool:
        """Whether the gradient is zero."""
        ...

    def magnitude(self, gradient: Any) -> float:
        """A norm, of whatever kind; not finite if an element is not."""
        ...

    def begin(self, gradient: Any, scale: float) -> None:
        """Take the gradient at x."""
        ...

    def slope(self, gradient: Any) -> float:
        """Inner product with the step; not finite if an element of the gradient is not."""
        ...

    def accept(self, gradient: Any, scale: float, pair: int) -> tuple[float, float, float]:
        """Make the trial point x, with its gradient, and write the pair to its rows.

        Returns:
            sᵀy, sᵀs and yᵀy.
        """
        ...

    def products(self, rows: int, *, difference: bool) -> list[Matrix]:
        """Inner products of the first ``rows`` rows with the gradient and, if asked for, the last y: ``[2m]`` each."""
        ...

    def descend(self, direction: Combination | None, length: float | None) -> float | None:
        """Make minus the direction the step, as far as the bounds let it, and its end the trial point.

        Args:
            direction: what to go down; None for the gradient itself.
            length: root mean square to give it first; None leaves it.

        Returns:
            Inner product of step and gradient; None where it is known only with the evaluation, by `descent`.
        """
        ...

    def descent(self, gradient: Any) -> float:
        """Inner product of the step with the gradient that is held, where ``gradient`` is that at the step's end."""
        ...

    def move(self, part: float) -> None:
        """Make the trial point that of a part of the step."""
        ...

    def reset(self) -> None:
        """Make the trial point x."""
        ...

    def state(self, rows: int) -> dict[str, NDArray[Any]]:
        """What `restore` needs, by name, with the first ``rows`` rows of the history; not copied where that can be."""
        ...

    def restore(self, state: Mapping[str, NDArray[Any]], scale: float) -> None:
        """Take on a `state` of vectors with the same arguments, and the scale that its gradients have."""
        ...
