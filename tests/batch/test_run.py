"""The run as a function: a job and a watcher go in, an outcome comes out."""

from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

import seams
from nstbatch.runtime.batch.outcome import PhotoOutcome, Row
from nstbatch.runtime.batch.run import Job, forecast, run, warm_up
from nstbatch.runtime.batch.watcher import Watcher
from nstbatch.runtime.engine.host import Host
from nstbatch.runtime.errors import UsageError
from nstbatch.runtime.output.shard import Shard
from nstbatch.runtime.planning.discovery import PhotoChoice
from nstbatch.runtime.planning.masks import MaskFiles
from nstbatch.runtime.planning.placement import Destination
from nstbatch.runtime.planning.styles import StyleChoice
from nstbatch.runtime.recipe.settings import Settings
from nstbatch.runtime.stop import Stop, StopReason
from seams import Bench, SeamEngine, files, outcomes


class Ear(Watcher):
    """Writes down what it hears."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.rows: list[Row] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def finished(self, row: Row) -> None:
        self.rows.append(row)


@pytest.fixture
def job(bench: Bench, tmp_path: Path) -> Job:
    return Job(
        photos=PhotoChoice(photos=[tmp_path / "in"]),
        styles=StyleChoice(style=[bench.style]),
        bundle=seams.bundle,
        settings=Settings.of(**bench.settings),
        host=Host(provider="cpu", cache=tmp_path / "cache"),
        destination=Destination(output=bench.output),
        make_engine=lambda *_: SeamEngine(),
    )


def test_small_styles_are_named(job: Job, bench: Bench, tmp_path: Path) -> None:
    photo = seams.picture(tmp_path / "photo.png", (96, 72))
    seams.picture(bench.style, (40, 32))
    options = {**bench.settings, "size": 96, "scales": "auto"}
    job = replace(job, photos=PhotoChoice(photos=[photo]), settings=Settings.of(**options))

    def notes(job: Job, act: Callable[[Job, Watcher], object] = forecast) -> list[str]:
        ear = Ear()
        act(job, ear)
        return [note for note in ear.notes if "small" in note]

    text = (
        "small for paintings of 96 px, and enlarged 2 times at most, as more would blur them; a larger picture of the style "
        "would give larger strokes"
    )
    for act in (forecast, warm_up, run):
        assert notes(job, act) == [f"{bench.style}: {text}"]
    assert not notes(job), "nothing is to do"
    others = [bench.style, seams.picture(tmp_path / "large.png", (48, 36))]
    each = replace(job, styles=StyleChoice(style=others, style_each=True), destination=Destination())
    assert notes(each) == [f"1 of 2 styles: {text}"]
    assert not notes(replace(each, settings=Settings.of(**options, style_scale=1.0))), "somebody chose its size"


def test_a_job_is_done_once(job: Job, bench: Bench) -> None:
    ear = Ear()
    outcome = run(job, ear)
    assert outcomes(outcome) == dict.fromkeys(("a.png", "b.png", "c.png"), "painted")
    assert ear.rows == outcome.rows
    assert files(bench.output).keys() == {"a.png", "b.png", "c.png"}
    assert run(job).count(PhotoOutcome.UP_TO_DATE) == 3, "a watcher need not be there"


def test_what_does_not_go_together_is_refused_before_the_bundle_is_looked_for(job: Job) -> None:
    def bundle() -> seams.Bundle:
        raise AssertionError("too early")

    for wrong in (
        {"photos": PhotoChoice(photos=[])},
        {"styles": StyleChoice(style=[])},
        {"masks": MaskFiles(content_mask=Path("masks"))},
    ):
        with pytest.raises(UsageError):
            run(replace(job, bundle=bundle, **wrong))


def test_a_guard_may_stop_it(job: Job) -> None:
    @contextmanager
    def guard(stop: Stop):  # type: ignore[no-untyped-def]
        stop.request(StopReason.INTERRUPTED, drop=True)
        yield

    outcome = run(job, guard=guard)
    assert outcome.stopped is StopReason.INTERRUPTED
    assert outcome.left == 3


def test_a_forecast_writes_nothing(job: Job, bench: Bench) -> None:
    found = forecast(job)
    assert found is not None
    assert [task.item.source.name for task in found.plan.tasks] == ["a.png", "b.png", "c.png"]
    assert len(found.seconds) == 3
    assert min(found.seconds) > 0
    assert not bench.output.exists()


def test_warming_up_evaluates_and_paints_nothing(job: Job, bench: Bench) -> None:
    engine = SeamEngine()
    warm_up(replace(job, make_engine=lambda *_: engine))
    assert engine.calls.count("gradient") >= 2, "once in each size of the plan"
    assert not bench.output.exists()


def test_what_a_shard_leaves_to_others_is_noted(job: Job) -> None:
    ear = Ear()
    total = 0
    for number in (1, 2):
        shard = Shard.parse(f"{number}/2")
        total += len(run(replace(job, destination=replace(job.destination, shard=shard)), ear).rows)
    assert total == 3
    assert [note.rpartition(":")[0] for note in ear.notes if note.startswith("shard")] == ["shard 1/2", "shard 2/2"]


def test_an_empty_folder_is_an_empty_outcome(job: Job, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    ear = Ear()
    outcome = run(replace(job, photos=PhotoChoice(photos=[tmp_path / "empty"])), ear)
    assert (outcome.rows, outcome.exit_code) == ([], 0)
    assert ear.notes == ["nothing to do: no photos there"]
