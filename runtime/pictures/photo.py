"""Pictures in and out: what the camera meant, in sRGB, and back to a whole file."""

import contextlib
import hashlib
import io
import math
import struct
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from ..bundle.spec import MIN_SIDE
from ..errors import ImageError, first_line
from ..files.atomic import write_atomic
from ..files.location import Location, is_remote
from ..files.reading import open_source, stamp_of_open
from ..files.stamp import Stamp
from ..recipe.settings import MAX_MEGAPIXELS
from ..recipe.size import Size
from .pixels import resize

FORMATS: dict[str, str] = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".png": "PNG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
"""File name extensions that are read from folders and can be written, and Pillow's name of the format."""

_MAX_BYTES_PER_PIXEL = 16
"""Four channels of 32 bits: a file with more is not read to its end."""

_ANIMATED = ("PNG", "WEBP", "GIF", "AVIF")
"""Formats whose further frames are an animation; in TIFF and MPO they are pages, thumbnails and second views."""

_SAVE_OPTIONS: dict[str, dict[str, Any]] = {
    # Brush strokes are fine colour detail, so colour is not subsampled.
    "JPEG": {"quality": 95, "subsampling": 0},
    "PNG": {},
    "WEBP": {"quality": 95},
    "TIFF": {"compression": "tiff_deflate"},
}

_ORIENTATION = 0x0112
_STRUCTURE = {_ORIENTATION, *range(254, 267), *range(273, 282), *range(284, 293), 297, 300, 301, *range(317, 348)} | {
    *range(512, 533),
    700,
    34675,
}
"""TIFF tags that say how pixels are stored. In a TIFF they stand among the EXIF tags, and are wrong for another file."""
_SIXTEEN_BIT = ("I", "I;16", "I;16B", "I;16L", "I;16N")


@dataclass(frozen=True)
class Picture:
    """A decoded picture, upright and in sRGB.

    Attributes:
        rgb: 8 bits a channel, of mode RGB. Where alpha is zero it holds the mean colour of the visible part.
        alpha: of mode L and the same size, or None where the file has no transparency.
        exif: the file's EXIF block less its orientation; empty if it had none.
        dpi: resolution, if the file has it.
    """

    rgb: Image.Image
    alpha: Image.Image | None = None
    exif: bytes = b""
    dpi: tuple[float, float] | None = field(default=None, compare=False)

    @property
    def size(self) -> Size:
        """Width and height in pixels."""
        return Size(*self.rgb.size)


@dataclass(frozen=True)
class Header:
    """What a file says of its picture before anything is decoded.

    Attributes:
        size: width and height in pixels, as they are stored: EXIF orientation may exchange them.
        kind: the format that was found, by Pillow's name; the extension may say another.
    """

    size: Size
    kind: str


@dataclass(frozen=True)
class Photo:
    """A picture and the file it came from.

    Attributes:
        picture: decoded.
        sha256: of the bytes that were decoded, hexadecimal.
        stamp: of the file while it was read.
        kind: see `Header`.
    """

    picture: Picture
    sha256: str
    stamp: Stamp
    kind: str


_HEAD = 2**16
"""Bytes that the header of most pictures lies in."""


def probe_photo(path: Location, max_megapixels: float = MAX_MEGAPIXELS) -> Header:
    """Read the header of a picture, and refuse what `read_photo` would refuse for its header alone.

    Raises:
        ImageError: see `read_photo`; damage behind the header is not found.
    """
    try:
        with _opened(path, max_megapixels, _HEAD) as (image, _):
            return Header(Size(*image.size), _kind(image))
    except ImageError:
        if not is_remote(path):
            raise
    # A header may lie behind its object's first bytes.
    with _opened(path, max_megapixels) as (image, _):
        return Header(Size(*image.size), _kind(image))


def read_photo(path: Location, max_megapixels: float = MAX_MEGAPIXELS) -> Photo:
    """Decode a picture: EXIF orientation applied, ICC profile converted to sRGB, alpha set apart.

    Takes what Pillow can decode, in any mode: grey, palette, CMYK, 16 bits a channel. Of a file with several pages (TIFF)
    or views (MPO), the first. The file is opened read-only.

    Raises:
        ImageError: the file is missing, no regular file, empty, truncated, not a picture, animated, too large, too small,
            or it changed while it was read.
    """
    with _opened(path, max_megapixels) as (image, file):
        before = stamp_of_open(file)
        image.load()
        picture = _upright_srgb(image)
        file.seek(0)
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
        if stamp_of_open(file) != before:
            raise ImageError(f"{path}: changed while it was read")
        return Photo(picture, sha256, before, _kind(image))


