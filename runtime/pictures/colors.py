"""Whose colours a painting has.

After Gatys, Bethge, Hertzmann, Shechtman, "Preserving color in neural artistic style transfer" (2016): luminance-only
transfer, and colour matching by mean and covariance. A departure: lightness and chroma are told apart in Oklab (Ottosson
2020), which is perceptual, where the paper takes YIQ. Histograms are ours, in Oklab too.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..recipe.settings import MATCHES
from .pixels import thin

_ROWS = 256
"""Rows of an image that are converted at a time, to bound memory."""

# Ottosson, "A perceptual color space for image processing" (2020): linear sRGB to cone responses, their cube roots to Oklab.
_TO_CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)

_SINGULAR = 1e-3
"""Least variance that is told apart, in squares of grey levels: below, a style of one colour has no direction to stretch."""

_RANKS = 1024
"""Quantiles that a histogram is matched at."""

_SAMPLE = 512
"""Long side, in pixels, that histograms are taken at."""

Values = NDArray[np.float64]
"""Colours or covariances, in float64."""


def take_chroma(painting: Image.Image, photo: Image.Image, share: float) -> Image.Image:
    """The painting's lightness, with its chroma in that share and the photo's in the rest.

    Args:
        painting: of mode RGB.
        photo: of mode RGB and the same size.
        share: 0..1.
    """
    result = np.empty((painting.height, painting.width, 3), np.uint8)
    painted, original = np.asarray(painting), np.asarray(photo)
    for top in range(0, painting.height, _ROWS):
        rows = slice(top, top + _ROWS)
        lab = to_oklab(painted[rows])
        lab[..., 1:] = share * lab[..., 1:] + (1 - share) * to_oklab(original[rows])[..., 1:]
        result[rows] = from_oklab(lab)
    return Image.fromarray(result)


def match(style: Image.Image, photo: Image.Image) -> Image.Image:
    """The style with the photo's mean colour and covariance, by the symmetric map between them."""
    S, P = (np.asarray(image, np.float64).reshape(-1, 3) for image in (style, photo))
    A = _root(np.cov(P.T), 0.5) @ _root(np.cov(S.T), -0.5)
    matched = (S - S.mean(0)) @ A.T + P.mean(0)
    return Image.fromarray(np.clip(np.rint(matched), 0, 255).astype(np.uint8).reshape(style.height, style.width, 3))


def match_histograms(style: Image.Image, photo: Image.Image) -> Image.Image:
    """The style with the photo's histograms of lightness and of both axes of chroma, each by itself."""
    ranks = np.linspace(0, 1, _RANKS)
    before, after = (
        np.quantile(to_oklab(np.asarray(thin(image, _SAMPLE))).reshape(-1, 3), ranks, axis=0) for image in (style, photo)
    )
    result = np.empty((style.height, style.width, 3), np.uint8)
    pixels = np.asarray(style)
    for top in range(0, style.height, _ROWS):
        rows = slice(top, top + _ROWS)
        lab = to_oklab(pixels[rows])
        for axis in range(3):
            # Of values that many ranks share, the middle one: a style of one colour takes the photo's median.
            low, high = (np.searchsorted(before[:, axis], lab[..., axis], side) for side in ("left", "right"))
            lab[..., axis] = np.interp((low + high - 1) / 2, np.arange(_RANKS), after[:, axis])
        result[rows] = from_oklab(lab)
    return Image.fromarray(result)


MATCHERS = dict(zip(MATCHES, (match, match_histograms), strict=True))


def to_oklab(rgb: NDArray[np.uint8]) -> Values:
    """Oklab ``[..., 3]`` of sRGB ``[..., 3]``, 0..255: lightness in 0..1, and two axes of chroma."""
    values = rgb / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    lab: Values = np.cbrt(linear @ _TO_CONES.T) @ _TO_LAB.T
    return lab


def from_oklab(lab: Values) -> NDArray[np.uint8]:
    """Inverse of `to_oklab`; what sRGB has not loses chroma until it has it."""
    linear = _linear(lab, 1.0)
    inside = _inside(linear)
    if not inside.all():
        # Lightness alone always is in sRGB; of the chroma, as much as fits, by halving.
        low, high = np.zeros(inside.shape), np.ones(inside.shape)
        for _ in range(8):
            middle = (low + high) / 2
            fits = _inside(_linear(lab, middle[..., None]))
            low, high = np.where(fits, middle, low), np.where(fits, high, middle)
        linear = _linear(lab, np.where(inside, 1.0, low)[..., None])
    linear = linear.clip(0, 1)
    values = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    rounded: NDArray[np.uint8] = np.rint(255 * values).astype(np.uint8)
    return rounded


_MARGIN = 1e-6
"""By which linear light may leave 0..1: rounding. Near black, lightness is the cube root of it."""


def _linear(lab: Values, chroma: Values | float) -> Values:
    """Linear sRGB of Oklab with so much of its chroma; it may leave 0..1."""
    a, b, c = np.moveaxis(np.linalg.inv(_TO_LAB), 1, 0)
    cones = lab[..., :1] * a + chroma * (lab[..., 1:2] * b + lab[..., 2:] * c)
    linear: Values = cones**3 @ np.linalg.inv(_TO_CONES).T
    return linear


def _inside(linear: Values) -> NDArray[np.bool_]:
    """Which pixels sRGB has."""
    return np.logical_and.reduce((linear >= -_MARGIN) & (linear <= 1 + _MARGIN), axis=-1)  # type: ignore[no-any-return]


def _root(covariance: Values, power: float) -> Values:
    """A symmetric power of a covariance matrix."""
    values, vectors = np.linalg.eigh(covariance)
    root: Values = (vectors * np.maximum(values, _SINGULAR) ** power) @ vectors.T
    return root
