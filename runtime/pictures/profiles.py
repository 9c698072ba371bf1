"""Colour profiles of spaces that files name without having one, for LittleCMS to convert from.

A matrix and three tone curves, as ICC.1:2001-04, section 6.3.1.2 (three-component matrix-based input profiles), has them.
"""

import struct
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Chromaticities = tuple[float, float, float, float, float, float, float, float]
"""x and y of white, red, green and blue (CIE 1931)."""

_D65 = (0.3127, 0.3290)

SRGB: Chromaticities = (*_D65, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
ADOBE_RGB: Chromaticities = (*_D65, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
DISPLAY_P3: Chromaticities = (*_D65, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060)
BT601_625: Chromaticities = (*_D65, 0.640, 0.330, 0.290, 0.600, 0.150, 0.060)
BT601_525: Chromaticities = (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070)
BT2020: Chromaticities = (*_D65, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046)

ADOBE_GAMMA = 563 / 256
"""Of Adobe RGB (1998), section 4.3.4.2."""

_D50 = np.array([0.9642, 1.0, 0.8249])

_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])

_POINTS = 1024
"""Of a tone curve."""

Tone = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Light, 0..1, of a stored value, 0..1."""


def power(gamma: float) -> Tone:
    """A power of the stored value."""
    return lambda stored: stored**gamma


def srgb_tone(stored: NDArray[np.float64]) -> NDArray[np.float64]:
    """IEC 61966-2-1."""
    return np.where(stored <= 0.04045, stored / 12.92, ((stored + 0.055) / 1.055) ** 2.4)


def bt709_tone(stored: NDArray[np.float64]) -> NDArray[np.float64]:
    """Inverse of the transfer function of ITU-R BT.709."""
    return np.where(stored < 0.081, stored / 4.5, ((stored + 0.099) / 1.099) ** (1 / 0.45))


def rgb_profile(chromaticities: Chromaticities, tone: Tone) -> bytes:
    """An ICC profile of an RGB space.

    Raises:
        ValueError: the primaries span no space.
    """
    white, *primaries = (_xyz(x, y) for x, y in zip(chromaticities[::2], chromaticities[1::2], strict=True))
    matrix = np.stack(primaries, axis=1)
    try:
        matrix = matrix * np.linalg.solve(matrix, white)
    except np.linalg.LinAlgError:
        raise ValueError("the primaries of its colours lie on a line") from None
    # As seen by an eye that is used to D50, which profiles are relative to.
    cones = (_BRADFORD @ _D50) / (_BRADFORD @ white)
    matrix = np.linalg.inv(_BRADFORD) @ np.diag(cones) @ _BRADFORD @ matrix
    stored = np.linspace(0, 1, _POINTS)
    curve = np.rint(65535 * np.clip(tone(stored), 0, 1)).astype(">u2").tobytes()
    shared = b"curv" + bytes(4) + struct.pack(">L", _POINTS) + curve
    text = b"as the file says\0"
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">L", len(text)) + text + bytes(78),
        b"wtpt": _xyz_tag(_D50),
        **{name: _xyz_tag(column) for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), matrix.T, strict=True)},
        **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), shared),
    }
    return _profile(tags)


def _xyz(x: float, y: float) -> NDArray[np.float64]:
    if not 0 < y < 1:
        raise ValueError("a colour of its primaries has no light")
    return np.array([x / y, 1.0, (1 - x - y) / y])


def _xyz_tag(values: NDArray[np.float64]) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3l", *(round(float(value) * 65536) for value in values))


def _profile(tags: dict[bytes, bytes]) -> bytes:
    table, data, places = b"", b"", dict[bytes, int]()
    start = 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        if content not in places:
            places[content] = start + len(data)
            data += content + bytes(-len(content) % 4)
        table += name + struct.pack(">2L", places[content], len(content))
    size = start + len(data)
    header = struct.pack(">L4sL4s4s4s", size, bytes(4), 0x02400000, b"mntr", b"RGB ", b"XYZ ")
    header += struct.pack(">6H", 2000, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + struct.pack(">3l", 63190, 65536, 54061)
    return header.ljust(128, b"\0") + struct.pack(">L", len(tags)) + table + data
