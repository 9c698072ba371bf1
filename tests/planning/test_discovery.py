"""The photos that a user means."""

import os
import subprocess
from pathlib import Path, PurePath

import pytest

from nstbatch.runtime.errors import UsageError
from nstbatch.runtime.files.location import to_location
from nstbatch.runtime.output.names import STATE
from nstbatch.runtime.planning.discovery import discover
from stores import Store


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    top = tmp_path / "photos"
    for name in ("b.JPG", "a.png", "notes.txt", ".hidden.jpg", "2026/c.webp", "2026/may/d.tiff", ".trash/e.jpg"):
        touch(top / name)
    (top / "folder.jpg").mkdir()
    return top


def names(found: object, top: Path) -> list[str]:
    return [photo.source.relative_to(top).as_posix() for photo in found.photos]  # type: ignore[attr-defined]


def test_a_folder_is_its_first_level(tree: Path) -> None:
    found = discover([tree], styles=[tree / "s.jpg"])
    assert names(found, tree) == ["a.png", "b.JPG"]
    assert found.folders == (tree,)


def test_recursive_is_every_level_and_knows_the_place(tree: Path) -> None:
    found = discover([tree], styles=[tree / "s.jpg"], recursive=True)
    assert names(found, tree) == ["a.png", "b.JPG", "2026/c.webp", "2026/may/d.tiff"]
    assert [photo.below for photo in found.photos] == [PurePath(), PurePath(), PurePath("2026"), PurePath("2026/may")]
    assert {photo.base for photo in found.photos} == {tree}


def test_the_style_is_no_photo(tree: Path) -> None:
    assert names(discover([tree], styles=[tree / "a.png"]), tree) == ["b.JPG"]


def test_outputs_below_a_folder_are_no_photos(tree: Path) -> None:
    touch(tree / "2026-starry" / "c.webp")
    (tree / "2026-starry" / ".nstbatch").mkdir()
    found = discover([tree], styles=[tree / "s.jpg"], recursive=True)
    assert "2026-starry/c.webp" not in names(found, tree)
    pattern = discover([tree / "**" / "*.webp"], styles=[tree / "s.jpg"])
    assert names(pattern, tree) == ["2026/c.webp"]


def test_links_to_files_are_photos_and_links_to_folders_are_not_followed(tree: Path) -> None:
    (tree / "link.jpg").symlink_to(tree / "b.JPG")
    (tree / "dangling.jpg").symlink_to("nowhere")
    (tree / "loop.jpg").symlink_to("loop.jpg")
    (tree / "round").symlink_to(tree)
    found = names(discover([tree], styles=[tree / "s.jpg"], recursive=True), tree)
    assert found == ["a.png", "b.JPG", "dangling.jpg", "link.jpg", "loop.jpg", "2026/c.webp", "2026/may/d.tiff"]


