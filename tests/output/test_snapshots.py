"""Pictures of a painting in work."""

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fleets import SETTINGS, make
from nstbatch.runtime.output.journal import Journal
from nstbatch.runtime.output.lock import hold
from nstbatch.runtime.planning.plan import make_plan
from nstbatch.runtime.stop import Stop, StopReason
from nstbatch.runtime.workers.fleet import Fleet
from seams import Bench, SeamEngine, files, outcomes, paint, picture

EVERY_THIRD = ["a.png.snapshots/000003.png", "a.png.snapshots/000006.png"]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    picture(tmp_path / "in" / "a.png")
    return Bench(picture(tmp_path / "starry.png", seed=9), tmp_path / "out", settings=SETTINGS)


def snapshots(bench: Bench) -> dict[str, bytes]:
    return {name: data for name, data in files(bench.output).items() if "snapshots" in name}


def test_every_third_evaluation_in_the_last_size(bench: Bench, tmp_path: Path) -> None:
    stale = picture(bench.output / "a.png.snapshots" / "000001.png")
    other = picture(bench.output / "a.png.snapshots" / "mine.png")
    bench.run(tmp_path / "in", snapshots=3)
    assert sorted(snapshots(bench)) == [*EVERY_THIRD, "a.png.snapshots/mine.png"], "8 evaluations, at two sizes"
    assert not stale.exists()
    assert other.exists()
    first, second = (Image.open(bench.output / name) for name in EVERY_THIRD)
    assert first.size == second.size == (40, 32), "the second is of the last size, the first enlarged to it"
    assert np.asarray(first).std() > 10
    assert (np.asarray(first) != np.asarray(second)).any()
    assert set(outcomes(bench.run(tmp_path / "in")).values()) == {"up to date"}, "they change no pixel of the painting"


@pytest.mark.parametrize("options", [{"overlap": 2}, {"overlap": 2, "lock_step": True}])
def test_they_are_the_same_for_several_pictures_at_a_time(options: dict[str, Any], bench: Bench, tmp_path: Path) -> None:
    picture(tmp_path / "in" / "b.png", seed=1)
    bench.run(tmp_path / "in", snapshots=3)
    alone = snapshots(bench)
    assert len(alone) == 4
    again = Bench(bench.style, tmp_path / "again", settings=SETTINGS)
    again.run(tmp_path / "in", snapshots=3, **options)
    assert snapshots(again) == alone
    fleet_output = Bench(bench.style, tmp_path / "fleet", settings=SETTINGS)
    if "lock_step" not in options:
        with Fleet(functools.partial(make, style=bench.style), [0]) as fleet, hold([fleet_output.output]):
            journals = {fleet_output.output: Journal.read(fleet_output.output)}
            plan = make_plan(fleet_output.items(tmp_path / "in"), journals, fleet.facts.recipe)
            assert len(list(paint(plan, fleet, journals, snapshots=3))) == 2
        assert snapshots(fleet_output) == alone


def test_a_painting_that_is_taken_up_goes_on_with_them(bench: Bench, tmp_path: Path) -> None:
    stop = Stop()
    left = iter(range(100))

    def before(graph: str) -> None:
        if graph == "gradient" and next(left) == 4:
            stop.request(StopReason.INTERRUPTED, drop=True)

    bench.engine = lambda: SeamEngine(before)
    bench.run(tmp_path / "in", snapshots=3, checkpoint=1000.0, stop=stop)
    assert sorted(snapshots(bench)) == EVERY_THIRD[:1]
    kept = snapshots(bench)
    (row,) = bench.run(tmp_path / "in", snapshots=3, checkpoint=1000.0).rows
    assert "taken up from a checkpoint" in row.reason
    assert sorted(snapshots(bench)) == EVERY_THIRD
    assert kept.items() <= snapshots(bench).items(), "those of before are not written again"


def test_what_is_wrong_with_them_costs_nothing(bench: Bench, tmp_path: Path) -> None:
    bench.output.mkdir()
    (bench.output / "a.png.snapshots").write_text("a file is in the way")
    assert outcomes(bench.run(tmp_path / "in", snapshots=1)) == {"a.png": "painted"}
