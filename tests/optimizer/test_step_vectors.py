"""L-BFGS with a run for each evaluation against L-BFGS with vectors of NumPy."""

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nstbatch.exporter.step import conclude, descend
from nstbatch.runtime.bundle.spec import Bundle
from nstbatch.runtime.bundle.step import Report
from nstbatch.runtime.engine.binding import Place
from nstbatch.runtime.engine.engine import Engine
from nstbatch.runtime.engine.host import Host
from nstbatch.runtime.errors import NonFiniteError
from nstbatch.runtime.optimizer.host_vectors import HostVectors
from nstbatch.runtime.optimizer.interface import Status
from nstbatch.runtime.optimizer.lbfgs import LBFGS
from nstbatch.runtime.optimizer.preconditioner import FrequencyPreconditioner
from nstbatch.runtime.optimizer.step_vectors import StepRequest, StepVectors
from nstbatch.runtime.painting.objective import Objective, Targets, balance, encode
from nstbatch.runtime.painting.painting import PhotoJob
from nstbatch.runtime.painting.stylizer import Stylizer
from nstbatch.runtime.pictures.photo import read_picture
from nstbatch.runtime.recipe.presets import LossWeights

BOUNDS = (-1.0, 1.0)
CPU = Place("cpu")
Function = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


def take(request: StepRequest, function: Function) -> tuple[float, Report]:
    """What the graph of a step does, by the functions that it is traced from."""
    vectors = request.vectors
    rows, control = torch.from_numpy(vectors.rows.read()), torch.from_numpy(request.control)
    constants = {name: torch.from_numpy(value) for name, value in vectors.constants.items()}
    before = descend(rows, control, constants["bounds"])
    losses, gradient = function(before[0])
    written, report = conclude(losses, gradient, *before, rows, control, **constants)
    vectors.rows.write(written.numpy())
    found = Report.of(report.numpy()[0], rows.shape[1])
    return float(found.losses.sum()), found


