"""The compact inverse Hessian, apart from any optimiser."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nstbatch.runtime import curvature
from nstbatch.runtime.curvature import CurvatureHistory, inner


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


def push(history: CurvatureHistory, s: np.ndarray, y: np.ndarray, P: np.ndarray | None = None) -> None:
    slot_s, slot_w = history.slot()
    slot_s[:] = s
    slot_w[:] = y if P is None else P @ y
    history.commit(y)


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(2, 40),
    capacity=st.integers(1, 7),
    count=st.integers(1, 18),
    seed=st.integers(0, 2**32 - 1),
    lazy=st.booleans(),
    preconditioned=st.booleans(),
)
def test_equals_the_dense_update(n: int, capacity: int, count: int, seed: int, lazy: bool, preconditioned: bool) -> None:
    rng = np.random.default_rng(seed)
    pairs = random_pairs(rng, n, count)
    history = CurvatureHistory(n, capacity)
    g = rng.standard_normal(n).astype(np.float32)
    Q = rng.standard_normal((n, n))
    P = Q @ Q.T / n + 0.3 * np.eye(n) if preconditioned else np.eye(n)
    conditioned = (P @ g).astype(np.float32)
    out = np.empty(n, np.float32)
    for s, y in pairs:
        push(history, s, y, P)
        if not lazy:  # products of a new pair are formed with the direction; both orders must give the same
            history.direction(g, conditioned, out)
    history.direction(g, conditioned, out)
    H = dense_inverse([(s.astype(float), y.astype(float)) for s, y in pairs[-capacity:]], P)
    expected = H @ g
    assert np.linalg.norm(out - expected) <= 2e-3 * np.linalg.norm(expected)


def test_without_pairs_is_the_preconditioner() -> None:
    g = np.arange(5, dtype=np.float32)
    out = np.empty_like(g)
    CurvatureHistory(5, 3).direction(g, 2 * g, out)
    assert (out == 2 * g).all()


def test_secant_equation() -> None:
    rng = np.random.default_rng(0)
    history = CurvatureHistory(30, 4)
    pairs = random_pairs(rng, 30, 9)
    for s, y in pairs:
        push(history, s, y)
    out = np.empty(30, np.float32)
    history.direction(pairs[-1][1], pairs[-1][1], out)
    np.testing.assert_allclose(out, pairs[-1][0], rtol=1e-3, atol=1e-4)


def test_clear_forgets() -> None:
    rng = np.random.default_rng(1)
    history = CurvatureHistory(6, 3)
    for s, y in random_pairs(rng, 6, 5):
        push(history, s, y)
    history.clear()
    assert len(history) == 0
    g = rng.standard_normal(6).astype(np.float32)
    out = np.empty_like(g)
    history.direction(g, g, out)
    assert (out == g).all()


def test_inner_products_are_summed_in_float64() -> None:
    # In one float32 sum a million ones on top of 2**24 are lost: 6 % of the result.
    n = 64 * curvature._CHUNK
    a = np.ones(n, np.float32)
    a[0] = 2.0**24
    assert inner(a, np.ones(n, np.float32)) == pytest.approx(2.0**24 + n - 1, rel=1e-4)
