"""What decides the pixels counts, and nothing else does."""

from pathlib import Path
from typing import Any

import pytest

from nstbatch.runtime.bundle.spec import Bundle
from nstbatch.runtime.recipe.fingerprint import VERSION, Recipe, Subject
from nstbatch.runtime.recipe.settings import Settings
from seams import Bench, picture, states


def test_a_size_of_the_style_that_changes_nothing_is_no_other_recipe(bundle: Bundle, samples: Path) -> None:
    def fingerprint(**settings: Any) -> str:
        recipe = Recipe(("s",), "b", Settings(size=128, scales="1", **settings))
        return recipe.fingerprint(Subject("p", 400, "JPEG"))

    assert fingerprint(style_size=128) == fingerprint(style_scale=1.0)
    assert len({fingerprint(), fingerprint(style_scale=1.0), fingerprint(style_scale=2.0)}) == 3, "a default has a bound"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench.of(tmp_path, "a.png", "b.png", "deep/c.png")


@pytest.mark.parametrize(
    ("options", "redone"),
    [
        ({"iterations": 5}, True),
        ({"style_weight": 11.0}, True),
        ({"content_weight": 2.0}, True),
        ({"tv_weight": 1.0}, True),
        ({"scales": "40"}, True),
        ({"init": "noise"}, True),
        ({"init": "style"}, True),
        ({"history": 3}, True),
        ({"strip_gps": True}, True),
        ({"strip_metadata": True}, True),
        ({"quality": 70}, True),
        ({"size": 400}, False),  # the scales say the sizes
        ({"scales": "32,4000", "size": 48}, True),
        ({"seed": 5}, False),  # nothing is drawn
    ],
)
def test_an_option_redoes_what_it_changes(options: dict[str, Any], redone: bool, bench: Bench, tmp_path: Path) -> None:
    photos = tmp_path / "in"
    bench.run(photos)
    bench.settings |= options
    expected = ("to do", "the options have changed") if redone else ("up to date", "painted already")
    assert set(states(bench, photos / "a.png").values()) == {expected}


def test_a_size_above_the_photos_changes_nothing(bench: Bench, tmp_path: Path) -> None:
    bench.settings |= {"scales": "auto", "size": 48}
    large = picture(tmp_path / "in" / "large.png", (100, 80))
    bench.run(tmp_path / "in")
    bench.settings |= {"size": 64}
    found = states(bench, tmp_path / "in" / "a.png", large)
    assert found["a.png"][0] == "up to date", "48 pixels wide"
    assert found["large.png"] == ("to do", "the options have changed")


def test_seed_counts_where_there_is_noise(bench: Bench, tmp_path: Path) -> None:
    bench.settings |= {"init": "noise", "seed": 1}
    bench.run(tmp_path / "in")
    bench.settings |= {"seed": 2}
    assert states(bench, tmp_path / "in" / "a.png")["a.png"][0] == "to do"


def test_style_start_and_name_count(bench: Bench, tmp_path: Path) -> None:
    photos = tmp_path / "in"
    start = picture(tmp_path / "start.png", seed=3)
    bench.settings |= {"init": str(start)}
    bench.run(photos, recursive=True)
    renamed = start.rename(tmp_path / "renamed.png")
    bench.settings |= {"init": str(renamed)}
    assert {state for state, _ in states(bench, photos).values()} == {"up to date"}, "the content counts, not the name"
    picture(renamed, seed=4)
    assert {state for state, _ in states(bench, photos).values()} == {"to do"}
    picture(renamed, seed=3)
    assert {state for state, _ in states(bench, photos).values()} == {"up to date"}
    picture(bench.style, seed=10)
    assert {reason for _, reason in states(bench, photos).values()} == {"the options have changed"}


def test_another_version_of_the_recipe(bench: Bench, tmp_path: Path) -> None:
    bench.run(tmp_path / "in")
    assert states(bench, tmp_path / "in" / "a.png")["a.png"][0] == "up to date"
    assert states(bench, tmp_path / "in" / "a.png", version=VERSION + 1)["a.png"][0] == "to do"
