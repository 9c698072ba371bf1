"""Small copies for the page."""

from pathlib import Path

import pytest
from PIL import Image

from nstbatch.cli.report.page import rebuild
from nstbatch.runtime.output.lock import hold
from nstbatch.runtime.output.names import REPORT_FILES
from nstbatch.runtime.pictures.photo import read_thumbnail
from seams import Bench, picture


def test_a_report_during_a_run_leaves_its_thumbnails(bench: Bench, tmp_path: Path) -> None:
    bench.run(tmp_path / "in")
    new = picture(bench.output / REPORT_FILES / f"{'1' * 24}.jpg")
    torn = bench.output / REPORT_FILES / f".{'0' * 16}.tmp"
    torn.touch()
    with hold([bench.output]):
        rebuild(bench.output)
        assert new.exists()
    rebuild(bench.output)
    assert not new.exists()
    assert not torn.exists(), "what a killed run left"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench.of(tmp_path, "a.png", settings={"size": 40, "iterations": 3, "scales": "1"})


def test_thumbnails_are_upright_and_on_white(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    photo = Image.new("RGB", (1200, 400), "white")
    photo.paste("red", (0, 0, 600, 400))
    photo.save(tmp_path / "a.jpg", exif=exif)
    small = read_thumbnail(tmp_path / "a.jpg", 300)
    assert small.size == (100, 300)
    assert small.getpixel((50, 50))[1] < 20 < 200 < small.getpixel((50, 250))[1], "red above"
    Image.new("RGBA", (64, 48), (255, 0, 0, 0)).save(tmp_path / "b.png")
    assert read_thumbnail(tmp_path / "b.png", 300).getpixel((30, 20)) == (255, 255, 255)
