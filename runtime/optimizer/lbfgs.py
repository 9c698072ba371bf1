"""L-BFGS behind an ask/tell face, so that one driver serves one image, a batch in lock-step, or overlapped work.

    optimiser = LBFGS(x0)
    while not optimiser.done:
        loss, gradient = evaluate(optimiser.ask())
        optimiser.tell(loss, gradient)

Directions: `CurvatureHistory` (Byrd, Nocedal, Schnabel 1994); arithmetic: `Vectors`. Line search: Nocedal, Wright,
"Numerical Optimization", 2nd edition, section 3.5, cut down to what an expensive objective affords: a step that satisfies
the strong Wolfe conditions, equations 3.7, costs one evaluation.

Bounds: Bertsekas, "Projected Newton methods for optimization problems with simple constraints", SIAM Journal on Control and
Optimization 20 (1982). Elements at a bound that the gradient pushes outwards are held, the others step and are cut off
at the bounds. A departure: curvature pairs are differences of projected gradients, whichever elements were held, and H is
not made diagonal in them; where the step does not descend for that, the history is dropped.
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import NonFiniteError
from .curvature import CurvatureHistory
from .host_vectors import HostVectors
from .interface import Status
from .preconditioner import Preconditioner
from .vectors import Combination, Vector, Vectors

_COSINE = 1e-6
"""A curvature pair enters the history when cos(s, y) exceeds this; with less, rounding decides its sign."""


_SCALARS = ("loss", "evaluations", "iterations", "_scale", "_starting", "_plain")
_SEARCH = ("step", "accepted", "slope", "_left", "_good")
"""What a state holds besides vectors, of the optimiser and of its line search. JSON keeps every bit of a float."""


@dataclass(frozen=True)
class SearchRules:
    """What a line search goes by.

    Attributes:
        decrease: c1 of the Wolfe conditions, equation 3.7a.
        curvature: c2 of the Wolfe conditions, equation 3.7b; a small value makes the line search exact on a quadratic.
        trials: evaluations that one line search may take.
        stretch: largest factor by which a line search lengthens a step. On VGG losses a secant that asks for 100 is
            wrong and costs several evaluations; of 1, 4, 10 and 100, 10 gave the lowest losses over the first twenty.
    """

    decrease: float = 1e-4
    curvature: float = 0.9
    trials: int = 8
    stretch: float = 10.0


class LBFGS:
    """Minimise a smooth function of a float32 vector.

    The loss may be of any magnitude: it is measured against its own first gradient, so that ``c * loss`` gives the same
    iterates for every c > 0. Memory: that of the vectors, see `HostVectors`.

    Args:
        x0: where to start, ``[n]``, copied.
        history: m, number of curvature pairs.
        precondition: P of H_0 = gamma·P, the first approximation of the inverse Hessian; None for the identity.
        bounds: lowest and highest value of every element; None for no bounds.
        first_step: root mean square of the first step, in units of x; later steps scale themselves.
        search: rules of the line search.
        vectors: makes the vectors, of the first four arguments.

    Attributes:
        loss: of `x`, NaN before the first evaluation.
        evaluations, iterations: calls of `tell`, and those that moved x.
        status: why `done` is true.
    """

    def __init__(
        self,
        x0: NDArray[np.floating],
        *,
        history: int = 10,
        precondition: Preconditioner | None = None,
        bounds: tuple[float, float] | None = None,
        first_step: float = 1.0,
        search: SearchRules = SearchRules(),
        vectors: Callable[..., Vectors] = HostVectors,
    ) -> None:
        self.loss = math.nan
        self.evaluations = 0
        self.iterations = 0
        self.status = Status.RUNNING
        self._starting = True
        """Whether the point asked for is x itself, from which to start."""
        self._plain = False
        """Whether the step goes along the gradient itself."""
        self._first_step = first_step
        self._rules = search
        self._vectors = vectors(x0, history, precondition, bounds)
        self._history = CurvatureHistory(history)
        self._scale = 1.0
        self._search = _LineSearch(self._rules)

    @property
    def x(self) -> Vector:
        """The best iterate so far, ``[n]`` float32."""
        return self._vectors.x

    @property
    def done(self) -> bool:
        """Whether there is nothing left to gain."""
        return self.status is not Status.RUNNING

    def ask(self) -> Any:
        """The point to evaluate next, of `Vectors`: by default ``[n]`` float32, a view that must not be written to."""
        return self._vectors.trial

    def tell(self, loss: float, gradient: Any) -> None:
        """Take the loss and gradient at the point that `ask` gave.

        Args:
            loss: may be NaN or infinite; such a point is rejected and a shorter step tried.
            gradient: of n elements, in any shape; likewise. It is not kept.

        Raises:
            NonFiniteError: the first loss or gradient, of all or after `rebase`, is not finite.
            RuntimeError: the optimiser is done.
        """
        if self.done:
            raise RuntimeError(f"nothing was asked: {self.status.value}")
        self.evaluations += 1
        if self._starting:
            self._start(loss, gradient)
            return
        search = self._search
        if search.slope is None:
            search.slope = self._vectors.descent(gradient)
            if not -math.inf < search.slope < 0:
                self._go_otherwise()
                return
        slope = self._vectors.slope(gradient) * self._scale
        if math.isfinite(loss) and math.isfinite(slope):
            search.tell((loss - self.loss) * self._scale, slope)
        else:
            search.reject()
        if search.accepted:
            self._accept(loss, gradient)
        elif search.failed:
            self._restart()
        else:
            self._vectors.move(search.step)

    def rebase(self, *, forget: bool) -> None:
        """Go on from x with another function: `ask` gives x again.

        Args:
            forget: drop the curvature pairs; keep them where the functions differ by rounding only.
        """
        if forget:
            self._history.clear()
        self.status = Status.RUNNING
        self._starting = True
        self._vectors.reset()

    def state(self) -> dict[str, NDArray[Any]]:
        """Everything that `restore` needs to go on with the very same iterates, by name; vectors are not copied."""
        scalars = {name: getattr(self, name) for name in _SCALARS} | {"status": self.status.name}
        return {
            "scalars": np.array(json.dumps(scalars)),
            "search": np.array(json.dumps(self._search.state())),
            **self._vectors.state(self._history.rows),
            **self._history.state(),
        }

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take on a `state` of an optimiser with the same arguments.

        Raises:
            KeyError, ValueError: it is of another kind.
        """
        scalars = json.loads(str(state["scalars"]))
        self.status = Status[scalars.pop("status")]
        for name in _SCALARS:
            setattr(self, name, scalars[name])
        self._search.restore(json.loads(str(state["search"])))
        self._vectors.restore(state, self._scale)
        self._history.restore(state)

    def _start(self, loss: float, gradient: Any) -> None:
        magnitude = self._vectors.magnitude(gradient)
        if not (math.isfinite(loss) and math.isfinite(magnitude)):
            raise NonFiniteError("the loss or its gradient is not finite at the starting point")
        self._starting = False
        self.loss = loss
        if not len(self._history) and magnitude > 0:
            # A power of two rounds nothing.
            self._scale = 2.0 ** -math.floor(math.log2(magnitude))
        self._vectors.begin(gradient, self._scale)
        self._proceed()

    def _accept(self, loss: float, gradient: Any) -> None:
        sy, ss, yy = self._vectors.accept(gradient, self._scale, self._history.free())
        self.loss = loss
        self.iterations += 1
        if sy > _COSINE * math.sqrt(ss * yy):
            self._history.commit()
        self._proceed()

    def _proceed(self) -> None:
        """Go on from x along -H·gradient, or stop there."""
        vectors, history = self._vectors, self._history
        if vectors.stationary:
            self.status = Status.CONVERGED
        elif len(history):
            products = vectors.products(history.rows, difference=history.fresh)
            self._go(vectors.descend(history.direction(products), None), plain=False)
        else:
            self._go(vectors.descend(Combination(), self._first_step), plain=False)

    def _go(self, slope: float | None, *, plain: bool) -> None:
        """Begin a line search, where the step descends or where that is not known yet."""
        self._plain = plain
        self._search = _LineSearch(self._rules, slope)
        if slope is not None and not -math.inf < slope < 0:
            self._go_otherwise()

    def _go_otherwise(self) -> None:
        """Go on from x, where the step does not descend or leads nowhere."""
        if len(self._history):
            # Rounding has spoilt it, or too much of the step led out of the bounds.
            self._history.clear()
            self._proceed()
        elif not self._plain:
            # Bounds can turn P·gradient uphill, but not the gradient.
            self._go(self._vectors.descend(None, self._first_step), plain=True)
        else:
            self._stall()

    def _restart(self) -> None:
        """The line search found nothing: try without history, and stop when that was it already."""
        if len(self._history):
            self._go_otherwise()
        else:
            self._stall()

    def _stall(self) -> None:
        self.status = Status.STALLED
        self._vectors.reset()


