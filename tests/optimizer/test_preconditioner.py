"""The preconditioner as a linear map."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nstbatch.runtime.optimizer.preconditioner import FrequencyPreconditioner


@settings(max_examples=20, deadline=None)
@given(height=st.integers(2, 40), width=st.integers(2, 40), seed=st.integers(0, 99))
def test_the_separable_form_is_the_preconditioner(height: int, width: int, seed: int) -> None:
    precondition = FrequencyPreconditioner((3, height, width))
    image = np.random.default_rng(seed).standard_normal((3, height, width)).astype(np.float32)
    expected = np.empty(image.size, np.float32)
    precondition.apply(image.reshape(-1), out=expected)
    B, C, D = precondition.separable()
    np.testing.assert_allclose(B @ B.T, np.eye(height), atol=1e-5)
    found = B.T @ ((B @ image @ C.T) * D) @ C
    assert np.linalg.norm(found.reshape(-1) - expected) <= 1e-5 * np.linalg.norm(expected)


def test_preconditioner_is_symmetric_and_positive() -> None:
    rng = np.random.default_rng(0)
    shape = (3, 31, 46)
    B = FrequencyPreconditioner(shape)
    a, b = (rng.standard_normal(math.prod(shape)).astype(np.float32) for _ in range(2))
    Ba, Bb = np.empty_like(a), np.empty_like(b)
    B.apply(a, Ba)
    B.apply(b, Bb)
    assert float(Ba @ b) == pytest.approx(float(a @ Bb), rel=1e-3)
    assert float(Ba @ a) > 0
    B.apply(a, a)
    np.testing.assert_allclose(a, Ba, rtol=1e-5)
