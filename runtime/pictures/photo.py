"""Photos: files become pictures, upright and in sRGB as the camera meant them."""

import contextlib
import hashlib
import io
import math
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, UnidentifiedImageError
from PIL.ImageFile import ImageFile

from ..bundle.spec import MIN_SIDE
from ..errors import ImageError, first_line
from ..files.location import Location, is_remote
from ..files.reading import open_source, stamp_of_open
from ..files.stamp import Stamp
from ..recipe.settings import MAX_MEGAPIXELS
from ..recipe.size import Size
from .formats import EXTRA, HEAD, PLUGINS
from .metadata import Metadata, orientation, read_metadata
from .pixels import resize
from .raw import RAW
from .stored import eight_bits, named_profile, refusal

_MAX_BYTES_PER_PIXEL = 16
"""Four channels of 32 bits: a file with more is not read to its end."""

_ANIMATED = ("PNG", "WEBP", "AVIF")
"""Formats whose further frames are an animation that nobody would call a photo; those of a GIF have long been the web's
pictures, and in TIFF and MPO they are pages, thumbnails and second views."""


@dataclass(frozen=True)
class Picture:
    """A decoded picture, upright and in sRGB.

    Attributes:
        rgb: 8 bits a channel, of mode RGB. Where alpha is zero it holds the mean colour of the visible part.
        alpha: of mode L and the same size, or None where the file has no transparency.
        metadata: what else its file says of it.
    """

    rgb: Image.Image
    alpha: Image.Image | None = None
    metadata: Metadata = field(default_factory=Metadata, compare=False)

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
        metadata: see `Picture`; of an object behind a URL, what lies in its first bytes.
        alpha: whether its pixels may have alpha.
    """

    size: Size
    kind: str
    metadata: Metadata = field(default_factory=Metadata, compare=False)
    alpha: bool = False


@dataclass(frozen=True)
class Photo:
    """A picture and the file it came from.

    Attributes:
        picture: decoded.
        sha256: of the bytes that were decoded, hexadecimal.
        stamp: of the file while it was read.
        kind: see `Header`.
        notes: what was mended, and what was left out.
    """

    picture: Picture
    sha256: str
    stamp: Stamp
    kind: str
    notes: tuple[str, ...] = ()


_HEAD = 2**16
"""Bytes that the header of most pictures lies in."""


def probe_photo(path: Location, max_megapixels: float = MAX_MEGAPIXELS) -> Header:
    """Read the header of a picture, and refuse what `read_photo` would refuse for its header alone.

    Raises:
        ImageError: see `read_photo`; damage behind the header is not found.
    """
    try:
        with _opened(path, max_megapixels, _HEAD) as (image, _):
            return _header(image)
    except ImageError:
        if not is_remote(path):
            raise
    # A header may lie behind its object's first bytes.
    with _opened(path, max_megapixels) as (image, _):
        return _header(image)


def _header(image: Image.Image) -> Header:
    return Header(Size(*image.size), _kind(image), read_metadata(image), image.has_transparency_data)


def read_photo(path: Location, max_megapixels: float = MAX_MEGAPIXELS) -> Photo:
    """Decode a picture: EXIF orientation applied, ICC profile converted to sRGB, alpha set apart.

    Takes grey, palette, RGB, CMYK and Lab, of 8 bits a channel or of 16, see `stored`. Of a file with several pages (TIFF)
    or views (MPO), the first. The file is opened read-only.

    Raises:
        ImageError: the file is missing, no regular file, empty, truncated, not a picture, of a kind that is not decoded,
            animated, too large, too small, or it changed while it was read.
    """
    with _opened(path, max_megapixels) as (image, file):
        before = stamp_of_open(file)
        loaded, notes = _loaded(image, file)
        picture = _upright_srgb(loaded, file)
        file.seek(0)
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
        if stamp_of_open(file) != before:
            raise ImageError(f"{path}: changed while it was read")
        return Photo(picture, sha256, before, _kind(image), (*notes, *_losses(image), *picture.metadata.notes))


def read_thumbnail(path: Location, long_side: int, max_megapixels: float = MAX_MEGAPIXELS) -> Image.Image:
    """A small version of a picture, of mode RGB, on white where it has alpha; quickly, where the format allows it.

    Raises:
        ImageError: see `read_photo`.
    """
    with _opened(path, max_megapixels) as (image, file):
        image.draft("RGB", (long_side, long_side))
        picture = _upright_srgb(_loaded(image, file)[0], file)
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
            with open_image(io.BytesIO(source), MAX_MEGAPIXELS) as image:
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
            with open_image(file, max_megapixels, path.suffix) as image:
                if (why := refusal(image, file)) is not None:
                    raise ImageError(f"{path}: {why}")
                if _kind(image) in _ANIMATED and getattr(image, "is_animated", False):
                    raise ImageError(f"{path}: animated; save one frame of it as a picture")
                if min(image.size) < MIN_SIDE:
                    raise ImageError(
                        f"{path}: {Size(*image.size)} pixels is too small, the shorter side must have {MIN_SIDE}"
                    )
                yield image, file
    except ImageError:
        raise
    except UnidentifiedImageError as error:
        reason = "empty file" if size == 0 else str(error.__cause__ or "not a picture, or of a kind that cannot be read")
        raise ImageError(f"{path}: {reason}") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ImageError(f"{path}: larger than --max-megapixels, which is {max_megapixels:g}") from None
    except MemoryError:
        raise ImageError(f"{path}: does not fit into memory") from None
    except OSError as error:
        raise ImageError(f"{path}: {first_line(error)}") from None
    except Exception as error:  # on damaged files Pillow's decoders let through whatever befalls them
        raise ImageError(f"{path}: damaged ({first_line(error)})") from None


def open_image(file: BinaryIO, max_megapixels: float, extension: str = "") -> ImageFile:
    """An image whose header is read, with Pillow's own guard against decompression bombs set to a limit.

    Args:
        file: read from where it is; its content says what it is, but for RAW.
        max_megapixels: more are refused.
        extension: of its name, which tells a RAW from a TIFF.

    Raises:
        UnidentifiedImageError, DecompressionBombError, DecompressionBombWarning: of Pillow; and whatever befalls it.
    """
    with _OPENING:
        before = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = int(max_megapixels * 1e6) if max_megapixels < math.inf else None
        try:
            with warnings.catch_warnings():
                # Pillow's notes on odd metadata are nobody's business in an unattended run.
                warnings.simplefilter("ignore")
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                return _open(file, extension.lower())
        finally:
            Image.MAX_IMAGE_PIXELS = before


def _open(file: BinaryIO, extension: str) -> ImageFile:
    head = file.read(HEAD)
    file.seek(0)
    for plugin in PLUGINS:
        if plugin.recognises(head, extension):
            if not plugin.is_installed:
                formats = ", ".join(dict.fromkeys(plugin.formats.values()))
                raise UnidentifiedImageError from ImageError(f"{formats} files are read with a plugin: {EXTRA}")
            plugin.register()
            if plugin.size is not None:
                _refuse_bombs(plugin.size(file))
            if plugin.open is not None and (image := plugin.open(file)) is not None:
                _refuse_bombs(image.size)
                return image
    return Image.open(file)


def _refuse_bombs(size: tuple[int, int] | None) -> None:
    """Pillow's guard, for a plugin that decodes before it."""
    if size is None:
        raise UnidentifiedImageError
    if Image.MAX_IMAGE_PIXELS is not None and size[0] * size[1] > Image.MAX_IMAGE_PIXELS:
        raise Image.DecompressionBombError