class _LineSearch:
    """A step t along a direction with phi(t) = loss(x + t·direction) - loss(x), given phi(t) and its slope.

    Attributes:
        step: t, the next to try.
        accepted: whether it is taken.
        slope: of phi at 0, negative; None if it is not known yet.
    """

    def __init__(self, rules: SearchRules, slope: float | None = None) -> None:
        self.step = 1.0
        self.accepted = False
        self.slope = slope
        self._rules = rules
        self._left = rules.trials
        self._good: tuple[float, float] | None = None
        """The step with the lowest phi among those of sufficient decrease, and its phi."""

    @property
    def failed(self) -> bool:
        return not self.accepted and self._left <= 0

    def reject(self) -> None:
        """Phi or its slope at `step` is not finite."""
        self._left -= 1
        self._shrink(0.1)

    def tell(self, value: float, slope: float) -> None:
        """Take phi and its slope at `step`; then either `accepted` is true or `step` is the next to try."""
        assert self.slope is not None, "it is told before"
        self._left -= 1
        sufficient = value <= self._rules.decrease * self.step * self.slope
        if self._good is not None:
            good_step, good_value = self._good
            # A second look was meant to improve on a step that was good enough; where it did not, that one stands.
            if self.step == good_step or (sufficient and value <= good_value):
                self.accepted = True
            else:
                self.step = good_step
        elif sufficient:
            if abs(slope) <= -self._rules.curvature * self.slope or self._left < 2:
                self.accepted = True
            else:
                self._good = (self.step, value)
                # Zero of the slope's secant: the minimum, if phi is a quadratic.
                bend = slope - self.slope
                factor = -self.slope / bend if bend > 0 else self._rules.stretch
                self.step *= min(max(factor, 0.1), self._rules.stretch)
        else:
            # Minimum of the parabola through phi(0) = 0, its slope, and phi(step).
            bend = value - self.slope * self.step
            self._shrink(-0.5 * self.slope * self.step / bend if bend > 0 else 0.1)

    def state(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _SEARCH}

    def restore(self, state: Mapping[str, Any]) -> None:
        for name in _SEARCH:
            setattr(self, name, state[name])
        self._good = None if state["_good"] is None else (state["_good"][0], state["_good"][1])

    def _shrink(self, factor: float) -> None:
        if self._good is None:
            self.step *= min(max(factor, 0.1), 0.5)
        else:
            self.step = self._good[0]
