"""Style sets and their cache."""

import math
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nstbatch.runtime.bundle.spec import Bundle
from nstbatch.runtime.engine.engine import Engine
from nstbatch.runtime.engine.host import Host
from nstbatch.runtime.errors import StyleError, UsageError
from nstbatch.runtime.files.arrays import write_arrays
from nstbatch.runtime.painting.style import Blend, Grams, Style
from nstbatch.runtime.painting.stylizer import Stylizer
from nstbatch.runtime.pictures.styles import read_style
from seams import Feeds


class CountingEngine(Engine):
    """Counts its evaluations."""

    calls = 0

    def run(self, graph: str, feeds: Feeds, precision: str = "float32") -> list[np.ndarray]:
        self.calls += 1
        return super().run(graph, feeds, precision)


@pytest.fixture
def engine(bundle: Bundle) -> CountingEngine:
    return CountingEngine(bundle, Host(provider="cpu"))


def test_computed_once_per_run_and_kept_on_disk(engine: CountingEngine, samples: Path, tmp_path: Path) -> None:
    style = Style(read_style(samples / "starry.jpg"), engine, tmp_path)
    first = style.grams(64)
    assert set(first) == {f"gram.{tap}" for tap in engine.bundle.manifest.spec.style_taps}
    assert style.grams(64) is first
    assert engine.calls == 1
    again = Style(read_style(samples / "starry.jpg"), engine, tmp_path).grams(64)
    assert engine.calls == 1
    for name, gram in first.items():
        assert (again[name] == gram).all()
        assert gram.shape[0] == 1
        np.testing.assert_allclose(gram, gram.transpose(0, 2, 1), rtol=1e-4, atol=1e-3)


def test_everything_that_matters_is_in_the_key(engine: CountingEngine, samples: Path, tmp_path: Path) -> None:
    style = Style(read_style(samples / "starry.jpg"), engine, tmp_path)
    assert style.key(64) != style.key(96)
    assert style.key(64) != Style(read_style(samples / "ember.jpg"), engine, tmp_path).key(64)
    renamed = Path(shutil.copy(samples / "starry.jpg", tmp_path / "other-name.jpg"))
    assert Style(read_style(renamed), engine, tmp_path).key(64) == style.key(64), "the content counts, not the name"


