"""Style sets and their cache."""

import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pytest

from nstbatch.runtime.bundle.spec import Bundle
from nstbatch.runtime.engine.engine import Engine
from nstbatch.runtime.engine.host import Host
from nstbatch.runtime.errors import StyleError, UsageError
from nstbatch.runtime.output.journal import Journal
from nstbatch.runtime.output.lock import hold
from nstbatch.runtime.painting.style import Blend, Style
from nstbatch.runtime.painting.stylizer import Stylizer
from nstbatch.runtime.pictures.styles import read_style
from nstbatch.runtime.planning.discovery import discover, find_styles
from nstbatch.runtime.planning.placement import Destination, make_items
from nstbatch.runtime.planning.plan import make_plan
from nstbatch.runtime.recipe.fingerprint import Recipe, Subject
from nstbatch.runtime.recipe.settings import Settings
from seams import Bench, Feeds, SeamEngine, files, paint, picture


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
    assert set(first) == {f"gram.relu{b}_1" for b in range(1, 6)}
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


@pytest.mark.parametrize("damage", ["torn", "empty", "other arrays", "not finite", "bit"])
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


# Several styles


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


def test_sizes_of_the_style() -> None:
    assert Settings().style_levels([128, 256, 512]) == [128, 256, 512]
    assert Settings(style_scale=0.5).style_levels([128, 256]) == [64, 128]
    assert Settings(style_size=1024).style_levels([128, 256, 512]) == [256, 512, 1024]
    assert Settings(style_scale=0.1).style_levels([128]) == [32]
    for wrong in ({"style_scale": 0.0}, {"style_scale": float("nan")}, {"style_size": 5}):
        with pytest.raises(UsageError, match="style s"):
            Settings(**wrong)


def test_a_size_of_the_style_that_changes_nothing_is_no_other_recipe(bundle: Bundle, samples: Path) -> None:
    def fingerprint(**settings: Any) -> str:
        recipe = Recipe(("s",), "b", Settings(size=128, scales="1", **settings))
        return recipe.fingerprint(Subject("p", 400, "JPEG"))

    assert fingerprint() == fingerprint(style_size=128) == fingerprint(style_scale=1.0)
    assert fingerprint() != fingerprint(style_scale=2.0)


def test_the_painting_takes_the_styles_size(bundle: Bundle, samples: Path) -> None:
    stylizer = Stylizer.open(
        Engine(bundle, Host(provider="cpu")), samples / "starry.jpg", size=64, scales="40,64", iterations=1, style_scale=1.5
    )
    asked = []
    real = stylizer.style.grams
    stylizer.style.grams = lambda size: asked.append(size) or real(size)  # type: ignore[method-assign,func-returns-value]
    stylizer(samples / "photos" / "town.jpg")
    assert asked == [60, 96]


def test_several_styles_from_the_command_line(
    bundle: Bundle, samples: Path, tmp_path: Path, nstbatch: Callable[..., CompletedProcess[str]]
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    shutil.copy(samples / "photos" / "town.jpg", photos)
    shutil.copy(samples / "ember.jpg", photos)
    arguments = (photos, "--style", samples / "starry.jpg", "--style", photos / "ember.jpg", "--bundle", bundle.path)
    options = ("--size", 40, "--iterations", 2)
    result = nstbatch(*arguments, *options, "--style-blend", "3:1")
    assert result.returncode == 0, result.stderr
    output = tmp_path / "photos-starry+ember"
    assert [path.name for path in output.glob("*.jpg")] == ["town.jpg"], "a style in the folder is no photo"
    assert "1 up to date" in nstbatch(*arguments, *options, "--style-blend", "6:2").stdout
    assert "1 painted" in nstbatch(*arguments, *options).stdout
    for shares, code in (("3", 2), ("3:x", 2), ("3:0", 2), ("1:2:3", 2)):
        assert nstbatch(*arguments, *options, "--style-blend", shares).returncode == code


def test_each_style_by_itself(tmp_path: Path) -> None:
    """Photos x styles in one batch: the same bytes as a run for each style, and its own journal."""
    styles = [picture(tmp_path / "styles" / f"{name}.png", seed=seed) for seed, name in enumerate("xyz", start=20)]
    photos = [picture(tmp_path / "in" / f"{name}.png", seed=seed) for seed, name in enumerate("ab", start=30)]
    settings = {"size": 40, "iterations": 4, "scales": "32,40"}
    for path in styles:
        Bench(path, tmp_path / "alone" / path.stem, settings=settings).run(tmp_path / "in")
    engine = SeamEngine()
    stylizer = Stylizer.open(engine, styles, style_each=True, **settings)
    found = find_styles([tmp_path / "styles"])
    assert found == styles
    items = make_items(
        discover([tmp_path / "in"], styles=found), found, Destination(output=tmp_path / "out"), style_each=True
    )
    assert len({stylizer.facts.recipe.fingerprint(Subject("p", 48, "PNG", style=i)) for i in range(3)}) == 3
    roots = {item.root for item in items}
    for batch in ({"overlap": 4, "lock_step": True}, {}):
        with hold(list(roots)):
            journals = {root: Journal.read(root) for root in roots}
            plan = make_plan(items, journals, stylizer.facts.recipe)
            rows = list(paint(plan, stylizer, journals, **batch))
        assert {row.outcome.value for row in rows} == {"painted" if batch else "up to date"}
        assert files(tmp_path / "out") == files(tmp_path / "alone")
    encoded = [graph for graph in engine.calls if graph == "encode"]
    assert len(encoded) == len(photos) * len(styles) * 2 + len(styles) * 2, "each photo at each size; each style once a size"
    with pytest.raises(UsageError, match="neither --style-blend nor --style-mask"):
        Stylizer.open(SeamEngine(), styles, style_each=True, style_blend=[1, 1, 1])
    twins = [styles[0], picture(tmp_path / "more" / "x.jpg")]
    with pytest.raises(UsageError, match="would both be written to"):
        make_items(discover([tmp_path / "in"], styles=twins), twins, Destination(output=tmp_path / "out"), style_each=True)


def test_a_folder_of_styles(bundle: Bundle, tmp_path: Path, nstbatch: Callable[..., Any]) -> None:
    picture(tmp_path / "in" / "a.png")
    for name in ("x", "y"):
        picture(tmp_path / "styles" / f"{name}.png", seed=ord(name))
    (tmp_path / "styles" / "damaged.jpg").write_text("no picture")
    options = ("--bundle", bundle.path, "--provider", "cpu", "--size", 40, "--scales", 1, "--iterations", 2)
    first = nstbatch(tmp_path / "in", "--style", tmp_path / "styles", "--style-each", *options)
    assert first.returncode == 3
    assert "2 painted, 1 failed" in first.stdout
    assert "damaged.jpg: not a picture" in first.stderr
    assert sorted(path.parent.name for path in tmp_path.glob("in-*/a.png")) == ["in-x", "in-y"]
    second = nstbatch(tmp_path / "in", "--style", tmp_path / "styles" / "x.png", *options)
    assert "1 up to date" in second.stdout, "as painted in that style alone"
    refused = nstbatch(tmp_path / "in", "--style", tmp_path / "styles", *options)
    assert (refused.returncode, "--style-each paints in each" in refused.stderr) == (2, True)
    empty = tmp_path / "empty"
    empty.mkdir()
    refused = nstbatch(tmp_path / "in", "--style", empty, "--style-each", *options)
    assert (refused.returncode, "no pictures there" in refused.stderr) == (2, True)
