"""What a file says of its picture besides pixels: EXIF, XMP, IPTC, a comment, the resolution.

Anything may be in such blocks, and they come through many hands. What cannot be read or written costs itself, and never the
picture: it is left out, entry by entry, and a note says so.
"""

import math
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from PIL import Image, TiffTags
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from ..recipe.size import Size
from .raw import RAW

IFD0, EXIF, GPS, INTEROP = 0, 0x8769, 0x8825, 0xA005
"""The directories of EXIF, by the tags that point to them; the first is where all begin."""

Directories = Mapping[int, Mapping[int, Any]]
"""Entries of EXIF by tag, in directories by number."""

_XMP, _IPTC, _RESOURCES, _LAYERS = 700, 33723, 34377, 37724
_ORIENTATION, _COLOR_SPACE, _WIDTH, _HEIGHT, _INDEX = 0x0112, 0xA001, 0xA002, 0xA003, 1

_POINTERS = (EXIF, GPS, INTEROP)

_OF_THE_FILE = {
    *(*_POINTERS, 330),
    *(_ORIENTATION, *range(254, 267), *range(273, 284), *range(284, 293), 296, 297, 300, 301, *range(317, 330)),
    *(*range(331, 348), *range(512, 533), 34675, _XMP, _IPTC, _RESOURCES, _LAYERS),
    # Of DNG (1.7.1) and of the filter before the sensor (TIFF/EP).
    *(*range(50706, 52600), 33421, 33422),
}
"""Tags that say how the photo's own file is made, or hold its layers and thumbnails. In a TIFF they stand among the rest."""

_HEADER = b"II*\0\x08\0\0\0"
"""Of a TIFF, or a block of EXIF, whose first directory is at its 8th byte."""

IPTC_RESOURCE = 0x0404
"""Of Photoshop's resources in a JPEG."""


@dataclass(frozen=True)
class Metadata:
    """What is kept of a photo's file for its painting.

    Attributes:
        exif: entries by directory; less those of the file itself, orientation, layers and thumbnails.
        xmp: a packet of XMP.
        iptc: records of IPTC-IIM.
        comment: of a JPEG.
        dpi: resolution.
        quality: that a painting in JPEG or WebP is to have: the photo's, within `_QUALITIES`; None for the best of these.
        notes: what was left out.
    """

    exif: Directories = field(default_factory=dict)
    xmp: bytes = b""
    iptc: bytes = b""
    comment: bytes = b""
    dpi: tuple[float, float] | None = None
    quality: int | None = None
    notes: tuple[str, ...] = ()

    @property
    def adobe_rgb(self) -> bool:
        """Whether EXIF says that pixels are in Adobe RGB (DCF 2.0: interoperability index R03)."""
        return str(self.exif.get(INTEROP, {}).get(_INDEX, "")).startswith("R03")

    def without_gps(self) -> "Metadata":
        """The same less the place where the photo was taken."""
        exif = {number: entries for number, entries in self.exif.items() if number != GPS}
        return replace(self, exif=exif, xmp=_GPS_IN_XMP.sub(b"", self.xmp))

    def of_painting(self, size: Size) -> "Metadata":
        """The same with what EXIF says of the picture made true of its painting: its size, and that it is in sRGB."""
        exif = {number: dict(entries) for number, entries in self.exif.items()}
        if EXIF in exif:
            exif[EXIF] |= {_WIDTH: size.width, _HEIGHT: size.height, _COLOR_SPACE: 1}
        if INTEROP in exif:
            exif[INTEROP][_INDEX] = "R98"
        return replace(self, exif=exif)

    def block(self, limit: float = math.inf) -> tuple[bytes, tuple[str, ...]]:
        """EXIF as a block, less its mark ``Exif``, and notes of what was left out: above a limit, the largest entries."""
        exif, notes = {number: dict(entries) for number, entries in self.exif.items()}, []
        while len(block := _block(exif)) > limit:
            sizes = [(len(_block({n: {t: v}})), n, t) for n, entries in exif.items() for t, v in entries.items()]
            size, number, tag = max(sizes)
            del exif[number][tag]
            notes.append(f"EXIF: entry {tag:#06x} of {size:,} bytes is left out, which the format does not hold")
        return block, tuple(notes)

    def into_tiff(self, file: bytes) -> bytes:
        """A TIFF with EXIF, XMP and IPTC as tags: libtiff writes no directories of EXIF."""
        first = dict(self.exif.get(IFD0, {}))
        first |= {tag: value for tag, value in ((_XMP, self.xmp), (_IPTC, self.iptc)) if value}
        exif = {**self.exif, IFD0: first}
        if not any(exif.values()):
            return file
        whole = bytearray(file)
        whole += bytes(len(whole) % 2)
        data, position = _laid_out(exif, len(whole))
        whole += data
        entries = _entries(whole, position) | _entries(whole, struct.unpack_from("<L", file, 4)[0])
        struct.pack_into("<L", whole, 4, len(whole))
        whole += struct.pack("<H", len(entries)) + b"".join(entry for _, entry in sorted(entries.items())) + bytes(4)
        return bytes(whole)


