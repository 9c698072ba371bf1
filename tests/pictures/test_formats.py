"""Kinds of files: what is read, what is written, and what a plugin reads."""

import io
from pathlib import Path, PurePath

import numpy as np
import pytest
from PIL import Image

from nstbatch.runtime.errors import ImageError
from nstbatch.runtime.pictures import formats
from nstbatch.runtime.pictures.formats import format_of, is_read, lacks, why_not, written_extension
from nstbatch.runtime.pictures.photo import probe_photo, read_photo

SIDES = (80, 60)

EXIF = Image.Exif()
EXIF[0x0112] = 6


@pytest.fixture
def scene() -> Image.Image:
    noise = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    return Image.fromarray(noise).resize(SIDES, Image.Resampling.BICUBIC)


@pytest.fixture
def plugins() -> None:
    for module in ("pillow_heif", "pillow_jxl"):
        pytest.importorskip(module)
    for plugin in formats.PLUGINS:
        plugin.register()


def near(first: Image.Image, second: Image.Image) -> float:
    """Mean difference in grey levels."""
    return float(np.abs(np.asarray(first, np.float64) - np.asarray(second, np.float64)).mean())


@pytest.mark.usefixtures("plugins")
@pytest.mark.parametrize(
    ("extension", "options", "allowed"),
    [
        (".avif", {"quality": 95, "subsampling": "4:4:4"}, 2),
        (".bmp", {}, 0),
        (".gif", {}, 12),
        (".jp2", {"irreversible": False}, 0),
        (".ppm", {}, 0),
        (".tga", {}, 0),
        (".heic", {"quality": -1, "chroma": 444}, 2),
        (".jxl", {"lossless": True}, 0),
    ],
)
def test_what_is_read_has_its_pixels(
    extension: str, options: dict[str, object], allowed: float, scene: Image.Image, tmp_path: Path
) -> None:
    path = tmp_path / f"photo{extension}"
    scene.save(path, **options)
    photo = read_photo(path)
    assert probe_photo(path).size == photo.picture.size == SIDES
    assert photo.kind == format_of(extension)
    assert near(photo.picture.rgb, scene) <= allowed
    assert is_read(path)


@pytest.mark.usefixtures("plugins")
@pytest.mark.parametrize(("extension", "turned"), [(".avif", True), (".heic", True), (".jxl", False)])
def test_photos_stand_upright(extension: str, turned: bool, scene: Image.Image, tmp_path: Path) -> None:
    """Of a JPEG XL, EXIF does not say how it lies."""
    path = tmp_path / f"photo{extension}"
    scene.save(path, exif=EXIF.tobytes())
    upright = scene.transpose(Image.Transpose.ROTATE_270) if turned else scene
    picture = read_photo(path).picture
    assert picture.rgb.size == upright.size
    assert near(picture.rgb, upright) < 6


@pytest.mark.usefixtures("plugins")
def test_ten_bits_are_cut_with_a_note(scene: Image.Image, tmp_path: Path) -> None:
    import pillow_heif

    deep = np.asarray(scene, np.uint16) * 257
    pillow_heif.encode("RGB;16", SIDES, deep.tobytes(), tmp_path / "deep.heic", quality=-1, chroma=444)
    photo = read_photo(tmp_path / "deep.heic")
    assert "bits are cut to 8" in " ".join(photo.notes)
    assert near(photo.picture.rgb, scene) < 3


@pytest.mark.parametrize(
    ("primaries", "transfer", "refused"), [(9, 16, True), (9, 18, True), (12, 13, False), (1, 13, False), (6, 6, False)]
)
def test_colours_that_are_told_by_numbers(
    primaries: int, transfer: int, refused: bool, scene: Image.Image, tmp_path: Path
) -> None:
    """As Pillow writes none but sRGB's, they are put in afterwards."""
    path = tmp_path / "photo.avif"
    scene.save(path, quality=95, subsampling="4:4:4")
    data = path.read_bytes()
    place = data.index(b"colrnclx") + 8
    path.write_bytes(data[:place] + primaries.to_bytes(2) + transfer.to_bytes(2) + data[place + 4 :])
    if refused:
        with pytest.raises(ImageError, match="HDR screens"):
            probe_photo(path)
        return
    difference = near(read_photo(path).picture.rgb, scene)
    low, high = {1: (0, 2), 6: (1, 12), 12: (4, 40)}[primaries]
    assert low <= difference < high


def test_the_first_frame_of_a_gif(scene: Image.Image, tmp_path: Path) -> None:
    path = tmp_path / "moving.gif"
    scene.save(path, save_all=True, append_images=[scene.rotate(180), scene.rotate(90)])
    photo = read_photo(path)
    assert "the first of 3 frames" in photo.notes
    assert near(photo.picture.rgb, scene) < 12


def test_a_plugin_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(formats.Plugin, "is_installed", False)
    assert not is_read(PurePath("a.HEIC"))
    assert lacks(".heic") == "pip install 'nstbatch[formats]' reads them"
    assert why_not(".jxl") == ".jxl files are read with a plugin: pip install 'nstbatch[formats]'"
    assert lacks(".jpg") is lacks(".txt") is None
    assert "no photo that is read; photos are .jpg" in why_not(".txt")
    for content, said in ((b"\0\0\0\x1cftypheic" + bytes(20), "HEIF"), (b"\xff\x0a" + bytes(20), "JXL")):
        (tmp_path / "misnamed.jpg").write_bytes(content)
        with pytest.raises(ImageError, match=rf"misnamed.jpg: {said} files are read with a plugin: pip install"):
            read_photo(tmp_path / "misnamed.jpg")


@pytest.mark.parametrize(
    ("extension", "written"), [(".JPG", ".JPG"), (".tiff", ".tiff"), (".heic", ".jpg"), (".gif", ".jpg"), ("", ".jpg")]
)
def test_what_is_not_written_becomes_a_jpeg(extension: str, written: str) -> None:
    assert written_extension(extension) == written


@pytest.mark.parametrize(("quality", "kept"), [(40, 85), (85, 85), (90, 90), (100, 95)])
def test_a_painting_has_the_quality_of_its_photo(quality: int, kept: int, scene: Image.Image, tmp_path: Path) -> None:
    scene.save(tmp_path / "a.jpg", quality=quality)
    metadata = read_photo(tmp_path / "a.jpg").picture.metadata
    assert metadata.quality == kept
    buffer = io.BytesIO()
    scene.save(buffer, "PNG")
    (tmp_path / "a.png").write_bytes(buffer.getvalue())
    assert read_photo(tmp_path / "a.png").picture.metadata.quality is None
