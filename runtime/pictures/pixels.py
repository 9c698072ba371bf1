"""Pictures as arrays of pixels, and in other sizes."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..recipe.size import Size

Pixels = NDArray[np.float32]


def to_pixels(image: Image.Image) -> Pixels:
    """An RGB image as ``[1, 3, H, W]``, 0..255."""
    values = np.asarray(image)
    pixels = np.empty((1, 3, *values.shape[:2]), np.float32)
    pixels[0] = values.transpose(2, 0, 1)
    return pixels


def from_pixels(pixels: Pixels) -> Image.Image:
    """Inverse of `to_pixels`: values are rounded, and clipped to 0..255."""
    image = np.empty((*pixels.shape[2:], 3), np.uint8)
    # A plane at a time: of a large picture, each copy counts.
    for channel, plane in enumerate(pixels[0]):
        rounded = np.rint(plane)
        image[..., channel] = np.clip(rounded, 0, 255, out=rounded)
    return Image.fromarray(image)


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


def luma(image: Pixels) -> Pixels:
    """Luma of ``[1, 3, H, W]`` by ITU-R BT.601, in the same unit, ``[1, 1, H, W]``."""
    red, green, blue = image[0]
    values: Pixels = (np.float32(0.299) * red + np.float32(0.587) * green + np.float32(0.114) * blue)[None, None]
    return values


def enlarge(image: Pixels, size: Size) -> Pixels:
    """Resample ``[1, C, h, w]`` to a width and height, in float32 and unclipped."""
    enlarged = np.empty((1, len(image[0]), size.height, size.width), np.float32)
    for plane, result in zip(image[0], enlarged[0], strict=True):
        result[...] = resize(Image.fromarray(plane), size)
    return enlarged