def test_a_tree_deeper_than_pythons_recursion(tmp_path: Path) -> None:
    here = os.open(tmp_path, os.O_RDONLY)
    try:
        for _ in range(1200):
            os.mkdir("d", dir_fd=here)
            deeper = os.open("d", os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = deeper
        os.close(os.open("photo.jpg", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    finally:
        os.close(here)
    try:
        (found,) = discover([tmp_path], styles=[tmp_path / "s.jpg"], recursive=True).photos
    finally:
        # pytest's own cleaning up recurses.
        subprocess.run(["rm", "-rf", tmp_path / "d"], check=True)
    assert found.source.name == "photo.jpg"


def test_a_folder_below_that_cannot_be_read_is_a_row(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.scandir

    def denied(path: Path) -> object:
        if Path(path).name == "2026":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", denied)
    found = discover([tree], styles=[tree / "s.jpg"], recursive=True)
    assert found.photos[-1].source == tree / "2026"
    assert found.photos[-1].error == "folder cannot be read (Permission denied)"
    with pytest.raises(UsageError, match=r"2026: cannot be read \(Permission denied\)"):
        discover([tree / "2026"], styles=[tree / "s.jpg"])


def test_patterns(tree: Path) -> None:
    found = discover([tree / "**" / "*.[wt]*"], styles=[tree / "s.jpg"])
    assert names(found, tree) == ["2026/c.webp", "2026/may/d.tiff"], "no notes.txt: it cannot be written"
    assert {photo.base for photo in found.photos} == {tree}
    assert discover([tree / "*.gif*"], styles=[tree / "s.jpg"]).photos == ()
    with pytest.raises(UsageError, match=r"no such folder as .*absent"):
        discover([tree / "absent" / "*.jpg"], styles=[tree / "s.jpg"])


def test_brackets_in_names_that_exist_are_no_pattern(tmp_path: Path) -> None:
    photo = touch(tmp_path / "trip [1]" / "a[2].jpg")
    assert discover([photo], styles=[tmp_path / "s.jpg"]).photos[0].source == photo
    (found,) = discover([tmp_path / "trip [1]" / "*.jpg"], styles=[tmp_path / "s.jpg"]).photos
    assert (found.source, found.base) == (photo, photo.parent)


def test_a_photo_named_twice_counts_once(tree: Path) -> None:
    again = tree / ".." / "photos" / "a.png"
    assert len(discover([tree, tree / "a.png", again], [tree / "a.png"], styles=[tree / "s.jpg"]).photos) == 2


@pytest.mark.parametrize(
    ("name", "message"), [("absent", "no such file or folder"), ("notes.txt", r"\.txt is no photo that is read")]
)
def test_what_was_named_must_be_there(tree: Path, name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        discover([tree / name], styles=[tree / "s.jpg"])
    (found,) = discover([], [tree / name.replace("absent", "absent.jpg")], styles=[tree / "s.jpg"]).photos
    assert found.error is not None, "in a list it is a row"


def test_relative_paths_of_a_list_are_mirrored(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree)
    listed = [Path("a.png"), Path("2026/may/d.tiff"), tree / "2026/c.webp", Path("../photos/b.JPG")]
    found = discover([], listed, styles=[tree / "s.jpg"]).photos
    assert [photo.under_output for photo in found] == [PurePath(), PurePath("2026/may"), None, None]


def test_folders_of_a_list_are_mirrored_as_its_files_are(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree)
    found = discover([], [Path("a.png"), Path("2026")], styles=[tree / "s.jpg"], recursive=True).photos
    assert [photo.under_output for photo in found] == [PurePath(), PurePath("2026"), PurePath("2026/may")]
    assert {photo.under_output for photo in discover([], [tree / "2026"], styles=[tree / "s.jpg"]).photos} == {None}


def test_what_is_made_besides_paintings_is_no_photo(tmp_path: Path) -> None:
    """Paintings may be photos of another run; their thumbnails and snapshots are not meant."""
    made = ("report_files/b.png", "a.png.snapshots/000001.png", "deep/a.png.snapshots/000001.png")
    for name in ("a.png", "deep/c.png", *made):
        path = tmp_path / "out" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    style = tmp_path / "s.png"
    for inputs in ([tmp_path / "out"], [tmp_path / "out" / "**" / "*.png"]):
        found = discover(inputs, styles=[style], recursive=True)
        assert [photo.source.relative_to(tmp_path / "out").as_posix() for photo in found.photos] == ["a.png", "deep/c.png"]


@pytest.mark.usefixtures("stored")
def test_folders_that_are_outputs_are_left_out(store: Store) -> None:
    from nstbatch.runtime.planning.discovery import discover

    store.put(f"in/painted/{STATE}/journal-1.jsonl", b"")
    store.put("in/painted/a.png", b"")
    store.put("in/painted/deeper/a.png", b"")
    store.put("in/report_files/a.jpg", b"")

    def found(recursive: bool) -> list[str]:
        inputs = discover([to_location(f"{store.url}/in")], styles=[], recursive=recursive)
        return [str(photo.source).removeprefix(f"{store.url}/in/") for photo in inputs.photos]

    assert found(recursive=True) == ["a.png", "b.png", "below/c.png"]
    assert found(recursive=False) == ["a.png", "b.png"]


def test_a_list_of_urls(store: Store, stored: list[str], tmp_path: Path) -> None:
    from nstbatch.runtime.planning.discovery import discover

    listed = [to_location(stored[0]), to_location(stored[2]), tmp_path / "none.png"]
    inputs = discover([], listed, styles=[])
    assert [str(photo.source) for photo in inputs.photos] == [stored[0], stored[2], str(tmp_path / "none.png")]
    assert [photo.error for photo in inputs.photos] == [None, None, "no such file"]
