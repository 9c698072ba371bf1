"""Pictures as arrays of pixels, and in other sizes."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..recipe.size import Size

Pixels = NDArray[np.float32]


def to_pixels(image: Image.Image) -> Pixels:
    """An RGB image as ``[1, 3, H, W]``, 0..255."""
    return np.ascontiguousarray(np.asarray(image, np.float32).transpose(2, 0, 1)[None])


def from_pixels(pixels: Pixels) -> Image.Image:
    """Inverse of `to_pixels`: values are rounded, and clipped to 0..255."""
    clipped = np.clip(np.rint(pixels[0]), 0, 255).astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(clipped.transpose(1, 2, 0)))


def resize(image: Image.Image, size: Size) -> Image.Image:
    """Lanczos resampling, antialiased when it shrinks. Enlarging adds no detail."""
    return image if image.size == size else image.resize(size, Image.Resampling.LANCZOS)


def thin(image: Image.Image, long_side: int) -> Image.Image:
    """An image with no more than a long side, by leaving out pixels: quick, and without any new colour."""
    factor = long_side / max(image.size)
    if factor >= 1:
        return image
    width, height = (max(1, round(length * factor)) for length in image.size)
    return image.resize((width, height), Image.Resampling.NEAREST)


def enlarge(image: Pixels, size: Size) -> Pixels:
    """Resample ``[1, 3, h, w]`` to a width and height, in float32 and unclipped."""
    planes = [np.asarray(resize(Image.fromarray(plane), size)) for plane in image[0]]
    return np.stack(planes)[None]
