"""Limited-memory inverse Hessian in compact form.

Byrd, Nocedal, Schnabel: "Representations of quasi-Newton matrices and their use in limited memory methods",
Mathematical Programming 63 (1994). Symbols are the paper's: s_i are steps, y_i differences of gradients, S and Y their
matrices, R the upper triangle of SᵀY, D its diagonal. The first approximation is H_0 = gamma·P, with a preconditioner P
that is symmetric and positive definite; W = P·Y is kept in place of Y, so that a product with H takes one with P.

Here are the inner products alone; the vectors are `Vectors`. That H·gradient is a sum of them whose factors come from inner
products is what Chen, Wang, Zhou, "Large-scale L-BFGS using MapReduce" (2014), call vector-free L-BFGS.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .vectors import Combination, Matrix


class CurvatureHistory:
    """Which of the vectors' rows hold the last m curvature pairs, and their inner products, in float64.

    Args:
        capacity: m, pairs that are kept.

    Attributes:
        fresh: whether the products of the newest pair's y with the rows are not known yet; `direction` is to have them.
    """

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"capacity must be at least 1, got {capacity}")
        self.capacity = capacity
        self.fresh = False
        self._sy: Matrix = np.zeros((capacity, capacity))
        self._wy: Matrix = np.zeros((capacity, capacity))
        self._order: list[int] = []
        """Pairs, oldest first."""

    def __len__(self) -> int:
        return len(self._order)

    @property
    def rows(self) -> int:
        """How many of the first rows hold the pairs; those between them that hold none may hold anything finite."""
        return 2 * (max(self._order) + 1) if self._order else 0

    def clear(self) -> None:
        """Forget every pair."""
        self._order.clear()
        self.fresh = False

    def free(self) -> int:
        """The pair whose rows are to be written next; it joins the history with `commit`.

        When the history is full the oldest pair leaves it here, whether or not `commit` follows.
        """
        if len(self._order) == self.capacity:
            self._order.pop(0)
        return self._free()

    def commit(self) -> None:
        """Add the pair that `free` gave; the one before must not be `fresh` any more."""
        assert not self.fresh, "the products of a pair are told before the next"
        self._order.append(self._free())
        self.fresh = True

    def direction(self, products: list[Matrix]) -> Combination:
        """H·gradient: theorem 2.2, equation 2.6 with H_0 = gamma·P.

        Args:
            products: of the rows with the gradient and, if `fresh`, with the newest y, ``[2m]`` each.
        """
        of_gradient, *of_fresh = products
        if of_fresh:
            self._enter(*of_fresh)
        order = np.array(self._order)
        p, q = of_gradient[0::2][order], of_gradient[1::2][order]
        R = np.triu(self._sy[np.ix_(order, order)])
        D = np.diag(R)
        WY = self._wy[np.ix_(order, order)]
        last = order[-1]
        gamma = self._sy[last, last] / self._wy[last, last]
        u = np.linalg.solve(R, p)
        on_s = np.linalg.solve(R.T, D * u + gamma * (WY @ u) - gamma * q)
        on_w = -gamma * u

        rows = np.zeros(self.rows, np.float32)
        rows[2 * order] = on_s
        rows[2 * order + 1] = on_w
        return Combination(float(gamma), rows)

    def state(self) -> dict[str, NDArray[Any]]:
        """Everything that `restore` needs, by name. No pair may be fresh."""
        assert not self.fresh, "a state is taken after a direction"
        return {"sy": self._sy, "wy": self._wy, "order": np.array(self._order, np.int64)}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take on a `state` of a history of the same capacity.

        Raises:
            KeyError, ValueError: it is of another kind.
        """
        order = [int(pair) for pair in state["order"]]
        if len(set(order)) < len(order) or not set(order) <= set(range(self.capacity)):
            raise ValueError(f"order {order} of {self.capacity} pairs")
        self._sy[:], self._wy[:] = state["sy"], state["wy"]
        self._order = order
        self.fresh = False

    def _free(self) -> int:
        return next(i for i in range(self.capacity) if i not in self._order)

    def _enter(self, products: Matrix) -> None:
        """Put the products of the newest pair's y into SᵀY and WᵀY."""
        i = self._order[-1]
        self._sy[:, i] = products[0::2]
        self._wy[:, i] = self._wy[i, :] = products[1::2]
        self.fresh = False
