"""Pictures in and out: every mode a camera or a program writes, and whole files only."""

import contextlib
import hashlib
import io
import os
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageCms, ImageFile

from nstbatch.runtime.errors import ImageError
from nstbatch.runtime.files.location import to_location
from nstbatch.runtime.files.stamp import Stamp
from nstbatch.runtime.pictures.encoding import encode_picture, write_picture
from nstbatch.runtime.pictures.formats import WRITTEN
from nstbatch.runtime.pictures.photo import Picture, probe_photo, read_photo, read_picture
from seams import SCENE
from stores import Store

ORIENTATION, MAKE, DATE = 0x0112, 0x010F, 0x9003


def difference(a: Image.Image, b: Image.Image) -> float:
    return float(np.abs(np.asarray(a, float) - np.asarray(b, float)).mean())


@settings(max_examples=60, deadline=None)
@given(
    pixels=st.tuples(st.integers(32, 50), st.integers(32, 50)).flatmap(lambda s: arrays(np.uint8, (*s, 3))),
    alpha=st.booleans(),
    extension=st.sampled_from([".png", ".tiff"]),
)
def test_lossless_formats_give_back_every_pixel(
    pixels: np.ndarray, alpha: bool, extension: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("codec") / f"picture{extension}"
    channel = Image.fromarray(pixels[..., 0] | 1) if alpha else None
    write_picture(path, Picture(Image.fromarray(pixels), channel))
    read = read_picture(path)
    assert (np.asarray(read.rgb) == pixels).all()
    assert (read.alpha is None) != alpha
    if alpha:
        assert (np.asarray(read.alpha) == np.asarray(channel)).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_and_removed(orientation: int, scene: Image.Image, tmp_path: Path) -> None:
    operations = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,  # stored turned by 90 degrees to the left, to be shown turned to the right
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = scene.transpose(operations[orientation]) if orientation > 1 else scene
    exif = Image.Exif()
    exif[ORIENTATION], exif[MAKE] = orientation, "Camera"
    exif.get_ifd(0x8769)[DATE] = "2026:11:20 12:00:00"
    stored.save(tmp_path / "in.jpg", quality=98, subsampling=0, exif=exif)
    picture = read_picture(tmp_path / "in.jpg")
    assert picture.size == SCENE
    assert difference(picture.rgb, scene) < 3

    write_picture(tmp_path / "out.jpg", picture)
    with Image.open(tmp_path / "out.jpg") as out:
        found = out.getexif()
        assert ORIENTATION not in found
        assert found[MAKE] == "Camera"
        assert found.get_ifd(0x8769)[DATE] == "2026:11:20 12:00:00"
        assert difference(out, scene) < 4


def test_icc_profile_is_converted_to_srgb(scene: Image.Image, tmp_path: Path) -> None:
    # LittleCMS makes no wide-gamut profile, but Lab is a profile whose numbers mean something else altogether.
    lab = ImageCms.createProfile("LAB")
    srgb = ImageCms.createProfile("sRGB")
    converted = ImageCms.profileToProfile(scene, srgb, lab, outputMode="LAB")
    converted.save(tmp_path / "lab.tiff", icc_profile=ImageCms.ImageCmsProfile(lab).tobytes())
    assert difference(read_picture(tmp_path / "lab.tiff").rgb, scene) < 3


def test_a_damaged_profile_counts_as_none(scene: Image.Image, tmp_path: Path) -> None:
    scene.save(tmp_path / "bad.png", icc_profile=b"not a profile")
    assert difference(read_picture(tmp_path / "bad.png").rgb, scene) == 0


@pytest.mark.parametrize("extension", WRITTEN)
def test_srgb_is_embedded(extension: str, scene: Image.Image, tmp_path: Path) -> None:
    path = tmp_path / f"out{extension}"
    write_picture(path, Picture(scene))
    with Image.open(path) as out:
        assert out.format == WRITTEN[extension]
        profile = ImageCms.ImageCmsProfile(io.BytesIO(out.info["icc_profile"]))
        assert "sRGB" in ImageCms.getProfileDescription(profile)
        assert difference(out.convert("RGB"), scene) < (8 if extension == ".webp" else 4)


@pytest.mark.parametrize("mode", ["L", "P", "1", "CMYK", "YCbCr", "HSV"])
@pytest.mark.parametrize("extension", [".png", ".jpg", ".tiff"])
def test_modes_are_read(mode: str, extension: str, scene: Image.Image, tmp_path: Path) -> None:
    image = scene.convert(mode)
    try:
        image.save(tmp_path / f"in{extension}", **({"quality": 98, "subsampling": 0} if extension == ".jpg" else {}))
    except (OSError, ValueError):
        pytest.skip(f"{extension} holds no {mode}")
    picture = read_picture(tmp_path / f"in{extension}")
    assert picture.rgb.mode == "RGB"
    assert picture.alpha is None
    assert difference(picture.rgb, image.convert("RGB")) < (3 if extension == ".jpg" else 1)


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "YCbCr", "LAB", "F", "RGBA", "LA"])
def test_a_tiff_of_any_mode_becomes_a_tiff_that_opens(mode: str, scene: Image.Image, tmp_path: Path) -> None:
    # A TIFF keeps how its pixels are stored among its EXIF tags; copied, they would make the output unreadable.
    image = scene.convert("L").convert(mode) if mode in ("F", "LA") else scene
    if mode == "LAB":
        image = ImageCms.profileToProfile(
            scene, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
        )
    elif mode not in ("F", "LA"):
        image = scene.convert(mode)
    image.save(tmp_path / "in.tiff", tiffinfo={271: "Camera"})
    picture = read_picture(tmp_path / "in.tiff")
    write_picture(tmp_path / "out.tiff", picture)
    again = read_picture(tmp_path / "out.tiff")
    assert difference(again.rgb, picture.rgb) == 0
    with Image.open(tmp_path / "out.tiff") as out:
        assert out.getexif()[MAKE] == "Camera"


