"""How long a plan will take."""

from dataclasses import replace
from pathlib import Path

import pytest

from nstbatch.runtime.batch.estimate import estimate
from nstbatch.runtime.painting.stylizer import Stylizer
from nstbatch.runtime.recipe.size import Size
from seams import Bench, picture


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench.of(tmp_path, "a.png", "b.png", "deep/c.png")


def test_the_estimate_is_the_work_at_the_rate_of_the_nearest_shape(bench: Bench, tmp_path: Path) -> None:
    for i in range(20):
        picture(tmp_path / "many" / f"{i}.png", (100, 40 + 3 * i), i)
    bench.settings |= {"size": 100, "scales": "50,100", "iterations": 7}
    measured: list[Size] = []

    def seconds(stylizer: Stylizer, size: Size, precision: str) -> float:
        measured.append(size)
        return size.pixels / {"float32": 1000, "bfloat16": 5000}[precision]

    plan = bench.plan(tmp_path / "many")
    stylizer = Stylizer.open(bench.engine(), bench.style, **bench.settings)
    found = estimate(plan, stylizer, measure=seconds)
    assert len(measured) == len(set(measured)) == 8, "a few shapes stand for all"
    work = [task.size.fit(50).pixels + task.size.fit(100).pixels for task in plan.tasks]
    assert found == pytest.approx([7 * pixels / 1000 for pixels in work])
    # With mixed precision each evaluation counts at the rate of its own: of 7 at the last level, one is in float32.
    engine = bench.engine()
    engine.precisions = ("float32", "bfloat16")
    stylizer = Stylizer.open(engine, bench.style, **bench.settings, precision="mixed")
    mixed = estimate(plan, stylizer, measure=seconds)
    last = [task.size.fit(100).pixels for task in plan.tasks]
    assert mixed == pytest.approx([(7 * a - b) / 5000 + b / 1000 for a, b in zip(work, last, strict=True)])
    # In tiles, a tile stands for all, and a pixel takes longer.
    engine = bench.engine()
    engine.host = replace(engine.host, tile=60)
    measured.clear()
    stylizer = Stylizer.open(engine, bench.style, **bench.settings)
    in_tiles = replace(plan, tasks=tuple(replace(task, tiled=True) for task in plan.tasks))
    found = estimate(in_tiles, stylizer, measure=seconds)
    assert measured == [Size(60, 60)]
    once, more = ([task.size.fit(side).pixels for task in plan.tasks] for side in (50, 100))
    factor = 1.65 * (60 + 2 * 32) ** 2 / 60**2
    assert found == pytest.approx([7 * (a + factor * b) / 1000 for a, b in zip(once, more, strict=True)])
    bench.run(tmp_path / "many")
    assert estimate(bench.plan(tmp_path / "many"), stylizer) == []
