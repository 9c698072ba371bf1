"""Choose and make the optimizer that the settings ask for."""

from collections.abc import Callable
from functools import partial

from ..engine.engine import Engine
from ..pictures.pixels import Pixels
from ..recipe.provider import AUTO
from ..recipe.settings import Settings
from .first_order import FIRST_ORDER
from .host_vectors import HostVectors
from .interface import Optimizer, Rate
from .lbfgs import LBFGS
from .preconditioner import FrequencyPreconditioner
from .step_vectors import StepVectors
from .vectors import Vectors

RANGE = (0.0, 255.0)
"""Of pixels. An optimum without bounds lies far outside of it, and loses most of what was gained when it is cut off."""


def make_optimizer(
    engine: Engine, settings: Settings, start: Pixels, unit: float, vectors: Callable[..., Vectors] | None = None
) -> Optimizer:
    """Make the optimizer that the settings ask for.

    Args:
        engine: that evaluates, and on whose device the vectors may lie.
        settings: of the optimisation.
        start: the first iterate, ``[1, 3, H, W]``.
        unit: what losses and gradients are divided by, see `Objective`.
        vectors: holds those of L-BFGS; None for the engine's choice.
    """
    if settings.optimizer != "lbfgs":
        rate = Rate(settings.learning_rate, settings.decay, settings.decay_every, settings.staircase)
        return FIRST_ORDER[settings.optimizer](start, rate, RANGE, unit)
    preconditioner = FrequencyPreconditioner((3, *start.shape[2:]))
    # An average reads every iterate, with which all vectors come over: where nobody asked for it, they stay here.
    there = engine.holds_vectors and not (settings.average and engine.host.vectors == AUTO)
    vectors = vectors or (partial(StepVectors, engine.place) if there else HostVectors)
    return LBFGS(start, history=settings.history, precondition=preconditioner, bounds=RANGE, vectors=vectors)