def test_a_tiff_turned_by_its_orientation(scene: Image.Image, tmp_path: Path) -> None:
    scene.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "in.tiff", tiffinfo={ORIENTATION: 6})
    picture = read_picture(tmp_path / "in.tiff")
    assert difference(picture.rgb, scene) == 0
    write_picture(tmp_path / "out.tiff", picture)
    assert difference(read_picture(tmp_path / "out.tiff").rgb, scene) == 0


def test_sixteen_bit_grey_is_scaled_not_clipped(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 64 * 48).reshape(48, 64).astype(np.uint16)
    Image.fromarray(ramp).save(tmp_path / "deep.png")
    picture = read_picture(tmp_path / "deep.png")
    expected = np.rint(ramp / 257).astype(int)
    assert np.abs(np.asarray(picture.rgb)[..., 0].astype(int) - expected).max() <= 1


@pytest.mark.parametrize("extension", [".png", ".webp", ".tiff"])
def test_alpha_is_kept_and_hidden_colour_is_not_seen(extension: str, scene: Image.Image, tmp_path: Path) -> None:
    alpha = np.zeros(SCENE[::-1], np.uint8)
    alpha[:, 20:] = 255
    alpha[:, 18:20] = 128
    pixels = np.asarray(scene).copy()
    pixels[alpha == 0] = (255, 0, 255)
    image = Image.fromarray(pixels)
    image.putalpha(Image.fromarray(alpha))
    image.save(tmp_path / f"in{extension}", **({"lossless": True} if extension == ".webp" else {}))
    picture = read_picture(tmp_path / f"in{extension}")
    assert (np.asarray(picture.alpha) == alpha).all()
    hidden = np.asarray(picture.rgb)[alpha == 0]
    visible_mean = np.asarray(scene)[alpha > 0].mean(0)
    assert np.abs(hidden - visible_mean).max() <= 1

    write_picture(tmp_path / f"out{extension}", picture)
    again = read_picture(tmp_path / f"out{extension}")
    assert (np.asarray(again.alpha) == alpha).all()


def test_transparent_palette_and_grey(scene: Image.Image, tmp_path: Path) -> None:
    palette = scene.quantize(16)
    palette.save(tmp_path / "palette.png", transparency=3)
    assert read_picture(tmp_path / "palette.png").alpha is not None
    grey = scene.convert("L")
    grey.putalpha(Image.linear_gradient("L").resize(SCENE))
    grey.save(tmp_path / "grey.png")
    picture = read_picture(tmp_path / "grey.png")
    assert picture.alpha is not None
    assert picture.rgb.mode == "RGB"
    scene.save(tmp_path / "key.png", transparency=scene.getpixel((5, 5)))
    keyed = read_picture(tmp_path / "key.png")
    assert keyed.alpha is not None
    assert keyed.alpha.getpixel((5, 5)) == 0


