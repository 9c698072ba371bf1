"""The driver: each property that DESIGN.md names, and the agreement with SciPy on a real loss."""

import math
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nstbatch.runtime.bundle.spec import Bundle
from nstbatch.runtime.engine.engine import Engine
from nstbatch.runtime.engine.host import Host
from nstbatch.runtime.errors import NonFiniteError
from nstbatch.runtime.optimizer.interface import Status
from nstbatch.runtime.optimizer.lbfgs import LBFGS, SearchRules
from nstbatch.runtime.optimizer.preconditioner import FrequencyPreconditioner
from nstbatch.runtime.painting.objective import Objective, Targets, balance, encode
from nstbatch.runtime.recipe.presets import LossWeights

Function = Callable[[np.ndarray], tuple[float, np.ndarray]]


def quadratic(n: int, condition: float, seed: int) -> tuple[Function, np.ndarray]:
    """A convex quadratic and its minimiser."""
    rng = np.random.default_rng(seed)
    Q = np.linalg.qr(rng.standard_normal((n, n)))[0]
    A = Q @ np.diag(np.geomspace(1, condition, n)) @ Q.T
    solution = rng.standard_normal(n)

    def function(x: np.ndarray) -> tuple[float, np.ndarray]:
        d = x.astype(float) - solution
        return float(0.5 * d @ A @ d), (A @ d).astype(np.float32)

    return function, solution


def rosenbrock(x: np.ndarray) -> tuple[float, np.ndarray]:
    x = x.astype(float)
    a, b = x[1:] - x[:-1] ** 2, 1 - x[:-1]
    gradient = np.zeros_like(x)
    gradient[:-1] = -400 * x[:-1] * a - 2 * b
    gradient[1:] += 200 * a
    return float((100 * a**2 + b**2).sum()), gradient.astype(np.float32)


def minimise(optimiser: LBFGS, function: Function, evaluations: int) -> list[float]:
    losses = []
    while not optimiser.done and optimiser.evaluations < evaluations:
        loss, gradient = function(optimiser.ask())
        losses.append(loss)
        optimiser.tell(loss, gradient)
    return losses


@settings(max_examples=30, deadline=None)
@given(n=st.integers(2, 25), log_condition=st.floats(0, 2), seed=st.integers(0, 2**32 - 1))
def test_solves_a_quadratic_in_n_steps(n: int, log_condition: float, seed: int) -> None:
    # With exact line searches BFGS ends after n steps (Nocedal, Wright, theorem 6.4); a small c2 makes them exact, if a
    # step may become as long as it has to.
    function, solution = quadratic(n, 10**log_condition, seed)
    optimiser = LBFGS(np.zeros(n), history=n, search=SearchRules(curvature=1e-3, stretch=1e4))
    start, _ = function(np.zeros(n))
    while not optimiser.done and optimiser.iterations < n:
        optimiser.tell(*function(optimiser.ask()))
    assert optimiser.iterations <= n
    assert optimiser.loss <= 1e-6 * start
    assert np.linalg.norm(optimiser.x - solution) <= 2e-3 * np.linalg.norm(solution)


