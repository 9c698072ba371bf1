"""One photo's optimisation, from coarse to fine."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nstbatch.runtime.bundle.spec import Bundle
from nstbatch.runtime.engine.engine import Engine
from nstbatch.runtime.engine.host import Host
from nstbatch.runtime.errors import NonFiniteError
from nstbatch.runtime.painting.painting import PhotoJob, Progress
from nstbatch.runtime.painting.stylizer import Stylizer
from nstbatch.runtime.pictures.metadata import GPS, IFD0, Metadata
from nstbatch.runtime.pictures.photo import Picture, read_picture
from nstbatch.runtime.pictures.pixels import enlarge, from_pixels
from nstbatch.runtime.recipe.size import Size
from seams import Feeds, SeamEngine, picture

QUICK = {"size": 64, "iterations": 4, "scales": "1"}


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


def test_coarse_to_fine_ends_lower(vgg19: Bundle, samples: Path) -> None:
    options = {"size": 96, "iterations": 12}
    photo = samples / "photos" / "town.jpg"
    plain = Stylizer.open(vgg19, samples / "starry.jpg", **options, scales="1")(photo)
    pyramid = Stylizer.open(vgg19, samples / "starry.jpg", **options, scales="32,64,96")(photo)
    assert pyramid.loss < plain.loss


def test_finer_levels_begin_with_the_detail_of_the_photos_luma(bundle: Bundle, samples: Path) -> None:
    """A photo whose fine detail is colour alone gives the next level none of it; what is fine in its luma comes whole."""
    coarse = np.asarray(Image.open(samples / "photos" / "tree.jpg").convert("RGB").resize((64, 48)), np.float32)
    smooth = enlarge(coarse.transpose(2, 0, 1)[None], Size(128, 96)).clip(60, 190)
    checks = np.indices((96, 128)).sum(0) % 2 * 2 - 1
    # Red and blue against each other, so that the luma stays.
    colours = 40 * checks * np.array([1, 0, -0.299 / 0.114], np.float32)[:, None, None]
    for detail, expected in ((colours, 0.0), (np.broadcast_to(40 * checks, (3, 96, 128)), 1.0)):
        photo = Picture(from_pixels(smooth + detail.astype(np.float32)))
        stylizer = Stylizer.open(bundle, samples / "ember.jpg", provider="cpu", size=128, iterations=1, scales="64,128")
        painting = stylizer.begin(PhotoJob(photo))
        painting.step()
        _, start = painting.ask()
        red = detail[0].astype(float)
        assert (start[0, 0] * red).mean() / (red * red).mean() == pytest.approx(expected, abs=0.1)


def test_metadata_are_kept_or_stripped(tmp_path: Path) -> None:
    metadata = Metadata(exif={IFD0: {271: "Maker"}, GPS: {1: "N"}}, xmp=b"<x/>")
    photo = Picture(Image.new("RGB", (40, 36), "teal"), metadata=metadata)
    style = picture(tmp_path / "s.png")
    for options, expected in (
        ({}, metadata),
        ({"strip_gps": True}, metadata.without_gps()),
        ({"strip_metadata": True}, Metadata(quality=metadata.quality)),
        ({"quality": 70}, replace(metadata, quality=70)),
    ):
        found = Stylizer.open(SeamEngine(), style, size=40, iterations=1, **options)(photo).picture.metadata  # type: ignore[arg-type]
        assert found == expected


def test_what_is_not_finite_is_no_painting(tmp_path: Path) -> None:
    stylizer = Stylizer.open(SeamEngine(), picture(tmp_path / "s.png"), size=40, scales="1", iterations=2)
    painting = stylizer.begin(PhotoJob(Picture(Image.new("RGB", (40, 36), "teal"))))
    while not painting.done:
        painting.step()
    level = painting._level
    assert level is not None
    level._optimiser.x[3] = np.nan
    with pytest.raises(NonFiniteError, match="not finite; it is not saved"):
        painting.result()


def test_a_last_trial_that_overshot_costs_nothing(tmp_path: Path) -> None:
    class Overshooting(SeamEngine):
        def run(self, graph: str, feeds: Feeds, precision: str = "float32") -> list[np.ndarray]:
            losses, *rest = super().run(graph, feeds, precision)
            return [losses * (np.nan if self.calls.count("gradient") == 3 else 1), *rest]

    options = {"size": 40, "scales": "1", "check": lambda *_: None}
    photo = Picture(Image.new("RGB", (40, 36), "teal"))
    found = Stylizer.open(Overshooting(), picture(tmp_path / "s.png"), iterations=3, **options)(photo)  # type: ignore[arg-type]
    assert np.isnan(found.losses.total[-1])
    expected = Stylizer.open(SeamEngine(), tmp_path / "s.png", iterations=2, **options)(photo)  # type: ignore[arg-type]
    assert found.image.tobytes() == expected.image.tobytes()
    assert found.loss == expected.loss
