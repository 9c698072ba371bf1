"""The compact inverse Hessian, apart from any optimiser."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nstbatch.runtime.optimizer.curvature import CurvatureHistory


def dense_inverse(pairs: list[tuple[np.ndarray, np.ndarray]], P: np.ndarray) -> np.ndarray:
    """The BFGS update itself (Nocedal, Wright, equation 6.17), from gamma·P, in float64."""
    s, y = pairs[-1]
    H = (s @ y) / (y @ P @ y) * P
    for s, y in pairs:
        rho = 1 / (s @ y)
        V = np.eye(len(P)) - rho * np.outer(y, s)
        H = V.T @ H @ V + rho * np.outer(s, s)
    return H


def random_pairs(rng: np.random.Generator, n: int, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Curvature pairs of a random quadratic."""
    A = rng.standard_normal((n, n))
    A = A @ A.T / n + np.eye(n)
    steps = rng.standard_normal((count, n)).astype(np.float32)
    return [(s, (A @ s).astype(np.float32)) for s in steps]


class History:
    """A history and its vectors, with pairs that no optimiser has made."""

    def __init__(self, n: int, capacity: int, P: np.ndarray | None = None) -> None:
        self.pairs = CurvatureHistory(capacity)
        self._P = np.eye(n) if P is None else P
        self._rows = np.zeros((2 * capacity, n), np.float32)

    def push(self, s: np.ndarray, y: np.ndarray) -> None:
        pair = self.pairs.free()
        self._rows[2 * pair] = s
        self._rows[2 * pair + 1] = self._P @ y
        self.pairs.commit()
        self._y = y

    def direction(self, g: np.ndarray) -> np.ndarray:
        vectors = [g, self._y] if self.pairs.fresh else [g]
        direction = self.pairs.direction([self._rows.astype(float) @ vector for vector in vectors])
        assert direction.rows is not None
        return direction.rows @ self._rows[: self.pairs.rows] + direction.conditioned * (self._P @ g)


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(2, 40),
    capacity=st.integers(1, 7),
    count=st.integers(1, 18),
    seed=st.integers(0, 2**32 - 1),
    preconditioned=st.booleans(),
)
def test_equals_the_dense_update(n: int, capacity: int, count: int, seed: int, preconditioned: bool) -> None:
    rng = np.random.default_rng(seed)
    pairs = random_pairs(rng, n, count)
    g = rng.standard_normal(n).astype(np.float32)
    Q = rng.standard_normal((n, n))
    P = Q @ Q.T / n + 0.3 * np.eye(n) if preconditioned else np.eye(n)
    history = History(n, capacity, P)
    for s, y in pairs:
        history.push(s, y)
        out = history.direction(g)
    H = dense_inverse([(s.astype(float), y.astype(float)) for s, y in pairs[-capacity:]], P)
    expected = H @ g
    assert np.linalg.norm(out - expected) <= 2e-3 * np.linalg.norm(expected)


def test_secant_equation() -> None:
    rng = np.random.default_rng(0)
    history = History(30, 4)
    pairs = random_pairs(rng, 30, 9)
    for s, y in pairs:
        history.push(s, y)
        history.direction(y)
    np.testing.assert_allclose(history.direction(pairs[-1][1]), pairs[-1][0], rtol=1e-3, atol=1e-4)


def test_clear_forgets() -> None:
    rng = np.random.default_rng(1)
    history = History(6, 3)
    g = rng.standard_normal(6).astype(np.float32)
    for s, y in random_pairs(rng, 6, 5):
        history.push(s, y)
        history.direction(g)
    history.pairs.clear()
    assert len(history.pairs) == 0
    assert history.pairs.rows == 0
    (s, y), (_, other) = random_pairs(rng, 6, 2)
    history.push(s, y)
    alone = History(6, 3)
    alone.push(s, y)
    np.testing.assert_array_equal(history.direction(other), alone.direction(other))


def test_a_pair_is_not_followed_by_another_before_its_products_are_told() -> None:
    history = History(4, 3)
    (s, y), _ = random_pairs(np.random.default_rng(2), 4, 2)
    history.push(s, y)
    with pytest.raises(AssertionError, match="products"):
        history.push(s, y)