@settings(max_examples=40, deadline=None)
@given(
    log_condition=st.floats(0, 1.5),
    half=st.floats(0.05, 2),
    history=st.integers(1, 10),
    preconditioned=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_within_bounds_it_agrees_with_scipy(
    log_condition: float, half: float, history: int, preconditioned: bool, seed: int
) -> None:
    n = 36
    function, _ = quadratic(n, 10**log_condition, seed)
    bounds = (-half, 0.7 * half)
    precondition = FrequencyPreconditioner((1, 6, 6)) if preconditioned else None
    start = np.random.default_rng(seed).normal(0, half, n)
    optimiser = LBFGS(start, history=history, bounds=bounds, precondition=precondition, first_step=0.1)
    best = math.inf
    while not optimiser.done and optimiser.evaluations < 400:
        assert bounds[0] - 1e-6 <= optimiser.ask().min() <= optimiser.ask().max() <= bounds[1] + 1e-6
        optimiser.tell(*function(optimiser.ask()))
        assert optimiser.loss <= best
        best = optimiser.loss
    reference = minimise_within(function, np.clip(start, *bounds), bounds)
    assert optimiser.loss == pytest.approx(reference, rel=1e-3, abs=1e-6)


def minimise_within(function: Function, start: np.ndarray, bounds: tuple[float, float]) -> float:
    """The lowest loss within bounds, by SciPy in float64."""
    from scipy.optimize import minimize

    def exact(x: np.ndarray) -> tuple[float, np.ndarray]:
        loss, gradient = function(x)
        return loss, gradient.astype(float)

    options = {"maxiter": 10**4, "maxfun": 10**5, "ftol": 1e-13}
    return float(minimize(exact, start, jac=True, method="L-BFGS-B", bounds=[bounds] * len(start), options=options).fun)


def test_ends_in_a_corner_of_the_bounds() -> None:
    def far(x: np.ndarray) -> tuple[float, np.ndarray]:
        return float(((x - [300, -50, 300]) ** 2).sum()), (2 * (x - [300, -50, 300])).astype(np.float32)

    optimiser = LBFGS(np.full(3, 1000.0), bounds=(0, 255))
    minimise(optimiser, far, 30)
    assert optimiser.x.tolist() == [255, 0, 255]
    assert optimiser.status is Status.CONVERGED, "no way down leads inside"


def test_minimises_rosenbrock_with_a_few_pairs() -> None:
    optimiser = LBFGS(np.full(20, -1.0), history=5, first_step=0.1)
    minimise(optimiser, rosenbrock, 400)
    assert optimiser.loss < 1e-8
    assert optimiser.status is Status.STALLED, "it must notice that float32 allows no further decrease"


@settings(max_examples=25, deadline=None)
@given(exponent=st.floats(-8, 8), seed=st.integers(0, 1000))
def test_scale_invariance(exponent: float, seed: int) -> None:
    factor = 10.0**exponent
    function, _ = quadratic(30, 1e3, seed)

    def scaled(x: np.ndarray) -> tuple[float, np.ndarray]:
        loss, gradient = function(x)
        return factor * loss, (factor * gradient.astype(float)).astype(np.float32)

    plain, other = LBFGS(np.zeros(30)), LBFGS(np.zeros(30))
    minimise(plain, function, 15)
    minimise(other, scaled, 15)
    assert other.evaluations == plain.evaluations
    assert other.iterations == plain.iterations
    np.testing.assert_allclose(other.x, plain.x, atol=1e-3 * np.abs(plain.x).max())


@pytest.mark.parametrize("factor", [2.0**-27, 2.0**27])
def test_scaling_by_a_power_of_two_changes_no_bit(factor: float) -> None:
    plain, other = LBFGS(np.full(12, -1.0)), LBFGS(np.full(12, -1.0))
    minimise(plain, rosenbrock, 60)

    def scaled(x: np.ndarray) -> tuple[float, np.ndarray]:
        loss, gradient = rosenbrock(x)
        return factor * loss, gradient * np.float32(factor)

    minimise(other, scaled, 60)
    assert (other.x == plain.x).all()


def test_a_good_step_costs_one_evaluation() -> None:
    function, _ = quadratic(50, 100, 0)
    optimiser = LBFGS(np.zeros(50))
    minimise(optimiser, function, 40)
    assert optimiser.evaluations - optimiser.iterations <= 4


def test_loss_never_rises() -> None:
    optimiser = LBFGS(np.full(10, -1.0))
    best = math.inf
    while not optimiser.done and optimiser.evaluations < 150:
        optimiser.tell(*rosenbrock(optimiser.ask()))
        assert optimiser.loss <= best
        best = optimiser.loss


def test_a_failed_line_search_recovers() -> None:
    # In the middle of the run the function lies for as long as one line search lasts: no step decreases it.
    function, solution = quadratic(20, 50, 3)
    optimiser = LBFGS(np.zeros(20), search=SearchRules(trials=4))
    minimise(optimiser, function, 8)
    point, loss = optimiser.x.copy(), optimiser.loss
    for _ in range(4):
        _, gradient = function(optimiser.ask())
        optimiser.tell(loss + 1.0, gradient)
    assert not optimiser.done
    assert (optimiser.x == point).all()
    assert optimiser.loss == loss
    minimise(optimiser, function, 80)
    assert np.linalg.norm(optimiser.x - solution) < 1e-2


@pytest.mark.parametrize("poison", ["loss", "gradient", "infinite gradient"])
def test_non_finite_values_are_rejected_and_never_stored(poison: str) -> None:
    function, solution = quadratic(20, 50, 4)
    optimiser = LBFGS(np.zeros(20))
    told = 0

    def poisoned(x: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal told
        told += 1
        loss, gradient = function(x)
        if told % 5 == 0:
            if poison == "loss":
                loss = math.nan
            else:
                gradient[3] = math.inf if poison.startswith("infinite") else math.nan
        return loss, gradient

    while not optimiser.done and optimiser.evaluations < 120:
        optimiser.tell(*poisoned(optimiser.ask()))
        assert np.isfinite(optimiser.x).all()
        assert np.isfinite(optimiser.ask()).all()
        assert math.isfinite(optimiser.loss)
    assert np.linalg.norm(optimiser.x - solution) < 1e-2


@pytest.mark.parametrize(("loss", "gradient"), [(math.nan, 1.0), (1.0, math.nan), (math.inf, 1.0), (1.0, -math.inf)])
def test_a_non_finite_start_is_an_error(loss: float, gradient: float) -> None:
    with pytest.raises(NonFiniteError):
        LBFGS(np.zeros(3)).tell(loss, np.full(3, gradient, np.float32))


def test_a_failing_curvature_pair_is_skipped() -> None:
    # Along a concave stretch sᵀy < 0: stored, such a pair would turn the next direction uphill.
    def double_well(x: np.ndarray) -> tuple[float, np.ndarray]:
        x = x.astype(float)
        return float(((x**2 - 1) ** 2).sum()), (4 * x * (x**2 - 1)).astype(np.float32)

    optimiser = LBFGS(np.array([0.05, -0.03, 0.01]), first_step=0.05)
    minimise(optimiser, double_well, 100)
    np.testing.assert_allclose(np.abs(optimiser.x), 1, atol=1e-3)


def test_a_stationary_start_is_done_at_once() -> None:
    optimiser = LBFGS(np.ones(4))
    optimiser.tell(3.0, np.zeros(4, np.float32))
    assert optimiser.done
    assert optimiser.status is Status.CONVERGED
    with pytest.raises(RuntimeError, match="gradient is zero"):
        optimiser.tell(3.0, np.zeros(4, np.float32))


def test_what_is_asked_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        LBFGS(np.ones(4)).ask()[0] = 1


@pytest.mark.parametrize("preconditioned", [False, True])
def test_memory_is_two_m_plus_six_vectors_and_two_for_the_transform(preconditioned: bool) -> None:
    shape, m = (3, 400, 300), 5
    n = math.prod(shape)
    x0 = np.zeros(n, np.float32)
    diagonal = np.linspace(1, 50, n, dtype=np.float32)
    gradient = np.zeros(n, np.float32)
    preconditioner = FrequencyPreconditioner(shape) if preconditioned else None
    if preconditioner:
        preconditioner.apply(gradient, out=gradient)  # what the FFT loads and keeps is not the driver's
    tracemalloc.start()
    optimiser = LBFGS(x0, history=m, precondition=preconditioner)
    for _ in range(3 * m):
        np.multiply(diagonal, optimiser.ask(), out=gradient)
        gradient -= 1
        loss = 0.5 * float(optimiser.ask() @ gradient) - 0.5 * float(optimiser.ask().sum())
        optimiser.tell(loss, gradient)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert optimiser.iterations > m
    assert peak <= (2 * m + 6 + 2 * preconditioned) * 4 * n * 1.01


@pytest.fixture(scope="module")
def vgg_loss(bundle: Bundle, samples: Path, small: Callable[[Path, int], np.ndarray]) -> tuple[Function, np.ndarray]:
    """Gatys et al.'s objective at 72 px, and its start."""
    engine = Engine(bundle, Host(provider="cpu"))
    photo, style = small(samples / "photos" / "town.jpg", 72), small(samples / "starry.jpg", 72)
    targets = Targets(encode(engine, photo).contents, encode(engine, style).grams)
    objective = Objective(engine, targets, balance(LossWeights(1.0, 1000.0, 0.0), targets))

    def function(x: np.ndarray) -> tuple[float, np.ndarray]:
        loss, gradient, _ = objective(np.asarray(x, np.float32).reshape(photo.shape))
        return loss, gradient.reshape(-1)

    return function, photo.reshape(-1)


@pytest.mark.slow
def test_agrees_with_scipy_on_a_vgg_loss(vgg_loss: tuple[Function, np.ndarray]) -> None:
    from scipy.optimize import minimize

    function, start = vgg_loss
    seen: list[float] = []

    def for_scipy(x: np.ndarray) -> tuple[float, np.ndarray]:
        loss, gradient = function(x)
        seen.append(loss)
        return loss, gradient.astype(float)

    minimize(
        for_scipy, start.astype(float), jac=True, method="L-BFGS-B", options={"maxfun": 100, "maxiter": 1000, "maxcor": 10}
    )
    ours = minimise(LBFGS(start, history=10), function, 100)
    assert len(ours) == 100
    ratio = min(ours) / min(seen[:100])
    assert ratio <= 1.15
    assert ratio >= 1 / 1.3, "far below SciPy's is a sign that the two do not minimise the same function"


@pytest.mark.slow
@pytest.mark.parametrize("factor", [1e-8, 1e8])
def test_scale_invariance_on_a_vgg_loss(vgg_loss: tuple[Function, np.ndarray], factor: float) -> None:
    function, start = vgg_loss

    def scaled(x: np.ndarray) -> tuple[float, np.ndarray]:
        loss, gradient = function(x)
        return factor * loss, gradient * np.float32(factor)

    plain, other = LBFGS(start), LBFGS(start)
    minimise(plain, function, 12)
    minimise(other, scaled, 12)
    assert np.abs(other.x - plain.x).max() < 1.0, "the same picture, to a grey level"
    assert other.loss / factor == pytest.approx(plain.loss, rel=1e-3)


@settings(max_examples=25, deadline=None)
@given(
    evaluations=st.integers(1, 30),
    history=st.integers(1, 5),
    preconditioned=st.booleans(),
    bounds=st.sampled_from([None, (-0.5, 0.5)]),
    seed=st.integers(0, 99),
)
def test_a_restored_optimiser_goes_on_with_the_very_same_iterates(
    evaluations: int, history: int, preconditioned: bool, bounds: tuple[float, float] | None, seed: int
) -> None:
    chance = np.random.default_rng(seed)
    curvature = np.exp(chance.normal(0, 2, 3 * 8 * 9)).astype(np.float32)
    start = chance.normal(0, 1, curvature.size).astype(np.float32)

    def evaluate(x: np.ndarray) -> tuple[float, np.ndarray]:
        # Not quadratic, and not finite everywhere: line searches look twice, and are rejected.
        if np.abs(x).max() > 50:
            return float("nan"), x
        x = x - np.float32(0.3)
        return float((curvature * (x**2 + 0.1 * x**4)).sum()), curvature * (2 * x + 0.4 * x**3)

    def optimiser() -> LBFGS:
        precondition = FrequencyPreconditioner((3, 8, 9)) if preconditioned else None
        return LBFGS(start, history=history, precondition=precondition, bounds=bounds)

    one = optimiser()
    for _ in range(evaluations):
        if not one.done:
            one.tell(*evaluate(one.ask()))
    # Through a file: what is a view here is a copy there.
    state = {name: np.array(value) for name, value in one.state().items()}
    two = optimiser()
    two.restore(state)
    for _ in range(20):
        assert (one.status, one.loss, one.evaluations, one.iterations) == (
            two.status,
            two.loss,
            two.evaluations,
            two.iterations,
        )
        assert (one.x == two.x).all()
        assert (one.ask() == two.ask()).all()
        if one.done:
            break
        for each in (one, two):
            each.tell(*evaluate(each.ask()))


def test_rebase_keeps_or_forgets_curvature() -> None:
    rng = np.random.default_rng(0)
    diagonal = np.exp(rng.normal(0, 2, 200)).astype(np.float32)
    start = rng.normal(0, 1, 200).astype(np.float32)

    def minimise(optimiser: LBFGS, evaluations: int, offset: float = 0.0) -> None:
        for _ in range(evaluations):
            if not optimiser.done:
                gradient = diagonal * (optimiser.ask() - np.float32(offset))
                optimiser.tell(0.5 * float(gradient @ (optimiser.ask() - np.float32(offset))), gradient)

    losses = {}
    for forget in (False, True):
        optimiser = LBFGS(start)
        minimise(optimiser, 30)
        optimiser.rebase(forget=forget)
        assert (optimiser.ask() == optimiser.x).all()
        minimise(optimiser, 12, offset=1e-3)
        losses[forget] = optimiser.loss
    assert losses[False] < losses[True], "of almost the same function, the old curvature is worth having"

    optimiser = LBFGS(np.zeros(3))
    optimiser.tell(0.0, np.zeros(3, np.float32))
    assert optimiser.status is Status.CONVERGED
    optimiser.rebase(forget=True)
    assert not optimiser.done, "of another function this need not be the minimum"
