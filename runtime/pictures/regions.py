"""Regions of pictures: which parts of a photo take which part of a style, and which are kept.

After Gatys, Ecker, Bethge, Hertzmann, Shechtman, "Controlling Perceptual Factors in Neural Style Transfer" (2017),
section 4.1: a Gram matrix for each region, by guidance channels that are scaled down to every tap. A departure: a region's
term counts by its share of the picture, so that a small region is not painted more strongly than a large one.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from ..bundle.spec import BundleSpec
from ..errors import ImageError
from ..files.location import Location
from ..recipe.presets import Shapes
from ..recipe.settings import FEATHER, MAX_MEGAPIXELS
from ..recipe.size import Size
from .photo import read_photo
from .pixels import thin

Color = tuple[int, int, int]
"""sRGB, 0..255."""

_MOST = 16
"""Regions; a picture with more colours is taken for a photo."""

_ALIKE = 60.0
"""Distance in RGB within which colours are one: JPEG's noise is less, and what people tell apart is more."""

_LEAST = 0.01
"""Share of a mask below which a colour is an edge's, between two others."""

_SIDE = 1024
"""Long side, in pixels, that regions are kept at: above what a tap at 512 pixels has."""

_PROPORTIONS = 0.02
"""By which width over height of a mask may differ from its picture's, relative."""


@dataclass(frozen=True)
class Mask:
    """A picture whose colours say where regions are.

    Attributes:
        path: its file.
        image: of mode RGB.
        sha256: of its bytes.
    """

    path: Location
    image: Image.Image
    sha256: str

    @classmethod
    def read(cls, path: Location, max_megapixels: float = MAX_MEGAPIXELS) -> "Mask":
        """Read a mask, as a photo is read.

        Raises:
            ImageError: see `read_photo`.
        """
        photo = read_photo(path, max_megapixels)
        return cls(path, photo.picture.rgb, photo.sha256)

    def check(self, size: Size) -> None:
        """Refuse a picture of other proportions.

        Raises:
            ImageError: the mask is not of a picture of this size.
        """
        own = Size(*self.image.size)
        if abs(own.width * size.height / (own.height * size.width) - 1) > _PROPORTIONS:
            raise ImageError(f"{self.path}: a mask of {own} does not fit a picture of {size}")


@dataclass(frozen=True)
class Guidance:
    """Where the regions of a picture are.

    Attributes:
        channels: ``[R, h, w]``, of any size: to what share a place belongs to each region, 0..255; they sum to less where it
            is kept.
        keep: to what share the photo is kept, of mode L and its proportions; None where it is painted throughout.
        digest: a sha256 of the masks; empty if there are none.
    """

    channels: NDArray[np.uint8]
    keep: Image.Image | None = None
    digest: str = ""

    @classmethod
    def whole(cls, regions: int = 1) -> "Guidance":
        """Of a picture that belongs to each region throughout."""
        return cls(np.full((regions, 1, 1), 255, np.uint8))

    @property
    def shares(self) -> NDArray[np.float64]:
        """Of each region in the picture, ``[R]``, 0..1."""
        shares: NDArray[np.float64] = self.channels.mean((1, 2)) / 255
        return shares

    def masks(self, spec: BundleSpec, size: Size) -> dict[str, NDArray[np.float32]]:
        """``mask.<tap>`` to masks ``[1, R, h, w]`` of an image of that size, each of which sums to 1, or to 0."""
        shapes = Shapes.of(spec, size).style
        return {f"mask.{tap}": self._scaled(h, w) for tap, (_, h, w) in zip(spec.style_taps, shapes, strict=True)}

    def _scaled(self, height: int, width: int) -> NDArray[np.float32]:
        planes = [Image.fromarray(channel.astype(np.float32)) for channel in self.channels]
        # By areas, and not by a kernel that rings: a mask is at least 0.
        scaled = np.stack([np.asarray(p.resize((width, height), Image.Resampling.BOX), np.float64) for p in planes])
        total = scaled.sum((1, 2), keepdims=True)
        normalised: NDArray[np.float64] = np.divide(scaled, total, out=np.zeros_like(scaled), where=total > 0)
        return normalised.astype(np.float32)[None]


