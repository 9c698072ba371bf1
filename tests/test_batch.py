"""Plan, run, report."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nstbatch.runtime import ExitCode, make_plan
from nstbatch.runtime import run as run_plan
from nstbatch.runtime.batch import Item, Outcome, Plan, Report, Row
from nstbatch.runtime.errors import UsageError


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_a_folder_goes_beside_itself(tmp_path: Path) -> None:
    for name in ("b.JPG", "a.png", "c.webp", "d.tiff", "notes.txt", ".hidden.jpg"):
        touch(tmp_path / "holiday" / name)
    (tmp_path / "holiday" / "folder.jpg").mkdir()
    style = touch(tmp_path / "starry night.jpg")
    plan = make_plan([tmp_path / "holiday"], style)
    assert [i.source.name for i in plan.items] == ["a.png", "b.JPG", "c.webp", "d.tiff"]
    assert plan.folders == [tmp_path / "holiday-starry night"]
    assert [i.target.name for i in plan.items] == ["a.png", "b.JPG", "c.webp", "d.tiff"]


def test_a_loop_of_links_is_left_for_the_run_to_report(tmp_path: Path) -> None:
    touch(tmp_path / "one" / "a.jpg")
    (tmp_path / "one" / "loop.jpg").symlink_to("loop.jpg")
    assert [i.source.name for i in make_plan([tmp_path / "one"], tmp_path / "s.jpg").items] == ["a.jpg", "loop.jpg"]


def test_the_style_is_no_photo_of_its_folder(tmp_path: Path) -> None:
    for name in ("a.jpg", "style.jpg"):
        touch(tmp_path / "one" / name)
    plan = make_plan([tmp_path / "one"], tmp_path / "one" / "style.jpg")
    assert [i.source.name for i in plan.items] == ["a.jpg"]


def test_a_trailing_dot_is_the_folder_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "holiday" / "a.jpg")
    monkeypatch.chdir(tmp_path / "holiday")
    plan = make_plan([Path()], Path("../starry.jpg"))
    assert plan.items[0].target == tmp_path / "holiday-starry" / "a.jpg"


def test_a_file_goes_where_its_folder_would(tmp_path: Path) -> None:
    photo = touch(tmp_path / "holiday" / "a.jpg")
    plan = make_plan([photo], tmp_path / "starry.jpg")
    assert plan.items == (Item(photo, tmp_path / "holiday-starry" / "a.jpg"),)


def test_output_takes_everything(tmp_path: Path) -> None:
    touch(tmp_path / "one" / "a.jpg")
    touch(tmp_path / "two" / "b.jpg")
    plan = make_plan([tmp_path / "one", tmp_path / "two"], tmp_path / "s.jpg", tmp_path / "out")
    assert [i.target for i in plan.items] == [tmp_path / "out" / "a.jpg", tmp_path / "out" / "b.jpg"]


def test_a_photo_named_twice_is_painted_once(tmp_path: Path) -> None:
    photo = touch(tmp_path / "one" / "a.jpg")
    again = tmp_path / "one" / ".." / "one" / "a.jpg"
    assert len(make_plan([tmp_path / "one", photo, again], tmp_path / "s.jpg").items) == 1


def test_a_folder_without_permission_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Root may write anywhere, so the answer of the system is stood in for.
    photo = touch(tmp_path / "one" / "a.jpg")
    monkeypatch.setattr("nstbatch.runtime.batch.os.access", lambda path, mode: path != tmp_path)
    with pytest.raises(UsageError, match="no permission on"):
        make_plan([photo], tmp_path / "s.jpg", tmp_path / "out")


def test_a_plan_of_thousands_is_quick_to_make(tmp_path: Path) -> None:
    (tmp_path / "many").mkdir()
    for i in range(5000):
        (tmp_path / "many" / f"{i}.jpg").touch()
    calls = 0
    real = os.path.realpath

    def counted(path: Path) -> str:
        nonlocal calls
        calls += 1
        return real(path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os.path, "realpath", counted)
        assert len(make_plan([tmp_path / "many"], tmp_path / "s.jpg").items) == 5000
    assert calls < 5 * 5000, "work grows with the number of photos, not with its square"


@pytest.mark.parametrize(
    ("inputs", "output", "message"),
    [
        (["absent"], None, "absent: no such file or folder"),
        (["one/notes.txt"], None, r"notes\.txt: the output could not be written"),
        (["one", "two"], "out", r"one/a\.jpg and .*two/a\.jpg would both be written to .*out/a\.jpg"),
        (["one"], "one", "would replace an input"),
        (["one"], "one/sub", "lies inside the input"),
        (["one/a.jpg"], "one", "would replace an input"),
        (["two/a.jpg"], "styles", "would replace an input"),
        (["two"], "one/notes.txt", r"one/notes\.txt is a file"),
        (["two"], "one/notes.txt/deeper", r"one/notes\.txt is a file"),
    ],
)
def test_what_cannot_be_meant_is_found_before_the_run(
    inputs: list[str], output: str | None, message: str, tmp_path: Path
) -> None:
    for name in ("one/a.jpg", "one/notes.txt", "two/a.jpg"):
        touch(tmp_path / name)
    style = touch(tmp_path / "styles" / "a.jpg")
    with pytest.raises(UsageError, match=message):
        make_plan([tmp_path / i for i in inputs], style, None if output is None else tmp_path / output)


names = st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=4, unique=True)
extensions = st.sampled_from([".jpg", ".png", ".webp", ".TIF"])


@settings(max_examples=80, deadline=None)
@given(tree=st.dictionaries(st.sampled_from(["x", "y", "z"]), names, min_size=1), extension=extensions, own=st.booleans())
def test_no_two_photos_share_an_output_and_none_is_an_input(
    tree: dict[str, list[str]], extension: str, own: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("plan")
    photos = {touch(root / folder / f"{name}{extension}") for folder, stems in tree.items() for name in stems}
    folders = [root / folder for folder in tree]
    for folder in folders:
        folder.mkdir(exist_ok=True)
    output = None if own else root / "out"
    try:
        plan = make_plan(folders, root / "style.jpg", output)
    except UsageError:
        stems = [name for stems in tree.values() for name in stems]
        assert not own, "beside themselves, folders of different names cannot clash"
        assert len(stems) != len(set(stems))
        return
    assert {i.source for i in plan.items} == photos
    targets = [i.target for i in plan.items]
    assert len(targets) == len(set(targets))
    assert not photos & set(targets)
    assert not any(folder in target.parents for folder in folders for target in targets)


def test_report_owns_the_exit_code_and_the_summary(tmp_path: Path) -> None:
    item = Item(tmp_path / "a.jpg", tmp_path / "b.jpg")
    report = Report([Row(item, Outcome.PAINTED, "all iterations done", 1.5, 10.0)])
    assert report.exit_code is ExitCode.OK
    assert str(report) == "1 painted, 0 failed in 10 s (10.0 s a picture)"
    report.rows.append(Row(item, Outcome.FAILED, "truncated", None, 0.0))
    assert report.exit_code is ExitCode.SOME_FAILED == 3
    assert str(Report()) == "0 painted, 0 failed in 0 s"


def test_any_failure_is_a_row(tmp_path: Path) -> None:
    errors = iter([MemoryError(), OSError(5, "Input/output error"), ZeroDivisionError("in a decoder")])

    class Failing:
        def __call__(self, *_: object) -> None:
            raise next(errors)

    plan = Plan(
        (
            Item(tmp_path / "a.jpg", tmp_path / "x"),
            Item(tmp_path / "b.jpg", tmp_path / "y"),
            Item(tmp_path / "c.jpg", tmp_path / "z"),
        )
    )
    rows = list(run_plan(plan, Failing()))  # type: ignore[arg-type]
    assert [r.outcome for r in rows] == [Outcome.FAILED] * 3
    assert rows[0].reason == "MemoryError"
    assert "Input/output error" in rows[1].reason
    assert rows[2].reason == "ZeroDivisionError: in a decoder"
    assert list(tmp_path.iterdir()) == [], "nothing is made for a picture that failed"


def test_the_runtime_loads_neither_torch_nor_onnx() -> None:
    code = (
        "import sys, nstbatch.runtime; "
        "print([m for m in ('torch', 'onnx', 'onnxscript', 'torchvision', 'click', 'rich') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
