"""What a run will do, known before the first evaluation."""

import itertools
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nstbatch.runtime.batch.estimate import estimate
from nstbatch.runtime.errors import UsageError
from nstbatch.runtime.painting.stylizer import Stylizer
from nstbatch.runtime.planning.budget import Budget
from nstbatch.runtime.planning.discovery import discover
from nstbatch.runtime.planning.placement import Destination, Item, make_items, refuse_unwritable
from nstbatch.runtime.planning.plan import Plan, Policy, Task, TaskState
from nstbatch.runtime.recipe.fingerprint import VERSION
from nstbatch.runtime.recipe.settings import Settings
from nstbatch.runtime.recipe.size import Size
from seams import SPEC, Bench, SeamEngine, outcomes, picture


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def items_of(inputs: list[Path], style: Path, output: Path | None = None, **options: Any) -> list[Any]:
    name = options.pop("name", "{stem}{ext}")
    return make_items(discover(inputs, styles=[style], **options), [style], Destination(output=output, name=name))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    for seed, name in enumerate(("a.png", "b.png", "deep/c.png")):
        picture(tmp_path / "in" / name, seed=seed)
    return Bench(picture(tmp_path / "starry.png", seed=9), tmp_path / "out")


# Where paintings go


def test_a_folder_goes_beside_itself(tmp_path: Path) -> None:
    touch(tmp_path / "holiday" / "a.jpg")
    touch(tmp_path / "holiday" / "deep" / "b.jpg")
    items = items_of([tmp_path / "holiday"], tmp_path / "starry night.jpg", recursive=True)
    root = tmp_path / "holiday-starry night"
    assert [item.target for item in items] == [root / "a.jpg", root / "deep" / "b.jpg"]
    assert {item.root for item in items} == {root}
    assert [item.key for item in items] == ["a.jpg", "deep/b.jpg"]


def test_a_trailing_dot_is_the_folder_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "holiday" / "a.jpg")
    monkeypatch.chdir(tmp_path / "holiday")
    assert items_of([Path()], Path("../starry.jpg"))[0].target == tmp_path / "holiday-starry" / "a.jpg"


def test_a_file_goes_where_its_folder_would(tmp_path: Path) -> None:
    photo = touch(tmp_path / "holiday" / "a.jpg")
    (item,) = items_of([photo], tmp_path / "starry.jpg")
    assert (item.source, item.target) == (photo, tmp_path / "holiday-starry" / "a.jpg")


def test_output_takes_everything(tmp_path: Path) -> None:
    touch(tmp_path / "one" / "a.jpg")
    touch(tmp_path / "two" / "deep" / "b.jpg")
    items = items_of([tmp_path / "one", tmp_path / "two"], tmp_path / "s.jpg", tmp_path / "out", recursive=True)
    assert [item.target for item in items] == [tmp_path / "out" / "a.jpg", tmp_path / "out" / "deep" / "b.jpg"]


def test_names(tmp_path: Path) -> None:
    photo = touch(tmp_path / "in" / "a.b.JPG")
    (item,) = items_of([photo], tmp_path / "starry.jpg", tmp_path / "out", name="{stem}.{style}{ext}")
    assert item.target.name == "a.b.starry.JPG"
    (item,) = items_of([photo], tmp_path / "starry.jpg", tmp_path / "out", name="x-{stem}.png")
    assert item.target.name == "x-a.b.png"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("{stem}", "must end with {ext}"),
        ("{stem}.gif", "must end with {ext}"),
        ("{folder}{ext}", "use {stem}, {style}, {ext}"),
        ("{stem.__class__}{ext}", "not understood"),
        ("{}{ext}", "not understood"),
        ("{stem", "not understood"),
        ("sub/{stem}{ext}", "not a path"),
        (".{stem}{ext}", "not hidden"),
    ],
)
def test_names_that_cannot_be_meant(name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        items_of([touch(tmp_path / "in" / "a.jpg")], tmp_path / "s.jpg", name=name)


@pytest.mark.parametrize(
    ("inputs", "output", "message"),
    [
        (["one", "two"], "out", r"one/a\.jpg and .*two/a\.jpg would both be written to .*out/a\.jpg; .* \(and 1 more\)"),
        (["one"], "one", "would replace an input"),
        (["one"], "one/sub", "lies inside the input"),
        (["one/a.jpg"], "one", "would replace an input"),
        (["two/a.jpg"], "styles", "would replace an input"),
        (["two"], "one/notes.txt", r"one/notes\.txt is a file"),
        (["two"], "one/notes.txt/deeper", r"one/notes\.txt is a file"),
    ],
)
def test_what_cannot_be_meant_is_found_before_the_run(inputs: list[str], output: str, message: str, tmp_path: Path) -> None:
    for name in ("one/a.jpg", "one/notes.txt", "one/b.jpg", "two/a.jpg", "two/b.jpg"):
        touch(tmp_path / name)
    style = touch(tmp_path / "styles" / "a.jpg")
    with pytest.raises(UsageError, match=message):
        items_of([tmp_path / i for i in inputs], style, tmp_path / output)


def test_a_folder_without_permission_is_refused(tmp_path: Path) -> None:
    # Root may write anywhere, so the answer of the system is stood in for.
    refuse_unwritable([tmp_path / "out"], access=lambda path, mode: True)
    with pytest.raises(UsageError, match="no permission on"):
        refuse_unwritable([tmp_path / "out"], access=lambda path, mode: path != tmp_path)


def test_thousands_are_quick_to_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "many").mkdir()
    for i in range(3000):
        (tmp_path / "many" / f"{i}.jpg").touch()
    calls = 0
    real = os.path.realpath

    def counted(path: Path) -> str:
        nonlocal calls
        calls += 1
        return real(path)

    monkeypatch.setattr(os.path, "realpath", counted)
    assert len(items_of([tmp_path / "many"], tmp_path / "s.jpg")) == 3000
    assert calls < 5 * 3000, "work grows with the number of photos, not with its square"


