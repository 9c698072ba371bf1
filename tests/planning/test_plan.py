"""What a run will do, known before the first evaluation."""

import itertools
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nstbatch.runtime.output.journal import Journal
from nstbatch.runtime.planning.placement import Item
from nstbatch.runtime.planning.plan import Plan, Policy, Task, TaskState, make_plan
from nstbatch.runtime.recipe.settings import Settings
from nstbatch.runtime.recipe.size import Size
from seams import Bench, SeamEngine, outcomes, picture, states


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench.of(tmp_path, "a.png", "b.png", "deep/c.png")


def test_done_means_done(bench: Bench, tmp_path: Path) -> None:
    photos = tmp_path / "in"
    assert states(bench, photos) == dict.fromkeys(("a.png", "b.png", "deep/c.png"), ("to do", "new"))
    assert outcomes(bench.run(photos, recursive=True)) == dict.fromkeys(("a.png", "b.png", "c.png"), "painted")
    assert {state for state, _ in states(bench, photos).values()} == {"up to date"}
    again = bench.run(photos, recursive=True)
    assert set(outcomes(again).values()) == {"up to date"}
    assert all(row.seconds == 0 for row in again.rows)


def test_what_the_format_does_not_hold_is_refused_before_it_is_painted(bench: Bench, tmp_path: Path) -> None:
    picture(tmp_path / "in" / "panorama.png", (17_000, 33))
    recipe, journals = bench.stylizer().facts.recipe, {bench.output: Journal.read(bench.output)}

    def tasks(name: str) -> tuple[Task, ...]:
        return make_plan(bench.items(tmp_path / "in", name=name), journals, recipe).tasks

    found = {task.item.source.name: (task.state, task.reason) for task in tasks("{stem}.webp")}
    state, reason = found["panorama.png"]
    assert state is TaskState.REFUSED
    assert reason == "WEBP holds 16,383 pixels along a side, this has 17,000; take --name '{stem}.png'"
    assert {state for name, (state, _) in found.items() if name != "panorama.png"} == {TaskState.TODO}
    assert {task.state for task in tasks("{stem}.png")} == {TaskState.TODO}


def touched(photos: Path, output: Path) -> None:
    for path in [*photos.rglob("*.png"), *output.rglob("*.png")]:
        os.utime(path)


def moved(photos: Path, output: Path) -> None:
    """Copied to another disk and back, with new inodes and times."""
    for folder in (photos, output):
        shutil.copytree(folder, folder.with_name("copy"))
        shutil.rmtree(folder)
        folder.with_name("copy").rename(folder)


def harmless(photos: Path, output: Path) -> None:
    (output / "notes.txt").write_text("mine")
    picture(output / "also mine.png")


@pytest.mark.parametrize("change", [touched, moved, harmless])
def test_what_has_the_same_content_is_done(change: Callable[[Path, Path], None], bench: Bench, tmp_path: Path) -> None:
    bench.run(tmp_path / "in", recursive=True)
    change(tmp_path / "in", bench.output)
    assert {state for state, _ in states(bench, tmp_path / "in").values()} == {"up to date"}


def edited(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    status = path.stat()
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))


def photo_edited(bench: Bench, photos: Path) -> None:
    picture(photos / "a.png", seed=50)


def photo_replaced_and_dated_back(bench: Bench, photos: Path) -> None:
    path = photos / "a.png"
    status = path.stat()
    size = len(picture(photos / "a.png", seed=50).read_bytes())
    with path.open("ab") as file:
        file.write(b"\0" * max(0, status.st_size - size))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def output_deleted(bench: Bench, photos: Path) -> None:
    (bench.output / "a.png").unlink()


def output_edited(bench: Bench, photos: Path) -> None:
    edited(bench.output / "a.png")


def output_torn(bench: Bench, photos: Path) -> None:
    path = bench.output / "a.png"
    path.write_bytes(path.read_bytes()[:100])


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (photo_edited, "the photo has changed"),
        (photo_replaced_and_dated_back, "the photo has changed"),
        (output_deleted, "deleted"),
        (output_edited, "changed by hand"),
        (output_torn, "changed by hand"),
    ],
)
def test_a_change_redoes_that_picture_and_no_other(
    change: Callable[[Bench, Path], None], word: str, bench: Bench, tmp_path: Path
) -> None:
    photos = tmp_path / "in"
    bench.run(photos, recursive=True)
    change(bench, photos)
    found = states(bench, photos)
    assert found.pop("a.png")[0] == "to do"
    assert word in states(bench, photos)["a.png"][1]
    assert {state for state, _ in found.values()} == {"up to date"}
    assert outcomes(bench.run(photos, recursive=True)) == {"a.png": "painted", "b.png": "up to date", "c.png": "up to date"}
    assert {state for state, _ in states(bench, photos).values()} == {"up to date"}


def test_force(bench: Bench, tmp_path: Path) -> None:
    bench.run(tmp_path / "in")
    assert set(states(bench, tmp_path / "in" / "a.png", force=True).values()) == {("to do", "forced")}
    again = bench.run(tmp_path / "in", policy=Policy(force=True))
    assert set(outcomes(again).values()) == {"painted"}