def rough(seed: int, shape: tuple[int, ...], steep: float) -> Function:
    """A smooth function with a valley, whose minimum lies beyond the bounds in some elements."""
    random = torch.Generator().manual_seed(seed)
    target = 1.5 * torch.randn(shape, generator=random)
    curvature = 10 ** torch.empty(shape).uniform_(-1.5, 1.5, generator=random)

    def evaluate(image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        away = image - target
        loss = steep * (curvature * away**2 / 2 + away**4 / 4).sum().double()
        return loss.reshape(1, 1).float(), steep * (curvature * away + away**3)

    return evaluate


def optimizers(start: np.ndarray, history: int) -> tuple[LBFGS, LBFGS]:
    """One with its vectors on the host, one with them in a step."""
    precondition = FrequencyPreconditioner((3, *start.shape[2:]))
    kinds = HostVectors, partial(StepVectors, CPU)
    host, step = (LBFGS(start, history=history, precondition=precondition, bounds=BOUNDS, vectors=kind) for kind in kinds)
    return host, step


@settings(max_examples=20, deadline=None)
@given(
    height=st.integers(4, 9),
    width=st.integers(4, 9),
    history=st.integers(1, 5),
    seed=st.integers(0, 99),
    power=st.integers(-6, 6),
)
def test_a_hundred_steps_are_those_of_the_host(height: int, width: int, history: int, seed: int, power: int) -> None:
    shape = (1, 3, height, width)
    start = np.random.default_rng(seed).uniform(-1.2, 1.2, shape).astype(np.float32)
    function = rough(seed, shape, 10.0**power)
    host, step = optimizers(start, history)
    lowest: list[list[float]] = [[], []]
    for _ in range(100):
        if not host.done:
            losses, gradient = function(torch.from_numpy(host.ask().reshape(shape).copy()))
            host.tell(float(losses.sum()), gradient.numpy())
        if not step.done:
            step.tell(*take(step.ask(), function))
        for seen, optimizer in zip(lowest, (host, step), strict=True):
            seen.append(optimizer.loss)
    np.testing.assert_allclose(lowest[1][:15], lowest[0][:15], rtol=1e-3)
    assert lowest[1][-1] == pytest.approx(lowest[0][-1], rel=1e-4)
    assert (np.abs(step.x) <= 1).all()
    assert (np.abs(step.x) == 1).any(), "some are at a bound exactly"


def test_a_step_that_leads_uphill_is_told_with_the_evaluation_and_costs_it() -> None:
    shape = (1, 3, 6, 7)
    start = np.random.default_rng(3).uniform(-1, 1, shape).astype(np.float32)
    function = rough(3, shape, 1.0)
    _, step = optimizers(start, history=3)
    for _ in range(6):
        step.tell(*take(step.ask(), function))
    best, before = step.loss, step.x
    history = step._history
    assert len(history) == 3
    request = step.ask()
    request.control[0, : request.vectors.rows.shape[1]] *= -1
    step.tell(*take(request, function))
    assert len(history) == 0, "what it was told by is dropped"
    assert (step.loss, step.evaluations) == (best, 7)
    np.testing.assert_array_equal(step.x, before)
    for _ in range(8):
        step.tell(*take(step.ask(), function))
    assert step.loss < best, "the gradient is gone down from the same point"


@pytest.mark.parametrize("poison", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_rejected_and_stays_nowhere(poison: float) -> None:
    shape = (1, 3, 6, 7)
    sound = rough(0, shape, 1.0)

    def poisoned(image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        losses, gradient = sound(image)
        gradient[0, 1, 2, 3] = poison
        return losses, gradient

    _, step = optimizers(np.zeros(shape, np.float32), history=3)
    with pytest.raises(NonFiniteError):
        step.tell(*take(step.ask(), poisoned))
    for _ in range(4):
        step.tell(*take(step.ask(), sound))
    before, loss = step.x, step.loss
    step.tell(*take(step.ask(), poisoned))
    np.testing.assert_array_equal(step.x, before)
    for _ in range(8):
        step.tell(*take(step.ask(), poisoned))
    np.testing.assert_array_equal(step.x, before)
    assert step.status is Status.RUNNING
    assert np.isfinite(step.ask().vectors.rows.read()).all()
    step.rebase(forget=True)
    for _ in range(6):
        step.tell(*take(step.ask(), sound))
    assert step.loss < loss


@pytest.mark.slow
def test_a_hundred_steps_of_a_vgg_loss(bundle: Bundle, samples: Path, small: Callable[[Path, int], np.ndarray]) -> None:
    photo, style = small(samples / "photos" / "town.jpg", 64), small(samples / "starry.jpg", 64)
    engines = [Engine(bundle, Host(provider="cpu", threads=1, vectors=vectors)) for vectors in ("host", "device")]
    targets = Targets(encode(engines[0], photo).contents, encode(engines[0], style).grams)
    weights = balance(LossWeights(1.0, 1000.0, 0.0), targets)
    losses: list[list[float]] = []
    for engine, vectors in zip(engines, (HostVectors, partial(StepVectors, CPU)), strict=True):
        objective = Objective(engine, targets, weights)
        precondition = FrequencyPreconditioner((3, *photo.shape[2:]))
        optimiser = LBFGS(photo, precondition=precondition, bounds=(0, 255), vectors=vectors)
        seen = []
        for _ in range(100):
            point = optimiser.ask()
            found = objective(point if isinstance(point, StepRequest) else point.reshape(photo.shape))
            optimiser.tell(found.loss, found.gradient)
            seen.append(optimiser.loss)
        losses.append(seen)
    assert losses[0][-1] < 0.1 * losses[0][0], "there is something to compare"
    np.testing.assert_allclose(losses[1][:15], losses[0][:15], rtol=1e-3)
    # Rounding flips a tie of ReLUs or poolings, and from then on the two are different descents.
    np.testing.assert_allclose(losses[1], losses[0], rtol=0.03)


@pytest.mark.slow
def test_a_painting_goes_on_from_the_state_of_either(bundle: Bundle, samples: Path) -> None:
    picture = read_picture(samples / "photos" / "town.jpg")
    options = {"size": 48, "iterations": 8, "scales": "1"}
    stylizers = {
        vectors: Stylizer.open(
            Engine(bundle, Host(provider="cpu", threads=1, vectors=vectors)), samples / "starry.jpg", **options
        )
        for vectors in ("host", "device")
    }
    reference = stylizers["host"].begin(PhotoJob(picture))
    while not reference.done:
        reference.step()
    expected = np.asarray(reference.result().image, float)
    for first, second in (("host", "device"), ("device", "host"), ("device", "device")):
        one = stylizers[first].begin(PhotoJob(picture))
        for _ in range(4):
            one.step()
        two = stylizers[second].begin(PhotoJob(picture))
        two.resume({name: np.array(value) for name, value in one.state().items()})
        while not two.done:
            two.step()
        assert np.abs(np.asarray(two.result().image, float) - expected).max() <= 4, (first, second)
