"""What is left out, and said to be."""

from pathlib import Path, PurePath

import pytest

from nstbatch.runtime.pictures.formats import Plugin
from nstbatch.runtime.planning.discovery import discover
from nstbatch.runtime.planning.left_out import SYSTEM, LeftOut
from seams import picture


@pytest.mark.parametrize(
    ("pattern", "path", "excluded"),
    [
        ("*_raw.jpg", "trip/a_raw.jpg", True),
        ("*_raw.jpg", "trip/a.jpg", False),
        ("trip", "trip/deep/a.jpg", True),
        ("trip", "tripod/a.jpg", False),
        ("trip/*", "trip/deep/a.jpg", True),
        ("trip/", "trip/a.jpg", True),
        ("./trip/*", "trip/a.jpg", True),
        ("/trip", "trip/a.jpg", True),
        ("**/trip/**", "trip/a.jpg", True),
        ("trip/a.jpg", "trip/a.jpg", True),
        ("a.jpg", "trip/a.jpg", True),
        ("deep/a.jpg", "trip/deep/a.jpg", False),
        ("A.jpg", "a.jpg", False),
        ("[ab].jpg", "b.jpg", True),
    ],
)
def test_a_pattern_is_of_a_name_or_of_a_path(pattern: str, path: str, excluded: bool) -> None:
    assert LeftOut([pattern]).excludes(PurePath(path)) is excluded


def test_what_is_in_a_folder_besides(tmp_path: Path) -> None:
    top = tmp_path / "in"
    for number, name in enumerate(("a.jpg", "b.jpg", "raw/c.jpg", "raw/d.jpg", "deep/e.png", "deep/skip.png")):
        picture(top / name, seed=number)
    for system in SYSTEM:
        picture(top / system / "thumbnail.jpg")
    for name in ("1.mov", "2.MOV", "3.mov", "x.xmp", "notes.txt", "deep/y.xmp", "Makefile", ".hidden", "raw/z.xmp"):
        (top / name).write_bytes(b"")
    found = discover([top], styles=[], recursive=True, exclude=["raw", "skip.*"])
    assert [photo.source.name for photo in found.photos] == ["a.jpg", "b.jpg", "e.png"]
    assert str(found.left_out) == ("left out: 3 .mov, 2 .xmp, 1 .txt, 1 without an extension, 2 by --exclude")
    flat = discover([top], styles=[], exclude=["b.jpg"])
    assert [photo.source.name for photo in flat.photos] == ["a.jpg"]
    listed = discover([top / "a.jpg"], [top / "b.jpg"], styles=[], exclude=["b.*"])
    assert [photo.source.name for photo in listed.photos] == ["a.jpg"]
    pattern = discover([top / "**" / "*"], styles=[], exclude=["raw/*"])
    assert [photo.source.name for photo in pattern.photos] == ["a.jpg", "b.jpg", "e.png", "skip.png"]
    assert ".mov" in str(pattern.left_out)


def test_a_raw_beside_the_photo_that_the_camera_made_of_it(tmp_path: Path) -> None:
    pytest.importorskip("rawpy")
    for name in ("1.jpg", "1.CR3", "2.nef", "deep/2.jpg", "3.heic", "3.dng"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(b"")
    found = discover([tmp_path / "in"], styles=[], recursive=True)
    assert [photo.source.name for photo in found.photos] == ["1.jpg", "2.nef", "3.heic", "2.jpg"]
    assert str(found.left_out) == "left out: 2 RAW with a photo of the same name beside"


def test_a_plugin_that_would_read_them_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Plugin, "is_installed", False)
    left = LeftOut()
    for _ in range(42):
        left.skip(PurePath("a.HEIC"))
    assert str(left) == "left out: 42 .heic (pip install 'nstbatch[formats]' reads them)"


def test_a_pattern_that_matches_nothing_is_named() -> None:
    left = LeftOut(["trip/", "a.*"])
    assert left.excludes(PurePath("a.jpg"))
    assert str(left) == "left out: 1 by --exclude, nothing by --exclude trip/"


def test_nothing_left_out_is_not_said() -> None:
    assert str(LeftOut()) == ""


def test_many_kinds_are_not_all_named() -> None:
    left = LeftOut()
    for number in range(9):
        for _ in range(9 - number):
            left.skip(PurePath(f"x.{number}"))
    assert str(left) == "left out: 9 .0, 8 .1, 7 .2, 6 .3, 5 .4, 4 .5, 6 of other kinds"
