"""Arithmetic on vectors in this process."""

import numpy as np
import pytest

from nstbatch.runtime.optimizer import host_vectors
from nstbatch.runtime.optimizer.host_vectors import inner


def test_inner_products_are_summed_in_float64() -> None:
    # In one float32 sum a million ones on top of 2**24 are lost: 6 % of the result.
    n = 64 * host_vectors._CHUNK
    a = np.ones(n, np.float32)
    a[0] = 2.0**24
    assert inner(a, np.ones(n, np.float32)) == pytest.approx(2.0**24 + n - 1, rel=1e-4)
