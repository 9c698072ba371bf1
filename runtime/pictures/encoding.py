"""Pictures become files: whole, in sRGB, with what the format holds of the photo's metadata."""

import io
import math
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from ..errors import ImageError, first_line
from ..files.own import write_atomic
from ..recipe.size import Size
from .formats import WRITTEN
from .metadata import IPTC_RESOURCE, Metadata
from .photo import Header, Picture, open_image

_SAVE_OPTIONS: dict[str, dict[str, Any]] = {
    # Brush strokes are fine colour detail, so colour is not subsampled.
    "JPEG": {"quality": 95, "subsampling": 0},
    "PNG": {},
    "WEBP": {"quality": 95},
    "TIFF": {"compression": "tiff_deflate"},
}

_LONGEST = {"JPEG": 65_500, "WEBP": 16_383}
"""Pixels along a side that a format holds."""

_TIFF_BYTES = 2**32 - 2**24
"""Of pixels that a TIFF holds, whose offsets have 32 bits."""


class Encoded(NamedTuple):
    """A picture's file.

    Attributes:
        data: the file.
        notes: what of the metadata is left out.
    """

    data: bytes
    notes: tuple[str, ...]


def write_picture(path: Path, picture: Picture) -> None:
    """Encode ``picture`` in the format of ``path``'s extension, sRGB profile embedded, and write it whole or not at all.

    Raises:
        ImageError: the extension is not one of `WRITTEN`, or the file cannot be written.
    """
    data = encode_picture(picture, path.suffix).data
    try:
        write_atomic(path, data)
    except OSError as error:
        raise ImageError(f"{path}: cannot write {len(data):,} bytes ({first_line(error)})") from None


def encode_picture(picture: Picture, extension: str) -> Encoded:
    """The file ``write_picture`` writes, as bytes. JPEG has no alpha: there a picture is laid on white.

    Metadata that the format or its library does not take is left out, and noted.

    Raises:
        ImageError: the extension is not one of `WRITTEN`, or the format does not hold such a picture.
    """
    kind = WRITTEN.get(extension.lower())
    if kind is None:
        raise ImageError(f"cannot write '{extension}' files; choose one of: {', '.join(WRITTEN)}")
    if (why := too_large(picture.size, extension)) is not None:
        raise ImageError(why)
    image = picture.rgb
    if picture.alpha is not None:
        if kind == "JPEG":
            image = Image.composite(image, Image.new("RGB", image.size, "white"), picture.alpha)
        else:
            image = image.copy()
            image.putalpha(picture.alpha)
    metadata = picture.metadata.of_painting(picture.size)
    try:
        return _encoded(image, kind, metadata)
    except Exception as error:  # of libraries that are given what people's files hold
        why = first_line(error)
    try:
        data, _ = _encoded(image, kind, Metadata())
    except Exception as error:
        raise ImageError(f"the {kind} encoder failed: {first_line(error)}") from None
    return Encoded(data, (f"metadata: left out, the {kind} encoder does not take it ({why})",))


def too_large(size: Size, extension: str) -> str | None:
    """Why a format does not hold pictures of a size; None if it does."""
    kind = WRITTEN.get(extension.lower(), "")
    if size.long_side > _LONGEST.get(kind, math.inf):
        return (
            f"{kind} holds {_LONGEST[kind]:,} pixels along a side, this has {size.long_side:,}; take --name '{{stem}}.png'"
        )
    if kind == "TIFF" and 4 * size.pixels > _TIFF_BYTES:
        return f"TIFF holds 4 GB, {size} pixels are more; take --name '{{stem}}.png'"
    return None


def rehearse(header: Header, extension: str) -> str | None:
    """Try to encode a painting of a photo before it is painted, with its metadata and its width and height in turn.

    Returns:
        Why it would fail; None if it would not.
    """
    size = header.size
    if (why := too_large(size, extension)) is not None:
        return why
    for strip in ((size.width, 1), (1, size.height)):
        image = Image.new("RGB", strip)
        alpha = Image.new("L", strip, 255) if header.alpha else None
        try:
            encode_picture(Picture(image, alpha, header.metadata), extension)
        except ImageError as error:
            return str(error)
    return None


