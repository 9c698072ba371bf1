"""Optimisers that take a step for each gradient: gradient descent, AdaGrad, Adam.

Their steps are of true gradients, of a loss in its own unit: it matters to gradient descent, and to the others' epsilon.
Iterates are projected onto the bounds after each step. A departure from the papers: x is the best iterate, not the last.
"""

import json
import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..errors import NonFiniteError
from .host_vectors import inner
from .interface import Rate, Status
from .vectors import Vector

_SCALARS = ("loss", "evaluations", "_steps", "_first")


class FirstOrder:
    """What the optimisers of this module share.

    Args:
        x0: where to start, ``[n]``, copied.
        rate: of the steps.
        bounds: lowest and highest value of every element; None for no bounds.
        unit: what told losses and gradients are times too small.

    Attributes:
        x: the best iterate so far.
        loss: its loss, NaN before the first evaluation.
        evaluations: calls of `tell`.
        status: why `done` is true.
    """

    RATE: ClassVar[float | None]
    """Rate where none is asked for; None for the one by which the first step has a root mean square of 1."""

    MOMENTS: ClassVar[tuple[str, ...]] = ()
    """Vectors that are kept between steps."""

    def __init__(
        self,
        x0: NDArray[np.floating],
        rate: Rate | None = None,
        bounds: tuple[float, float] | None = None,
        unit: float = 1.0,
    ) -> None:
        self._point: Vector = np.array(x0, np.float32).reshape(-1)
        self._bounds = None if bounds is None else (np.float32(bounds[0]), np.float32(bounds[1]))
        self._project()
        self.x = self._point.copy()
        self.loss = math.nan
        self.evaluations = 0
        self.status = Status.RUNNING
        self._rate = rate or Rate()
        self._first = self._rate.first if self._rate.first is not None else self.RATE
        self._unit = unit
        self._steps = 0
        self._moments = {name: np.zeros_like(self._point) for name in self.MOMENTS}

    @property
    def done(self) -> bool:
        """Whether there is nothing left to gain."""
        return self.status is not Status.RUNNING

    def ask(self) -> Vector:
        """The point to evaluate next, ``[n]``: a view that must not be written to."""
        view = self._point.view()
        view.flags.writeable = False
        return view

    def tell(self, loss: float, gradient: NDArray[np.float32]) -> None:
        """Take loss and gradient, and step. A later loss or gradient that is not finite ends the optimisation.

        Raises:
            NonFiniteError: the first loss or gradient is not finite.
            RuntimeError: the optimiser is done.
        """
        if self.done:
            raise RuntimeError(f"nothing was asked: {self.status.value}")
        self.evaluations += 1
        g = gradient.reshape(-1) * np.float32(self._unit)
        norm = math.sqrt(inner(g, g)) if math.isfinite(loss) else math.nan
        if not math.isfinite(norm):
            if math.isnan(self.loss):
                raise NonFiniteError("the loss or its gradient is not finite at the starting point")
            self.status = Status.DIVERGED
            return
        if not loss >= self.loss:
            self.loss = loss
            np.copyto(self.x, self._point)
        if norm == 0:
            self.status = Status.CONVERGED
            return
        if self._first is None:
            self._first = math.sqrt(g.size) / norm
        rate = self._rate.at(self._steps, self._first)
        self._steps += 1
        self._point -= np.float32(rate) * self._direction(g)
        self._project()

    def rebase(self, *, forget: bool) -> None:
        """Go on from x with another function."""
        if forget:
            self._moments = {name: np.zeros_like(self._point) for name in self.MOMENTS}
        self.status = Status.RUNNING
        self.loss = math.nan
        np.copyto(self._point, self.x)

    def state(self) -> dict[str, NDArray[Any]]:
        """Everything that `restore` needs to go on with the very same iterates, by name."""
        scalars = {name: getattr(self, name) for name in _SCALARS} | {"status": self.status.name}
        return {"scalars": np.array(json.dumps(scalars)), "x": self.x, "point": self._point, **self._moments}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take on a `state` of an optimizer with the same arguments."""
        scalars = json.loads(str(state["scalars"]))
        self.status = Status[scalars.pop("status")]
        for name in _SCALARS:
            setattr(self, name, scalars[name])
        self.x[:], self._point[:] = state["x"], state["point"]
        for name, moment in self._moments.items():
            moment[:] = state[name]

    def _direction(self, gradient: Vector) -> Vector:
        """What to go down, of a gradient that may be written to; `_steps` counts this one."""
        raise NotImplementedError

    def _project(self) -> None:
        if self._bounds is not None:
            np.clip(self._point, *self._bounds, out=self._point)


class GradientDescent(FirstOrder):
    """Gradient descent, as the lectures have it: no momentum."""

    RATE = None

    def _direction(self, gradient: Vector) -> Vector:
        return gradient


class AdaGrad(FirstOrder):
    """Duchi, Hazan, Singer, "Adaptive subgradient methods" (2011), figure 1, with diagonal matrices."""

    RATE = 10.0
    MOMENTS = ("squares",)
    _EPSILON = 1e-10

    def _direction(self, gradient: Vector) -> Vector:
        squares = self._moments["squares"]
        squares += gradient * gradient
        gradient /= np.sqrt(squares) + np.float32(self._EPSILON)
        return gradient


class Adam(FirstOrder):
    """Kingma, Ba, "Adam: a method for stochastic optimization" (2015), algorithm 1."""

    RATE = 10.0
    MOMENTS = ("mean", "variance")
    _BETAS = 0.9, 0.999
    _EPSILON = 1e-8

    def _direction(self, gradient: Vector) -> Vector:
        mean, variance = self._moments["mean"], self._moments["variance"]
        for moment, beta, value in zip((mean, variance), self._BETAS, (gradient, gradient * gradient), strict=True):
            moment *= np.float32(beta)
            moment += np.float32(1 - beta) * value
        first, second = (1 - beta**self._steps for beta in self._BETAS)
        direction: Vector = mean / np.float32(first)
        direction /= np.sqrt(variance / np.float32(second)) + np.float32(self._EPSILON)
        return direction


FIRST_ORDER: dict[str, type[FirstOrder]] = {"adam": Adam, "adagrad": AdaGrad, "sgd": GradientDescent}
"""By the names of `OPTIMIZERS`."""
