"""What the stored pixels of a file mean: a table of what is decoded, and colours that a file names without a profile.

Pillow opens more than it decodes as meant: it takes a 16-bit negative for a positive, and planes of 16 bits for bytes. What
is not in the table is refused.
"""

import struct
from typing import Any, BinaryIO

import numpy as np
from PIL import Image
from PIL.ImageFile import ImageFile

from .metadata import Metadata
from .profiles import (
    ADOBE_GAMMA,
    ADOBE_RGB,
    BT601_525,
    BT601_625,
    BT2020,
    DISPLAY_P3,
    SRGB,
    Chromaticities,
    Tone,
    bt709_tone,
    power,
    rgb_profile,
    srgb_tone,
)

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK, YCBCR, LAB = 0, 1, 2, 3, 5, 6, 8
"""TIFF's photometric interpretations (TIFF 6.0, section 8 and part 2; tag 262)."""

UNSIGNED, FLOAT = 1, 3
"""TIFF's sample formats (TIFF 6.0, section 19; tag 339)."""

_TIFF = {
    *((photometric, bits, UNSIGNED) for photometric in (WHITE_IS_ZERO, BLACK_IS_ZERO) for bits in (1, 2, 4, 8, 16)),
    *((BLACK_IS_ZERO, 32, UNSIGNED), (BLACK_IS_ZERO, 32, FLOAT)),
    *((RGB, 8, UNSIGNED), (RGB, 16, UNSIGNED), (CMYK, 8, UNSIGNED), (CMYK, 16, UNSIGNED)),
    *((PALETTE, bits, UNSIGNED) for bits in (1, 2, 4, 8)),
    *((YCBCR, 8, UNSIGNED), (LAB, 8, UNSIGNED)),
}
"""What is decoded of a TIFF: photometric interpretation, bits of a sample, sample format."""

SIXTEEN_BIT = ("I;16", "I;16B", "I;16L", "I;16N")
"""Modes of grey of 16 bits."""


def refusal(image: ImageFile, file: BinaryIO) -> str | None:
    """Why an image whose header is read is not decoded; None if it is."""
    if image.format == "TIFF":
        return _tiff_refusal(image)
    try:
        named_profile(image, file, Metadata())
    except ValueError as error:
        return str(error)
    if image.format == "PNG" and isinstance(image.info.get("transparency"), tuple) and _is_of_16_bits(image):
        return "RGB of 16 bits with a transparent colour is not decoded; save it with alpha, or with 8 bits"
    return None


def _tiff_refusal(image: ImageFile) -> str | None:
    tags = image.tag_v2  # type: ignore[attr-defined]
    bits, formats = (set(_numbers(tags.get(tag, 1))) for tag in (258, 339))
    photometric, planar = tags.get(262, BLACK_IS_ZERO), tags.get(284, 1) == 2
    kind = (photometric, *(bits if len(bits) == 1 else {0}), *(formats if len(formats) == 1 else {0}))
    raw = any(tile[0] == "raw" for tile in image.tile)
    # Pillow reads planes without compression as bytes, and swaps the bytes of floats that libtiff has swapped already.
    wrong = (planar and bits == {16} and raw) or (formats == {FLOAT} and tags.prefix == b"MM" and not raw)
    if kind in _TIFF and not wrong:
        return None
    names = {WHITE_IS_ZERO: "white-is-zero grey", BLACK_IS_ZERO: "grey", RGB: "RGB", CMYK: "CMYK", PALETTE: "palette"}
    shown = "float " if formats == {FLOAT} else "" if formats == {UNSIGNED} else "signed "
    stored = f"{'/'.join(map(str, sorted(bits)))}-bit {shown}{'planar ' if planar else ''}"
    return f"{stored}{names.get(photometric, f'photometric {photometric}')} is not decoded; save it as 8-bit RGB"


def _numbers(value: Any) -> tuple[int, ...]:
    return value if isinstance(value, tuple) else (value,)


def _is_of_16_bits(image: ImageFile) -> bool:
    return any("16" in str(tile[3]) for tile in image.tile)


def eight_bits(image: Image.Image) -> Image.Image:
    """Grey of more bits, or of floats, as 8 bits from black to white; any other image as it is."""
    stored = getattr(image, "tag_v2", {}).get(262, BLACK_IS_ZERO)
    if image.mode in SIXTEEN_BIT:
        values = np.asarray(image).astype(np.float64) / 257
        values = 255 - values if stored == WHITE_IS_ZERO else values
    elif image.mode == "I":
        # Unsigned numbers, in Pillow's signed ones.
        values = np.asarray(image).astype(np.int64) % 2**32 / ((2**32 - 1) / 255 if image.format == "TIFF" else 257)
    elif image.mode == "F":
        values = np.nan_to_num(np.asarray(image, np.float64))
        # Programs that write floats mean white by 1, others by 255.
        values = values * (255 if values.max() <= 1 else 1)
    else:
        return image
    grey = Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey = grey.convert("LA")
        grey.putalpha(Image.fromarray(np.where(np.asarray(image) == transparent, 0, 255).astype(np.uint8)))
    return grey