def _block(exif: Directories) -> bytes:
    if not any(exif.values()):
        return b""
    data, position = _laid_out(exif, len(_HEADER))
    return _HEADER[:4] + struct.pack("<L", position) + data


def _laid_out(exif: Directories, offset: int) -> tuple[bytes, int]:
    """Directories for a place in a file, each before the one that points to it, and where the first of all is."""
    data, pointers = b"", dict[int, dict[int, int]]()
    position = offset
    for number, parent in ((INTEROP, EXIF), (EXIF, IFD0), (GPS, IFD0), (IFD0, None)):
        entries = {**exif.get(number, {}), **pointers.get(number, {})}
        if not entries:
            continue
        position = offset + len(data)
        data += _directory(entries, number).tobytes(position)
        data += b"\0" * (len(data) % 2)
        if parent is not None:
            pointers.setdefault(parent, {})[number] = position
    return data, position


def _directory(entries: Mapping[int, Any], number: int) -> ImageFileDirectory_v2:
    directory = ImageFileDirectory_v2(_HEADER, group=number or None)
    for tag, value in entries.items():
        # Pillow has read text as Latin-1, and would write it as ASCII.
        directory[tag] = value.encode("latin-1") if isinstance(value, str) else value
        if isinstance(value, str):
            directory.tagtype[tag] = TiffTags.ASCII
        elif isinstance(value, bytes) and number in (EXIF, INTEROP):
            directory.tagtype[tag] = TiffTags.UNDEFINED
        elif tag in _POINTERS:
            directory.tagtype[tag] = TiffTags.LONG
    return directory


def _entries(file: bytearray, position: int) -> dict[int, bytes]:
    """The entries of a directory of a TIFF, by tag, as they are."""
    (count,) = struct.unpack_from("<H", file, position)
    found = (bytes(file[place : place + 12]) for place in range(position + 2, position + 2 + 12 * count, 12))
    return {struct.unpack_from("<H", entry)[0]: entry for entry in found}


_VALUE = rb"""\s*=\s*(?:"[^"]*"|'[^']*')"""

_GPS_IN_XMP = re.compile(rb"\s+exif:GPS\w+" + _VALUE + rb"|<exif:GPS(\w+)\b[^>]*?(?:/>|>.*?</exif:GPS\1>)", re.DOTALL)

_ORIENTATION_IN_XMP = re.compile(rb"\s+tiff:Orientation" + _VALUE + rb"|<tiff:Orientation\b[^>]*>[^<]*</tiff:Orientation>")

_THUMBNAILS_IN_XMP = re.compile(rb"<(xmp|xap):Thumbnails\b.*?</\1:Thumbnails>", re.DOTALL)


