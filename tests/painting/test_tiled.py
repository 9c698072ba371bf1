"""A picture in tiles has the loss and the gradient that it has in one piece."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from nstbatch.runtime.bundle.spec import CORRELATION, WASSERSTEIN, Bundle, BundleSpec
from nstbatch.runtime.engine.engine import Engine
from nstbatch.runtime.engine.host import Host
from nstbatch.runtime.files.scratch import Scratch
from nstbatch.runtime.painting.objective import Evaluated, Objective, encode
from nstbatch.runtime.painting.tiled import Mosaic, TiledObjective, TiledTargets
from nstbatch.runtime.pictures.regions import Guidance
from nstbatch.runtime.recipe.presets import TermWeights
from nstbatch.runtime.recipe.size import Size
from seams import SHALLOW, Export

Read = Callable[[str, Size], NDArray[np.float32]]


@pytest.fixture(scope="module")
def read(samples: Path) -> Read:
    """Reads a sample at a size, as ``[1, 3, H, W]``."""

    def picture(name: str, size: Size) -> NDArray[np.float32]:
        image = Image.open(samples / name).convert("RGB").resize(size)
        return np.ascontiguousarray(np.asarray(image, np.float32).transpose(2, 0, 1)[None])

    return picture


@pytest.fixture(scope="module")
def regional(exported: Export) -> Callable[[BundleSpec], Bundle]:
    """The bundle with regions of a specification."""
    return lambda spec: exported(replace(spec, regions=True))


def both(
    plain: Bundle, regional: Bundle, size: Size, side: int, read: Read, guidance: Guidance | None = None
) -> list[tuple[Evaluated, Evaluated]]:
    """Evaluations in one piece and in tiles: of the objective itself, and in the whitened metric."""
    spec = plain.manifest.spec
    photo, style, image = (read(name, size) for name in ("photos/town.jpg", "starry.jpg", "photos/tree.jpg"))
    whole, pieces = (Engine(bundle, Host(provider="cpu")) for bundle in (plain, regional))
    if guidance is None:
        targets = replace(encode(whole, photo), grams=encode(whole, style).grams)
    else:
        targets = replace(encode(whole, photo, guidance), grams=encode(whole, style, guidance).grams)
    weights = TermWeights([1.0] * len(spec.content_taps), [100.0 / 10**i for i in range(len(spec.style_taps))], 1e-2)
    mosaic = Mosaic.of(pieces, size, side, guidance)
    tiled = TiledTargets.of(mosaic, photo, targets.grams, Scratch(in_memory=10_000))

    def in_tiles(damping: float | None) -> Evaluated:
        found = TiledObjective(tiled, weights, damping)(image)
        # The next evaluation writes over it.
        return found._replace(gradient=found.gradient.copy())

    return [(Objective(whole, targets, weights, damping)(image), in_tiles(damping)) for damping in (None, 0.02)]


def assert_equal(pairs: list[tuple[Evaluated, Evaluated]]) -> None:
    """They are, to what float32 holds."""
    for whole, tiled in pairs:
        assert tiled.loss == pytest.approx(whole.loss, rel=2e-6)
        np.testing.assert_allclose(tiled.terms, whole.terms, rtol=2e-5, atol=1e-8 * whole.terms.max())
        assert np.linalg.norm(tiled.gradient - whole.gradient) < 1e-5 * np.linalg.norm(whole.gradient)


@pytest.mark.parametrize(
    ("size", "side"),
    [((80, 64), 16), ((93, 71), 32), ((64, 64), 48), ((33, 150), 40), ((97, 40), 400)],
)
def test_it_is_the_same_at_any_size_and_tile(
    size: tuple[int, int], side: int, bundle: Bundle, regional: Callable[[BundleSpec], Bundle], read: Read
) -> None:
    assert_equal(both(bundle, regional(SHALLOW), Size(*size), side, read))


@pytest.mark.slow
def test_it_is_the_same_by_the_whole_network(vgg19: Bundle, regional: Callable[[BundleSpec], Bundle], read: Read) -> None:
    assert_equal(both(vgg19, regional(BundleSpec()), Size(131, 97), 64, read))


@pytest.mark.parametrize(
    "spec",
    [
        BundleSpec(pooling="average"),
        BundleSpec(padding="replicate"),
        BundleSpec(content_taps=("relu5_2",), tv="power"),
    ],
    ids=["average", "replicate", "power"],
)
def test_it_is_the_same_by_other_poolings_paddings_and_variations(
    spec: BundleSpec, exported: Export, regional: Callable[[BundleSpec], Bundle], read: Read
) -> None:
    assert_equal(both(exported(spec), regional(spec), Size(52, 47), 32, read))


@pytest.mark.parametrize("side", [32, 64])
def test_it_is_the_same_with_masks(side: int, regional: Callable[[BundleSpec], Bundle], read: Read) -> None:
    size = Size(93, 70)
    channels = np.zeros((3, 70, 93), np.uint8)
    channels[0, :, :40], channels[1, 20:, 40:], channels[2, :20, 40:] = 255, 200, 255
    guided = regional(SHALLOW)
    assert_equal(both(guided, guided, size, side, read, Guidance(channels)))


@pytest.mark.parametrize(("distance", "loss", "slope"), [(CORRELATION, 2e-6, 1e-4), (WASSERSTEIN, 2e-4, 2e-2)])
def test_it_is_the_same_by_other_style_distances(
    distance: str, loss: float, slope: float, exported: Export, regional: Callable[[BundleSpec], Bundle], read: Read
) -> None:
    """To what float32 holds of roots, see `bench/roots.py`."""
    spec = BundleSpec(style_distance=distance)
    ((whole, tiled), _) = both(exported(spec), regional(spec), Size(131, 97), 64, read)
    assert tiled.loss == pytest.approx(whole.loss, rel=loss)
    np.testing.assert_allclose(tiled.terms, whole.terms, rtol=10 * loss, atol=1e-8 * whole.terms.max())
    assert np.linalg.norm(tiled.gradient - whole.gradient) < slope * np.linalg.norm(whole.gradient)


def test_there_is_no_seam(bundle: Bundle, regional: Callable[[BundleSpec], Bundle], read: Read) -> None:
    """What a gradient step changes at the tiles' borders is what one piece changes there."""
    ((whole, tiled), _) = both(bundle, regional(SHALLOW), Size(96, 96), 32, read)
    borders = np.zeros(96, bool)
    borders[[31, 32, 63, 64]] = True
    off = np.abs(tiled.gradient - whole.gradient)[0].max(0)
    at, elsewhere = off[borders].max(), off[~borders].max()
    assert at <= 2 * elsewhere
    assert elsewhere < 1e-5 * np.abs(whole.gradient).max()
