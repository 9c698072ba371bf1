"""The optimisation of one photo at one size."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..engine.engine import Engine
from ..files.scratch import Empty, zeros
from ..optimizer.choose import make_optimizer
from ..optimizer.host_vectors import HostVectors
from ..optimizer.step_vectors import StepRequest
from ..pictures.pixels import Pixels
from ..pictures.regions import Guidance
from ..recipe.presets import TermWeights
from ..recipe.settings import Settings
from ..recipe.size import Size
from .objective import Evaluated, Objective, encode, weigh
from .schedule import Phase, make_schedule, precisions_of
from .style import Grams
from .tiled import TiledObjective
from .tiling import Tiling

AnyObjective = Objective | TiledObjective

_WINDOW = 10
"""Evaluations over which progress is measured."""


@dataclass(frozen=True)
class Canvas:
    """What a level begins with.

    Attributes:
        content: the photo at this size, ``[1, 3, H, W]``, RGB, 0..255.
        start: the first iterate, of the same shape.
        grams: of the style, at the size for this level.
        cost: of an evaluation, in those at the last level's size; 1 for the last.
        guidance: where the photo's regions are, see `encode`.
        tiling: evaluates it in tiles; None for one piece.
    """

    content: Pixels
    start: Pixels
    grams: Grams
    cost: float
    guidance: Guidance | None = None
    tiling: Tiling | None = None


class Level:
    """The optimisation of one photo at one size, an evaluation at a time.

    A phase of the schedule ends after its evaluations; or when nothing can be gained any more; or when the loss has stopped
    paying: over the last ten evaluations the lowest loss has fallen by less than ``tolerance`` for a unit of time. That is
    an evaluation at the last level's size, by its pixels, and not the clock: the same photo gives the same painting on a
    busy host.

    Args:
        engine: that evaluates.
        settings: of the optimisation.
        canvas: what the level begins with.

    Attributes:
        made: evaluations so far.
        planned: evaluations that the schedule has.
        evaluation_seconds: that ONNX Runtime took.
    """

    def __init__(self, engine: Engine, settings: Settings, canvas: Canvas) -> None:
        self._cost = canvas.cost
        self._tolerance = settings.tolerance
        precisions = precisions_of(settings, engine.precisions)
        self._phases = make_schedule(settings, precisions, last=canvas.cost == 1)
        self.planned = sum(phase.evaluations for phase in self._phases)
        self.made = 0
        tiling = canvas.tiling
        empty = zeros if tiling is None else tiling.arrays(canvas.start.size, settings.history)
        began = time.perf_counter()
        self._engine = engine
        self._aim = self._make_aim(canvas, empty)
        self.evaluation_seconds = time.perf_counter() - began
        start = canvas.start
        self._weights = weigh(settings, engine.bundle.manifest.spec, Size.of_array(start.shape))
        self._shape = start.shape
        self._index = 0
        self._lowest: list[float] = []
        """Lowest loss after each evaluation of this phase."""
        self._objective = self._make_objective()
        vectors = None if tiling is None else partial(HostVectors, empty=empty)
        self._optimiser = make_optimizer(engine, settings, start, self._objective.unit, vectors)
        self._average = settings.average
        self._mean = empty((start.size,)) if settings.average else None
        """Moving average of the iterates, from nothing: too small at first, see `image` (Kingma, Ba 2015, section 3)."""

    def ask(self) -> tuple[AnyObjective, Any]:
        """What to evaluate next, and where."""
        if self._phase_over:
            before = self._phases[self._index]
            self._index += 1
            self._lowest = []
            self._objective = self._make_objective()
            # bfloat16 bends a curvature pair by less than a photo's own kinks do; another metric makes it another function.
            self._optimiser.rebase(forget=self._phases[self._index].damping != before.damping)
        point = self._optimiser.ask()
        return self._objective, point if isinstance(point, StepRequest) else point.reshape(self._shape)

    def tell(self, evaluated: Evaluated, seconds: float) -> None:
        """Take what was asked for, which took so long.

        Raises:
            NonFiniteError: at the first evaluation of a phase.
        """
        self.evaluation_seconds += seconds
        self._optimiser.tell(evaluated.loss, evaluated.gradient)
        self.made += 1
        if self._mean is not None:
            self._mean *= np.float32(self._average)
            self._mean += np.float32(1 - self._average) * self._optimiser.x
        self._lowest.append(min(evaluated.loss, self._lowest[-1]) if self._lowest else evaluated.loss)

    @property
    def whitened(self) -> bool:
        """Whether the last evaluation was one of the whitened objective."""
        return self._phases[self._index].damping is not None

    @property
    def done(self) -> bool:
        """Whether the last phase is over."""
        return self._index + 1 == len(self._phases) and self._phase_over

    @property
    def image(self) -> Pixels:
        """The best picture so far, or its average, ``[1, 3, H, W]``."""
        if self._mean is None or not self.made:
            return self._optimiser.x.reshape(self._shape)
        mean: Pixels = (self._mean / np.float32(1 - self._average**self.made)).reshape(self._shape)
        return mean

    @property
    def status(self) -> str:
        """Why it ended, in words."""
        if self._optimiser.done:
            return self._optimiser.status.value
        if self._stopped_paying:
            return f"stopped after {self.made} of {self.planned} iterations, the loss fell by less than the tolerance"
        return "all iterations done"

    def state(self) -> dict[str, NDArray[Any]]:
        """Everything that `restore` needs, by name; no vector is copied."""
        place = np.array([self._index, self.made])
        mean = {} if self._mean is None else {"mean_of_iterates": self._mean}
        return {"phase": place, "lowest": np.array(self._lowest, np.float64), **mean, **self._optimiser.state()}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take on a `state` of a level with the same arguments.

        Raises:
            KeyError, ValueError, IndexError: it is of another kind.
        """
        self._index, self.made = (int(value) for value in state["phase"])
        self._lowest = [float(value) for value in state["lowest"]]
        self._objective = self._make_objective()
        self._optimiser.restore(state)
        if self._mean is not None:
            self._mean[:] = state["mean_of_iterates"]

    def _make_aim(self, canvas: Canvas, empty: Empty) -> Callable[[TermWeights, Phase], AnyObjective]:
        """What makes objectives of the photo and the style."""
        if canvas.tiling is not None:
            tiled = canvas.tiling.targets(canvas.content, canvas.guidance, canvas.grams, empty)
            return lambda weights, phase: TiledObjective(tiled, weights, phase.damping, phase.precision)
        # Not by way of this level: it would then refer to itself, and keep its vectors until somebody looks for circles.
        engine = self._engine
        whole = replace(encode(engine, canvas.content, canvas.guidance), grams=canvas.grams)
        return lambda weights, phase: Objective(engine, whole, weights, phase.damping, phase.precision)

    def _make_objective(self) -> AnyObjective:
        return self._aim(self._weights, self._phases[self._index])

    @property
    def _phase_over(self) -> bool:
        made = len(self._lowest)
        return made > 0 and (made == self._phases[self._index].evaluations or self._optimiser.done or self._stopped_paying)

    @property
    def _stopped_paying(self) -> bool:
        if len(self._lowest) <= _WINDOW:
            return False
        before, now = self._lowest[-1 - _WINDOW], self._lowest[-1]
        return before - now < self._tolerance * _WINDOW * self._cost * before
