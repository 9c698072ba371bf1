"""Kinds of picture files: which are read, which are written, and what a plugin reads."""

import functools
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePath
from typing import BinaryIO

from PIL.ImageFile import ImageFile

from .jxl import jxl_size
from .raw import EXTENSIONS as RAW_EXTENSIONS
from .raw import RAW, open_raw

WRITTEN: dict[str, str] = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".png": "PNG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
"""File name extensions that are written, and Pillow's name of the format."""

_READ: dict[str, str] = {
    ".avif": "AVIF",
    ".bmp": "BMP",
    ".dib": "BMP",
    ".gif": "GIF",
    ".j2k": "JPEG2000",
    ".jp2": "JPEG2000",
    ".jpf": "JPEG2000",
    ".jpx": "JPEG2000",
    ".pbm": "PPM",
    ".pgm": "PPM",
    ".pnm": "PPM",
    ".ppm": "PPM",
    ".tga": "TGA",
}
"""Those that Pillow reads besides."""

EXTRA = "pip install 'nstbatch[formats]'"
"""What installs the plugins."""


@dataclass(frozen=True)
class Plugin:
    """A package that teaches Pillow a format.

    Attributes:
        module: of the package.
        formats: Pillow's names by extension.
        recognises: whether it is for a file that begins so, and has a name with that extension.
        register: teaches; once is enough, and more does no harm.
        size: width and height by a file's header, of a format whose plugin decodes to find them out.
        open: an image whose header is read, of a format that Pillow would take for another; None where it is none.
    """

    module: str
    formats: dict[str, str]
    recognises: Callable[[bytes, str], bool]
    register: Callable[[], object] = lambda: None
    size: Callable[[BinaryIO], tuple[int, int] | None] | None = None
    open: Callable[[BinaryIO], ImageFile | None] | None = None

    @property
    def is_installed(self) -> bool:
        """Whether the package is there; it is not loaded."""
        return _is_installed(self.module)


@functools.cache
def _is_installed(module: str) -> bool:
    # Asked for each photo of a folder, and the answer takes as long as all else about one.
    return importlib.util.find_spec(module) is not None


def _register_heif() -> None:
    from pillow_heif import register_heif_opener

    # Its defaults, but for what is not read: thumbnails, depth images and other parts.
    register_heif_opener(thumbnails=False, depth_images=False, aux_images=True)


def _register_jxl() -> None:
    import pillow_jxl  # noqa: F401 - registers itself


_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
"""Major brands (ISO/IEC 23008-12, annex B); AVIF's are Pillow's own."""

HEAD = 64
"""Bytes of a file that tell its format."""


def _is_avif(head: bytes) -> bool:
    """Whether a file of a brand that says little is an AVIF, by its other brands."""
    return head[8:12] in (b"mif1", b"msf1") and bool({b"avif", b"avis"} & {head[i : i + 4] for i in range(16, len(head), 4)})


_JXL_BEGINNINGS = (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")
"""Of a bare codestream, and of a container (ISO/IEC 18181-2)."""

PLUGINS = (
    Plugin(
        "pillow_heif",
        {".heic": "HEIF", ".heif": "HEIF", ".hif": "HEIF"},
        lambda head, _: head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS and not _is_avif(head),
        _register_heif,
    ),
    Plugin("pillow_jxl", {".jxl": "JXL"}, lambda head, _: head.startswith(_JXL_BEGINNINGS), _register_jxl, jxl_size),
    Plugin("rawpy", dict.fromkeys(RAW_EXTENSIONS, RAW), lambda _, extension: extension in RAW_EXTENSIONS, open=open_raw),
)


_FORMATS: dict[str, str] = dict(
    pair for table in (WRITTEN, _READ, *(plugin.formats for plugin in PLUGINS)) for pair in table.items()
)
"""Every extension that is read, with or without a plugin."""


def format_of(extension: str) -> str | None:
    """Pillow's name of the format that an extension stands for; None for none that is read, with or without a plugin."""
    return _FORMATS.get(extension.lower())


def extension_of(kind: str) -> str:
    """The first extension of a format, by Pillow's name; a JPEG's for one that is not read."""
    return next((extension for extension, name in _FORMATS.items() if name == kind), ".jpg")


def lacks(extension: str) -> str | None:
    """What to do so that files with an extension are read; None where they are, or never are."""
    missing = any(extension.lower() in plugin.formats and not plugin.is_installed for plugin in PLUGINS)
    return f"{EXTRA} reads them" if missing else None


def is_read(path: PurePath) -> bool:
    """Whether a file of that name is taken for a photo here."""
    return format_of(path.suffix) is not None and lacks(path.suffix) is None


def why_not(extension: str) -> str:
    """Why a file with an extension is not painted."""
    if lacks(extension):
        return f"{extension} files are read with a plugin: {EXTRA}"
    names = [each for each, kind in _FORMATS.items() if kind != RAW and lacks(each) is None]
    names += [] if lacks(RAW_EXTENSIONS[0]) else ["RAW files"]
    return f"{extension or 'a file without an extension'} is no photo that is read; photos are {', '.join(names)}"


def written_extension(extension: str) -> str:
    """The extension of a painting of a photo with that one: the same, or a JPEG's."""
    return extension if extension.lower() in WRITTEN else ".jpg"
