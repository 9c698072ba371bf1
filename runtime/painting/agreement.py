"""Whether a provider computes what the CPU provider does.

Providers have been seen to return a wrong gradient without a word (OpenVINO's of a ConvTranspose), and a driver or a
library may change under a host that was sound.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..engine.engine import Engine
from ..engine.host import Host
from ..errors import ProviderError
from ..recipe.presets import LossWeights
from ..recipe.provider import Provider
from .objective import Objective, balance, encode

BOUNDS = {"float32": 1e-2, "tf32": 0.1, "fp16": 0.1, "bfloat16": 0.3}
"""Largest relative difference (Euclidean norm) from the CPU provider: of OpenVINO, 4e-4 and 0.07 were seen, of TF32
nothing yet; a wrong gradient differs by 1."""

_TRIAL = (48, 64)
"""Height and width of what is compared."""


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


def check_agreement(engine: Engine, precisions: Iterable[str]) -> list[Agreement]:
    """Compare a loss and gradient with the CPU provider's, at a small size, in each of some precisions.

    Raises:
        ProviderError: they differ by more than `BOUNDS`.
    """
    rng = np.random.default_rng(0)
    height, width = _TRIAL
    # Smooth, as photos are: on white noise ReLUs and maxima flip with every rounding.
    noise = np.cumsum(np.cumsum(rng.standard_normal((2, 3, height, width)), axis=2), axis=3)
    noise -= noise.min(axis=(2, 3), keepdims=True)
    photo, style = (255 * noise / noise.max(axis=(2, 3), keepdims=True)).astype(np.float32)[:, None]
    reference = Engine(engine.bundle, Host(provider=Provider.CPU, threads=engine.threads))
    targets = replace(encode(reference, photo[:, :, ::-1].copy()), grams=encode(reference, style).grams)
    weights = balance(LossWeights(content=1.0, style=100.0, tv=0.0), targets)
    _, expected_gradient, expected_terms = Objective(reference, targets, weights)(photo)
    found = []
    for precision in precisions:
        _, gradient, terms = Objective(engine, targets, weights, precision=precision)(photo)
        agreement = Agreement(precision, _off(terms, expected_terms), _off(gradient, expected_gradient))
        for what, error in (("loss", agreement.loss), ("gradient", agreement.gradient)):
            # Not "error > bound": a NaN has to fail.
            if not error <= BOUNDS[precision]:
                raise ProviderError(
                    f"provider '{engine.provider}' in {precision}: its {what} is {error:.1g} off the CPU provider's "
                    f"(allowed: {BOUNDS[precision]:g}); use --provider cpu, and report the versions that `nstbatch doctor` "
                    f"tells"
                )
        found.append(agreement)
    return found


def _off(found: NDArray[np.floating], expected: NDArray[np.floating]) -> float:
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))
