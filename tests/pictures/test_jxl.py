"""Sizes of JPEG XL files, as their own library has them."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nstbatch.runtime.errors import ImageError
from nstbatch.runtime.pictures.jxl import jxl_size
from nstbatch.runtime.pictures.photo import picture_of, read_photo

SIZES = [
    (40, 32),
    (64, 64),
    (256, 256),
    (264, 256),
    (33, 47),
    (1200, 800),
    (48, 36),
    (320, 180),
    (600, 500),
    (3000, 33),
    (96, 48),
]


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("exif", [b"", b"Exif\0\0MM\0*\0\0\0\x08" + bytes(200)])
def test_the_size_is_that_of_the_decoded_picture(size: tuple[int, int], exif: bytes) -> None:
    pytest.importorskip("pillow_jxl")
    buffer = io.BytesIO()
    Image.new("RGB", size, "teal").save(buffer, "JXL", **({"exif": exif} if exif else {}))
    buffer.seek(0)
    assert jxl_size(buffer) == size
    assert buffer.tell() == 0


def test_one_that_was_a_jpeg_lies_as_it_did(tmp_path: Path) -> None:
    pytest.importorskip("pillow_jxl")
    noise = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(noise).resize((64, 48), Image.Resampling.BICUBIC).save(tmp_path / "a.jpg", exif=exif)
    with Image.open(tmp_path / "a.jpg") as opened:
        opened.save(tmp_path / "a.jxl", lossless_jpeg=True)
    jpeg, jxl = (read_photo(tmp_path / name).picture.rgb for name in ("a.jpg", "a.jxl"))
    assert jxl.size == jpeg.size == (48, 64)
    assert np.abs(np.asarray(jxl, np.int16) - np.asarray(jpeg, np.int16)).max() < 8


@pytest.mark.parametrize("data", [b"", b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(50)])
def test_what_has_no_size(data: bytes) -> None:
    found = jxl_size(io.BytesIO(data))
    assert found is None or min(found) >= 1


def test_a_bomb_is_not_decoded() -> None:
    pytest.importorskip("pillow_jxl")
    buffer = io.BytesIO()
    Image.new("RGB", (1200, 800)).save(buffer, "JXL")
    # 1 + 18 bits for the height, and as wide: 2**18 on a side.
    header = (0 | (2 << 1) | ((2**18 - 1) << 3) | (1 << 21)).to_bytes(4, "little")
    with pytest.raises(ImageError, match="DecompressionBombError"):
        picture_of(b"\xff\x0a" + header + buffer.getvalue()[6:])