def orientation(image: Image.Image) -> int:
    """How the stored pixels lie, 1 to 8, see EXIF 2.32, tag 274; 1 where nothing is said.

    A JPEG XL is turned by its decoder, whatever its EXIF says (ISO/IEC 18181-2); one that was made of a JPEG without loss is
    given back as that JPEG. A RAW is developed upright.
    """
    if image.format == RAW:
        return 1
    if image.format == "JXL" and not getattr(image, "jpeg", False):
        return 1
    try:
        found = _getexif(image).get(_ORIENTATION)
    except Exception:  # Pillow lets through whatever befalls it
        return 1
    return found if isinstance(found, int) else 1


def read_metadata(image: Image.Image) -> Metadata:
    """What is to be kept of an image whose header is read, whose painting will be upright."""
    exif, notes = _read_exif(image)
    tags = getattr(image, "tag_v2", {})
    xmp = _bytes(image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or tags.get(_XMP))
    resources = image.info.get("photoshop")
    iptc = resources.get(IPTC_RESOURCE) if isinstance(resources, dict) else None
    return Metadata(
        exif=exif,
        xmp=_ORIENTATION_IN_XMP.sub(b"", _THUMBNAILS_IN_XMP.sub(b"", xmp)),
        iptc=_bytes(iptc or tags.get(_IPTC)),
        comment=_bytes(image.info.get("comment")) if image.format in ("JPEG", "MPO") else b"",
        dpi=_resolution(image.info.get("dpi")),
        quality=_quality(image),
        notes=tuple(notes),
    )


_QUALITIES = 85, 95
"""Of paintings: below, their strokes get blocks; above, files grow and nothing is to be seen."""

_LUMINANCE = 3688
"""Sum of the quantization table of luminance that quality 50 has (ISO/IEC 10918-1, table K.1)."""


def _quality(image: Image.Image) -> int | None:
    """The quality by which libjpeg would make a JPEG's quantization tables, within `_QUALITIES`; None for another file."""
    tables: dict[int, list[int]] | None = getattr(image, "quantization", None)
    if not tables or 0 not in tables:
        return None
    scale = 100 * sum(tables[0]) / _LUMINANCE
    quality = round((200 - scale) / 2 if scale <= 100 else 5000 / max(scale, 1))
    return min(max(quality, _QUALITIES[0]), _QUALITIES[1])


def _bytes(value: object) -> bytes:
    if isinstance(value, tuple) and len(value) == 1:
        value = value[0]
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape")
    return value if isinstance(value, bytes) else b""


def _resolution(dpi: object) -> tuple[float, float] | None:
    try:
        across, down = (float(value) for value in dpi)  # type: ignore[attr-defined]
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None
    return (across, down) if all(0 < value < 1e6 for value in (across, down)) else None


def _getexif(image: Image.Image) -> Image.Exif:
    # A PNG's own would decode the picture, to find what stands behind its pixels.
    return Image.Image.getexif(image)


def _read_exif(image: Image.Image) -> tuple[Directories, list[str]]:
    notes: list[str] = []
    try:
        exif = _getexif(image)
    except Exception:  # Pillow lets through whatever befalls it
        return {}, ["EXIF: cannot be read, and is left out"]
    readers: dict[int, Callable[[], Mapping[int, Any]]] = {
        IFD0: lambda: exif,
        EXIF: lambda: exif.get_ifd(EXIF),
        GPS: lambda: exif.get_ifd(GPS),
        INTEROP: lambda: exif.get_ifd(INTEROP),
    }
    found: dict[int, dict[int, Any]] = {}
    for number, read in readers.items():
        try:
            entries = dict(read())
        except KeyError:
            # Pillow before 13 says so of a directory that is not there.
            continue
        except Exception:  # likewise
            notes.append(f"EXIF: directory {number:#06x} cannot be read, and is left out")
            continue
        kept = {}
        for tag, value in entries.items():
            if tag in _OF_THE_FILE:
                continue
            if _can_be_written(number, tag, value):
                kept[tag] = value
            else:
                notes.append(f"EXIF: entry {tag:#06x} is not of its kind, and is left out")
        if kept:
            found[number] = kept
    return found, notes


def _can_be_written(number: int, tag: int, value: Any) -> bool:
    try:
        _directory({tag: value}, number).tobytes(0)
    except Exception:  # of an entry of another type than it should have, anything
        return False
    return True
