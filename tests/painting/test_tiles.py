"""Tiles of a picture: they cover it, see enough, and begin where poolings' windows do."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nstbatch.runtime.bundle.spec import BundleSpec
from nstbatch.runtime.painting.tiles import halo_of, reach, step_of, tiles_of
from nstbatch.runtime.recipe.presets import PRESETS
from nstbatch.runtime.recipe.size import Size
from seams import SHALLOW

VGG19 = BundleSpec()
FIRST = BundleSpec(content_taps=("conv1_1",), style_taps=("conv1_1",))


@pytest.mark.parametrize(
    ("spec", "pixels", "step", "halo"),
    [(FIRST, 1, 1, 32), (replace(FIRST, style_taps=("relu2_1",)), 5, 2, 32), (VGG19, 85, 16, 96)],
)
def test_what_the_deepest_tap_sees(spec: BundleSpec, pixels: int, step: int, halo: int) -> None:
    # conv2_1 sees 3 pooled positions, of 2 pixels each, which see 2 more to each side: 1 + 2·1 + 2 to the right.
    assert (reach(spec), step_of(spec), halo_of(spec)) == (pixels, step, halo)


specs = st.sampled_from([VGG19, SHALLOW, FIRST, *(preset.spec for preset in PRESETS.values())])


@given(specs, st.integers(32, 400), st.integers(32, 400), st.integers(16, 300))
def test_own_pixels_and_positions_are_each_in_one_tile(spec: BundleSpec, width: int, height: int, side: int) -> None:
    size = Size(width, height)
    tiles = tiles_of(size, side, spec)
    pixels = np.zeros((height, width), int)
    for tile in tiles:
        pixels[tile.rows.start : tile.rows.stop, tile.columns.start : tile.columns.stop] += 1
        for span in (tile.rows, tile.columns):
            assert span.low % step_of(spec) == span.start % step_of(spec) == 0
            assert span.start - span.low == min(span.start, halo_of(spec)), "as far as the picture goes"
            assert span.high - span.stop == min(span.length - span.stop, halo_of(spec))
            assert span.high - span.low >= 32, "what a bundle takes"
            assert span.stop - span.start <= max(side, step_of(spec))
    assert (pixels == 1).all()
    for tap in (*spec.content_taps, *spec.style_taps):
        halvings = int(tap[4]) - 1
        positions = np.zeros((height >> halvings, width >> halvings), int)
        for tile in tiles:
            rows, columns = tile.place(tap)
            assert positions[rows, columns].shape == tile.own(tap).shape
            positions[rows, columns] += tile.own(tap).astype(int)
        assert (positions == 1).all(), tap


def test_few_shapes_occur() -> None:
    tiles = tiles_of(Size(4000, 3000), 1024, VGG19)
    assert len(tiles) == 12
    assert len({tile.size for tile in tiles}) <= 9
