"""Style sets and their cache."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from nstbatch.runtime import Bundle
from nstbatch.runtime.engine import Engine
from nstbatch.runtime.errors import StyleError
from nstbatch.runtime.style import Style, read_style


class CountingEngine(Engine):
    """Counts its evaluations."""

    calls = 0

    def run(self, graph, feeds):  # type: ignore[no-untyped-def]
        self.calls += 1
        return super().run(graph, feeds)


@pytest.fixture
def engine(bundle: Bundle) -> CountingEngine:
    return CountingEngine(bundle, "cpu")


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
