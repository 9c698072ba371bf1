"""What is said before a run begins."""

from pathlib import Path

import pytest

from nstbatch.cli.watchers.advice import enlargement
from nstbatch.runtime.planning.placement import Item
from nstbatch.runtime.planning.plan import Plan, Task, TaskState
from nstbatch.runtime.recipe.settings import Settings
from nstbatch.runtime.recipe.size import Size


def plan_of(*sizes: tuple[int, int], state: TaskState = TaskState.TODO) -> Plan:
    items = (Item(Path(f"{i}.jpg"), Path(f"o/{i}.jpg"), Path("o")) for i in range(len(sizes)))
    return Plan(tuple(Task(item, state, "new", Size(*size)) for item, size in zip(items, sizes, strict=True)))


@pytest.mark.parametrize(
    ("plan", "settings", "text"),
    [
        (plan_of((1024, 700), (300, 400)), Settings(), ""),
        (plan_of((4000, 3000), state=TaskState.UP_TO_DATE), Settings(), ""),
        (plan_of(), Settings(), ""),
        (
            plan_of((4096, 3072)),
            Settings(scales="1"),
            "the photo is painted at 512 px and enlarged 8.0 times; --size 1024 is sharper and takes about 4 times as long",
        ),
        (plan_of((4096, 3072)), Settings(scales="128,256"), "the photo is painted at 256 px and enlarged 16.0 times"),
    ],
)
def test_a_photo_that_is_enlarged(plan: Plan, settings: Settings, text: str) -> None:
    assert enlargement(plan, settings) == text


def test_some_of_several() -> None:
    text = enlargement(plan_of((4096, 3072), (3072, 2048), (500, 400)), Settings())
    assert text.startswith(
        "2 of 3 photos are painted at 512 px and enlarged up to 8.0 times; --size 1024 is sharper and takes"
    )
