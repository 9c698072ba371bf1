"""Sizes of pictures."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nstbatch.runtime.recipe.size import Size


@settings(max_examples=100, deadline=None)
@given(width=st.integers(1, 9000), height=st.integers(1, 9000), side=st.integers(32, 4096))
def test_fit_keeps_the_long_side_and_the_minimum(width: int, height: int, side: int) -> None:
    new = Size(width, height).fit(side)
    assert max(new) == side
    assert min(new) >= 32
    if min(new) > 32:
        assert new[0] / new[1] == pytest.approx(width / height, rel=0.5 / min(new) * 1.1)