def test_jpeg_lays_alpha_on_white(scene: Image.Image) -> None:
    data = encode_picture(Picture(scene, Image.new("L", SCENE, 0)), ".jpg").data
    assert np.asarray(Image.open(io.BytesIO(data))).min() >= 254


def test_resolution_is_kept(scene: Image.Image, tmp_path: Path) -> None:
    scene.save(tmp_path / "in.jpg", dpi=(300, 300))
    write_picture(tmp_path / "out.jpg", read_picture(tmp_path / "in.jpg"))
    with Image.open(tmp_path / "out.jpg") as out:
        assert out.info["dpi"] == pytest.approx((300, 300))


def bad_files(folder: Path, scene: Image.Image) -> dict[str, str]:
    """Bad pictures by name, each with a word of its error."""
    scene.resize((320, 240)).save(folder / "truncated.jpg")
    data = (folder / "truncated.jpg").read_bytes()
    (folder / "truncated.jpg").write_bytes(data[: len(data) // 2])
    scene.save(folder / "truncated.png")
    (folder / "truncated.png").write_bytes((folder / "truncated.png").read_bytes()[:600])
    (folder / "text.jpg").write_text("no picture at all")
    (folder / "empty.jpg").touch()
    Image.new("RGB", (1, 1)).save(folder / "tiny.png")
    (folder / "folder.jpg").mkdir()
    os.mkfifo(folder / "fifo.jpg")
    (folder / "dangling.jpg").symlink_to(folder / "nowhere.jpg")
    (folder / "loop.jpg").symlink_to(folder / "loop.jpg")
    return {
        "truncated.jpg": "truncated",
        "truncated.png": "truncated|damaged|broken",
        "text.jpg": "not a picture",
        "empty.jpg": "empty file",
        "tiny.png": "1 x 1 pixels is too small",
        "folder.jpg": "not a regular file",
        "fifo.jpg": "not a regular file",
        "dangling.jpg": "No such file",
        "loop.jpg": "symbolic links",
        "absent.jpg": "No such file",
    }


def test_bad_files_are_named_in_one_line(scene: Image.Image, tmp_path: Path) -> None:
    for name, word in bad_files(tmp_path, scene).items():
        with pytest.raises(ImageError, match=word) as caught:
            read_picture(tmp_path / name)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_damage_anywhere_is_an_error_of_ours_or_harmless(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    kind = data.draw(st.sampled_from(["JPEG", "PNG", "TIFF", "WEBP"]))
    buffer = io.BytesIO()
    Image.merge(
        "RGB", [Image.radial_gradient("L").resize((40, 40)), *[Image.linear_gradient("L").resize((40, 40))] * 2]
    ).save(buffer, kind)
    content = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("fuzz") / "picture"
    path.write_bytes(content)
    with contextlib.suppress(ImageError):  # and nothing but an error of ours
        assert read_picture(path).rgb.mode == "RGB"


def test_a_bomb_is_refused_before_it_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (640, 400)).save(tmp_path / "bomb.png")
    monkeypatch.setattr(Image.Image, "load", lambda _: pytest.fail("decoded"))
    limit = Image.MAX_IMAGE_PIXELS
    for megapixels in (0.1, 0.2, 0.255):
        for read in (probe_photo, read_photo):
            with pytest.raises(ImageError, match=f"larger than --max-megapixels, which is {megapixels}"):
                read(tmp_path / "bomb.png", megapixels)
    assert probe_photo(tmp_path / "bomb.png", 0.256).size == (640, 400)
    assert limit == Image.MAX_IMAGE_PIXELS, "the program around has its own"


def test_a_file_far_larger_than_its_picture_is_not_read_to_its_end(scene: Image.Image, tmp_path: Path) -> None:
    scene.save(tmp_path / "sparse.png")
    with (tmp_path / "sparse.png").open("r+b") as file:
        file.truncate(10**13)
    with pytest.raises(ImageError, match="10,000,000,000,000 bytes are too many"):
        read_photo(tmp_path / "sparse.png")


@pytest.mark.parametrize("extension", [".webp", ".png"])
def test_an_animation_is_refused(extension: str, scene: Image.Image, tmp_path: Path) -> None:
    other = scene.transpose(Image.Transpose.ROTATE_180)
    path = tmp_path / f"moving{extension}"
    scene.save(path, save_all=True, append_images=[other])
    for read in (probe_photo, read_photo):
        with pytest.raises(ImageError, match="animated"):
            read(path)
    scene.save(path)
    assert probe_photo(path).size == SCENE


def test_pages_and_second_views_are_no_animation(scene: Image.Image, tmp_path: Path) -> None:
    other = scene.transpose(Image.Transpose.ROTATE_180)
    scene.save(tmp_path / "scan.tiff", save_all=True, append_images=[other])
    assert difference(read_picture(tmp_path / "scan.tiff").rgb, scene) == 0
    scene.save(tmp_path / "phone.jpg", "MPO", save_all=True, append_images=[other], quality=98)
    photo = read_photo(tmp_path / "phone.jpg")
    assert photo.kind == "JPEG"
    assert difference(photo.picture.rgb, scene) < 10 < difference(photo.picture.rgb, other)


@pytest.mark.parametrize("white", [1.0, 255.0])
def test_floats_mean_white_by_1_or_by_255(white: float, scene: Image.Image, tmp_path: Path) -> None:
    grey = np.asarray(scene.convert("L"), np.float32)
    Image.fromarray(grey / 255 * np.float32(white)).save(tmp_path / "float.tiff")
    assert difference(read_picture(tmp_path / "float.tiff").rgb.convert("L"), scene.convert("L")) < 1


def test_a_photo_knows_its_file(scene: Image.Image, tmp_path: Path) -> None:
    path = tmp_path / "really.jpg"
    scene.save(path, "PNG")
    photo = read_photo(path)
    assert photo.kind == probe_photo(path).kind == "PNG"
    assert photo.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert photo.stamp == Stamp.of(path.stat())


def test_a_photo_that_changes_while_it_is_read(scene: Image.Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "photo.png"
    scene.save(path)
    load = ImageFile.ImageFile.load

    def slow(image: ImageFile.ImageFile) -> object:
        with path.open("ab") as file:
            file.write(b"more")
        return load(image)

    monkeypatch.setattr(ImageFile.ImageFile, "load", slow)
    with pytest.raises(ImageError, match="changed while it was read"):
        read_photo(path)


@pytest.mark.parametrize("extension", [".jpg", ".png", ".webp", ".tif"])
def test_a_picture_is_the_same_file_at_any_time(extension: str, scene: Image.Image) -> None:
    first = encode_picture(Picture(scene), extension).data
    time.sleep(1.1)  # an ICC profile's date counts seconds
    assert encode_picture(Picture(scene), extension).data == first
    with Image.open(io.BytesIO(first)) as image:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
        assert "sRGB" in ImageCms.getProfileDescription(profile)


def test_an_unknown_extension_is_refused(scene: Image.Image, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"cannot write '\.gif'"):
        write_picture(tmp_path / "out.gif", Picture(scene))


def test_a_header_behind_the_first_bytes(memory: Store, tmp_path: Path) -> None:
    from PIL import Image

    path = tmp_path / "large.jpg"
    Image.new("RGB", (50, 40)).save(path, icc_profile=b"\0" * 200_000)
    url = to_location(memory.put("large.jpg", path.read_bytes()))
    assert probe_photo(url).size == (50, 40)
    assert read_photo(url).picture.size == (50, 40)


def test_a_jpeg_without_its_end_marker(tmp_path: Path) -> None:
    picture = Picture(Image.radial_gradient("L").convert("RGB"))
    for options in ({}, {"progressive": True}):
        buffer = io.BytesIO()
        picture.rgb.save(buffer, "JPEG", quality=95, **options)
        whole = buffer.getvalue()
        (tmp_path / "whole.jpg").write_bytes(whole)
        for cut in (1, 2):
            (tmp_path / "cut.jpg").write_bytes(whole[:-cut])
            photo = read_photo(tmp_path / "cut.jpg")
            assert photo.notes == ("the file lacks its end marker",)
            assert photo.picture.rgb.tobytes() == read_picture(tmp_path / "whole.jpg").rgb.tobytes()
        for cut in (6, 40, 400, len(whole) // 2):
            (tmp_path / "cut.jpg").write_bytes(whole[:-cut])
            with pytest.raises(ImageError, match="truncated"):
                read_picture(tmp_path / "cut.jpg")
