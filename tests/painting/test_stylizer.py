"""The Python face."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nstbatch.runtime.bundle.spec import GRAM, STYLE_DISTANCES, Bundle, BundleSpec
from nstbatch.runtime.errors import StyleError, UsageError
from nstbatch.runtime.painting.objective import Objective, Targets, balance, encode
from nstbatch.runtime.painting.stylizer import Stylizer
from nstbatch.runtime.pictures.photo import Picture
from nstbatch.runtime.pictures.pixels import to_pixels
from nstbatch.runtime.recipe.presets import LossWeights
from seams import Export

QUICK = {"size": 64, "iterations": 4, "scales": "1"}


def test_the_face_the_readme_shows(bundle: Bundle, samples: Path) -> None:
    stylizer = Stylizer.open(str(bundle.path), style=str(samples / "starry.jpg"), size=96, iterations=25, scales=(48, 96))
    result = stylizer(str(samples / "photos" / "town.jpg"))
    assert result.image.size == (400, 280), "the photo's own size"
    assert result.image.mode == "RGB"
    assert result.losses.terms.shape == (50, 7)
    assert result.sizes.tolist() == [48] * 25 + [96] * 25
    assert result.status == "all iterations done"
    assert 0 < result.evaluation_seconds < result.seconds
    totals = result.losses.total
    assert totals[24] < 0.3 * totals[0]
    assert result.loss == totals[25:].min() < 0.3 * totals[25]
    assert np.asarray(result.image).std() > 20, "a picture, not a plane"


def test_losses_are_the_weighted_terms(bundle: Bundle, samples: Path) -> None:
    photo = samples / "photos" / "tree.jpg"
    one = Stylizer.open(bundle, samples / "ember.jpg", **QUICK, content_weight=1, style_weight=10, tv_weight=1)
    two = Stylizer.open(bundle, samples / "ember.jpg", **QUICK, content_weight=2, style_weight=30, tv_weight=5, init="style")
    first = one(photo).losses.terms[0]
    assert first[0] == 0, "the start is the photo, so there is no content to restore"
    assert (first[1:] > 0).all()
    image = Picture(Image.open(samples / "photos" / "tree.jpg").convert("RGB"))
    again = Stylizer.open(bundle, samples / "ember.jpg", **QUICK, content_weight=2, style_weight=30, tv_weight=5)(
        image
    ).losses.terms[0]
    np.testing.assert_allclose(again[1:6], 3 * first[1:6], rtol=1e-4)
    np.testing.assert_allclose(again[6], 5 * first[6], rtol=1e-4)
    assert two(photo).losses.terms[0, 0] > 0


def test_the_same_run_gives_the_same_picture(bundle: Bundle, samples: Path) -> None:
    stylizer = Stylizer.open(bundle, samples / "mosaic.jpg", **QUICK, init="noise", seed=3, threads=1)
    a, b = (np.asarray(stylizer(samples / "photos" / "tree.jpg").image) for _ in range(2))
    assert (a == b).all()
    other = Stylizer.open(bundle, samples / "mosaic.jpg", **QUICK, init="noise", seed=4, threads=1)
    assert (np.asarray(other(samples / "photos" / "tree.jpg").image) != a).any()


def test_init_from_a_file(bundle: Bundle, samples: Path, tmp_path: Path) -> None:
    start = samples / "photos" / "mountains.jpg"
    stylizer = Stylizer.open(bundle, samples / "mosaic.jpg", size=64, iterations=1, scales="1", init=str(start))
    result = stylizer(samples / "photos" / "tree.jpg")
    expected = np.asarray(Image.open(start).convert("RGB"), float)
    assert np.abs(np.asarray(result.image, float) - expected).mean() < 20, "after one evaluation it is the start, at 64 px"
    with pytest.raises(StyleError, match=r"picture to start from: .*absent\.jpg"):
        Stylizer.open(bundle, samples / "mosaic.jpg", init=str(tmp_path / "absent.jpg"))


def test_only_style_or_only_content(bundle: Bundle, samples: Path) -> None:
    texture = Stylizer.open(bundle, samples / "mosaic.jpg", **QUICK, content_weight=0.0)(samples / "photos" / "tree.jpg")
    assert (texture.losses.content == 0).all()
    alone = {"style_weight": 0.0, "tv_weight": 0.0}
    content = Stylizer.open(bundle, samples / "mosaic.jpg", **QUICK, **alone)(samples / "photos" / "tree.jpg")
    assert content.status == "the gradient is zero", "the photo is its own best content"
    assert content.evaluations == 1


def test_the_loss_is_that_of_a_picture_that_a_file_can_hold(bundle: Bundle, samples: Path) -> None:
    # Without bounds the optimum has pixels far outside of 0..255, and the picture that is left of it several times the loss.
    stylizer = Stylizer.open(bundle, samples / "starry.jpg", size=96, scales="1", style_weight=1000)
    photo = Picture(Image.open(samples / "photos" / "town.jpg").convert("RGB").resize((96, 67)))
    result = stylizer(photo)
    content, pixels = to_pixels(photo.rgb), to_pixels(result.picture.rgb)
    assert {0, 255} <= set(np.unique(pixels).astype(int)), "the bounds matter here"
    targets = Targets(encode(stylizer.engine, content).contents, stylizer.style.grams(96))
    weights = balance(LossWeights(content=1, style=1000, tv=0), targets)
    _, _, terms = Objective(stylizer.engine, targets, weights)(pixels)
    assert terms.sum() == pytest.approx(result.loss, rel=0.2), "rounding to 8 bits is all that is lost"


@pytest.mark.parametrize("distance", sorted({*STYLE_DISTANCES} - {GRAM}))
def test_other_style_distances_paint(distance: str, exported: Export, samples: Path) -> None:
    bundle = exported(BundleSpec(style_distance=distance))
    options = {"provider": "cpu", "size": 64, "scales": "1", "iterations": 12}
    result = Stylizer.open(bundle, samples / "starry.jpg", **options)(samples / "photos" / "town.jpg")
    assert result.loss < 0.7 * result.losses.total[0]
    assert np.asarray(result.image).std() > 20, "a picture, not a plane"
    # Moments of pictures may be averaged: a blend of a style with itself is that style.
    twice = Stylizer.open(bundle, [samples / "starry.jpg"] * 2, style_blend=[1, 3], **options)
    moments = Stylizer.open(bundle, samples / "starry.jpg", **options).style.grams(64)
    for name, blended in twice.style.grams(64).items():
        np.testing.assert_allclose(blended, moments[name], rtol=1e-5)
        assert blended[0, -1, -1] == pytest.approx(1), "the feature that is 1 everywhere"
    with pytest.raises(UsageError, match="--whitening on is of Gram matrices"):
        Stylizer.open(bundle, samples / "starry.jpg", **options, whitening="on")
