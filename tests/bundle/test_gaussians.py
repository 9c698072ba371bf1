"""What a style's moments come to."""

import numpy as np
import pytest

from nstbatch.runtime.bundle.gaussians import ADDED, root_metric


def moments(values: np.ndarray) -> np.ndarray:
    one = np.vstack([values, np.ones(values.shape[1])])
    return np.asarray(one @ one.T / values.shape[1])


@pytest.mark.parametrize("positions", [200, 4])
def test_the_root_is_of_the_covariance_and_the_added_variance(positions: int) -> None:
    values = np.random.default_rng(0).normal(2, [[1], [3], [0.01], [5], [0], [1]], (6, positions))
    metric = root_metric(moments(values), 0.5)
    covariance = np.cov(values, bias=True)
    added = ADDED * np.trace(covariance) / 6
    root = metric[:6, :6]
    assert np.allclose(root @ root, covariance + added * np.eye(6), rtol=1e-9, atol=1e-9)
    assert np.linalg.eigvalsh(root).min() >= np.sqrt(added) * (1 - 1e-9)
    assert np.allclose(metric[6], [*[added] * 6, 0.5])
    assert not metric[:6, 6].any()


def test_what_does_not_vary_has_a_root_all_the_same() -> None:
    metric = root_metric(moments(np.full((3, 9), 7.0)))
    assert np.isfinite(metric).all()
    assert (np.diag(metric)[:3] > 0).all()
    assert (root_metric(np.zeros((4, 4)))[3, :3] > 0).all(), "nor an empty region"
