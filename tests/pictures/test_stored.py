"""Pixels mean what the file says, or the file is refused: each kind is written by hand and compared with what it means."""

import io
import struct
import zlib
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from nstbatch.runtime.errors import ImageError
from nstbatch.runtime.pictures.photo import probe_photo, read_picture

HEIGHT, WIDTH = 40, 48
DTYPES = ("u1", "u2", "u4", "i1", "i2", "i4", "f2", "f4", "f8")


def meant(channels: int) -> np.ndarray:
    """What a picture means, 0..1."""
    ramp = np.linspace(0.05, 0.95, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH)
    return np.stack([np.roll(ramp, 7 * i, axis=i % 2) for i in range(channels)], axis=2)


def stored(values: np.ndarray, dtype: str) -> np.ndarray:
    """These as numbers of a type, black to white."""
    kind = np.dtype(dtype)
    return values.astype(kind) if kind.kind == "f" else np.rint(values * np.iinfo(kind).max).astype(kind)


def compare(path: Path, expected: np.ndarray, *, refused: bool | None = None) -> bool:
    """Whether a picture is read as it is meant; False if it is refused, before it is painted. Anything else fails."""
    try:
        picture = read_picture(path)
    except ImageError as error:
        if refused is False:
            pytest.fail(str(error))
        with pytest.raises(ImageError, match=r"not decoded|cannot be read"):
            probe_photo(path)
        return False
    assert refused is not True
    found = np.asarray(picture.rgb, float)
    assert np.abs(found - 255 * expected).max() < 1.6
    return True


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_tiffs_of_every_kind(compression: str | None, byteorder: str, tmp_path: Path) -> None:
    read = set()
    for dtype, kind, planar in product(DTYPES, ("grey", "negative", "rgb", "rgba", "cmyk"), ("contig", "separate")):
        values = meant(1 if kind in ("grey", "negative") else 3)
        options: dict[str, Any] = {"photometric": "rgb"}
        if kind in ("grey", "negative"):
            options["photometric"] = "minisblack" if kind == "grey" else "miniswhite"
        numbers = {
            "grey": values,
            "negative": 1 - values,
            "rgb": values,
            "rgba": np.concatenate([values, np.ones((HEIGHT, WIDTH, 1))], axis=2),
            "cmyk": np.concatenate([1 - values, np.zeros((HEIGHT, WIDTH, 1))], axis=2),
        }[kind]
        if kind == "rgba":
            options["extrasamples"] = ["unassalpha"]
        if kind == "cmyk":
            options["photometric"] = "separated"
        array = stored(numbers, dtype)
        array = array[..., 0] if array.shape[2] == 1 else array
        if planar == "separate":
            if array.ndim == 2:
                continue
            array = np.ascontiguousarray(array.transpose(2, 0, 1))
        path = tmp_path / "x.tif"
        tifffile.imwrite(
            path,
            array.astype(array.dtype.newbyteorder(byteorder)),
            byteorder=byteorder,
            planarconfig=planar if array.ndim == 3 else None,
            compression=compression,
            metadata=None,
            **options,
        )
        if compare(path, np.broadcast_to(values, (HEIGHT, WIDTH, 3))):
            read.add((dtype, kind, planar))
    assert {(d, k, "contig") for d, k in product(("u1", "u2"), ("grey", "rgb", "rgba", "cmyk"))} <= read
    assert {("u1", "negative", "contig"), ("u1", "rgb", "separate")} <= read
    assert (("f4", "grey", "contig") in read) == (compression is None or byteorder == "<")
    assert (("u2", "rgb", "separate") in read) == (compression is not None), "planes of bytes are not planes of 16 bits"
    assert not {each for each in read if each[0][0] == "i" or each[0] in ("f2", "f8")}


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_grey_of_few_bits(bits: int, tmp_path: Path) -> None:
    levels = np.random.default_rng(0).integers(0, 2**bits, (HEIGHT, WIDTH), np.uint8)
    packed = np.packbits(
        np.unpackbits(levels[..., None], axis=2)[..., -bits:].reshape(HEIGHT, WIDTH * bits), axis=1
    ).tobytes()
    for photometric in (0, 1):
        tags = [(256, 4, WIDTH), (257, 4, HEIGHT), (258, 3, bits), (262, 3, photometric), (273, 4, 122), (277, 3, 1)]
        tags += [(278, 4, HEIGHT), (279, 4, len(packed)), (259, 3, 1)]
        directory = b"".join(struct.pack("<HHLL", tag, kind, 1, value) for tag, kind, value in sorted(tags))
        data = b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + directory + bytes(4)
        (tmp_path / "x.tif").write_bytes(data.ljust(122, b"\0") + packed)
        values = levels / (2**bits - 1)
        expected = values if photometric else 1 - values
        compare(tmp_path / "x.tif", np.repeat(expected[..., None], 3, axis=2), refused=False)