folders = st.dictionaries(
    st.sampled_from(["x", "y", "z", "x/deep"]), st.lists(st.sampled_from("abcd"), max_size=4, unique=True), min_size=1
)


@settings(max_examples=80, deadline=None)
@given(
    tree=folders,
    extension=st.sampled_from([".jpg", ".png", ".webp", ".TIF"]),
    own=st.booleans(),
    recursive=st.booleans(),
    name=st.sampled_from(["{stem}{ext}", "{stem}.{style}{ext}", "same{ext}"]),
)
def test_no_two_photos_share_an_output_and_none_is_an_input(
    tree: dict[str, list[str]],
    extension: str,
    own: bool,
    recursive: bool,
    name: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    root = tmp_path_factory.mktemp("plan")
    photos = {touch(root / folder / f"{stem}{extension}") for folder, stems in tree.items() for stem in stems}
    inputs = [root / folder for folder in tree]
    for folder in inputs:
        folder.mkdir(exist_ok=True, parents=True)
    try:
        items = items_of(inputs, root / "style.jpg", None if own else root / "out", recursive=recursive, name=name)
    except UsageError:
        nested = "x" in tree and "x/deep" in tree
        stems = [stem for stems in tree.values() for stem in stems]
        assert nested or len(stems) != len(set(stems)) or (name == "same{ext}" and len(stems) > 1)
        return
    assert {item.source for item in items} == photos
    targets = [item.target for item in items]
    assert len(targets) == len(set(targets))
    assert not photos & set(targets)
    assert not any(folder in target.parents for folder in inputs for target in targets)
    assert all(item.root in item.target.parents for item in items)


# What is done already


def states(bench: Bench, *inputs: Path, **options: Any) -> dict[str, tuple[str, str]]:
    plan = bench.plan(*inputs, recursive=True, **options)
    return {task.item.key: (task.state.value, task.reason) for task in plan.tasks}


def test_done_means_done(bench: Bench, tmp_path: Path) -> None:
    photos = tmp_path / "in"
    assert states(bench, photos) == dict.fromkeys(("a.png", "b.png", "deep/c.png"), ("to do", "new"))
    assert outcomes(bench.run(photos, recursive=True)) == dict.fromkeys(("a.png", "b.png", "c.png"), "painted")
    assert {state for state, _ in states(bench, photos).values()} == {"up to date"}
    again = bench.run(photos, recursive=True)
    assert set(outcomes(again).values()) == {"up to date"}
    assert all(row.seconds == 0 for row in again.rows)


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


def replaced_and_dated_back(path: Path) -> None:
    status = path.stat()
    other = picture(path.with_name("other.png"), seed=77)
    path.write_bytes(other.read_bytes()[: status.st_size].ljust(status.st_size, b"\0"))
    other.unlink()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


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


@pytest.mark.parametrize(
    ("options", "redone"),
    [
        ({"iterations": 5}, True),
        ({"style_weight": 11.0}, True),
        ({"content_weight": 2.0}, True),
        ({"tv_weight": 1.0}, True),
        ({"scales": "40"}, True),
        ({"init": "noise"}, True),
        ({"init": "style"}, True),
        ({"history": 3}, True),
        ({"size": 400}, False),  # the scales say the sizes
        ({"scales": "32,4000", "size": 48}, True),
        ({"seed": 5}, False),  # nothing is drawn
    ],
)
def test_an_option_redoes_what_it_changes(options: dict[str, Any], redone: bool, bench: Bench, tmp_path: Path) -> None:
    photos = tmp_path / "in"
    bench.run(photos)
    bench.settings |= options
    expected = ("to do", "the options have changed") if redone else ("up to date", "painted already")
    assert set(states(bench, photos / "a.png").values()) == {expected}


def test_a_size_above_the_photos_changes_nothing(bench: Bench, tmp_path: Path) -> None:
    bench.settings |= {"scales": "auto", "size": 48}
    large = picture(tmp_path / "in" / "large.png", (100, 80))
    bench.run(tmp_path / "in")
    bench.settings |= {"size": 64}
    found = states(bench, tmp_path / "in" / "a.png", large)
    assert found["a.png"][0] == "up to date", "48 pixels wide"
    assert found["large.png"] == ("to do", "the options have changed")


def test_seed_counts_where_there_is_noise(bench: Bench, tmp_path: Path) -> None:
    bench.settings |= {"init": "noise", "seed": 1}
    bench.run(tmp_path / "in")
    bench.settings |= {"seed": 2}
    assert states(bench, tmp_path / "in" / "a.png")["a.png"][0] == "to do"


def test_style_start_and_name_count(bench: Bench, tmp_path: Path) -> None:
    photos = tmp_path / "in"
    start = picture(tmp_path / "start.png", seed=3)
    bench.settings |= {"init": str(start)}
    bench.run(photos, recursive=True)
    renamed = start.rename(tmp_path / "renamed.png")
    bench.settings |= {"init": str(renamed)}
    assert {state for state, _ in states(bench, photos).values()} == {"up to date"}, "the content counts, not the name"
    picture(renamed, seed=4)
    assert {state for state, _ in states(bench, photos).values()} == {"to do"}
    picture(renamed, seed=3)
    assert {state for state, _ in states(bench, photos).values()} == {"up to date"}
    picture(bench.style, seed=10)
    assert {reason for _, reason in states(bench, photos).values()} == {"the options have changed"}


def test_another_version_of_the_recipe(bench: Bench, tmp_path: Path) -> None:
    bench.run(tmp_path / "in")
    assert states(bench, tmp_path / "in" / "a.png")["a.png"][0] == "up to date"
    assert states(bench, tmp_path / "in" / "a.png", version=VERSION + 1)["a.png"][0] == "to do"


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


# Memory


def budget(bench: Bench, free: int) -> Budget:
    return Budget(SPEC, Settings(**bench.settings), free)


def test_what_does_not_fit_is_refused_with_the_size_that_would(bench: Bench, tmp_path: Path) -> None:
    bench.settings |= {"size": 1000, "scales": "auto", "iterations": 1}
    large = picture(tmp_path / "in" / "large.png", (1200, 900))
    enough = budget(bench, 0).need(Size(1200, 900))
    assert states(bench, large, budget=budget(bench, enough))["large.png"] == ("to do", "new")
    tight = budget(bench, enough - 100_000_000)
    ((state, reason),) = states(bench, large, budget=tight).values()
    assert state == "refused"
    size = int(reason.rpartition("--size ")[2].split()[0])
    assert tight.need(Size(1200, 900), size) <= tight.free < tight.need(Size(1200, 900), size + 1)
    ((state, reason),) = states(bench, large, budget=budget(bench, 1000)).values()
    assert (state, reason.rpartition("; ")[2]) == ("refused", "no --size would fit")


def test_shrink_to_fit_paints_smaller_and_is_then_done(bench: Bench, tmp_path: Path) -> None:
    bench.settings |= {"size": 400, "scales": "auto", "iterations": 1}
    large = picture(tmp_path / "in" / "large.png", (400, 300))
    tight = budget(bench, budget(bench, 0).need(Size(400, 300)) - 20_000_000)
    shrink = Policy(shrink_to_fit=True)
    report = bench.run(large, budget=tight, policy=shrink)
    assert outcomes(report) == {"large.png": "painted"}
    assert f"at {tight.largest(Size(400, 300))} px, since memory did not suffice" in report.rows[0].reason
    assert states(bench, large, budget=tight, shrink_to_fit=True)["large.png"][0] == "up to date"
    assert states(bench, large)["large.png"] == ("to do", "the options have changed"), "asked for the full size"


@settings(max_examples=100, deadline=None)
@given(width=st.integers(32, 9000), height=st.integers(32, 9000), size=st.integers(32, 5000), free=st.integers(0, 1 << 36))
def test_the_largest_size_is_the_largest(width: int, height: int, size: int, free: int) -> None:
    tight, photo = Budget(SPEC, Settings(size=size), free), Size(width, height)
    largest = tight.largest(photo)
    if largest is None:
        assert tight.need(photo, 32) > free
    else:
        assert tight.need(photo, largest) <= free
        assert largest == max(width, height) or tight.need(photo, largest + 1) > free or largest >= size


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
    bench.run(tmp_path / "many")
    assert estimate(bench.plan(tmp_path / "many"), stylizer) == []


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