def _encoded(image: Image.Image, kind: str, metadata: Metadata) -> Encoded:
    homeless = _NO_PLACE[kind]
    notes = [f"{name}: left out, {kind} has no place for it" for field, name in homeless.items() if getattr(metadata, field)]
    options = dict(_SAVE_OPTIONS[kind], icc_profile=_srgb_profile())
    if metadata.quality is not None and "quality" in options:
        options["quality"] = metadata.quality
    if metadata.dpi is not None and kind != "WEBP":
        options["dpi"] = metadata.dpi
    if kind in _ADDED:
        options |= _ADDED[kind](metadata, notes)
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    data = metadata.into_tiff(buffer.getvalue()) if kind == "TIFF" else buffer.getvalue()
    with open_image(io.BytesIO(data), math.inf) as written:
        if written.size != image.size:
            raise ImageError(f"the {kind} encoder wrote {written.size} in place of {image.size} pixels")
    return Encoded(data, tuple(notes))


_NO_PLACE: dict[str, dict[str, str]] = {
    "JPEG": {},
    "PNG": {"iptc": "IPTC", "comment": "comment"},
    "WEBP": {"iptc": "IPTC", "comment": "comment"},
    "TIFF": {"comment": "comment"},
}
"""What of the metadata a format has no place for."""

_SEGMENT = 65_533
"""Bytes that a segment of a JPEG holds."""

_EXIF, _XMP, _PHOTOSHOP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0", b"Photoshop 3.0\0"
"""What segments of a JPEG begin with."""


def _to_jpeg(metadata: Metadata, notes: list[str]) -> dict[str, Any]:
    exif, left_out = metadata.block(_SEGMENT - len(_EXIF))
    notes.extend(left_out)
    record = (
        struct.pack(">4sHHL", b"8BIM", IPTC_RESOURCE, 0, len(metadata.iptc)) + metadata.iptc + bytes(len(metadata.iptc) % 2)
    )
    segments = {
        "XMP": (_XMP + metadata.xmp) if metadata.xmp else b"",
        "IPTC": (_PHOTOSHOP + record) if metadata.iptc else b"",
        "comment": metadata.comment,
    }
    for name, content in segments.items():
        if len(content) > _SEGMENT:
            notes.append(f"{name}: its {len(content):,} bytes are left out, JPEG holds {_SEGMENT:,}")
            segments[name] = b""
    photoshop = segments["IPTC"]
    return {
        "exif": _EXIF + exif if exif else b"",
        **({"xmp": metadata.xmp} if segments["XMP"] else {}),
        **({"comment": metadata.comment} if segments["comment"] else {}),
        "extra": b"\xff\xed" + struct.pack(">H", len(photoshop) + 2) + photoshop if photoshop else b"",
    }


def _to_png(metadata: Metadata, _: list[str]) -> dict[str, Any]:
    info = PngInfo()
    if metadata.xmp:
        info.add_itxt("XML:com.adobe.xmp", metadata.xmp.decode("utf-8", "replace"))
    return {"exif": metadata.block()[0], "pnginfo": info}


def _to_webp(metadata: Metadata, _: list[str]) -> dict[str, Any]:
    return {"exif": metadata.block()[0], "xmp": metadata.xmp}


_ADDED: dict[str, Callable[[Metadata, list[str]], dict[str, Any]]] = {
    "JPEG": _to_jpeg,
    "PNG": _to_png,
    "WEBP": _to_webp,
}
"""Options of Pillow's for the metadata of each format; notes are added. A TIFF gets them afterwards, see `into_tiff`."""


def _srgb_profile() -> bytes:
    """LittleCMS's sRGB, but for the date in its header: it would make every file another one."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile[:24] + struct.pack(">6H", 2000, 1, 1, 0, 0, 0) + profile[36:]
