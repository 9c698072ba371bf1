"""RAW files of cameras, made by hand: a mosaic of red, green and blue, and what DNG says of it."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from nstbatch.runtime.errors import ImageError
from nstbatch.runtime.pictures.metadata import IFD0
from nstbatch.runtime.pictures.photo import probe_photo, read_photo, read_thumbnail

pytest.importorskip("rawpy")

SIZE = (96, 64)

_XYZ_TO_SRGB = np.array(
    [[3.2404542, -1.5371385, -0.4985314], [-0.9692660, 1.8760108, 0.0415560], [0.0556434, -0.2040259, 1.0572252]]
)


@pytest.fixture
def scene() -> np.ndarray:
    """Soft colours, in sRGB: ``[H, W, 3]``, 0 to 1."""
    across, down = np.meshgrid(np.linspace(0, 1, SIZE[0]), np.linspace(0, 1, SIZE[1]))
    return np.stack([across, down, 0.6 - 0.4 * across], axis=-1)


def write_dng(path: Path, scene: np.ndarray, orientation: int = 1) -> Path:
    """As a camera whose filters are sRGB's primaries would see it."""
    linear = np.where(scene <= 0.04045, scene / 12.92, ((scene + 0.055) / 1.055) ** 2.4)
    mosaic = linear[..., 1].copy()
    mosaic[0::2, 0::2], mosaic[1::2, 1::2] = linear[0::2, 0::2, 0], linear[1::2, 1::2, 2]
    matrix = [number for value in _XYZ_TO_SRGB.ravel() for number in (round(value * 10000), 10000)]
    tags = [
        *((271, "s", 0, "Maker", True), (272, "s", 0, "Model", True), (274, "H", 1, orientation, True)),
        *((33421, "H", 2, (2, 2), True), (33422, "B", 4, b"\0\1\1\2", True), (50706, "B", 4, b"\1\4\0\0", True)),
        *((50708, "s", 0, "Model", True), (50714, "I", 1, 0, True), (50717, "I", 1, 16000, True)),
        *((50721, "2i", 9, tuple(matrix), True), (50728, "2I", 3, (1, 1, 1, 1, 1, 1), True)),
    ]
    cfa = 32803
    tifffile.imwrite(path, (mosaic * 16000).astype(np.uint16), photometric=cfa, extratags=tags, metadata=None)
    return path


def test_it_is_developed_in_colours_as_they_were_seen(scene: np.ndarray, tmp_path: Path) -> None:
    photo = read_photo(write_dng(tmp_path / "a.DNG", scene))
    assert (photo.kind, photo.picture.size, photo.notes) == ("RAW", SIZE, ("a RAW file, developed by LibRaw",))
    assert probe_photo(tmp_path / "a.DNG").size == SIZE
    developed = np.asarray(photo.picture.rgb, np.float64) / 255
    # LibRaw may brighten the whole, and nothing else; at its edges a mosaic lacks neighbours.
    inner = (slice(4, -4), slice(4, -4))
    gain = (developed[inner] ** 2.2).mean() / (scene[inner] ** 2.2).mean()
    assert 0.9 < gain < 1.6
    assert np.abs(developed[inner] ** 2.2 / gain - scene[inner] ** 2.2).mean() < 0.05


@pytest.mark.parametrize(
    ("orientation", "turn"),
    [(3, Image.Transpose.ROTATE_180), (6, Image.Transpose.ROTATE_270), (8, Image.Transpose.ROTATE_90)],
)
def test_it_stands_upright_once(orientation: int, turn: Image.Transpose, scene: np.ndarray, tmp_path: Path) -> None:
    lying = read_photo(write_dng(tmp_path / "a.dng", scene)).picture.rgb
    upright = read_photo(write_dng(tmp_path / "b.dng", scene, orientation)).picture
    expected = lying.transpose(turn)
    assert upright.rgb.size == expected.size == probe_photo(tmp_path / "b.dng").size
    assert np.abs(np.asarray(upright.rgb, np.int16) - np.asarray(expected, np.int16)).mean() < 3


def test_of_its_metadata_only_what_a_painting_may_have(scene: np.ndarray, tmp_path: Path) -> None:
    exif = read_photo(write_dng(tmp_path / "a.dng", scene)).picture.metadata.exif
    assert {271: "Maker", 272: "Model"}.items() <= exif[IFD0].items()
    assert not any(tag >= 50706 or tag in (33421, 33422) for tag in exif[IFD0])


def test_a_thumbnail_is_half_developed(scene: np.ndarray, tmp_path: Path) -> None:
    small = read_thumbnail(write_dng(tmp_path / "a.dng", scene), 48)
    assert small.size == (48, 32)
    whole = read_photo(tmp_path / "a.dng").picture.rgb.resize(small.size, Image.Resampling.BOX)
    assert np.abs(np.asarray(small, np.int16) - np.asarray(whole, np.int16)).mean() < 12


def test_what_is_no_raw_is_what_its_content_says(tmp_path: Path) -> None:
    Image.new("RGB", SIZE, "teal").save(tmp_path / "a.dng", "JPEG")
    photo = read_photo(tmp_path / "a.dng")
    assert (photo.kind, photo.picture.size) == ("JPEG", SIZE)


@pytest.mark.parametrize("length", [0, 60, 500, 8000])
def test_a_damaged_one_is_an_error_of_one_line(length: int, scene: np.ndarray, tmp_path: Path) -> None:
    path = write_dng(tmp_path / "a.dng", scene)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ImageError, match=r"a\.dng: [^\n]+$"):
        read_photo(path)


def test_a_bomb_is_not_developed(scene: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="--max-megapixels"):
        read_photo(write_dng(tmp_path / "a.dng", scene), max_megapixels=0.005)


def test_of_one_that_libraw_does_not_know_no_thumbnail_is_painted(tmp_path: Path) -> None:
    Image.new("RGB", SIZE, "teal").save(tmp_path / "new_camera.nef", "TIFF")
    with pytest.raises(ImageError, match=r"new_camera\.nef: no RAW file that LibRaw knows"):
        read_photo(tmp_path / "new_camera.nef")