_OPENING = threading.Lock()
"""Pillow's guard is the whole process's, and so are the filters of warnings; headers are read on several threads."""


def _loaded(image: Image.Image, file: BinaryIO) -> tuple[Image.Image, tuple[str, ...]]:
    """The image with its pixels, and a note where it lacked what it can be read without: the end marker of a JPEG."""
    try:
        image.load()
    except OSError:
        mended = _without_end(image, file) if _kind(image) == "JPEG" else None
        if mended is None:
            raise
        return mended, ("the file lacks its end marker",)
    return image, ()


def _without_end(image: Image.Image, file: BinaryIO) -> Image.Image | None:
    """A JPEG that lacks its end marker and nothing else; None if pixels are missing, too.

    Where all are there, a decoder skips whatever stands between them and the end.
    """
    file.seek(0)
    data = file.read().removesuffix(b"\xff")
    found = []
    for between in (b"", b"\x55\xaa" * 64):
        again = open_image(io.BytesIO(data + between + b"\xff\xd9"), math.inf)
        again.draft(image.mode, image.size)
        again.load()
        found.append(again)
    return found[0] if found[0].tobytes() == found[1].tobytes() else None


def _losses(image: Image.Image) -> Iterator[str]:
    """Notes on what of an image is not in its picture."""
    if getattr(image, "n_frames", 1) > 1 and image.format == "GIF":
        yield f"the first of {image.n_frames} frames"  # type: ignore[attr-defined]
    if (bits := image.info.get("bit_depth", 8)) > 8:
        yield f"its {bits} bits are cut to 8"
    if image.format == RAW:
        yield "a RAW file, developed by LibRaw"
    if any("hdrgainmap" in str(name) for name in image.info.get("aux", {})):
        yield "its HDR gain map is left out"


def _kind(image: Image.Image) -> str:
    # A phone's JPEG with a second view in it is still a JPEG.
    return "JPEG" if image.format == "MPO" else image.format or "unknown"


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


_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes a picture upright, by its EXIF orientation."""


def _fill_hidden(rgb: Image.Image, alpha: Image.Image) -> Image.Image:
    """Where nothing shows, files hold black or rubbish: give it the mean visible colour, so that no edge is painted."""
    visible = np.asarray(alpha) > 0
    pixels = np.array(rgb)
    pixels[~visible] = np.rint(pixels[visible].mean(0)).astype(np.uint8) if visible.any() else 128
    return Image.fromarray(pixels)


def _upright_srgb(image: Image.Image, file: BinaryIO | None = None) -> Picture:
    metadata = read_metadata(image)
    profile = image.info.get("icc_profile")
    named = None if profile else named_profile(image, file, metadata)
    upright = eight_bits(image)
    if (turn := _TURNS.get(orientation(image))) is not None:
        upright = upright.transpose(turn)
    if upright.mode in ("P", "1", "PA"):
        upright = upright.convert("RGBA" if upright.has_transparency_data else "RGB")
    elif upright.has_transparency_data and upright.mode not in ("RGBA", "LA"):
        upright = upright.convert("RGBA")
    alpha = upright.getchannel("A") if "A" in upright.getbands() else None
    if alpha is not None:
        upright = upright.convert("L" if upright.mode == "LA" else "RGB")
    rgb = _to_srgb(upright.convert("RGB") if named else upright, profile or named)
    if alpha is not None:
        rgb = _fill_hidden(rgb, alpha)
    return Picture(rgb, alpha, metadata)
