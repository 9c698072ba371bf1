"""Which pictures are in tiles, and that their paintings are the same."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from nstbatch.runtime.bundle.memory import encoding_bytes, evaluation_bytes
from nstbatch.runtime.bundle.spec import Bundle
from nstbatch.runtime.engine.engine import Engine
from nstbatch.runtime.engine.host import Host
from nstbatch.runtime.errors import UsageError
from nstbatch.runtime.files.arrays import read_arrays, write_arrays
from nstbatch.runtime.optimizer.host_vectors import vectors_bytes
from nstbatch.runtime.painting import tiling
from nstbatch.runtime.painting.painting import PhotoJob
from nstbatch.runtime.painting.stylizer import Stylizer
from nstbatch.runtime.painting.tiling import Tiling
from nstbatch.runtime.pictures.photo import Picture
from nstbatch.runtime.recipe.size import Size, TileSize
from seams import SeamEngine

OPTIONS: dict[str, Any] = {"size": 90, "iterations": 8, "scales": "45,90", "provider": "cpu"}


def engine(free: int | None, tile: str | int = "auto") -> SeamEngine:
    made = SeamEngine(free=free)
    made.host = replace(made.host, tile=tile)
    return made


def test_the_tile_is_chosen_by_memory() -> None:
    assert Tiling(engine(1 << 40)).size == TileSize(1024, 32, always=False)
    assert Tiling(engine(None)).size is None, "nobody knows whether anything fits"
    assert Tiling(engine(1 << 40, "off")).size is None
    assert Tiling(engine(None, 100)).size == TileSize(100, 32, always=True)
    spec = engine(0).bundle.manifest.spec
    size = Tiling(engine(1 << 28)).size
    assert size is not None
    assert evaluation_bytes(spec, size.pixels, 1) <= 0.4 * 2**28 < evaluation_bytes(spec, (size.side + 65) ** 2, 1)
    with pytest.raises(UsageError, match="tile '8' is not known; choose auto, off, or at least 16 pixels"):
        Host(tile=8)


def test_what_memory_holds_is_in_one_piece() -> None:
    large = Size(4000, 3000)
    spec = engine(0).bundle.manifest.spec
    need = evaluation_bytes(spec, large.pixels)
    assert not Tiling(engine(need)).takes(large)
    assert Tiling(engine(need - 1)).takes(large)
    assert not Tiling(engine(need - 1, "off")).takes(large)
    assert Tiling(engine(None, 500)).takes(Size(501, 30))
    assert not Tiling(engine(None, 500)).takes(Size(500, 500))
    assert Tiling(engine(encoding_bytes(large.pixels))).encodes(large)
    assert not Tiling(engine(1 << 40)).encodes(Size(1100, 1100))


def test_vectors_that_memory_has_no_room_for_are_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = engine(1 << 30)
    made.host = replace(made.host, cache=tmp_path)
    monkeypatch.setattr(tiling, "memory_limit", lambda: vectors_bytes(1000, 10) * 2)
    assert not isinstance(Tiling(made).arrays(500, 10)((500,)), np.memmap)
    array = Tiling(made).arrays(1000, 10)((10, 1000))
    assert isinstance(array, np.memmap)
    assert (array.shape, array.any()) == ((10, 1000), False)
    assert list(tmp_path.iterdir()) == []


def test_a_painting_in_tiles_is_the_same(
    bundle: Bundle, samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiling, "belongs_in_file", lambda *_: True)
    photo = Picture(Image.open(samples / "photos" / "town.jpg").convert("RGB").resize((90, 63)))
    style = samples / "starry.jpg"
    whole = Stylizer.open(bundle, style, tile="off", **OPTIONS)(photo)
    pieces = Stylizer.open(bundle, style, tile=32, cache=tmp_path, **OPTIONS)(photo)
    assert pieces.evaluations == whole.evaluations == 16
    np.testing.assert_allclose(pieces.losses.total, whole.losses.total, rtol=1e-3)
    off = np.abs(np.asarray(pieces.image, int) - np.asarray(whole.image, int))
    # Later, L-BFGS makes more of any rounding.
    assert (off > 1).mean() < 1e-3
    # At the tiles' borders it is no rougher than in one piece.
    rough, smooth = (_roughness(np.asarray(each.image, float)) for each in (pieces, whole))
    assert rough == pytest.approx(smooth, rel=0.02)


def _roughness(image: NDArray[np.floating]) -> float:
    """Mean absolute Laplacian at the borders of tiles of 32, over that elsewhere."""
    center = image[1:-1, 1:-1]
    sides = image[:-2, 1:-1], image[2:, 1:-1], image[1:-1, :-2], image[1:-1, 2:]
    laplacian = np.abs(sum(sides) - 4 * center).mean(-1)
    borders = np.zeros(laplacian.shape, bool)
    for edge in (32, 64):
        borders[edge - 2 : edge, :] = borders[:, edge - 2 : edge] = True
    return float(laplacian[borders].mean() / laplacian[~borders].mean())


def test_a_painting_in_tiles_is_taken_up_again(
    bundle: Bundle, samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiling, "belongs_in_file", lambda *_: True)
    photo = Picture(Image.open(samples / "photos" / "town.jpg").convert("RGB").resize((90, 63)))
    stylizer = Stylizer.open(bundle, samples / "starry.jpg", tile=32, cache=tmp_path, **OPTIONS | {"iterations": 4})
    first, second = (stylizer.begin(PhotoJob(photo)) for _ in range(2))
    for _ in range(6):
        first.step()
    kept = tmp_path / "kept.npz"
    with kept.open("wb") as file:
        write_arrays(file, first.state())
    with kept.open("rb") as file:
        state = read_arrays(file, 2**30, empty=second.empty)
    # It may be larger than memory.
    assert isinstance(state["rows"], np.memmap)
    second.resume(state)
    while not first.done:
        first.step()
        second.step()
    np.testing.assert_array_equal(np.asarray(first.result().image), np.asarray(second.result().image))


def test_what_computes_tiles_is_compared_with_the_cpu_provider(bundle: Bundle, tmp_path: Path) -> None:
    checked: list[object] = []
    made = Tiling(Engine(bundle, Host(provider="cpu", tile=32, cache=tmp_path)), checked.append)
    assert checked == []
    assert made.engine.bundle.manifest.spec.regions
    assert checked == [made.engine], "once"
    again = Tiling(made.engine, checked.append)
    assert again.engine is made.engine
    assert len(checked) == 1, "a bundle with regions is what paints otherwise, too"


def test_a_style_in_tiles_has_the_same_gram_matrices(bundle: Bundle, samples: Path, tmp_path: Path) -> None:
    engines: list[Callable[[], Engine]] = [
        lambda: Engine(bundle, Host(provider="cpu")),
        lambda: Engine(bundle, Host(provider="cpu", tile=48, cache=tmp_path / "b")),
    ]
    whole, pieces = (Stylizer.open(make(), samples / "starry.jpg", size=90).style.grams(150) for make in engines)
    assert whole.keys() == pieces.keys()
    for name, gram in whole.items():
        assert pieces[name].shape == gram.shape
        np.testing.assert_allclose(pieces[name], gram, rtol=1e-4, atol=1e-5 * np.abs(gram).max())