@pytest.mark.parametrize(
    "damage", ["torn", "empty", "other arrays", "not finite", "bit", "zeros", "channels", "fifo", "link"]
)
def test_a_damaged_set_is_computed_anew(damage: str, engine: CountingEngine, samples: Path, tmp_path: Path) -> None:
    expected = Style(read_style(samples / "ember.jpg"), engine, tmp_path).grams(64)
    (path,) = (tmp_path / "styles").glob("*.npz")
    data = bytearray(path.read_bytes())
    if damage == "torn":
        path.write_bytes(data[: len(data) // 2])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "bit":
        data[len(data) // 2] ^= 64
        path.write_bytes(data)
    elif damage == "fifo":
        path.unlink()
        os.mkfifo(path)
    elif damage == "link":
        (tmp_path / "theirs").write_bytes(b"precious")
        path.unlink()
        path.symlink_to(tmp_path / "theirs")
    elif damage in ("zeros", "channels"):
        with np.load(path) as archive:
            kept = dict(archive)
        wrong = {name: np.zeros_like(gram) for name, gram in expected.items()}
        if damage == "zeros":
            np.savez(path, **(kept | wrong))
        else:
            with path.open("wb") as file:
                write_arrays(file, {name: gram[:, :3, :3] for name, gram in expected.items()})
    else:
        arrays = {"x": np.zeros(3)} if damage == "other arrays" else {n: g * np.nan for n, g in expected.items()}
        np.savez(path, **arrays)  # type: ignore[arg-type]
    before = engine.calls
    found = Style(read_style(samples / "ember.jpg"), engine, tmp_path).grams(64)
    assert engine.calls == before + 1
    for name, gram in expected.items():
        np.testing.assert_allclose(found[name], gram, rtol=1e-4, atol=1e-2)
    assert len(list((tmp_path / "styles").iterdir())) == 1, "replaced, and nothing left lying about"


def test_a_style_that_cannot_be_read(engine: CountingEngine, tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_text("no picture")
    with pytest.raises(StyleError, match=r"bad\.jpg: not a picture"):
        read_style(tmp_path / "bad.jpg")


def test_memory_stays_bounded_over_many_sizes(engine: CountingEngine, samples: Path, tmp_path: Path) -> None:
    style = Style(read_style(samples / "ember.jpg"), engine, tmp_path)
    for size in range(40, 60):
        style.grams(size)
    assert len(style._memory) == 16
    assert engine.calls == 20
    style.grams(40)
    assert engine.calls == 20, "the disk still has it"


def test_a_blend_is_the_mean_of_the_gram_matrices(bundle: Bundle, samples: Path) -> None:
    engine = Engine(bundle, Host(provider="cpu", threads=1))
    one, two = (Style(read_style(samples / f"{name}.jpg"), engine) for name in ("starry", "ember"))
    blend = Blend([one, two], [3, 1])
    for name, gram in blend.grams(48).items():
        np.testing.assert_allclose(gram, 0.75 * one.grams(48)[name] + 0.25 * two.grams(48)[name], rtol=1e-5)
    assert blend.image is one.image
    assert Blend([one, two], [1, 3]).image is two.image
    assert blend.sha256 == Blend([one, two], [6, 2]).sha256, "only proportions count"
    assert len({blend.sha256, one.sha256, Blend([one, two], [1, 3]).sha256, Blend([two, one], [3, 1]).sha256}) == 4
    alone = Stylizer.open(engine, [samples / "starry.jpg"], style_blend=[5])
    assert alone.style.sha256 == one.sha256, "one style is no blend"


@pytest.mark.parametrize(("count", "blend"), [(2, [1.0]), (1, [0.0]), (0, None), (2, [1.0, -1.0])])
def test_blends_that_are_refused(bundle: Bundle, samples: Path, count: int, blend: list[float] | None) -> None:
    with pytest.raises(UsageError, match=r"blend|at least one style"):
        Stylizer.open(Engine(bundle, Host(provider="cpu")), count * [samples / "starry.jpg"], style_blend=blend)


def test_the_painting_takes_the_styles_size(bundle: Bundle, samples: Path) -> None:
    stylizer = Stylizer.open(
        Engine(bundle, Host(provider="cpu")), samples / "starry.jpg", size=64, scales="40,64", iterations=1, style_scale=1.5
    )
    asked = []
    real = stylizer.style.grams
    stylizer.style.grams = lambda *size: asked.append(size) or real(*size)  # type: ignore[method-assign,func-returns-value]
    stylizer(samples / "photos" / "town.jpg")
    assert asked == [(60, math.inf), (96, math.inf)]


def test_a_small_style_is_enlarged_twice_at_most(bundle: Bundle, samples: Path, tmp_path: Path) -> None:
    engine = Engine(bundle, Host(provider="cpu"))
    names = {side: tmp_path / f"{side}.png" for side in (40, 64)}
    with Image.open(samples / "starry.jpg") as image:
        for side, path in names.items():
            image.resize((side, side)).save(path)
    small, large = (Style(read_style(path), engine) for path in names.values())

    def same(one: Grams, two: Grams) -> bool:
        return all(np.array_equal(one[name], two[name]) for name in one)

    assert same(small.grams(120, 2.0), small.grams(80))
    assert same(small.grams(72, 2.0), small.grams(72))
    found = Blend([small, large], [1, 1]).grams(120, 2.0)
    for name, gram in found.items():
        np.testing.assert_allclose(gram, (small.grams(80)[name] + large.grams(120)[name]) / 2, rtol=1e-5)
    settings: dict[str, Any] = {"size": 120, "scales": "1", "iterations": 6}
    by_default, enlarged, at_twice = (
        Stylizer.open(engine, names[40], **settings, **chosen)(samples / "photos" / "town.jpg").image.tobytes()
        for chosen in ({}, {"style_scale": 1.0}, {"style_size": 80})
    )
    assert by_default == at_twice != enlarged
