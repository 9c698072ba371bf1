"""Where paintings go."""

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nstbatch.runtime.errors import UsageError
from nstbatch.runtime.planning.discovery import discover
from nstbatch.runtime.planning.placement import Destination, check_name, make_items, refuse_unwritable


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def items_of(inputs: list[Path], style: Path, output: Path | None = None, **options: Any) -> list[Any]:
    name = options.pop("name", "{stem}{ext}")
    return make_items(discover(inputs, styles=[style], **options), [style], Destination(output=output, name=name))


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
def test_names_that_make_no_sense(name: str, message: str, tmp_path: Path) -> None:
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
def test_paths_that_make_no_sense_are_refused_before_the_run(
    inputs: list[str], output: str, message: str, tmp_path: Path
) -> None:
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


def test_a_read_only_file_system_is_called_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fields = list(os.statvfs(tmp_path))
    fields[8] |= os.ST_RDONLY
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result(fields))
    with pytest.raises(UsageError, match=r"the file system of .* is read-only"):
        refuse_unwritable([tmp_path / "out"])


@pytest.mark.parametrize(
    "template", ["{stem:>999999999}{ext}", "{stem!r}{ext}", "{stem:{style}}{ext}", "{stem.__class__}{ext}", "{stem[0]}{ext}"]
)
def test_fields_of_names_take_no_format(template: str) -> None:
    with pytest.raises(UsageError, match=r"take no format|not understood"):
        check_name(template)


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


def test_what_is_not_written_gets_another_extension(tmp_path: Path) -> None:
    for name in ("a.bmp", "a.jpg", "b.gif", "c.bmp", "c.gif", "d.PNG"):
        touch(tmp_path / "in" / name)
    style = touch(tmp_path / "s.png")
    found = discover([tmp_path / "in"], styles=[style])

    def names(**options: str) -> list[str]:
        return [item.key for item in make_items(found, [style], Destination(output=tmp_path / "out", **options))]

    assert names() == ["a.bmp.jpg", "a.jpg", "b.jpg", "c.bmp.jpg", "c.gif.jpg", "d.PNG"]
    assert names(format="png") == ["a.bmp.png", "a.jpg.png", "b.png", "c.bmp.png", "c.gif.png", "d.png"]
    assert names(name="{stem}_painted{ext}")[2:4] == ["b_painted.jpg", "c_painted.bmp.jpg"]
