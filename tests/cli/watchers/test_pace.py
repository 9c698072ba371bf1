"""The time that is left."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nstbatch.cli.watchers.pace import Pace
from nstbatch.runtime.planning.placement import Item
from nstbatch.runtime.planning.plan import Plan, Task, TaskState
from nstbatch.runtime.recipe.settings import Settings
from nstbatch.runtime.recipe.size import Size


def plan_of(sizes: list[tuple[int, int]]) -> Plan:
    return Plan(
        tuple(
            Task(Item(Path(f"{i}.jpg"), Path(f"o/{i}.jpg"), Path("o")), TaskState.TODO, "new", Size(*size))
            for i, size in enumerate(sizes)
        )
    )


@given(
    sizes=st.lists(st.tuples(st.integers(40, 600), st.integers(40, 600)), min_size=1, max_size=8),
    rate=st.floats(1e-7, 1e-3),
    start=st.floats(0, 100),
)
def test_where_work_costs_the_same_the_time_left_is_exact(sizes: list[tuple[int, int]], rate: float, start: float) -> None:
    plan, now = plan_of(sizes), 50.0
    pace = Pace(plan, Settings(size=256), clock=lambda: now)
    work = {task.item: pace._work[task.item] for task in plan.tasks}
    end = None
    for item, amount in work.items():
        pace.started(item)
        for quarter in (0.25, 0.5, 0.75, 1.0):
            # Sessions and styles are made before the first evaluation is done, and never again.
            now += rate * amount / 4 + (start if end is None else 0.0)
            pace.progress(item, quarter)
            if end is None:
                assert pace.seconds_left is None
                end = now + rate * (sum(work.values()) - amount / 4)
            else:
                assert pace.seconds_left == pytest.approx(end - now, abs=1e-6 * end)
                assert pace.per_hour == pytest.approx(3600 * len(work) / (rate * sum(work.values())), rel=1e-6)
        pace.finished(item, painted=True)
    assert pace.fraction == pytest.approx(1)


def test_what_was_refused_before_the_run_is_no_work() -> None:
    plan = plan_of([(100, 100)])
    refused = Task(Item(Path("x.jpg"), Path("o/x.jpg"), Path("o")), TaskState.REFUSED, "damaged")
    pace = Pace(Plan((*plan.tasks, refused)), Settings())
    pace.finished(refused.item, painted=False)
    assert pace.fraction == 0
    assert pace.seconds_left is None


def test_what_fails_is_no_work() -> None:
    plan, now = plan_of([(100, 100)] * 4), 0.0
    pace = Pace(plan, Settings(), clock=lambda: now)
    painted, broken, failing, last = (task.item for task in plan.tasks)
    pace.started(painted)
    for quarter in range(1, 5):
        now += 1
        pace.progress(painted, quarter / 4)
    pace.finished(painted, painted=True)
    assert pace.seconds_left == pytest.approx(12)
    pace.finished(broken, painted=False)
    assert (pace.fraction, pace.seconds_left) == (pytest.approx(1 / 3), pytest.approx(8)), "it was never begun"
    pace.started(failing)
    now += 2
    pace.progress(failing, 0.5)
    pace.finished(failing, painted=False)
    assert pace.fraction == pytest.approx(1 / 2)
    assert pace.seconds_left == pytest.approx(5 * 4 / 3), "its time counts, and its work does not"
    assert pace.per_hour == pytest.approx(3600 * 3 / 4 / 5)
    pace.finished(last, painted=False)
    assert (pace.fraction, pace.seconds_left) == (1, 0)


def test_a_photo_has_a_pace_of_its_own() -> None:
    plan, now = plan_of([(100, 100), (200, 200)]), 0.0
    pace = Pace(plan, Settings(), clock=lambda: now)
    first, second = (task.item for task in plan.tasks)
    pace.started(first)
    pace.started(second)
    assert pace.seconds_left_of(first) is None
    for tenth in range(1, 6):
        now += 1
        pace.progress(first, tenth / 10)
        pace.progress(second, tenth / 20)
    assert (pace.share(first), pace.share(second)) == (0.5, 0.25)
    assert pace.seconds_left_of(first) == pytest.approx(5)
    assert pace.seconds_left_of(second) == pytest.approx(15)
