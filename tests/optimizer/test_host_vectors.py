"""Arithmetic on vectors in this process."""

import numpy as np
import pytest

from nstbatch.runtime.optimizer import host_vectors
from nstbatch.runtime.optimizer.host_vectors import HostVectors, inner
from nstbatch.runtime.optimizer.preconditioner import FrequencyPreconditioner


def test_inner_products_are_summed_in_float64() -> None:
    # In one float32 sum a million ones on top of 2**24 are lost: 6 % of the result.
    n = 64 * host_vectors._CHUNK
    a = np.ones(n, np.float32)
    a[0] = 2.0**24
    assert inner(a, np.ones(n, np.float32)) == pytest.approx(2.0**24 + n - 1, rel=1e-4)


def test_a_state_before_the_first_evaluation_is_finite() -> None:
    # NumPy gives memory that has just been freed to the next array of that size.
    dirty = [np.full(3 * 48, np.nan, np.float32) for _ in range(50)]
    del dirty
    vectors = HostVectors(np.zeros(3 * 48), 2, FrequencyPreconditioner((3, 6, 8)))
    assert all(np.isfinite(values).all() for values in vectors.state(0).values())
