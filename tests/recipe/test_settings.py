"""What a user chooses, and what is refused."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from nstbatch.runtime.errors import UsageError
from nstbatch.runtime.recipe.settings import Settings


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
        {"content_weight": 0.0, "style_weight": 0.0, "tv_weight": 0.0},
        {"scales": "fine"},
        {"scales": "192,96"},
        {"scales": "16,96"},
        {"scales": ()},
    ],
)
def test_settings_that_make_no_sense(options: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        Settings(**options)  # type: ignore[arg-type]


def test_sizes_of_the_style() -> None:
    assert Settings().style_levels([128, 256, 512]) == [128, 256, 512]
    assert Settings(style_scale=0.5).style_levels([128, 256]) == [64, 128]
    assert Settings(style_size=1024).style_levels([128, 256, 512]) == [256, 512, 1024]
    assert Settings(style_scale=0.1).style_levels([128]) == [32]
    for wrong in ({"style_scale": 0.0}, {"style_scale": float("nan")}, {"style_size": 5}):
        with pytest.raises(UsageError, match="style s"):
            Settings(**wrong)


def test_a_style_is_enlarged_without_bound_where_somebody_chose_so() -> None:
    assert Settings().enlargement == 2
    chosen = [Settings(style_scale=1.0), Settings(style_size=512), Settings.of(preset="gram"), Settings.of(preset="gatys")]
    assert {settings.enlargement for settings in chosen} == {math.inf}


def test_strengths_that_are_refused() -> None:
    assert Settings.of(strength=0.5) == Settings()
    assert Settings.of(preset="gatys", strength=1.0).style_weight == pytest.approx(1e5)
    for strength in (-0.1, 1.1, float("nan")):
        with pytest.raises(UsageError, match="between 0 and 1"):
            Settings.of(strength=strength)
    with pytest.raises(UsageError, match="another word"):
        Settings.of(strength=0.5, style_weight=3.0)
