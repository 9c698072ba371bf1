"""How fast a run goes, and how long it will take."""

import time
from collections.abc import Callable

from ..runtime import Settings
from ..runtime.placement import Item
from ..runtime.plan import Plan, State
from ..runtime.report import Outcome

_OVERHEAD = 0.02
"""Work of a pixel of the photo itself, which is decoded, resampled and encoded, in that of a pixel of a level."""


class Pace:
    """Counts work by the pixels that are evaluated: a small photo is done sooner than a large one.

    Args:
        plan: of the run.
        settings: of the optimisation.
        clock: seconds, never set back.
    """

    def __init__(self, plan: Plan, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._work = {}
        for task in plan.tasks:
            if task.state is State.TODO:
                levels = sum(width * height for width, height in task.shapes(settings))
                self._work[task.item] = levels + _OVERHEAD * task.size[0] * task.size[1]
        self._total = sum(self._work.values())
        self._done: dict[Item, float] = {}
        """Shares of those that were begun."""
        self._began: float | None = None
        self._painted = 0

    def started(self, item: Item) -> None:
        """A photo is begun."""
        if self._began is None:
            self._began = self._clock()
        self._done[item] = 0.0

    def progress(self, item: Item, fraction: float) -> None:
        """So much of a photo is done."""
        self._done[item] = fraction

    def finished(self, item: Item, outcome: Outcome) -> None:
        """A photo is settled; one that the plan has not begun counts for nothing."""
        if item in self._done:
            self._done[item] = 1.0
            self._painted += outcome is Outcome.PAINTED

    @property
    def fraction(self) -> float:
        """Of the work that is done, 0..1."""
        done = sum(self._work.get(item, 0.0) * share for item, share in self._done.items())
        return done / self._total if self._total else 1.0

    @property
    def seconds_left(self) -> float | None:
        """Until the end, at the pace so far; None before anything is done."""
        fraction = self.fraction
        if self._began is None or not fraction:
            return None
        return (self._clock() - self._began) * (1 - fraction) / fraction

    @property
    def per_hour(self) -> float | None:
        """Pictures an hour; None before the first is painted."""
        if self._began is None or not self._painted:
            return None
        return 3600 * self._painted / max(self._clock() - self._began, 1e-9)
