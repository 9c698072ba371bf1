"""Pictures as arrays, and in other sizes."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from nstbatch.runtime.pictures.pixels import from_pixels, luma, resize, to_pixels
from nstbatch.runtime.recipe.size import Size
from seams import SCENE


@settings(max_examples=40, deadline=None)
@given(arrays(np.uint8, st.tuples(st.integers(1, 20), st.integers(1, 20), st.just(3))))
def test_pixels_and_image_are_inverse(pixels: np.ndarray) -> None:
    image = Image.fromarray(pixels)
    assert to_pixels(image).shape == (1, 3, *pixels.shape[:2])
    assert (np.asarray(from_pixels(to_pixels(image))) == pixels).all()


def test_pixels_are_rounded_and_clipped() -> None:
    values = np.array([-40.0, 0.4, 254.6, 300.0], np.float32).reshape(1, 1, 2, 2).repeat(3, 1)
    assert np.asarray(from_pixels(values))[..., 0].tolist() == [[0, 0], [255, 255]]


def test_enlarging_invents_nothing(scene: Image.Image) -> None:
    large = np.asarray(resize(scene, Size(4 * SCENE[0], 4 * SCENE[1])).convert("L"), float)
    window = np.outer(np.hanning(large.shape[0]), np.hanning(large.shape[1]))
    spectrum = np.abs(np.fft.fft2((large - large.mean()) * window)) ** 2
    fy, fx = (np.abs(np.fft.fftfreq(n)) for n in spectrum.shape)
    beyond = np.maximum(fy[:, None], fx[None]) > 1.5 * 0.5 / 4
    assert spectrum[beyond].sum() < 0.01 * spectrum.sum()


def test_luma_is_what_pillow_has(scene: Image.Image) -> None:
    found = luma(to_pixels(scene))
    assert found.shape == (1, 1, *SCENE[::-1])
    np.testing.assert_allclose(found[0, 0], np.asarray(scene.convert("L"), float), atol=1)
