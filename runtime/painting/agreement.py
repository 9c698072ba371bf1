"""Whether a provider computes what the CPU provider does.

Providers have been seen to return a wrong gradient without a word (OpenVINO's of a ConvTranspose), and a driver or a
library may change under a host that was sound.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..bundle.spec import GRADIENT, WASSERSTEIN
from ..engine.binding import Array
from ..engine.engine import Engine
from ..engine.host import Host
from ..engine.sessions import make_session
from ..errors import ProviderError
from ..optimizer.choose import RANGE
from ..optimizer.preconditioner import FrequencyPreconditioner
from ..optimizer.step_vectors import StepVectors
from ..recipe.presets import LossWeights
from ..recipe.provider import Precision, Provider
from .objective import Objective, balance, encode

BOUNDS = {"float32": 1e-2, "tf32": 0.1, "fp16": 0.1, "bfloat16": 0.3}
"""Largest relative difference (Euclidean norm) from the CPU provider: of OpenVINO, 4e-4 and 0.07 were seen, of TF32
nothing yet; a wrong gradient differs by 1."""

_ROOTS = 5
"""Factor of `BOUNDS` where roots of covariances are taken: of 8e-3 that rounding was seen to make of them, at `TRIAL`."""

TRIAL = (48, 64)
"""Height and width of what is compared before a run."""

FULL_TRIAL = (256, 256)
"""Of what is compared where there is time: a provider may take another algorithm for it."""

_HONEST = 2e-3
"""Bound of float32 at `FULL_TRIAL`: there the flips of a few ReLUs come to 2e-4, and TF32 is to be ten times that. ONNX
Runtime may compute a convolution in TF32 though it is told not to, where nothing else is to be had."""


@dataclass(frozen=True)
class Agreement:
    """How far a provider is from the CPU provider, in one precision.

    Attributes:
        precision: of the evaluation.
        loss, gradient: relative differences (Euclidean norm), of the weighted terms and of the gradient.
    """

    precision: str
    loss: float
    gradient: float


def check_agreement(engine: Engine, precisions: Iterable[str], trial: tuple[int, int] = TRIAL) -> list[Agreement]:
    """Compare a loss and gradient with the CPU provider's in each of some precisions; where an engine takes steps, of one.

    Args:
        engine: to compare.
        precisions: to compare in.
        trial: height and width of the picture, `TRIAL` or `FULL_TRIAL`.

    Raises:
        ProviderError: they differ by more than `BOUNDS`, or float32 is none.
    """
    rng = np.random.default_rng(0)
    height, width = trial
    # Smooth, as photos are: on white noise ReLUs and maxima flip with every rounding.
    noise = np.cumsum(np.cumsum(rng.standard_normal((2, 3, height, width)), axis=2), axis=3)
    noise -= noise.min(axis=(2, 3), keepdims=True)
    photo, style = (255 * noise / noise.max(axis=(2, 3), keepdims=True)).astype(np.float32)[:, None]
    reference = Engine(engine.bundle, Host(provider=Provider.CPU, threads=engine.threads))
    targets = replace(encode(reference, photo[:, :, ::-1].copy()), grams=encode(reference, style).grams)
    weights = balance(LossWeights(content=1.0, style=100.0, tv=0.0), targets)
    # Not the graph for CPUs: its transforms lose a digit.
    exact = make_session(str(engine.bundle.graph(GRADIENT)), Provider.CPU, engine.threads)
    objective = Objective(reference, targets, weights)
    losses, expected_gradient = exact.run(None, {**objective.fixed, "image": photo})
    expected_terms = objective.weigh(losses[0], None).terms
    rooted = engine.bundle.manifest.spec.style_distance == WASSERSTEIN
    found = []
    for precision in precisions:
        bound = BOUNDS[precision] * (_ROOTS if rooted else 1)
        terms, gradient = _evaluate(Objective(engine, targets, weights, precision=precision), photo)
        agreement = Agreement(precision, _off(terms, expected_terms), _off(gradient, expected_gradient))
        for what, error in (("loss", agreement.loss), ("gradient", agreement.gradient)):
            # Not "error > bound": a NaN has to fail.
            if not error <= bound:
                raise ProviderError(
                    f"provider '{engine.provider}' in {precision}: its {what} is {error:.1g} off the CPU provider's "
                    f"(allowed: {bound:g}); use --provider cpu, and report the versions that `nstbatch doctor` "
                    f"tells"
                )
        honest = agreement.gradient <= _HONEST or rooted
        if trial == FULL_TRIAL and precision == Precision.FLOAT32 and not honest:
            raise ProviderError(
                f"provider '{engine.provider}': what it calls float32 is {agreement.gradient:.1g} off the CPU provider's "
                f"(allowed: {_HONEST:g}), as TF32 is; use --precision tf32, or --provider cpu"
            )
        found.append(agreement)
    return found


def _evaluate(objective: Objective, photo: Array) -> tuple[NDArray[np.float64], Array]:
    """Terms and gradient at a photo, in the way in which it would be painted."""
    engine = objective.engine
    if not engine.holds_vectors:
        _, gradient, terms = objective(photo)
        return terms, gradient
    precondition = FrequencyPreconditioner((3, *photo.shape[2:]))
    vectors = StepVectors(engine.place, photo, 1, precondition, RANGE)
    _, _, terms = objective(vectors.trial)
    return terms, vectors.gradient.reshape(photo.shape)


def _off(found: NDArray[np.floating], expected: NDArray[np.floating]) -> float:
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))
