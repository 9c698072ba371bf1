"""The vectors of L-BFGS in this process's memory, by NumPy."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..engine.host import maps_freely
from ..files.scratch import Empty, zeros
from .preconditioner import Preconditioner
from .vectors import Combination, Matrix, Vector

_CHUNK = 1 << 15
"""Elements of a vector that are multiplied at a time, so that two products read the history from memory once; the sums over
chunks are taken in float64."""


class HostVectors:
    """`Vectors` of NumPy.

    Memory: ``2 * history + 5`` vectors, one more with a preconditioner, and what that takes.

    Args:
        x0: where to start, ``[n]``, copied.
        history: m, pairs that there is room for.
        precondition: P; None for the identity.
        bounds: lowest and highest value of every element; None for no bounds.
        empty: makes an array of zeros, of a shape.
    """

    def __init__(
        self,
        x0: NDArray[np.floating],
        history: int = 10,
        precondition: Preconditioner | None = None,
        bounds: tuple[float, float] | None = None,
        empty: Empty = zeros,
    ) -> None:
        start = np.asarray(x0, np.float32).reshape(-1)
        self.x: Vector = empty(start.shape)
        self.x[:] = start
        self._bounds = None if bounds is None else (np.float32(bounds[0]), np.float32(bounds[1]))
        if self._bounds is not None:
            np.clip(self.x, *self._bounds, out=self.x)
        self._precondition = precondition
        # What a checkpoint holds that is taken before the first evaluation has to be finite.
        self._gradient: Vector = empty(start.shape)
        self._conditioned: Vector = self._gradient if precondition is None else empty(start.shape)
        """P times the gradient."""
        self._difference: Vector = empty(start.shape)
        self._step: Vector = empty(start.shape)
        self._trial: Vector = empty(start.shape)
        self._trial[:] = self.x
        self._part = 1.0
        # The filled part is one contiguous block for BLAS.
        self._rows = empty((2 * history, self.x.size))

    @property
    def trial(self) -> Vector:
        """A view that must not be written to."""
        view = self._trial.view()
        view.flags.writeable = False
        return view

    @property
    def stationary(self) -> bool:
        """Whether the gradient is zero."""
        return not self._gradient.any()

    def magnitude(self, gradient: Vector) -> float:
        """Largest absolute value of a gradient."""
        return float(max(gradient.max(), -gradient.min()))

    def begin(self, gradient: Vector, scale: float) -> None:
        """Take the gradient at x, scaled and projected, and condition it."""
        flat = gradient.reshape(-1)
        for part in chunks(self.x.size):
            self._gradient[part] = self._projected(flat, scale, self.x, part)
        if self._precondition is not None:
            self._precondition.apply(self._gradient, out=self._conditioned)

    def slope(self, gradient: Vector) -> float:
        """Inner product of a gradient with the step. An element that is not finite makes it NaN, even times 0."""
        return inner(gradient.reshape(-1), self._step)

    def accept(self, gradient: Vector, scale: float, pair: int) -> tuple[float, float, float]:
        """Make the trial point x, and write the new curvature pair to its rows."""
        flat = gradient.reshape(-1)
        s, w = self._rows[2 * pair], self._rows[2 * pair + 1]
        y = self._difference
        sy = ss = yy = 0.0
        for part in chunks(y.size):
            new = self._projected(flat, scale, self._trial, part)
            np.subtract(new, self._gradient[part], out=y[part])
            self._gradient[part] = new
            # Not a part of the step: bounds and rounding may have shortened it.
            np.subtract(self._trial[part], self.x[part], out=s[part])
            sy += float(s[part] @ y[part])
            ss += float(s[part] @ s[part])
            yy += float(y[part] @ y[part])
        if self._precondition is None:
            w[:] = y
        else:
            self._precondition.apply(self._gradient, out=w)
            for part in chunks(y.size):
                new = w[part].copy()
                w[part] -= self._conditioned[part]
                self._conditioned[part] = new
        self.x, self._trial = self._trial, self.x
        return sy, ss, yy

    def products(self, rows: int, *, difference: bool) -> list[Matrix]:
        """Inner products of the history with the gradient and the last difference, in one reading of the history."""
        vectors = (self._gradient, self._difference) if difference else (self._gradient,)
        used = self._rows[:rows]
        totals = [np.zeros(len(self._rows)) for _ in vectors]
        for part in chunks(used.shape[1]):
            block = used[:, part]
            for total, vector in zip(totals, vectors, strict=True):
                total[:rows] += block @ vector[part]
        return totals

    def descend(self, direction: Combination | None, length: float | None) -> float:
        """Make minus the direction the step, cut off at the bounds."""
        self._combine(direction)
        factor = -1.0 if length is None else -length / math.sqrt(inner(self._step, self._step) / self._step.size)
        slope = 0.0
        for part in chunks(self._step.size):
            x, step, trial, gradient = self.x[part], self._step[part], self._trial[part], self._gradient[part]
            step *= np.float32(factor)
            if self._bounds is None:
                np.add(x, step, out=trial)
            else:
                step *= gradient != 0
                np.clip(np.add(x, step, out=trial), *self._bounds, out=trial)
                np.subtract(trial, x, out=step)
            slope += float(step @ gradient)
        self._part = 1.0
        return slope

    def descent(self, gradient: Vector) -> float:
        """Inner product of the step with the gradient that is held."""
        del gradient
        return inner(self._step, self._gradient)

    def move(self, part: float) -> None:
        """Make the trial point that of a part of the step."""
        self._part = part
        np.multiply(self._step, np.float32(part), out=self._trial)
        self._trial += self.x
        if self._bounds is not None:
            np.clip(self._trial, *self._bounds, out=self._trial)

    def reset(self) -> None:
        """Make the trial point x."""
        np.copyto(self._trial, self.x)

    def state(self, rows: int) -> dict[str, NDArray[Any]]:
        """The arrays that `restore` needs, by name; they are not copied."""
        return {"rows": self._rows[:rows], "part": np.array(self._part), **self._named()}

    def restore(self, state: Mapping[str, NDArray[Any]], scale: float) -> None:
        """Take on a `state`, by copying into the arrays that are there."""
        del scale
        self._part = float(state["part"])
        self._rows[: len(state["rows"])] = state["rows"]
        for name, vector in self._named().items():
            vector[:] = state[name]

    def _named(self) -> dict[str, Vector]:
        vectors = {"x": self.x, "gradient": self._gradient, "step": self._step, "trial": self._trial}
        return vectors if self._precondition is None else vectors | {"conditioned": self._conditioned}

    def _combine(self, direction: Combination | None) -> None:
        """Make the direction itself the step."""
        if direction is None:
            np.copyto(self._step, self._gradient)
            return
        factor = np.float32(direction.conditioned)
        if direction.rows is None:
            np.multiply(self._conditioned, factor, out=self._step)
            return
        np.dot(direction.rows, self._rows[: len(direction.rows)], out=self._step)
        for part in chunks(self._step.size):
            self._step[part] += factor * self._conditioned[part]

    def _projected(self, gradient: Vector, scale: float, x: Vector, part: slice) -> Vector:
        """A part of the scaled gradient at ``x``, zero where -gradient leads out of the bounds."""
        new = gradient[part] * np.float32(scale)
        if self._bounds is not None:
            low, high = self._bounds
            # Times a mask: several times faster than an assignment under one.
            new *= ((x[part] > low) | (new < 0)) & ((x[part] < high) | (new > 0))
        return new


def inner(a: Vector, b: Vector) -> float:
    """Inner product of float32 vectors, summed in float64 over chunks."""
    return float(sum(float(a[part] @ b[part]) for part in chunks(len(a))))


def chunks(size: int) -> list[slice]:
    """Slices of at most `_CHUNK` elements that cover a vector of ``size``."""
    return [slice(start, min(start + _CHUNK, size)) for start in range(0, size, _CHUNK)]


def belongs_in_file(size: int, history: int, memory: int) -> bool:
    """Whether `HostVectors` of ``size`` elements takes more memory than it may, and a file that is mapped takes none."""
    return vectors_bytes(size, history) > _SHARE * memory and maps_freely()


_SHARE = 0.4


def vectors_bytes(size: int, history: int) -> int:
    """Bytes that `HostVectors` of ``size`` elements takes."""
    return 4 * (2 * history + 6) * size
