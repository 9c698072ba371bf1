"""The Python face."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from PIL import Image

from nstbatch.runtime.bundle.spec import Bundle
from nstbatch.runtime.engine.engine import Engine
from nstbatch.runtime.engine.host import Host
from nstbatch.runtime.errors import StyleError, UsageError
from nstbatch.runtime.painting.objective import Objective, Targets, balance, encode
from nstbatch.runtime.painting.painting import PhotoJob, Progress
from nstbatch.runtime.painting.stylizer import Stylizer
from nstbatch.runtime.pictures.photo import Picture, read_picture
from nstbatch.runtime.pictures.pixels import to_pixels
from nstbatch.runtime.recipe.presets import LossWeights
from nstbatch.runtime.recipe.settings import Settings

QUICK = {"size": 64, "iterations": 4, "scales": "1"}


def test_the_face_the_readme_shows(bundle: Bundle, samples: Path) -> None:
    stylizer = Stylizer.open(str(bundle.path), style=str(samples / "starry.jpg"), size=96, iterations=25, scales=(48, 96))
    result = stylizer(str(samples / "photos" / "town.jpg"))
    assert result.image.size == (480, 336), "the photo's own size"
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


def test_alpha_comes_back(bundle: Bundle, samples: Path, tmp_path: Path) -> None:
    image = Image.open(samples / "photos" / "still_life.jpg").convert("RGB").resize((90, 70))
    alpha = Image.radial_gradient("L").resize((90, 70))
    image.putalpha(alpha)
    image.save(tmp_path / "alpha.png")
    result = Stylizer.open(bundle, samples / "ember.jpg", **QUICK)(tmp_path / "alpha.png")
    assert result.image.mode == "RGBA"
    assert (np.asarray(result.image.getchannel("A")) == np.asarray(alpha)).all()


def test_progress_rises_to_one(bundle: Bundle, samples: Path) -> None:
    seen: list[Progress] = []
    stylizer = Stylizer.open(bundle, samples / "ember.jpg", size=96, iterations=3, scales="48,96")
    stylizer(samples / "photos" / "tree.jpg", seen.append)
    fractions = [p.fraction for p in seen]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    assert [p.size for p in seen] == [48] * 3 + [96] * 3
    assert all(p.loss > 0 for p in seen)


def test_a_small_photo_is_not_enlarged(bundle: Bundle, samples: Path) -> None:
    photo = Picture(Image.open(samples / "photos" / "tree.jpg").convert("RGB").resize((60, 40)))
    result = Stylizer.open(bundle, samples / "ember.jpg", size=512, iterations=2)(photo)
    assert set(result.sizes) == {60}


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_the_average_of_iterates(optimizer: str, bundle: Bundle, samples: Path) -> None:
    engine = Engine(bundle, Host(provider="cpu", threads=1))
    options = {"size": 48, "scales": "1", "iterations": 7, "optimizer": optimizer}
    photo = read_picture(samples / "photos" / "town.jpg")
    plain = Stylizer.open(engine, samples / "starry.jpg", **options).begin(PhotoJob(photo))
    averaged = Stylizer.open(engine, samples / "starry.jpg", average=0.8, **options)
    found = averaged.begin(PhotoJob(photo))
    iterates = []
    for i in range(7):
        if i == 4:
            # Taken up again in the middle, it is the same average.
            state = {name: np.array(value) for name, value in found.state().items()}
            found = averaged.begin(PhotoJob(photo))
            found.resume(state)
        plain.step()
        found.step()
        assert plain._level is not None
        iterates.append(plain._level.image.copy())
    weights = 0.8 ** np.arange(6, -1, -1)
    expected = sum(weight * iterate for weight, iterate in zip(weights, iterates, strict=True)) / weights.sum()
    assert found._level is not None
    np.testing.assert_allclose(found._level.image, expected, rtol=1e-4, atol=1e-2)
    assert np.abs(found._level.image - iterates[-1]).max() > 1


def test_coarse_to_fine_ends_lower(bundle: Bundle, samples: Path) -> None:
    options = {"size": 128, "iterations": 15}
    photo = samples / "photos" / "town.jpg"
    plain = Stylizer.open(bundle, samples / "starry.jpg", **options, scales="1")(photo)
    pyramid = Stylizer.open(bundle, samples / "starry.jpg", **options, scales="32,64,128")(photo)
    assert pyramid.loss < plain.loss


@hypothesis_settings(max_examples=200, deadline=None)
@given(size=st.integers(32, 5000), long_side=st.integers(32, 9000))
def test_levels_ascend_to_the_size(size: int, long_side: int) -> None:
    levels = Settings(size=size).levels(long_side)
    assert levels == sorted(set(levels))
    assert levels[-1] == min(size, long_side)
    assert all(b // 2 == a for a, b in itertools.pairwise(levels))
    assert levels[0] < 192


def test_levels_by_hand() -> None:
    assert Settings().levels(4000) == [128, 256, 512]
    assert Settings(scales="1").levels(4000) == [512]
    assert Settings(scales="48,96,192").levels(4000) == [48, 96, 192]
    assert Settings(scales=(48, 96, 192)).levels(100) == [48, 96, 100]


@pytest.mark.parametrize(
    "options",
    [
        {"size": 31},
        {"iterations": 0},
        {"seed": -1},
        {"history": 0},
        {"content_weight": -1.0},
        {"style_weight": float("nan")},
        {"tv_weight": float("inf")},
        {"content_weight": 0.0, "style_weight": 0.0},
        {"scales": "fine"},
        {"scales": "192,96"},
        {"scales": "16,96"},
        {"scales": ()},
    ],
)
def test_settings_that_cannot_be_meant(options: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        Settings(**options)  # type: ignore[arg-type]


def test_only_style_or_only_content(bundle: Bundle, samples: Path) -> None:
    texture = Stylizer.open(bundle, samples / "mosaic.jpg", **QUICK, content_weight=0.0)(samples / "photos" / "tree.jpg")
    assert (texture.losses.content == 0).all()
    content = Stylizer.open(bundle, samples / "mosaic.jpg", **QUICK, style_weight=0.0)(samples / "photos" / "tree.jpg")
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