def test_a_big_tiff(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "x.tif", stored(meant(3), "u1"), bigtiff=True, photometric="rgb")
    compare(tmp_path / "x.tif", meant(3), refused=False)


def chunk(name: bytes, content: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">L", len(content)) + name + content + struct.pack(">L", zlib.crc32(name + content))


def png(array: np.ndarray, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of grey or RGB, of 8 or 16 bits, with some chunks before its pixels."""
    array = array.astype(array.dtype.newbyteorder(">"))
    header = struct.pack(">2L5B", array.shape[1], array.shape[0], 8 * array.itemsize, 2 if array.ndim == 3 else 0, 0, 0, 0)
    rows = b"".join(b"\0" + row.tobytes() for row in array)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + b"".join(chunk(*each) for each in chunks)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("dtype", ["u1", "u2"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_transparent_colour(dtype: str, channels: int, tmp_path: Path) -> None:
    array = stored(meant(channels), dtype)
    array = array[..., 0] if channels == 1 else array
    key = np.atleast_1d(array[5, 7])
    (tmp_path / "x.png").write_bytes(png(array, (b"tRNS", key.astype(">u2").tobytes())))
    if (dtype, channels) == ("u2", 3):
        with pytest.raises(ImageError, match="16 bits with a transparent colour is not decoded"):
            read_picture(tmp_path / "x.png")
        return
    picture = read_picture(tmp_path / "x.png")
    assert picture.alpha is not None
    hidden = (array == array[5, 7]) if channels == 1 else (array == array[5, 7]).all(axis=2)
    np.testing.assert_array_equal(np.asarray(picture.alpha), np.where(hidden, 0, 255))


SRGB_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
"""Lindbloom, "RGB/XYZ Matrices", D65; so are the others."""

ADOBE_TO_XYZ = np.array(
    [[0.5767309, 0.1855540, 0.1881852], [0.2973769, 0.6273491, 0.0752741], [0.0270343, 0.0706872, 0.9911085]]
)
P3_TO_XYZ = np.array([[0.4865709, 0.2656677, 0.1982173], [0.2289746, 0.6917385, 0.0792869], [0.0, 0.0451134, 1.0439444]])


def srgb(light: np.ndarray) -> np.ndarray:
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.clip(light, 1e-9, 1) ** (1 / 2.4) - 0.055)


def in_space(matrix: np.ndarray, encode: Any) -> tuple[np.ndarray, np.ndarray]:
    """A picture in another space as 8 bits, and what it means in sRGB, 0..1: colours that are in both."""
    light = 0.25 + 0.4 * meant(3)
    other = light @ (np.linalg.inv(matrix) @ SRGB_TO_XYZ).T
    assert 0 < other.min() < other.max() < 1
    return np.rint(255 * encode(other)).astype(np.uint8), srgb(light)


GAMMA, WHITE = b"gAMA", (0.3127, 0.3290)


def chromaticities(*values: float) -> bytes:
    return struct.pack(">8L", *(round(100_000 * value) for value in (*WHITE, *values)))


CHUNKS: dict[str, tuple[np.ndarray, Any, tuple[tuple[bytes, bytes], ...]]] = {
    "linear": (SRGB_TO_XYZ, lambda light: light, ((GAMMA, struct.pack(">L", 100_000)),)),
    "gamma 1.8": (SRGB_TO_XYZ, lambda light: light ** (1 / 1.8), ((GAMMA, struct.pack(">L", 55_556)),)),
    "Adobe RGB by numbers": (
        ADOBE_TO_XYZ,
        lambda light: light ** (256 / 563),
        ((GAMMA, struct.pack(">L", 45_471)), (b"cHRM", chromaticities(0.64, 0.33, 0.21, 0.71, 0.15, 0.06))),
    ),
    "P3 by its code": (P3_TO_XYZ, srgb, ((b"cICP", bytes((12, 13, 0, 1))),)),
    "linear by its code": (SRGB_TO_XYZ, lambda light: light, ((b"cICP", bytes((1, 8, 0, 1))),)),
    "sRGB by its code, whatever gAMA says": (
        SRGB_TO_XYZ,
        srgb,
        ((b"cICP", bytes((1, 13, 0, 1))), (GAMMA, struct.pack(">L", 100_000))),
    ),
    "sRGB by its chunk": (SRGB_TO_XYZ, srgb, ((b"sRGB", b"\0"), (GAMMA, struct.pack(">L", 45_455)))),
    "sRGB by its gamma": (SRGB_TO_XYZ, srgb, ((GAMMA, struct.pack(">L", 45_455)),)),
    "primaries on a line count as none": (SRGB_TO_XYZ, srgb, ((b"cHRM", chromaticities(0.3, 0.3, 0.3, 0.3, 0.3, 0.3)),)),
}


@pytest.mark.parametrize("name", CHUNKS)
def test_colours_that_a_png_names_without_a_profile(name: str, tmp_path: Path) -> None:
    matrix, encode, chunks = CHUNKS[name]
    pixels, expected = in_space(matrix, encode)
    (tmp_path / "x.png").write_bytes(png(pixels, *chunks))
    found = np.asarray(read_picture(tmp_path / "x.png").rgb, float)
    # Adobe RGB's gamma is near sRGB's, and counts as such: 3 levels at most.
    tolerance = 4 if "numbers" in name else 2.5
    assert np.abs(found - 255 * expected).max() < tolerance


@pytest.mark.parametrize(("code", "word"), [((9, 16, 0, 1), "HDR"), ((9, 18, 0, 1), "HDR"), ((22, 13, 0, 1), "22/13/0/1")])
def test_colours_that_no_page_shows_are_refused_before_painting(code: tuple[int, ...], word: str, tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(png(stored(meant(3), "u1"), (b"cICP", bytes(code))))
    for read in (probe_photo, read_picture):
        with pytest.raises(ImageError, match=word):
            read(tmp_path / "x.png")


def test_grey_with_a_gamma(tmp_path: Path) -> None:
    light = 0.05 + 0.9 * meant(1)[..., 0]
    (tmp_path / "x.png").write_bytes(png(np.rint(255 * light).astype(np.uint8), (GAMMA, struct.pack(">L", 100_000))))
    found = np.asarray(read_picture(tmp_path / "x.png").rgb, float)
    assert np.abs(found - 255 * srgb(light)[..., None]).max() < 4


def adobe_rgb(index: str) -> tuple[bytes, np.ndarray]:
    """A JPEG in Adobe RGB that says so by its interoperability index alone, and what it means."""
    pixels, expected = in_space(ADOBE_TO_XYZ, lambda light: light ** (256 / 563))
    exif = Image.Exif()
    exif[0x8769] = {0xA001: 65535, 0xA005: {1: index}}
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=100, subsampling=0, exif=exif.tobytes())
    return buffer.getvalue(), expected


def test_adobe_rgb_that_is_marked_by_exif_alone(tmp_path: Path) -> None:
    for index, right in (("R03", True), ("R98", False)):
        data, expected = adobe_rgb(index)
        (tmp_path / "x.jpg").write_bytes(data)
        off = np.abs(np.asarray(read_picture(tmp_path / "x.jpg").rgb, float) - 255 * expected).mean()
        assert (off < 1) == right
