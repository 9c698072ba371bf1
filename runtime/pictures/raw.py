"""RAW files of cameras, developed by LibRaw as the camera would have: its white balance, in sRGB, upright."""

from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.ImageFile import ImageFile

from ..errors import ImageError

RAW = "RAW"
"""The format of what is no picture yet, as Pillow would call it."""

EXTENSIONS = [
    ".3fr",
    ".arw",
    ".cr2",
    ".cr3",
    ".crw",
    ".dcr",
    ".dng",
    ".erf",
    ".iiq",
    ".kdc",
    ".mef",
    ".mos",
    ".mrw",
    ".nef",
    ".nrw",
    ".orf",
    ".pef",
    ".raf",
    ".rw2",
    ".rwl",
    ".sr2",
    ".srf",
    ".srw",
    ".x3f",
]
"""Of what LibRaw reads. Most of them are TIFFs of which a reader of TIFF would show a thumbnail, so names tell them."""

_TIFF = (b"II*\0", b"MM\0*")

_EXIF_LIES_IN = 2**20
"""Bytes from the beginning of a file."""


_LYING = (5, 6)
"""LibRaw's numbers for quarter turns."""


class RawImageFile(ImageFile):
    """An image for Pillow, which is developed when it is loaded.

    Its size is that of the picture that stands upright. What is kept of EXIF is that of files that are TIFFs, as most are.

    Args:
        fp: the file.

    Raises:
        SyntaxError: the file is none that LibRaw knows.
    """

    format = RAW
    format_description = "RAW file of a camera"

    def _open(self) -> None:
        import rawpy

        assert self.fp is not None, "Pillow has just opened it"
        try:
            self._raw: rawpy.RawPy | None = rawpy.imread(_source(self.fp))
        except rawpy.LibRawError as error:
            raise SyntaxError(f"no RAW file that LibRaw knows ({error})") from None
        sizes = self._raw.sizes
        across, down = sizes.iwidth, sizes.iheight
        self._size = (down, across) if sizes.flip in _LYING else (across, down)
        self._mode, self._halved = "RGB", False
        self.fp.seek(0)
        head = self.fp.read(_EXIF_LIES_IN)
        if head.startswith(_TIFF):
            self.info["exif"] = b"Exif\0\0" + head

    def draft(self, mode: str | None, size: tuple[int, int] | None) -> None:
        """Halve the size where that is still enough: four times as quick."""
        if self._raw is not None and size is not None and max(self.size) >= 2 * max(size):
            self._halved = True

    def load(self) -> Any:
        """Develop the picture, once.

        Raises:
            OSError: the file is damaged.
        """
        import rawpy

        if self._raw is not None:
            try:
                pixels = self._raw.postprocess(
                    use_camera_wb=True, output_color=rawpy.ColorSpace.sRGB, gamma=(2.4, 12.92), half_size=self._halved
                )
            except rawpy.LibRawError as error:
                raise OSError(f"LibRaw cannot develop it ({error})") from None
            finally:
                self._raw.close()
                self._raw = None
            developed = Image.fromarray(np.ascontiguousarray(pixels))
            self._size, self.im = developed.size, developed.im
        return super().load()


def _source(file: Any) -> Any:
    """What LibRaw is to read: an open file by its descriptor, of which it reads what it needs; any other whole."""
    try:
        path = Path(f"/dev/fd/{file.fileno()}")
    except OSError:
        return file
    return str(path) if path.exists() else file


def open_raw(file: BinaryIO) -> ImageFile | None:
    """An image whose header is read; None for a file that begins as no RAW does, which is left at its beginning.

    Raises:
        UnidentifiedImageError: LibRaw does not know a file that is a TIFF, of which Pillow would show a thumbnail.
    """
    try:
        return RawImageFile(file)
    except SyntaxError as error:
        file.seek(0)
        if file.read(len(_TIFF[0])) in _TIFF:
            raise UnidentifiedImageError from ImageError(str(error))
        file.seek(0)
        return None
