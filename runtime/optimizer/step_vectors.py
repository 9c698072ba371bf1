"""The vectors of L-BFGS where the objective is evaluated: one run for an evaluation, and a few numbers to and fro."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bundle.step import READ, WRITTEN, Report, control_size
from ..engine.binding import Array, Buffer, Place
from .preconditioner import FrequencyPreconditioner
from .vectors import Combination, Matrix, Vector

_X, _GRADIENT, _S, _Y, _STEP, _RAW, _CONDITIONED, _W = range(len(WRITTEN))
"""Columns of a report's products."""

_ITERATE = 3
"""Rows of an iterate: itself, its projected gradient, and P times that."""


@dataclass(frozen=True)
class StepRequest:
    """What a step is to do: the point to evaluate next, for whoever runs the graph of a step.

    Attributes:
        vectors: that it reads and writes.
        control: see `runtime.bundle.step`, ``[1, control_size(Q)]``.
    """

    vectors: "StepVectors"
    control: Array

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the image, ``(1, 3, H, W)``."""
        return (1, *self.vectors.rows.shape[2:])


class StepVectors:
    """`Vectors` as rows of one array on a device; what is called a gradient is the `Report` on a step.

    A run writes its point beside the iterate, and its curvature pair beside the history: there is room for one of each more.
    Accepting it is to read those rows from then on, and rejecting it to overwrite them. The device knows no scale: what is
    reported is multiplied here, so that vectors are kept as they are evaluated.

    Memory: ``2 * history + 11`` vectors on the device.

    Args:
        place: the device.
        x0: where to start, ``[1, 3, H, W]``.
        history: m, pairs that there is room for.
        precondition: P; its transform is done by products of matrices.
        bounds: lowest and highest value of every element.
    """

    def __init__(
        self,
        place: Place,
        x0: Array,
        history: int,
        precondition: FrequencyPreconditioner,
        bounds: tuple[float, float],
    ) -> None:
        self._bounds = np.array(bounds, np.float32)
        height, width, spectrum = precondition.separable()
        self.constants: Mapping[str, Array] = {
            "bounds": self._bounds,
            "height_basis": height,
            "width_basis": width,
            "spectrum_factors": spectrum,
        }
        """Inputs of the graph that stay as they are, by name."""
        self._slots = list(range(history))
        """Place of each pair among the rows."""
        self._spare = history
        self._first = 2 * (history + 1)
        """Row of the first iterate."""
        count = self._first + 2 * _ITERATE + 3
        self._y, self._step, self._raw = range(count - 3, count)
        self._current = 0
        """Which of the two iterates is x."""
        rows = np.zeros((1, count, *np.shape(x0)[1:]), np.float32)
        rows[0, self._iterate] = np.clip(x0, *self._bounds)
        self.rows = place.put(rows)
        """All vectors, ``[1, Q, 3, H, W]``; whoever puts them elsewhere, such as into a batch, sets it."""
        self._n = int(np.prod(rows.shape[2:]))
        self._scale = 1.0
        self._factors = np.zeros(count)
        self._part = 1.0
        self._report: Report | None = None
        self.stationary = False

    @property
    def x(self) -> Vector:
        """The best iterate, copied to the host."""
        return self.rows.part(0).part(self._iterate).read().reshape(-1)

    @property
    def gradient(self) -> Vector:
        """The gradient of the last evaluation as it is, copied to the host."""
        return self.rows.part(0).part(self._raw).read().reshape(-1)

    @property
    def trial(self) -> StepRequest:
        """What leads to the point to evaluate next."""
        control = np.empty((1, control_size(len(self._factors))), np.float32)
        count = len(self._factors)
        control[0, :count] = self._factors
        control[0, count] = self._part
        control[0, count + 1 : count + 1 + len(READ)] = self._iterate, self._iterate + 1
        other, pair = self._other, 2 * self._spare
        # In the order of WRITTEN.
        control[0, count + 1 + len(READ) :] = other, other + 1, pair, self._y, self._step, self._raw, other + 2, pair + 1
        return StepRequest(self, control)

    def magnitude(self, gradient: Report) -> float:
        """Sum of the absolute values."""
        return gradient.magnitude

    def begin(self, gradient: Report, scale: float) -> None:
        """Take the gradient at x, which the step has projected and conditioned."""
        self._scale = scale
        self._take(gradient)

    def slope(self, gradient: Report) -> float:
        """Inner product of a gradient with the step."""
        return float(gradient.products[self._step, _RAW]) if math.isfinite(gradient.magnitude) else math.nan

    def descent(self, gradient: Report) -> float:
        """Inner product of the step with the gradient before it."""
        return float(gradient.products[self._iterate + 1, _STEP]) * self._scale

    def accept(self, gradient: Report, scale: float, pair: int) -> tuple[float, float, float]:
        """Make the point that was evaluated x, and what was written to the spare rows the pair."""
        s, products = 2 * self._spare, gradient.products
        self._slots[pair], self._spare = self._spare, self._slots[pair]
        self._take(gradient)
        return float(products[s, _Y]) * scale, float(products[s, _S]), float(products[self._y, _Y]) * scale**2

    def products(self, rows: int, *, difference: bool) -> list[Matrix]:
        """Inner products of every pair with the gradient and the last difference; beyond ``rows`` they mean nothing."""
        del rows
        assert self._report is not None, "a step is taken before"
        found = self._report.products[self._pair_rows()] * self._scale
        found[1::2] *= self._scale
        return [found[:, column] for column in ((_GRADIENT, _Y) if difference else (_GRADIENT,))]

    def descend(self, direction: Combination | None, length: float | None) -> None:
        """Make minus the direction the step. Its inner product with the gradient is known with the next report."""
        assert self._report is not None, "a step is taken before"
        self._factors[:] = 0
        row, column = (1, _GRADIENT) if direction is None else (2, _CONDITIONED)
        factor = 1.0 if direction is None else direction.conditioned
        if length is not None:
            square = float(self._report.products[self._iterate + row, column])
            factor *= length / (math.sqrt(square / self._n) * self._scale)
        self._factors[self._iterate + row] = factor * self._scale
        if direction is not None and direction.rows is not None:
            pairs = np.array(direction.rows, np.float64)
            pairs[1::2] *= self._scale
            self._factors[self._pair_rows()[: len(pairs)]] = pairs
        self._part = 1.0

    def move(self, part: float) -> None:
        """Make the point to evaluate that of a part of the step."""
        self._part = part

    def reset(self) -> None:
        """Make the point to evaluate x."""
        self._factors[:] = 0

    def state(self, rows: int) -> dict[str, NDArray[Any]]:
        """Copies on the host of the arrays that `restore` needs, by name; `HostVectors` can go on from them, too."""
        held = self.rows.read().reshape(len(self._factors), -1)
        x, gradient = held[self._iterate], held[self._iterate + 1]
        pairs = held[self._pair_rows()[:rows]]
        pairs[1::2] *= np.float32(self._scale)
        low, high = self._bounds
        direction = self._factors.astype(np.float32) @ held
        step = np.clip(x - direction * (gradient != 0), low, high) - x
        return {
            "rows": pairs,
            "x": x,
            "gradient": gradient * np.float32(self._scale),
            "conditioned": held[self._iterate + 2] * np.float32(self._scale),
            "step": step,
            "trial": np.clip(x + np.float32(self._part) * step, low, high),
            "part": np.array(self._part),
        }

    def restore(self, state: Mapping[str, NDArray[Any]], scale: float) -> None:
        """Take on a `state`, by writing it to the device."""
        if state["x"].size != self._n:
            raise ValueError(f"x has {state['x'].size} elements, not {self._n}")
        self._scale = scale
        held = np.zeros((len(self._factors), self._n), np.float32)
        pairs = np.array(state["rows"], np.float32)
        pairs[1::2] /= np.float32(scale)
        held[self._pair_rows()[: len(pairs)]] = pairs
        held[self._iterate] = state["x"]
        held[self._iterate + 1] = state["gradient"] / np.float32(scale)
        held[self._iterate + 2] = state["conditioned"] / np.float32(scale)
        held[self._step] = state["step"]
        self.rows.write(held)
        self._factors[:] = 0
        self._factors[self._step] = -1
        self._part = float(state["part"])

    @property
    def _iterate(self) -> int:
        """First row of the iterate that is x."""
        return self._first + _ITERATE * self._current

    @property
    def _other(self) -> int:
        """First row of the iterate that the next run writes."""
        return self._first + _ITERATE * (1 - self._current)

    def _pair_rows(self) -> NDArray[np.intp]:
        """Rows of the pairs in their order, ``[2m]``."""
        slots = 2 * np.array(self._slots)
        return np.stack([slots, slots + 1], axis=1).reshape(-1)

    def _take(self, report: Report) -> None:
        self._current = 1 - self._current
        self._report = report
        self.stationary = report.products[self._iterate + 1, _GRADIENT] == 0


def gather(requests: Sequence[StepRequest], place: Place) -> Buffer:
    """Put the vectors of a batch into one array, ``[N, Q, 3, H, W]``, one image after the other."""
    rows = place.put(np.concatenate([request.vectors.rows.read() for request in requests]))
    for i, request in enumerate(requests):
        request.vectors.rows = rows.part(i).reshape((1, *rows.shape[1:]))
    return rows
