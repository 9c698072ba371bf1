"""A grid of one photo, to choose from."""

import itertools
import shutil
from pathlib import Path

import pytest
from PIL import Image

from nstbatch.cli.commands.paint import paint
from nstbatch.cli.commands.sweep import SWEEPABLE
from nstbatch.runtime.bundle.spec import Bundle
from process import Call


def test_every_name_is_an_option_of_paint() -> None:
    assert set(SWEEPABLE) <= {parameter.name for parameter in paint.params}


@pytest.fixture
def photo(samples: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(samples / "photos" / "town.jpg", tmp_path / "town.jpg"))


def test_a_grid_of_two_options(bundle: Bundle, samples: Path, photo: Path, nstbatch: Call) -> None:
    arguments = ("sweep", photo, "--style", samples / "starry.jpg", "--bundle", bundle.path, "--iterations", 2)
    options = ("--style-weight", "1,1e3", "--size", "40,48")
    result = nstbatch(*arguments, *options)
    assert result.returncode == 0, result.stderr
    folder = photo.parent / "town-sweep"
    pairs = itertools.product((40, 48), ("1.0", "1000.0"))
    names = {f"town style-weight {weight}, size {size}.jpg" for size, weight in pairs}
    assert {path.name for path in folder.iterdir() if path.is_file()} == {*names, "sheet.png", "report.html"}
    assert len({path.read_bytes() for path in folder.glob("town*.jpg")}) == 4
    with Image.open(folder / "sheet.png") as sheet:
        assert sheet.width > 2 * 320
        assert sheet.height > 2 * 224
    assert result.stdout.count("1 painted") == 4
    # One value more costs its pictures alone.
    again = nstbatch(*arguments, "--style-weight", "1,1e3,10", "--size", "40,48")
    assert again.stdout.count("1 painted") == 2
    assert again.stdout.count("1 up to date") == 4


def test_a_row_of_one_option(bundle: Bundle, samples: Path, photo: Path, nstbatch: Call, tmp_path: Path) -> None:
    arguments = ("sweep", photo, "--style", samples / "starry.jpg", "--bundle", bundle.path, "-o", tmp_path / "out")
    result = nstbatch(*arguments, "--iterations", 1, "--size", 40, "--colors", "style,photo,blend:0.5")
    assert result.returncode == 0, result.stderr
    assert len(list((tmp_path / "out").glob("town colors *.jpg"))) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "one or two options with several values, got 0"),
        (("--size", "40,48", "--seed", "1,2", "--iterations", "1,2"), "got 3"),
        (("--size", "40,x"), "x"),
        (("--preset", "gatys,monet"), "monet"),
    ],
)
def test_arguments_that_make_no_sense(
    options: tuple[str, ...], message: str, bundle: Bundle, samples: Path, photo: Path, nstbatch: Call
) -> None:
    result = nstbatch("sweep", photo, "--style", samples / "starry.jpg", "--bundle", bundle.path, *options)
    assert result.returncode == 2
    assert message in result.stderr
    assert not (photo.parent / "town-sweep").exists()