def named_profile(image: Image.Image, file: BinaryIO | None, metadata: Metadata) -> bytes | None:
    """The profile of the colours that a file without one names; None for sRGB.

    Args:
        image: whose header is read.
        file: that it is from, which is read again, and left where it was.
        metadata: of the image.

    Raises:
        ValueError: a cICP chunk or an nclx box names colours that are not known here.
    """
    if image.format in ("AVIF", "HEIF"):
        code = None if file is None or image.info.get("icc_profile") else _nclx(file)
        return None if code is None else _coded(*code)
    if image.format == "PNG":
        if file is not None and (code := _cicp(file)) is not None:
            return _coded(*code)
        if "srgb" in image.info:
            return None
        if image.info.get("gamma") or image.info.get("chromaticity"):
            return _measured(image.info.get("gamma") or None, image.info.get("chromaticity"))
    return rgb_profile(ADOBE_RGB, power(ADOBE_GAMMA)) if metadata.adobe_rgb else None


def _measured(gamma: float | None, chromaticity: Chromaticities | None) -> bytes | None:
    """The profile of a PNG's gAMA and cHRM chunks; None for sRGB."""
    primaries = chromaticity if chromaticity and len(chromaticity) == 8 else SRGB
    # What is written by programs that mean sRGB, in either of its roundings.
    usual = gamma is None or abs(gamma - 0.45455) < _SAME
    if usual and np.allclose(primaries, SRGB, atol=_SAME):
        return None
    try:
        return rgb_profile(primaries, srgb_tone if usual else power(1 / (gamma or 1)))
    except ValueError:
        # As a profile that is damaged: it counts as none.
        return None


_SAME = 0.002
"""Difference of a gamma or a chromaticity from sRGB's that is rounding."""

_PRIMARIES: dict[int, Chromaticities] = {1: SRGB, 5: BT601_625, 6: BT601_525, 7: BT601_525, 9: BT2020, 12: DISPLAY_P3}

_TONES: dict[int, Tone] = {
    **dict.fromkeys((1, 6, 14, 15), bt709_tone),
    4: power(2.2),
    5: power(2.8),
    8: power(1.0),
    13: srgb_tone,
}


def _coded(primaries: int, transfer: int, matrix: int, full: int) -> bytes | None:
    """The profile of a cICP chunk (PNG, third edition, section 11.3.2.6; ITU-T H.273)."""
    if transfer in (16, 18):
        raise ValueError("its colours are for HDR screens (PQ or HLG); save it as sRGB")
    if primaries not in _PRIMARIES or transfer not in _TONES or matrix != 0 or full != 1:
        raise ValueError(
            f"its colours, {primaries}/{transfer}/{matrix}/{full} by ITU-T H.273, are not known here; save it as sRGB"
        )
    return None if (primaries, transfer) == (1, 13) else rgb_profile(_PRIMARIES[primaries], _TONES[transfer])


def _nclx(file: BinaryIO) -> tuple[int, int, int, int] | None:
    """The numbers of an AVIF's or HEIF's first colour box of type nclx (ISO/IEC 14496-12, 12.1.5), as of pixels in RGB."""
    before = file.tell()
    try:
        file.seek(0)
        head = file.read(_BOXES)
    finally:
        file.seek(before)
    _, found, numbers = head.partition(b"colrnclx")
    if not found or len(numbers) < 4:
        return None
    primaries, transfer = struct.unpack(">HH", numbers[:4])
    # Unspecified counts as sRGB, and so does BT.709's curve, as in browsers.
    return (1 if primaries == 2 else primaries), (13 if transfer in (1, 2, 6) else transfer), 0, 1


_BOXES = 2**16
"""Bytes that a file's properties lie in."""


def _cicp(file: BinaryIO) -> tuple[int, int, int, int] | None:
    """The numbers of a PNG's cICP chunk, which Pillow skips; None if it has none."""
    before = file.tell()
    try:
        file.seek(8)
        while len(head := file.read(8)) == 8:
            length, name = struct.unpack(">L4s", head)
            if name == b"cICP" and length == 4:
                first, second, third, fourth = file.read(4)
                return first, second, third, fourth
            if name == b"IDAT":
                break
            file.seek(length + 4, 1)
    finally:
        file.seek(before)
    return None
