"""The vectors of L-BFGS where the objective is evaluated."""

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bundle.spec import ARITHMETIC
from ..engine.binding import Array, Buffer
from ..engine.engine import Engine
from .preconditioner import FrequencyPreconditioner
from .vectors import Combination, Matrix, Vector


class DeviceVectors:
    """`Vectors` in the memory of a device: a picture and its gradient need not come to the host.

    Each method runs one graph of the bundle, named after it, and brings back a few numbers.

    Memory: ``2 * history + 8`` vectors on the device.

    Args:
        engine: runs the graphs, and has the device.
        x0: where to start, ``[1, 3, H, W]``.
        history: m, pairs that there is room for.
        precondition: P; its transform is done by products of matrices.
        bounds: lowest and highest value of every element.
    """

    def __init__(
        self,
        engine: Engine,
        x0: Array,
        history: int,
        precondition: FrequencyPreconditioner,
        bounds: tuple[float, float],
    ) -> None:
        self._graph = cache(lambda graph: engine.bind(graph, {}))
        place = engine.place
        start = np.clip(np.asarray(x0, np.float32), np.float32(bounds[0]), np.float32(bounds[1]))
        shape = start.shape[1:]
        self._n = start.size
        self._shape = shape
        self._capacity = history
        height, width, spectrum = precondition.separable()
        self._bounds = place.put(np.array(bounds, np.float32))
        self._transform = {
            "height_basis": place.put(height),
            "width_basis": place.put(width),
            "spectrum_factors": place.put(spectrum),
        }
        self._rows = place.put(np.zeros((2 * history, self._n), np.float32))
        self._x, self._trial = place.put(start[0]), place.put(start[0])
        zeros = np.zeros(shape, np.float32)
        # Of each of these two there is the one that holds, and the one that the next takes the place of.
        self._gradient, self._next_gradient = place.put(zeros), place.put(zeros)
        self._conditioned, self._next_conditioned = place.put(zeros), place.put(zeros)
        self._difference, self._step = place.put(zeros), place.put(zeros)
        self.stationary = False

    @property
    def x(self) -> Vector:
        """The best iterate, copied to the host."""
        return self._x.read().reshape(-1)

    @property
    def trial(self) -> Buffer:
        """The point to evaluate next, ``[1, 3, H, W]``."""
        return self._trial.reshape((1, *self._shape))

    def magnitude(self, gradient: Buffer) -> float:
        """Largest absolute value of a gradient."""
        return self._measure(gradient)[1]

    def begin(self, gradient: Buffer, scale: float) -> None:
        """Take the gradient at x, scaled and projected, and condition it."""
        self._run(
            "begin",
            {
                "gradient": gradient.reshape(self._shape),
                "x": self._x,
                "scale": _number(scale),
                "bounds": self._bounds,
                **self._transform,
            },
            {"projected": self._gradient, "conditioned": self._conditioned},
        )
        self.stationary = self._measure(self._gradient)[1] == 0

    def slope(self, gradient: Buffer) -> float:
        """Inner product of a gradient with the step."""
        return self._measure(gradient)[0]

    def accept(self, gradient: Buffer, scale: float, pair: int) -> tuple[float, float, float]:
        """Make the trial point x by exchanging buffers, and write the new curvature pair to its rows."""
        (sums,) = self._run(
            "accept",
            {
                "gradient": gradient.reshape(self._shape),
                "trial": self._trial,
                "x": self._x,
                "before": self._gradient,
                "conditioned_before": self._conditioned,
                "scale": _number(scale),
                "bounds": self._bounds,
                **self._transform,
            },
            {
                "projected": self._next_gradient,
                "conditioned": self._next_conditioned,
                "s": self._rows.part(2 * pair).reshape(self._shape),
                "w": self._rows.part(2 * pair + 1).reshape(self._shape),
                "y": self._difference,
            },
        )
        self._x, self._trial = self._trial, self._x
        self._gradient, self._next_gradient = self._next_gradient, self._gradient
        self._conditioned, self._next_conditioned = self._next_conditioned, self._conditioned
        sy, ss, yy, gg = (float(value) for value in sums)
        self.stationary = gg == 0
        return sy, ss, yy

    def products(self, rows: int, *, difference: bool) -> list[Matrix]:
        """Inner products of every row with the gradient and the last difference; beyond ``rows`` they mean nothing."""
        del rows
        inputs = {"rows": self._rows, "gradient": self._flat(self._gradient), "difference": self._flat(self._difference)}
        (found,) = self._run("products", inputs, {})
        of_gradient, of_difference = found.astype(np.float64).T
        return [of_gradient, of_difference] if difference else [of_gradient]

    def descend(self, direction: Combination | None, length: float | None) -> float:
        """Make minus the direction the step, cut off at the bounds."""
        factors = np.zeros(2 * self._capacity, np.float32)
        if direction is not None and direction.rows is not None:
            factors[: len(direction.rows)] = direction.rows
        (slope,) = self._run(
            "descend",
            {
                "rows": self._rows,
                "factors": factors,
                "conditioned": self._flat(self._gradient if direction is None else self._conditioned),
                "factor": _number(1.0 if direction is None else direction.conditioned),
                "length": _number(length or 0.0),
                "x": self._flat(self._x),
                "gradient": self._flat(self._gradient),
                "bounds": self._bounds,
            },
            {"moved": self._flat(self._step), "trial": self._flat(self._trial)},
        )
        return float(slope[0])

    def move(self, part: float) -> None:
        """Make the trial point that of a part of the step."""
        self._run(
            "move",
            {
                "x": self._flat(self._x),
                "step": self._flat(self._step),
                "part": _number(part),
                "bounds": self._bounds,
            },
            {"trial": self._flat(self._trial)},
        )

    def reset(self) -> None:
        """Make the trial point x."""
        self.move(0.0)

    def state(self, rows: int) -> dict[str, NDArray[Any]]:
        """Copies on the host of the arrays that `restore` needs, by name; `HostVectors` can go on from them, too."""
        named = {name: buffer.read().reshape(-1) for name, buffer in self._named().items()}
        return {"rows": self._rows.read()[:rows], **named}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take on a `state`, by writing it to the device."""
        rows = np.zeros(self._rows.shape, np.float32)
        rows[: len(state["rows"])] = state["rows"]
        self._rows.write(rows)
        for name, buffer in self._named().items():
            if state[name].size != self._n:
                raise ValueError(f"{name} has {state[name].size} elements, not {self._n}")
            buffer.write(state[name])

    def _named(self) -> dict[str, Buffer]:
        return {
            "x": self._x,
            "gradient": self._gradient,
            "step": self._step,
            "trial": self._trial,
            "conditioned": self._conditioned,
        }

    def _measure(self, gradient: Buffer) -> tuple[float, float]:
        """Inner product with the step, and largest absolute value."""
        (sums,) = self._run("measure", {"gradient": self._flat(gradient), "step": self._flat(self._step)}, {})
        return float(sums[0]), float(sums[1])

    def _run(self, name: str, inputs: Mapping[str, Array | Buffer], kept: Mapping[str, Buffer]) -> list[Array]:
        return self._graph(ARITHMETIC + name)(inputs, kept)

    def _flat(self, buffer: Buffer) -> Buffer:
        return buffer.reshape((self._n,))


def _number(value: float) -> Array:
    return np.array(value, np.float32)
