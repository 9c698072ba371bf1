"""How fast a run goes, and how long it will take."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from ...runtime.painting.schedule import evaluation_work
from ...runtime.planning.placement import Item
from ...runtime.planning.plan import Plan, Task, TaskState
from ...runtime.recipe.settings import Settings


def work_of(task: Task, settings: Settings) -> float:
    """Of an evaluation at each level of a photo that is to do; see `evaluation_work`."""
    return sum(evaluation_work(size) for size in task.shapes(settings))


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
                self._work[task.item] = work_of(task, settings)
        self._total = sum(self._work.values())
        self._settled = 0.0
        """Work of those that are settled."""
        self._in_work: dict[Item, _Share] = {}
        """Of those that are not."""
        self._first: float | None = None
        """When the first was begun."""
        self._began: float | None = None
        self._before = 0.0
        """Work that was done then."""

    def started(self, item: Item) -> None:
        """A photo is begun."""
        self._in_work[item] = _Share()
        self._first = self._first or self._clock()

    def progress(self, item: Item, fraction: float) -> None:
        """So much of a photo is done."""
        share = self._in_work[item]
        if share.began is None:
            share.began, share.first = self._clock(), fraction
        share.fraction = fraction
        if self._began is None:
            self._began, self._before = self._clock(), self._done

    def finished(self, item: Item, *, painted: bool) -> None:
        """A photo is settled; one that is not painted is no work, neither done nor left."""
        begun = self._in_work.pop(item, None) is not None
        if not painted:
            self._total -= self._work.pop(item, 0.0)
        elif begun:
            # Of evaluations on other hosts nothing is heard.
            self._began = self._began or self._first
            self._settled += self._work[item]

    @property
    def fraction(self) -> float:
        """Of the work that is done, 0..1."""
        return min(self._done / self._total, 1.0) if self._work else 1.0

    @property
    def seconds_left(self) -> float | None:
        """Until the end, at the pace so far; None before there is one."""
        done = self._done
        if self._began is None or done <= self._before:
            return None
        return (self._clock() - self._began) * max(self._total - done, 0.0) / (done - self._before)

    @property
    def per_hour(self) -> float | None:
        """Pictures an hour, parts of them counted by their work; None before there is a pace."""
        left = self.seconds_left
        if left is None:
            return None
        share = (self._done - self._before) / self._total
        return 3600 * len(self._work) * share / max(self._clock() - (self._began or 0.0), 1e-9)

    @property
    def _done(self) -> float:
        return self._settled + sum(self._work[item] * share.fraction for item, share in self._in_work.items())

    def share(self, item: Item) -> float:
        """Of a photo in work that is done, 0..1."""
        return self._in_work[item].fraction

    def seconds_left_of(self, item: Item) -> float | None:
        """Until a photo in work is done, at its pace so far; None before there is one."""
        share = self._in_work[item]
        if share.began is None or share.fraction <= share.first:
            return None
        return (self._clock() - share.began) * (1 - share.fraction) / (share.fraction - share.first)


@dataclass
class _Share:
    """How far a photo is.

    Attributes:
        fraction: of its work that is done.
        began: when its first evaluation was done; None before.
        first: the fraction that was done then.
    """

    fraction: float = 0.0
    began: float | None = None
    first: float = 0.0
