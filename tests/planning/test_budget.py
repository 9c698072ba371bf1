"""What a picture needs of memory."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nstbatch.runtime.bundle.spec import BundleSpec
from nstbatch.runtime.errors import UsageError
from nstbatch.runtime.planning.budget import Budget
from nstbatch.runtime.planning.plan import Policy
from nstbatch.runtime.recipe.settings import Settings
from nstbatch.runtime.recipe.size import Size, TileSize
from seams import ONE_LAYER, Bench, outcomes, picture, states


@settings(max_examples=100, deadline=None)
@given(size=st.integers(32, 4000), other=st.integers(32, 4000), history=st.integers(1, 30))
def test_need_grows_with_the_picture(size: int, other: int, history: int) -> None:
    budget = Budget(BundleSpec(), Settings(size=4000, history=history), 0)
    small, large = (Size(side, side) for side in sorted((size, other)))
    assert budget.need(small) <= budget.need(large)
    assert budget.need(large) == budget.need(large, 4000)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench.of(tmp_path, "a.png", "b.png", "deep/c.png")


def budget(bench: Bench, free: int) -> Budget:
    return Budget(ONE_LAYER, Settings(**bench.settings), free)


def test_what_does_not_fit_is_refused_with_the_size_that_would(bench: Bench, tmp_path: Path) -> None:
    bench.settings |= {"size": 1000, "scales": "auto", "iterations": 1}
    large = picture(tmp_path / "in" / "large.png", (1200, 900))
    enough = budget(bench, 0).need(Size(1200, 900))
    assert states(bench, large, budget=budget(bench, enough))["large.png"] == ("to do", "new")
    tight = budget(bench, enough - 100_000_000)
    ((state, reason),) = states(bench, large, budget=tight).values()
    assert state == "refused"
    size = int(reason.rpartition("--size ")[2].split()[0])
    assert tight.need(Size(1200, 900), size) <= tight.free < tight.need(Size(1200, 900), size + 1)
    ((state, reason),) = states(bench, large, budget=budget(bench, 1000)).values()
    assert (state, reason.rpartition("; ")[2]) == ("refused", "no --size would fit")


def test_arrays_that_the_gpu_does_not_bind_are_refused_with_the_size_that_would(bench: Bench, tmp_path: Path) -> None:
    bench.settings |= {"size": 1000, "scales": "auto", "iterations": 1, "history": 10}
    large = picture(tmp_path / "in" / "large.png", (1000, 750))
    # All rows of the optimizer: 31 of 3 floats for each pixel.
    rows = 1000 * 750 * 31 * 3 * 4
    plenty, exact, tight = (replace(budget(bench, 1 << 40), largest_buffer=limit) for limit in (None, rows, rows - 1))
    for enough in (plenty, exact):
        assert states(bench, large, budget=enough)["large.png"] == ("to do", "new")
    ((state, reason),) = states(bench, large, budget=tight).values()
    assert (state, reason) == ("refused", "needs arrays larger than the 266 MiB that the GPU binds; --size 999 would fit")
    ((state, _),) = states(bench, large, budget=tight, shrink_to_fit=True).values()
    assert state == "to do"
    masked = replace(exact, regions=9)
    assert not masked.fits(Size(1000, 750)), "features of each region are one array"


def test_shrink_to_fit_paints_smaller_and_is_then_done(bench: Bench, tmp_path: Path) -> None:
    bench.settings |= {"size": 400, "scales": "auto", "iterations": 1}
    large = picture(tmp_path / "in" / "large.png", (400, 300))
    tight = budget(bench, budget(bench, 0).need(Size(400, 300)) - 20_000_000)
    shrink = Policy(shrink_to_fit=True)
    report = bench.run(large, budget=tight, policy=shrink)
    assert outcomes(report) == {"large.png": "painted"}
    assert f"at {tight.largest(Size(400, 300))} px, since memory did not suffice" in report.rows[0].reason
    assert states(bench, large, budget=tight, shrink_to_fit=True)["large.png"][0] == "up to date"
    assert states(bench, large)["large.png"] == ("to do", "the options have changed"), "asked for the full size"


@settings(max_examples=100, deadline=None)
@given(width=st.integers(32, 9000), height=st.integers(32, 9000), size=st.integers(32, 5000), free=st.integers(0, 1 << 36))
def test_the_largest_size_is_the_largest(width: int, height: int, size: int, free: int) -> None:
    tight, photo = Budget(ONE_LAYER, Settings(size=size), free), Size(width, height)
    largest = tight.largest(photo)
    if largest is None:
        assert tight.need(photo, 32) > free
    else:
        assert tight.need(photo, largest) <= free
        assert largest == max(width, height) or tight.need(photo, largest + 1) > free or largest >= size


def test_what_memory_does_not_hold_is_in_tiles(bench: Bench, tmp_path: Path) -> None:
    bench.settings |= {"size": 3000, "scales": "auto", "iterations": 1}
    large = picture(tmp_path / "in" / "large.png", (3000, 2250))
    size, tile = Size(3000, 2250), TileSize(256, 32, always=False)
    whole = budget(bench, 0).need(size)
    enough, tight = (replace(budget(bench, free), tile=tile) for free in (whole, whole - 1))
    assert (enough.tiles(size), tight.tiles(size)) == (False, True)
    assert tight.tiled_need(size) < tight.free
    assert states(bench, large, budget=enough)["large.png"] == ("to do", "new")
    assert states(bench, large, budget=tight)["large.png"] == ("to do", "new; in tiles")
    # Vectors that take too much are in a file.
    filed = replace(tight, free=whole // 3)
    assert (filed.keeps_in_file(size), tight.keeps_in_file(size)) == (True, False)
    assert filed.tiled_need(size) < tight.tiled_need(size)
    assert states(bench, large, budget=filed)["large.png"] == ("to do", "new; in tiles, vectors in a file")
    none = replace(tight, free=tight.tiled_need(size) // 4)
    ((state, reason),) = states(bench, large, budget=none).values()
    assert state == "refused"
    smaller = int(reason.rpartition("--size ")[2].split()[0])
    assert none.fits(size, smaller)
    assert not none.fits(size, smaller + 1)
    always = replace(enough, tile=replace(tile, always=True))
    assert always.tiles(size)
    assert not always.tiles(Size(256, 200)), "it is one tile"
    # Arrays that the GPU does not bind are in tiles, too.
    assert replace(enough, largest_buffer=2**20).tiles(size)


def test_a_large_style_counts() -> None:
    size = Size(512, 384)
    plain, wide, large = (
        Budget(BundleSpec(), Settings(**options), 8 * 2**30) for options in ({}, {"style_scale": 4}, {"style_size": 8000})
    )
    assert plain.need(size) < wide.need(size) < large.need(size)
    assert plain.fits(size)
    assert not large.fits(size)
    assert (plain.style_fits, wide.style_fits, large.style_fits) == (True, True, False)
    for size_of_style in (16, 20_000):
        with pytest.raises(UsageError, match="style size must be between 32 and 16384"):
            Settings(style_size=size_of_style)


def test_a_style_that_is_too_large_is_named(bench: Bench, tmp_path: Path) -> None:
    bench.settings |= {"style_size": 8000}
    budget = Budget(ONE_LAYER, Settings(**bench.settings), 2**30)
    (reason,) = {reason for _, reason in states(bench, tmp_path / "in", budget=budget).values()}
    assert re.fullmatch(r"needs 36\.\d GiB of memory for the style, 1.0 GiB are free; try a smaller --style-size", reason)
