"""Gradient descent, AdaGrad and Adam against PyTorch's."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nstbatch.runtime.bundle.spec import Bundle
from nstbatch.runtime.errors import NonFiniteError, UsageError
from nstbatch.runtime.optimizer.first_order import FIRST_ORDER
from nstbatch.runtime.optimizer.interface import Rate, Status
from nstbatch.runtime.painting.stylizer import Stylizer
from nstbatch.runtime.recipe.settings import OPTIMIZERS, Settings
from process import Call

TORCH: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adagrad": torch.optim.Adagrad,
    "sgd": torch.optim.SGD,
}


def curved(n: int, seed: int) -> tuple[np.ndarray, Callable[[np.ndarray], tuple[float, np.ndarray]]]:
    """A start, and a function of fourth order with a gradient of very different sizes."""
    rng = np.random.default_rng(seed)
    weights = np.exp(rng.uniform(-4, 4, n))  # Not more: gradient descent would run away, and differ by rounding.
    start = rng.normal(0, 1, n)

    def function(x: np.ndarray) -> tuple[float, np.ndarray]:
        x = x.astype(float) - 0.3
        return float((weights * (x**2 + 0.1 * x**4)).sum()), (weights * (2 * x + 0.4 * x**3)).astype(np.float32)

    return start, function


@settings(max_examples=25, deadline=None)
@given(
    name=st.sampled_from(sorted(FIRST_ORDER)),
    steps=st.integers(1, 40),
    decay=st.sampled_from([1.0, 0.8, 0.96]),
    every=st.integers(1, 15),
    staircase=st.booleans(),
    seed=st.integers(0, 99),
)
def test_steps_are_those_of_pytorch(name: str, steps: int, decay: float, every: int, staircase: bool, seed: int) -> None:
    start, function = curved(12, seed)
    rate = {"adam": 0.05, "adagrad": 0.1, "sgd": 1e-3}[name]
    ours = FIRST_ORDER[name](start, Rate(rate, decay, every, staircase), unit=4.0)
    x = torch.tensor(start.astype(np.float32), dtype=torch.float64, requires_grad=True)
    theirs = TORCH[name]([x], lr=rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        theirs, lambda step: decay ** (step // every if staircase else step / every)
    )
    for _ in range(steps):
        loss, gradient = function(ours.ask())
        # Told a quarter of both, and that it is a quarter.
        ours.tell(loss / 4, gradient / np.float32(4))
        x.grad = torch.from_numpy(function(x.detach().numpy())[1].astype(float))
        theirs.step()
        schedule.step()
        np.testing.assert_allclose(ours.ask(), x.detach().numpy(), rtol=1e-3, atol=1e-4)


@settings(max_examples=25, deadline=None)
@given(name=st.sampled_from(sorted(FIRST_ORDER)), steps=st.integers(0, 20), half=st.floats(0.1, 2), seed=st.integers(0, 99))
def test_x_is_the_best_iterate_within_bounds_and_goes_on_when_restored(
    name: str, steps: int, half: float, seed: int
) -> None:
    start, function = curved(8, seed)

    def make() -> Any:
        return FIRST_ORDER[name](start, Rate(0.2), (-half, half), unit=1.0)

    one, two = make(), make()
    best = math.inf
    for _ in range(steps):
        if one.done:
            break
        assert np.abs(one.ask()).max() <= half + 1e-6
        loss, gradient = function(one.ask())
        one.tell(loss, gradient)
        best = min(best, loss)
        assert one.loss == best == function(one.x)[0]
    two.restore({key: np.array(value) for key, value in one.state().items()})
    for _ in range(10):
        if one.done:
            break
        assert (one.ask() == two.ask()).all()
        for each in (one, two):
            each.tell(*function(each.ask()))
        assert (one.loss, one.evaluations, one.status) == (two.loss, two.evaluations, two.status)
        assert (one.x == two.x).all()


def test_the_first_step_of_gradient_descent_is_one_grey_level_unless_told() -> None:
    start, function = curved(50, 3)
    optimiser = FIRST_ORDER["sgd"](start)
    optimiser.tell(*function(optimiser.ask()))
    assert np.sqrt(((optimiser.ask() - start) ** 2).mean()) == pytest.approx(1, rel=1e-3)


def test_what_is_not_finite_ends_it_with_the_best() -> None:
    start, function = curved(5, 1)
    optimiser = FIRST_ORDER["adam"](start)
    with pytest.raises(NonFiniteError):
        optimiser.tell(math.nan, np.zeros(5, np.float32))
    optimiser = FIRST_ORDER["adam"](start)
    optimiser.tell(*function(optimiser.ask()))
    optimiser.tell(1.0, np.full(5, np.inf, np.float32))
    assert optimiser.status is Status.DIVERGED
    np.testing.assert_array_equal(optimiser.x, start.astype(np.float32))
    with pytest.raises(RuntimeError, match="--learning-rate"):
        optimiser.tell(1.0, np.zeros(5, np.float32))


def test_a_zero_gradient_is_the_end() -> None:
    optimiser = FIRST_ORDER["adagrad"](np.ones(3))
    optimiser.tell(1.0, np.zeros(3, np.float32))
    assert optimiser.status is Status.CONVERGED


@pytest.mark.parametrize("name", [n for n in OPTIMIZERS if n != "lbfgs"])
def test_each_paints(name: str, bundle: Bundle, samples: Path) -> None:
    options = {"provider": "cpu", "threads": 1, "size": 64, "iterations": 40, "scales": "1"}
    result = Stylizer.open(bundle, samples / "starry.jpg", optimizer=name, **options)(samples / "photos" / "town.jpg")
    assert result.loss < 0.4 * result.losses.total[0]
    assert result.evaluations == 40


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"optimizer": "newton"}, "choose one of: lbfgs, adam, adagrad, sgd"),
        ({"learning_rate": 0.0}, "learning rate must be above 0"),
        ({"learning_rate": math.nan}, "learning rate must be above 0"),
        ({"decay": 1.5}, "decay must be above 0 and at most 1"),
        ({"decay_every": 0}, "decay_every must be at least 1"),
    ],
)
def test_settings_that_make_no_sense(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Settings(**options)


def test_only_what_matters_decides_the_pixels() -> None:
    assert Settings(learning_rate=3.0).optimizer_parts == Settings().optimizer_parts, "L-BFGS has no such rate"
    assert Settings(optimizer="adam", history=3).optimizer_parts == Settings(optimizer="adam").optimizer_parts
    assert Settings(optimizer="adam", decay_every=3).optimizer_parts == Settings(optimizer="adam").optimizer_parts
    assert Settings(optimizer="adam", learning_rate=3.0).optimizer_parts != Settings(optimizer="adam").optimizer_parts
    assert not Settings(optimizer="adam", style_weight=1e4).whitens


def test_from_the_command_line(bundle: Bundle, samples: Path, tmp_path: Path, nstbatch: Call) -> None:
    arguments = (samples / "photos" / "town.jpg", "--style", samples / "starry.jpg", "--bundle", bundle.path)
    options = ("-o", tmp_path / "out", "--size", 40, "--iterations", 3, "--optimizer", "adam", "--learning-rate", 5)
    result = nstbatch(*arguments, *options, "--decay", 0.9, "--staircase")
    assert result.returncode == 0, result.stderr
    assert "1 painted" in result.stdout
    assert "1 up to date" in nstbatch(*arguments, *options, "--decay", 0.9, "--staircase").stdout
    assert "1 painted" in nstbatch(*arguments, *options).stdout