def test_keep_existing_never_replaces_what_the_journal_does_not_know(bench: Bench, tmp_path: Path) -> None:
    photos = tmp_path / "in"
    mine = picture(bench.output / "a.png", seed=60).read_bytes()
    assert states(bench, photos)["a.png"] == ("to do", "replaces a file that the journal does not know")
    keep = Policy(keep_existing=True)
    assert outcomes(bench.run(photos, policy=keep)) == {"a.png": "kept", "b.png": "painted"}
    assert (bench.output / "a.png").read_bytes() == mine
    edited(bench.output / "b.png")
    theirs = (bench.output / "b.png").read_bytes()
    for policy in (keep, Policy(keep_existing=True, force=True)):
        assert outcomes(bench.run(photos, policy=policy)) == {"a.png": "kept", "b.png": "kept"}
    assert (bench.output / "b.png").read_bytes() == theirs
    (bench.output / "b.png").unlink()
    bench.run(photos, policy=keep)
    bench.settings["iterations"] = 5
    assert outcomes(bench.run(photos, policy=keep)) == {"a.png": "kept", "b.png": "painted"}, "this one it knows"


def test_keep_existing_holds_for_a_file_that_appears_during_the_run(bench: Bench, tmp_path: Path) -> None:
    def appear(_: object) -> None:
        picture(bench.output / "a.png", seed=61)

    report = bench.run(tmp_path / "in", policy=Policy(keep_existing=True), between=appear)
    assert outcomes(report) == {"a.png": "kept", "b.png": "painted"}
    expected = picture(tmp_path / "same.png", seed=61).read_bytes()
    assert (bench.output / "a.png").read_bytes() == expected


def test_a_folder_in_the_place_of_an_output_is_refused(bench: Bench, tmp_path: Path) -> None:
    (bench.output / "a.png").mkdir(parents=True)
    assert states(bench, tmp_path / "in")["a.png"][0] == "refused"


def test_a_name_that_grows_too_long_is_refused(bench: Bench, tmp_path: Path) -> None:
    long = picture(tmp_path / "in" / ("x" * 250 + ".png"))
    items = bench.items(long, name="{stem}.{style}{ext}")
    assert len(items[0].target.name) > 255
    bench.items = lambda *_, **__: items  # type: ignore[method-assign]
    ((state, reason),) = states(bench, long).values()
    assert state == "refused"
    assert "longer than 255 bytes" in reason


def test_the_journal_is_one_line_a_picture_that_people_can_read(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "in" / "bad.png").write_text("x")
    bench.run(tmp_path / "in")
    bench.run(tmp_path / "in")
    lines = (bench.output / ".nstbatch" / "journal.jsonl").read_text().splitlines()
    entries = [json.loads(line) for line in lines]
    assert [(e["target"], e["outcome"]) for e in entries] == [
        ("a.png", "painted"),
        ("b.png", "painted"),
        ("bad.png", "failed"),
    ], "the same failure is not journalled every night"
    assert entries[2]["reason"].startswith("not a picture")
    assert all(e["v"] == 1 for e in entries)
    assert bench.plan(tmp_path / "in").count(TaskState.REFUSED) == 1


class StaticEngine(SeamEngine):
    """Has a session for each shape, as far as a batch can see."""

    @property
    def static(self) -> bool:
        return True


@pytest.mark.parametrize(("engine", "expected"), [(SeamEngine, "abcde"), (StaticEngine, "acebd")])
def test_photos_of_one_shape_are_painted_in_a_row_where_another_shape_is_dear(
    tmp_path: Path, engine: type[SeamEngine], expected: str
) -> None:
    sizes = {"a": (48, 36), "b": (36, 48), "c": (48, 36), "d": (36, 48), "e": (48, 36)}
    for seed, (name, size) in enumerate(sizes.items()):
        picture(tmp_path / "in" / f"{name}.png", size, seed)
    bench = Bench(picture(tmp_path / "starry.png", seed=9), tmp_path / "out", engine=engine)
    bench.settings |= {"iterations": 1}
    report = bench.run(tmp_path / "in")
    assert [row.item.source.stem for row in report.rows] == list(expected)
    assert set(outcomes(report).values()) == {"painted"}


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3), st.sampled_from([None, 64])), max_size=12))
def test_by_shape_keeps_every_task_and_the_order_within_a_shape(shapes: list[tuple[int, int, int | None]]) -> None:
    source = Path("photo.png")
    tasks = [
        Task(Item(source, Path(f"{index}.png"), Path()), TaskState.TODO, "new", Size(width, height), limit)
        for index, (width, height, limit) in enumerate(shapes)
    ]
    found = Plan(tuple(tasks)).by_shape().tasks
    keys = [(task.size, task.limit) for task in found]
    runs = [key for key, _ in itertools.groupby(keys)]
    assert len(runs) == len(set(runs)), "one run of tasks for each shape"
    assert sorted(int(task.item.target.stem) for task in found) == list(range(len(tasks)))
    for key in runs:
        numbers = [int(task.item.target.stem) for task in found if (task.size, task.limit) == key]
        assert numbers == sorted(numbers)


def test_shapes_of_a_plan(tmp_path: Path) -> None:
    for seed, size in enumerate([(48, 36), (36, 48), (48, 36), (38, 32)]):
        picture(tmp_path / "in" / f"{seed}.png", size, seed)
    bench = Bench(picture(tmp_path / "starry.png", seed=9), tmp_path / "out", engine=SeamEngine)
    bench.settings |= {"scales": "40,48"}
    plan = bench.plan(tmp_path / "in")
    found = plan.shapes(Settings(size=48, scales="40,48"))
    assert found == {(40, 32): 2, (48, 36): 2, (32, 40): 1, (36, 48): 1, (38, 32): 1}
