"""How fast a run goes, and how long it will take."""

import time
from collections.abc import Callable

from ...runtime.batch.outcome import PhotoOutcome
from ...runtime.painting.schedule import evaluation_work
from ...runtime.planning.placement import Item
from ...runtime.planning.plan import Plan, TaskState
from ...runtime.recipe.settings import Settings


class Pace:
    """Counts work by what is evaluated: a small photo is done sooner than a large one.

    The pace is taken from the first evaluation on: what a run has to do before it, it does once.

    Args:
        plan: of the run.
        settings: of the optimisation.
        clock: seconds, never set back.
    """

    def __init__(self, plan: Plan, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._work = {}
        for task in plan.tasks:
            if task.state is TaskState.TODO:
                self._work[task.item] = sum(evaluation_work(size) for size in task.shapes(settings))
        self._total = sum(self._work.values())
        self._settled = 0.0
        """Work of those that are settled."""
        self._in_work: dict[Item, float] = {}
        """Shares of those that are not."""
        self._first: float | None = None
        """When the first was begun."""
        self._began: float | None = None
        self._fraction = 0.0
        """That was done then."""
        self._painted = 0

    def started(self, item: Item) -> None:
        """A photo is begun."""
        self._in_work[item] = 0.0
        self._first = self._first or self._clock()

    def progress(self, item: Item, fraction: float) -> None:
        """So much of a photo is done."""
        self._in_work[item] = fraction
        if self._began is None:
            self._began, self._fraction = self._clock(), self.fraction

    def finished(self, item: Item, outcome: PhotoOutcome) -> None:
        """A photo is settled; one that the plan has not begun counts for nothing."""
        if self._in_work.pop(item, None) is not None:
            # Of evaluations on other hosts nothing is heard.
            self._began = self._began or self._first
            self._settled += self._work[item]
            self._painted += outcome is PhotoOutcome.PAINTED

    @property
    def fraction(self) -> float:
        """Of the work that is done, 0..1."""
        done = self._settled + sum(self._work[item] * share for item, share in self._in_work.items())
        return done / self._total if self._total else 1.0

    @property
    def seconds_left(self) -> float | None:
        """Until the end, at the pace so far; None before there is one."""
        fraction = self.fraction
        if self._began is None or fraction <= self._fraction:
            return None
        return (self._clock() - self._began) * (1 - fraction) / (fraction - self._fraction)

    @property
    def per_hour(self) -> float | None:
        """Pictures an hour, failures not counted; None before the first is painted."""
        if self._began is None or not self._painted:
            return None
        return 3600 * self._painted / max(self._clock() - self._began, 1e-9)