def read_thumbnail(path: Location, long_side: int, max_megapixels: float = MAX_MEGAPIXELS) -> Image.Image:
    """A small version of a picture, of mode RGB, on white where it has alpha; quickly, where the format allows it.

    Raises:
        ImageError: see `read_photo`.
    """
    with _opened(path, max_megapixels) as (image, _):
        image.draft("RGB", (long_side, long_side))
        image.load()
        picture = _upright_srgb(image)
    small = resize(picture.rgb, picture.size.fit(long_side)) if picture.size.long_side > long_side else picture.rgb
    if picture.alpha is None:
        return small
    return Image.composite(small, Image.new("RGB", small.size, "white"), picture.alpha.resize(small.size))


def read_picture(path: Location, max_megapixels: float = MAX_MEGAPIXELS) -> Picture:
    """The picture of `read_photo`."""
    return read_photo(path, max_megapixels).picture


def picture_of(source: Image.Image | bytes | NDArray[Any]) -> Picture:
    """The picture in an image of Pillow's, in the bytes of a file, or in an array.

    Args:
        source: an array is ``[H, W]``, or ``[H, W, 3]`` in RGB, or ``[H, W, 4]`` with alpha, of uint8.

    Raises:
        ImageError: the bytes are no picture, or the array has another shape or type, or the picture is too small.
    """
    if isinstance(source, bytes):
        try:
            with _open(io.BytesIO(source), MAX_MEGAPIXELS) as image:
                image.load()
                return picture_of(image)
        except ImageError:
            raise
        except UnidentifiedImageError:
            raise ImageError(f"{len(source):,} bytes that are no picture of a known format") from None
        except Exception as error:  # on damaged files Pillow's decoders let through whatever befalls them
            raise ImageError(f"{len(source):,} bytes that are no picture ({first_line(error)})") from None
    if not isinstance(source, Image.Image):
        if source.dtype != np.uint8 or source.ndim not in (2, 3) or (source.ndim == 3 and source.shape[2] not in (3, 4)):
            raise ImageError(
                f"an array of {source.dtype} and shape {source.shape} is no picture: give uint8, [H, W] or [H, W, 3 or 4]"
            )
        source = Image.fromarray(source)
    if min(source.size) < MIN_SIDE:
        raise ImageError(f"{Size(*source.size)} pixels is too small, the shorter side must have {MIN_SIDE}")
    return _upright_srgb(source)


@contextlib.contextmanager
def _opened(path: Location, max_megapixels: float, head: int | None = None) -> Iterator[tuple[Image.Image, BinaryIO]]:
    """An image whose header is read and sound, and its file; whatever decoding it raises becomes an `ImageError`."""
    try:
        with open_source(path, head) as file:
            size = stamp_of_open(file).size
            if size > _MAX_BYTES_PER_PIXEL * max_megapixels * 1e6:
                raise ImageError(f"{path}: {size:,} bytes are too many for {max_megapixels:g} megapixels")
            with _open(file, max_megapixels) as image:
                if _kind(image) in _ANIMATED and getattr(image, "is_animated", False):
                    raise ImageError(f"{path}: animated; save one frame of it as a picture")
                if min(image.size) < MIN_SIDE:
                    raise ImageError(
                        f"{path}: {Size(*image.size)} pixels is too small, the shorter side must have {MIN_SIDE}"
                    )
                yield image, file
    except ImageError:
        raise
    except UnidentifiedImageError:
        reason = "empty file" if size == 0 else "not a picture, or of a kind that cannot be read"
        raise ImageError(f"{path}: {reason}") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ImageError(f"{path}: larger than --max-megapixels, which is {max_megapixels:g}") from None
    except MemoryError:
        raise ImageError(f"{path}: does not fit into memory") from None
    except OSError as error:
        raise ImageError(f"{path}: {first_line(error)}") from None
    except Exception as error:  # on damaged files Pillow's decoders let through whatever befalls them
        raise ImageError(f"{path}: damaged ({first_line(error)})") from None


def _open(file: BinaryIO, max_megapixels: float) -> Image.Image:
    """An image whose header is read, with Pillow's own guard against decompression bombs set to a limit."""
    with _OPENING:
        before = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = int(max_megapixels * 1e6) if max_megapixels < math.inf else None
        try:
            with warnings.catch_warnings():
                # Pillow's notes on odd metadata are nobody's business in an unattended run.
                warnings.simplefilter("ignore")
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                return Image.open(file)
        finally:
            Image.MAX_IMAGE_PIXELS = before