def find_regions(masks: Sequence[Mask]) -> tuple[Color, ...]:
    """The colours of regions: of all masks, those that cover more than a hundredth of one.

    Raises:
        ImageError: a picture has too many colours for a mask.
    """
    found: list[Color] = []
    for mask in masks:
        found += [color for color in _colors(mask) if _nearest(color, found) > _ALIKE]
    if len(found) > _MOST:
        raise ImageError(f"{masks[-1].path}: the style's masks have {len(found)} colours, {_MOST} are possible")
    return tuple(found)


def assign(mask: Mask, regions: Sequence[Color], feather: float = 0.0) -> NDArray[np.uint8]:
    """Guidance channels ``[R, h, w]`` of a mask: each pixel belongs to the region whose colour is nearest.

    Args:
        mask: whose colours to go by.
        regions: their colours.
        feather: see `FEATHER`.
    """
    image = thin(mask.image, _SIDE)
    pixels = np.asarray(image, np.int32)
    distances = np.stack([((pixels - np.array(color)) ** 2).sum(-1) for color in regions])
    labels = distances.argmin(0)
    return np.stack([_blurred(np.where(labels == r, 255, 0).astype(np.uint8), feather) for r in range(len(regions))])


def guide(
    size: Size,
    regions: Sequence[Color],
    content: Mask | None,
    protect: Mask | None,
    feather: float = FEATHER,
) -> Guidance:
    """What a photo's masks say.

    Args:
        size: of the photo.
        regions: of the style; none where it has no masks.
        content: says by the colours of ``regions`` where they are.
        protect: says by its lightness what is kept of the photo: all where it is white.
        feather: see `FEATHER`.

    Raises:
        ImageError: a mask has other proportions than the photo, or a colour that no mask of the style has.
    """
    channels = Guidance.whole().channels
    if content is not None:
        content.check(size)
        for color in _colors(content):
            if _nearest(color, regions) > _ALIKE:
                known = " ".join(map(_hex, regions))
                raise ImageError(f"{content.path}: no mask of the style has its colour {_hex(color)}; they have {known}")
        channels = assign(content, regions, feather)
    keep = None
    if protect is not None:
        protect.check(size)
        keep = Image.fromarray(_blurred(np.asarray(protect.image.convert("L")), feather))
        height, width = channels.shape[1:] if content is not None else thin(keep, _SIDE).size[::-1]
        painted = 255 - np.asarray(keep.resize((width, height), Image.Resampling.BOX), np.int32)
        channels = (channels.astype(np.int32) * painted // 255).astype(np.uint8)
    masks = [None if mask is None else mask.sha256 for mask in (content, protect)]
    return Guidance(channels, keep, digest(regions, masks, feather))


def digest(regions: Sequence[Color], masks: Sequence[str | None], feather: float) -> str:
    """A sha256 of what `guide` goes by; empty without a mask.

    Args:
        regions: see there.
        masks: sha256 of the files of ``content`` and ``protect``.
        feather: see there.
    """
    if not any(masks):
        return ""
    return hashlib.sha256(repr((tuple(regions), *masks, float(feather))).encode()).hexdigest()


def _colors(mask: Mask) -> list[Color]:
    """Colours that cover more than a hundredth of a mask, the most frequent first."""
    image = thin(mask.image, _SIDE // 2)
    colors, counts = np.unique(np.asarray(image).reshape(-1, 3), axis=0, return_counts=True)
    total = counts.sum()
    found: list[Color] = []
    while len(colors) and len(found) <= _MOST:
        color = colors[counts.argmax()]
        alike = np.linalg.norm(colors - color.astype(np.float64), axis=1) <= _ALIKE
        if counts[alike].sum() < _LEAST * total:
            break
        found.append((int(color[0]), int(color[1]), int(color[2])))
        colors, counts = colors[~alike], counts[~alike]
    if len(found) > _MOST or counts.sum() > _REST * total:
        raise ImageError(f"{mask.path}: has too many colours for a mask; paint each region in one colour, {_MOST} at most")
    return found


_REST = 0.2
"""Share of a mask that edges may have."""


def _nearest(color: Color, others: Sequence[Color]) -> float:
    """Distance to the nearest of other colours."""
    return min((float(np.linalg.norm(np.subtract(color, other))) for other in others), default=np.inf)


def _blurred(plane: NDArray[np.uint8], feather: float) -> NDArray[np.uint8]:
    image = Image.fromarray(plane)
    return np.asarray(image.filter(ImageFilter.GaussianBlur(feather / 100 * max(image.size))))


def _hex(color: Color) -> str:
    return "#{:02x}{:02x}{:02x}".format(*color)
