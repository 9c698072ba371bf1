"""Whose colours a painting has."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from nstbatch.runtime.bundle.spec import Bundle
from nstbatch.runtime.engine.engine import Engine
from nstbatch.runtime.engine.host import Host
from nstbatch.runtime.errors import UsageError
from nstbatch.runtime.painting.stylizer import Stylizer
from nstbatch.runtime.pictures.colors import from_oklab, match, match_histograms, take_chroma, to_oklab
from nstbatch.runtime.pictures.photo import read_picture
from nstbatch.runtime.recipe.settings import Settings, chroma_share

images = arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3)))


@settings(max_examples=50, deadline=None)
@given(images)
def test_oklab_comes_back_to_the_very_bytes(rgb: np.ndarray) -> None:
    np.testing.assert_array_equal(from_oklab(to_oklab(rgb)), rgb)


def test_oklab_of_known_colours() -> None:
    # The table of Ottosson's article, for white, and his reference values of pure red and blue.
    colours = np.array([[255, 255, 255], [255, 0, 0], [0, 0, 255], [0, 0, 0]], np.uint8)
    expected = [[1, 0, 0], [0.62796, 0.22486, 0.12585], [0.45201, -0.03246, -0.31153], [0, 0, 0]]
    np.testing.assert_allclose(to_oklab(colours), expected, atol=2e-4)


@settings(max_examples=50, deadline=None)
@given(images, st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_lightness_is_the_paintings_and_the_hue_that_of_the_mixture(rgb: np.ndarray, seed: int, share: float) -> None:
    other = np.random.default_rng(seed).integers(0, 256, rgb.shape, np.uint8)
    found = np.asarray(take_chroma(Image.fromarray(rgb), Image.fromarray(other), share))
    lab, painted, photo = to_oklab(found), to_oklab(rgb), to_oklab(other)
    # Half a grey level is 0.03 of lightness beside black, the cube root, and less than 0.01 from grey level 10 on.
    off = np.abs(lab[..., 0] - painted[..., 0])
    assert (off <= np.where(painted[..., 0] < 0.2, 0.07, 0.02)).all()
    wanted = share * painted[..., 1:] + (1 - share) * photo[..., 1:]
    # What sRGB has not is nearer to grey, and of no other hue.
    assert (np.hypot(*np.moveaxis(lab[..., 1:], -1, 0)) <= np.hypot(*np.moveaxis(wanted, -1, 0)) + 0.03).all()
    cross = lab[..., 1] * wanted[..., 1] - lab[..., 2] * wanted[..., 0]
    assert np.abs(cross).max() < 0.01


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_the_ends_are_the_pictures_own(share: float, samples: Path) -> None:
    photo = read_picture(samples / "photos" / "town.jpg").rgb
    grey = photo.convert("L").convert("RGB")
    if share == 1:
        found = np.asarray(take_chroma(photo, grey, share), float)
        assert np.abs(found - np.asarray(photo)).max() <= 1
    else:
        found = to_oklab(np.asarray(take_chroma(grey, photo, share)))
        assert np.corrcoef(found[..., 1].ravel(), to_oklab(np.asarray(photo))[..., 1].ravel())[0, 1] > 0.95


def test_matching_gives_mean_and_covariance(samples: Path) -> None:
    style, photo = (Image.open(samples / name).convert("RGB") for name in ("ember.jpg", "photos/tree.jpg"))
    # Without clipping at 0 and 255 they would be equal; so compare where hardly anything is.
    soft = Image.eval(photo, lambda value: 90 + value // 4)
    found = np.asarray(match(style, soft), float).reshape(-1, 3)
    wanted = np.asarray(soft, float).reshape(-1, 3)
    np.testing.assert_allclose(found.mean(0), wanted.mean(0), atol=1)
    np.testing.assert_allclose(np.cov(found.T), np.cov(wanted.T), rtol=0.1, atol=8)
    assert found.shape == (style.width * style.height, 3)


def test_a_style_of_one_colour_is_matched_too() -> None:
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 9, 3), np.uint8))
    found = np.asarray(match(Image.new("RGB", (5, 4), "red"), photo), float)
    np.testing.assert_allclose(
        found.reshape(-1, 3), np.tile(np.asarray(photo, float).reshape(-1, 3).mean(0), (20, 1)), atol=1
    )


def test_matching_gives_histograms(samples: Path) -> None:
    style, photo = (Image.open(samples / name).convert("RGB") for name in ("mosaic.jpg", "photos/tree.jpg"))
    # Grey colours, so that sRGB has every mixture of them.
    soft = Image.eval(photo, lambda value: 110 + value // 8)
    found, wanted = (to_oklab(np.asarray(image)).reshape(-1, 3) for image in (match_histograms(style, soft), soft))
    ranks = np.linspace(0.02, 0.98, 25)
    np.testing.assert_allclose(np.quantile(found, ranks, 0), np.quantile(wanted, ranks, 0), atol=0.01)
    assert np.abs(np.asarray(match_histograms(photo, photo), float) - np.asarray(photo, float)).mean() < 0.5
    plane = np.asarray(match_histograms(Image.new("RGB", (5, 4), "red"), photo)).reshape(-1, 3)
    assert (plane == plane[0]).all()
    np.testing.assert_allclose(to_oklab(plane)[0], np.median(to_oklab(np.asarray(photo)).reshape(-1, 3), 0), atol=0.02)


def test_choices() -> None:
    assert [chroma_share(c) for c in ("style", "match", "histogram", "photo", "blend:0.25")] == [1, 1, 1, 0, 0.25]
    assert Settings(colors="blend:1").colors_parts == Settings().colors_parts
    assert len({str(Settings(colors=c).colors_parts) for c in ("style", "match", "histogram", "photo")}) == 4
    for wrong in ("blend", "blend:", "blend:2", "blend:nan", "lab", "photo:1"):
        with pytest.raises(UsageError, match="choose one of: style, photo, match"):
            Settings(colors=wrong)


def test_paintings(vgg19: Bundle, samples: Path) -> None:
    engine = Engine(vgg19, Host(provider="cpu", threads=1))
    options = {"size": 48, "scales": "1", "iterations": 12, "style_weight": 300.0, "whitening": "off"}
    photo = samples / "photos" / "tree.jpg"
    found = {
        colors: np.asarray(Stylizer.open(engine, samples / "ember.jpg", colors=colors, **options)(photo).image)
        for colors in ("style", "photo", "blend:0.5", "match", "histogram")
    }
    original = to_oklab(np.asarray(read_picture(photo).rgb))
    away = {c: np.linalg.norm(to_oklab(image)[..., 1:] - original[..., 1:], axis=-1).mean() for c, image in found.items()}
    assert away["photo"] < 0.3 * away["style"], "but for what sRGB has not"
    assert away["photo"] < away["blend:0.5"] < away["style"]
    assert max(away["match"], away["histogram"]) < 0.9 * away["style"]
    lightness = {colors: to_oklab(image)[..., 0] for colors, image in found.items()}
    np.testing.assert_allclose(lightness["photo"], lightness["style"], atol=0.03)
