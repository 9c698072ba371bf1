"""What is good to know before a run begins, in a sentence."""

from dataclasses import replace

from ...runtime.planning.plan import Plan, TaskState
from ...runtime.recipe.settings import Settings
from .pace import work_of

_ENLARGED = 2
"""Times, above which it shows."""


def enlargement(plan: Plan, settings: Settings) -> str:
    """That paintings will be much larger than what is painted, and what more would cost; empty where they will not."""
    todo = [task for task in plan.tasks if task.state is TaskState.TODO]
    painted = {task: task.shapes(settings)[-1].long_side for task in todo}
    factors = {task: task.size.long_side / side for task, side in painted.items()}
    enlarged = [task for task in todo if factors[task] > _ENLARGED]
    if not enlarged:
        return ""
    largest = max(enlarged, key=factors.__getitem__)
    times = f"up to {factors[largest]:.1f}" if len(enlarged) > 1 else f"{factors[largest]:.1f}"
    who = f"{len(enlarged)} of {len(todo)} photos are" if len(todo) > 1 else "the photo is"
    text = f"{who} painted at {painted[largest]} px and enlarged {times} times"
    more = replace(settings, size=2 * settings.size)
    cost = sum(work_of(task, more) for task in enlarged) / sum(work_of(task, settings) for task in enlarged)
    # Where --scales names the sizes, --size changes nothing.
    return f"{text}; --size {more.size} is sharper and takes about {cost:.0f} times as long" if cost > 1 else text
