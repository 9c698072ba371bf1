"""L-BFGS with its vectors on a device against L-BFGS with vectors of NumPy, on the one device that every host has."""

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nstbatch.runtime.bundle.spec import Bundle
from nstbatch.runtime.engine.binding import Buffer
from nstbatch.runtime.engine.engine import Engine
from nstbatch.runtime.engine.host import Host
from nstbatch.runtime.errors import NonFiniteError
from nstbatch.runtime.optimizer.device_vectors import DeviceVectors
from nstbatch.runtime.optimizer.host_vectors import HostVectors
from nstbatch.runtime.optimizer.lbfgs import LBFGS
from nstbatch.runtime.optimizer.preconditioner import FrequencyPreconditioner
from nstbatch.runtime.optimizer.vectors import Combination
from nstbatch.runtime.painting.objective import Objective, Targets, balance, encode
from nstbatch.runtime.painting.painting import PhotoJob
from nstbatch.runtime.painting.stylizer import Stylizer
from nstbatch.runtime.recipe.presets import LossWeights

BOUNDS = (-1.0, 1.0)


@pytest.fixture(scope="module")
def engine(bundle: Bundle) -> Engine:
    return Engine(bundle, Host(provider="cpu", threads=1, vectors="device"))


@settings(max_examples=25, deadline=None)
@given(height=st.integers(32, 40), width=st.integers(32, 40), seed=st.integers(0, 99))
def test_each_operation_is_that_of_the_host(engine: Engine, height: int, width: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = (1, 3, height, width)
    n, m, scale = math.prod(shape), 3, 0.25

    def vector() -> np.ndarray:
        # Integers and halves: many elements lie at a bound, and many gradients are 0.
        return (rng.integers(-3, 4, shape) / 2).astype(np.float32)

    start, first = vector(), vector()
    precondition = FrequencyPreconditioner((3, height, width))
    host = HostVectors(start, m, precondition, BOUNDS)
    device = DeviceVectors(engine, start, m, precondition, BOUNDS)

    def on_device(array: np.ndarray) -> Buffer:
        return device.trial.place.put(array)

    def same_trial(tolerance: float = 0.0) -> None:
        np.testing.assert_allclose(device.trial.reshape((n,)).read(), host.trial, atol=tolerance)

    same_trial()
    assert device.magnitude(on_device(first)) == host.magnitude(first)
    host.begin(first, scale)
    device.begin(on_device(first), scale)
    assert device.stationary == host.stationary
    for pair in (0, 2):
        slopes = [vectors.descend(Combination(), 0.3) for vectors in (device, host)]
        assert slopes[0] == pytest.approx(slopes[1], rel=1e-5, abs=1e-6)
        same_trial(1e-5)
        for vectors in (host, device):
            vectors.move(0.5)
        same_trial(1e-5)
        gradient = vector()
        assert device.slope(on_device(gradient)) == pytest.approx(host.slope(gradient), rel=1e-4, abs=1e-3)
        sums = device.accept(on_device(gradient), scale, pair), host.accept(gradient, scale, pair)
        np.testing.assert_allclose(sums[0], sums[1], rtol=1e-4, atol=1e-3)
        np.testing.assert_allclose(device.x, host.x, atol=1e-5)
    for found, expected in zip(device.products(6, difference=True), host.products(6, difference=True), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-2)
    direction = Combination(0.7, rng.standard_normal(6).astype(np.float32))
    for how in (direction, None):
        slopes = [vectors.descend(how, None) for vectors in (device, host)]
        assert slopes[0] == pytest.approx(slopes[1], rel=1e-4, abs=1e-2)
        same_trial(1e-4)
    for vectors in (host, device):
        vectors.reset()
    np.testing.assert_array_equal(device.trial.reshape((n,)).read(), device.x)


@pytest.mark.parametrize("poison", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_seen(engine: Engine, poison: float) -> None:
    start = np.zeros((1, 3, 33, 32), np.float32)
    gradient = np.ones_like(start)
    gradient[0, 1, 2, 3] = poison
    optimiser = LBFGS(
        start, precondition=FrequencyPreconditioner((3, 33, 32)), bounds=BOUNDS, vectors=partial(DeviceVectors, engine)
    )
    place = optimiser.ask().place
    with pytest.raises(NonFiniteError):
        optimiser.tell(1.0, place.put(gradient))
    optimiser.tell(1.0, place.put(np.ones_like(start)))
    before = optimiser.x
    optimiser.tell(0.5, place.put(gradient))
    assert (optimiser.x == before).all(), "a point whose gradient is not finite is rejected"
    assert optimiser.evaluations == 3


@pytest.mark.slow
def test_the_iterates_of_a_vgg_loss_are_those_of_the_host(
    bundle: Bundle, engine: Engine, samples: Path, small: Callable[[Path, int], np.ndarray]
) -> None:
    photo, style = small(samples / "photos" / "town.jpg", 72), small(samples / "starry.jpg", 72)
    on_host = Engine(bundle, Host(provider="cpu", threads=1))
    targets = Targets(encode(on_host, photo).contents, encode(on_host, style).grams)
    weights = balance(LossWeights(1.0, 1000.0, 0.0), targets)
    losses: list[list[float]] = []
    iterates = []
    for each, vectors in ((on_host, HostVectors), (engine, partial(DeviceVectors, engine))):
        objective = Objective(each, targets, weights)
        precondition = FrequencyPreconditioner((3, *photo.shape[2:]))
        optimiser = LBFGS(photo, history=5, precondition=precondition, bounds=(0, 255), vectors=vectors)
        seen = []
        for _ in range(12):
            loss, gradient, _ = objective(optimiser.ask().reshape(photo.shape))
            optimiser.tell(loss, gradient)
            seen.append(loss)
        losses.append(seen)
        iterates.append(optimiser.x)
    assert losses[0][-1] < 0.5 * losses[0][0], "there is something to compare"
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-3)
    assert np.abs(iterates[1] - iterates[0]).max() < 1.0, "the same picture, to a grey level"


@pytest.mark.slow
def test_a_painting_goes_on_from_the_state_of_either(bundle: Bundle, samples: Path) -> None:
    from nstbatch.runtime.pictures.photo import read_picture

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
