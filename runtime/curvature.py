"""Limited-memory inverse Hessian in compact form.

Byrd, Nocedal, Schnabel: "Representations of quasi-Newton matrices and their use in limited memory methods",
Mathematical Programming 63 (1994). Symbols are the paper's: s_i are steps, y_i differences of gradients, S and Y their
matrices, R the upper triangle of SᵀY, D its diagonal. The first approximation is H_0 = gamma·P, with a preconditioner P
that is symmetric and positive definite; W = P·Y is kept in place of Y, so that a product with H takes one with P.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]
Matrix = NDArray[np.float64]

_CHUNK = 1 << 15
"""Elements of a vector that are multiplied at a time, so that two products read the history from memory once; the sums over
chunks are taken in float64."""


class CurvatureHistory:
    """The last m curvature pairs and the product of their inverse Hessian with a vector.

    Vectors are float32, scalars and the (m x m) algebra float64. Memory: 2m vectors.

    Args:
        size: n, elements of a vector.
        capacity: m, pairs that are kept.
    """

    def __init__(self, size: int, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"capacity must be at least 1, got {capacity}")
        self.capacity = capacity
        # Row 2i holds s, row 2i + 1 holds w of slot i: the filled part is one contiguous block for BLAS.
        self._rows = np.zeros((2 * capacity, size), np.float32)
        self._sy: Matrix = np.zeros((capacity, capacity))
        self._wy: Matrix = np.zeros((capacity, capacity))
        self._order: list[int] = []
        """Slots, oldest pair first."""
        self._fresh: Vector | None = None
        """The newest pair's y while its products are not in SᵀY and WᵀY yet."""

    def __len__(self) -> int:
        return len(self._order)

    def clear(self) -> None:
        """Forget every pair."""
        self._order.clear()
        self._fresh = None

    def slot(self) -> tuple[Vector, Vector]:
        """Where the next pair is to be written, (s, w = P·y); it joins the history with `commit`.

        When the history is full the oldest pair leaves it here, whether or not `commit` follows.
        """
        if self._fresh is not None:
            (products,) = self._products(self._fresh)
            self._enter(products)
        if len(self._order) == self.capacity:
            self._order.pop(0)
        i = self._free()
        return self._rows[2 * i], self._rows[2 * i + 1]

    def commit(self, y: Vector) -> None:
        """Add the pair that was written to `slot`. ``y`` is not copied, and must stay until the next `direction`."""
        self._order.append(self._free())
        self._fresh = y

    def direction(self, gradient: Vector, conditioned: Vector, out: Vector) -> None:
        """Write H·gradient to ``out``: theorem 2.2, equation 2.6 with H_0 = gamma·P.

        Args:
            gradient: g, ``[n]``.
            conditioned: P·g, ``[n]``; may be ``gradient`` where P is the identity.
            out: ``[n]``; neither of them. Without a pair, H is P.
        """
        if not self._order:
            np.copyto(out, conditioned)
            return
        if self._fresh is None:
            (products,) = self._products(gradient)
        else:
            products, of_fresh = self._products(gradient, self._fresh)
            self._enter(of_fresh)
        order = np.array(self._order)
        p, q = products[0::2][order], products[1::2][order]
        R = np.triu(self._sy[np.ix_(order, order)])
        D = np.diag(R)
        WY = self._wy[np.ix_(order, order)]
        last = order[-1]
        gamma = self._sy[last, last] / self._wy[last, last]
        u = np.linalg.solve(R, p)
        on_s = np.linalg.solve(R.T, D * u + gamma * (WY @ u) - gamma * q)
        on_w = -gamma * u

        coefficients = np.zeros(2 * self._used(), np.float32)
        coefficients[2 * order] = on_s
        coefficients[2 * order + 1] = on_w
        np.dot(coefficients, self._rows[: 2 * self._used()], out=out)
        for part in chunks(len(out)):
            out[part] += np.float32(gamma) * conditioned[part]

    def state(self) -> dict[str, NDArray[Any]]:
        """Everything that `restore` needs, by name; the rows are not copied. No pair may be fresh."""
        assert self._fresh is None, "a state is taken after a direction"
        return {
            "rows": self._rows[: 2 * self._used() if self._order else 0],
            "sy": self._sy,
            "wy": self._wy,
            "order": np.array(self._order, np.int64),
        }

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take on a `state` of a history of the same size and capacity."""
        self._rows[: len(state["rows"])] = state["rows"]
        self._sy[:], self._wy[:] = state["sy"], state["wy"]
        self._order = [int(slot) for slot in state["order"]]
        self._fresh = None

    def _free(self) -> int:
        return next(i for i in range(self.capacity) if i not in self._order)

    def _used(self) -> int:
        return max(self._order) + 1

    def _enter(self, products: Matrix) -> None:
        """Put the products of the newest pair's y into SᵀY and WᵀY."""
        i = self._order[-1]
        self._sy[:, i] = products[0::2]
        self._wy[:, i] = self._wy[i, :] = products[1::2]
        self._fresh = None

    def _products(self, *vectors: Vector) -> list[Matrix]:
        """Inner products of every row with each vector, in one reading of the rows; unused slots give anything."""
        rows = self._rows[: 2 * self._used()]
        totals = [np.zeros(2 * self.capacity) for _ in vectors]
        for part in chunks(rows.shape[1]):
            block = rows[:, part]
            for total, vector in zip(totals, vectors, strict=True):
                total[: len(rows)] += block @ vector[part]
        return totals


def inner(a: Vector, b: Vector) -> float:
    """Inner product of float32 vectors, summed in float64 over chunks."""
    return float(sum(float(a[part] @ b[part]) for part in chunks(len(a))))


def chunks(size: int) -> list[slice]:
    """Slices of at most `_CHUNK` elements that cover a vector of ``size``."""
    return [slice(start, min(start + _CHUNK, size)) for start in range(0, size, _CHUNK)]