_OPENING = threading.Lock()
"""Pillow's guard is the whole process's, and so are the filters of warnings; headers are read on several threads."""


def _kind(image: Image.Image) -> str:
    # A phone's JPEG with a second view in it is still a JPEG.
    return "JPEG" if image.format == "MPO" else image.format or "unknown"


def write_picture(path: Path, picture: Picture) -> None:
    """Encode ``picture`` in the format of ``path``'s extension, sRGB profile embedded, and write it whole or not at all.

    Raises:
        ImageError: the extension is not one of `FORMATS`, or the file cannot be written.
    """
    data = encode_picture(picture, path.suffix)
    try:
        write_atomic(path, data)
    except OSError as error:
        raise ImageError(f"{path}: cannot write {len(data):,} bytes ({first_line(error)})") from None


def encode_picture(picture: Picture, extension: str) -> bytes:
    """The file ``write_picture`` writes, as bytes. JPEG has no alpha: there a picture is laid on white.

    Raises:
        ImageError: the extension is not one of `FORMATS`.
    """
    kind = FORMATS.get(extension.lower())
    if kind is None:
        raise ImageError(f"cannot write '{extension}' files; choose one of: {', '.join(FORMATS)}")
    image = picture.rgb
    if picture.alpha is not None:
        if kind == "JPEG":
            image = Image.composite(image, Image.new("RGB", image.size, "white"), picture.alpha)
        else:
            image = image.copy()
            image.putalpha(picture.alpha)
    options = dict(_SAVE_OPTIONS[kind], icc_profile=_srgb_profile())
    if picture.exif:
        options["exif"] = picture.exif
    if picture.dpi is not None and kind != "WEBP":
        options["dpi"] = picture.dpi
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    with _open(buffer, math.inf) as written:
        if written.size != image.size:
            raise ImageError(f"the {kind} encoder wrote {written.size} in place of {image.size} pixels")
    return buffer.getvalue()


def _upright_srgb(image: Image.Image) -> Picture:
    exif = image.getexif()
    profile = image.info.get("icc_profile")
    dpi = image.info.get("dpi")
    upright = ImageOps.exif_transpose(image)
    for tag in _STRUCTURE.intersection(exif):
        del exif[tag]
    if upright.mode in _SIXTEEN_BIT:
        # Pillow clips these to 8 bits instead of scaling them.
        values = np.asarray(upright).astype(np.float64)
        upright = Image.fromarray(np.clip(np.rint(values / 257), 0, 255).astype(np.uint8))
    elif upright.mode == "F":
        values = np.asarray(upright, np.float64)
        # Programs that write floats mean white by 1, others by 255.
        white = 255 if values.max() <= 1 else 1
        upright = Image.fromarray(np.clip(np.rint(values * white), 0, 255).astype(np.uint8))
    if upright.mode in ("P", "1", "PA"):
        upright = upright.convert("RGBA" if upright.has_transparency_data else "RGB")
    elif upright.has_transparency_data and upright.mode not in ("RGBA", "LA"):
        upright = upright.convert("RGBA")
    alpha = upright.getchannel("A") if "A" in upright.getbands() else None
    if alpha is not None:
        upright = upright.convert("L" if upright.mode == "LA" else "RGB")
    rgb = _to_srgb(upright, profile)
    if alpha is not None:
        rgb = _fill_hidden(rgb, alpha)
    return Picture(rgb, alpha, exif.tobytes() if len(exif) else b"", dpi)


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert to sRGB by the embedded profile; a profile that is damaged or of another colour model counts as none."""
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
        except (ImageCms.PyCMSError, OSError, ValueError):
            converted = None
        if converted is not None:
            return converted
    return image.convert("RGB")


def _fill_hidden(rgb: Image.Image, alpha: Image.Image) -> Image.Image:
    """Where nothing shows, files hold black or rubbish: give it the mean visible colour, so that no edge is painted."""
    visible = np.asarray(alpha) > 0
    pixels = np.array(rgb)
    pixels[~visible] = np.rint(pixels[visible].mean(0)).astype(np.uint8) if visible.any() else 128
    return Image.fromarray(pixels)


def _srgb_profile() -> bytes:
    """LittleCMS's sRGB, but for the date in its header: it would make every file another one."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile[:24] + struct.pack(">6H", 2000, 1, 1, 0, 0, 0) + profile[36:]
