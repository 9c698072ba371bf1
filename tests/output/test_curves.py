"""Losses, thinned."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nstbatch.runtime.output.curves import POINTS, make_curve


@given(
    levels=st.lists(st.tuples(st.integers(32, 512), st.integers(1, 300)), min_size=1, max_size=4),
    seed=st.integers(0, 9),
)
def test_a_curve_has_the_ends_of_every_level(levels: list[tuple[int, int]], seed: int) -> None:
    sizes = np.concatenate([[size] * count for size, count in levels])
    losses = np.random.default_rng(seed).random((len(sizes), 3)) * 1e5
    curve = make_curve(losses, sizes)
    assert len(curve) <= POINTS + 2
    numbers = [int(row[0]) for row in curve]
    assert numbers == sorted(set(numbers))
    edges = {1, len(sizes)} | {i for i in range(1, len(sizes)) if sizes[i] != sizes[i - 1]}
    assert edges <= set(numbers)
    for number, size, content, style, tv in curve:
        assert size == sizes[int(number) - 1]
        np.testing.assert_allclose([content, style, tv], losses[int(number) - 1], rtol=1e-3)
