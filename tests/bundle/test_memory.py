"""Estimates of memory, from a network's layers."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from nstbatch.runtime.bundle.memory import evaluation_bytes, transformed_bytes, weights_bytes
from nstbatch.runtime.bundle.spec import BundleSpec

SPEC = BundleSpec()


def test_weights_are_those_of_the_layers_up_to_the_deepest_tap() -> None:
    shallow = replace(SPEC, content_taps=("relu1_1",), style_taps=("relu1_1",))
    assert weights_bytes(shallow) == 3 * 4 * 9 * 3 * 64
    deeper = replace(shallow, style_taps=("relu1_2",))
    assert weights_bytes(deeper) - weights_bytes(shallow) == 3 * 4 * 9 * 64 * 64


def test_kernels_of_wide_convolutions_are_transformed() -> None:
    assert transformed_bytes(replace(SPEC, content_taps=("relu1_1",), style_taps=("relu1_2",))) == 0
    deeper = replace(SPEC, content_taps=("relu1_1",), style_taps=("relu2_1",))
    assert transformed_bytes(deeper) == 2 * 2 * 36 * 4 * 64 * 128


@given(pixels=st.integers(1, 10**8), more=st.integers(1, 10**7), regions=st.integers(0, 8))
def test_more_pixels_and_more_regions_take_more(pixels: int, more: int, regions: int) -> None:
    assert evaluation_bytes(SPEC, pixels + more, regions) > evaluation_bytes(SPEC, pixels, regions)
    assert evaluation_bytes(SPEC, pixels, regions + 1) > evaluation_bytes(SPEC, pixels, regions)
