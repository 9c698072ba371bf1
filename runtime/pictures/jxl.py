"""The size of a JPEG XL, from its header: its plugin for Pillow decodes the whole picture to find it out."""

from typing import BinaryIO

_CODESTREAM = b"\xff\x0a"
"""What a codestream begins with (ISO/IEC 18181-1, 8.1)."""

_MOST = 2**20
"""Bytes that are looked at: metadata may stand before the codestream."""

_WIDTHS = (9, 13, 18, 30)
"""Bits of a side, by its selector (annex D.2, SizeHeader)."""

_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
"""Of width to height, from 1 on."""


def jxl_size(file: BinaryIO) -> tuple[int, int] | None:
    """Width and height in pixels as they are stored; None where no header is found. The file is left at its beginning."""
    head = file.read(_MOST)
    file.seek(0)
    if not head.startswith(_CODESTREAM):
        # A box with the codestream, or with the first part of it, which has a number.
        whole, part = head.find(b"jxlc" + _CODESTREAM), head.find(b"jxlp\0\0\0\0" + _CODESTREAM)
        begins = [place + skip for place, skip in ((whole, 4), (part, 8)) if place >= 0]
        if not begins:
            return None
        head = head[min(begins) :]
    bits = _Bits(head[len(_CODESTREAM) : len(_CODESTREAM) + 16])
    small = bits.take(1)
    height = bits.side(small)
    ratio = bits.take(3)
    if ratio == 0:
        return bits.side(small), height
    across, down = _RATIOS[ratio - 1]
    return height * across // down, height


class _Bits:
    """Numbers of so many bits, the lowest first."""

    def __init__(self, data: bytes) -> None:
        self._left = int.from_bytes(data, "little")

    def take(self, count: int) -> int:
        value = self._left & ((1 << count) - 1)
        self._left >>= count
        return value

    def side(self, small: int) -> int:
        """A side: a multiple of 8 up to 256, or any number."""
        return 8 * (1 + self.take(5)) if small else 1 + self.take(_WIDTHS[self.take(2)])
