"""What a style's moments come to as the target of a Wasserstein distance."""

import numpy as np
from numpy.typing import NDArray

ADDED = 0.03
"""Variance that is added to each feature's, over the mean of the target's: float32 has nothing left of features that hardly
vary, and the slope of their root has no bound. Measured, see `bench/roots.py`. It is in place of crowsonkb's 1e-4."""

_LEAST = 1e-6
"""Of it, where the target does not vary at all."""


def root_metric(moments: NDArray[np.floating], share: float = 1.0, added: float = ADDED) -> NDArray[np.float64]:
    """The ``metric`` of the gradient graph for a target, see `exporter.moments.wasserstein_loss`.

    Args:
        moments: the target's, ``[C + 1, C + 1]``.
        share: what the term is multiplied by.
        added: see `ADDED`.

    Returns:
        ``[C + 1, C + 1]``: the root of the target's covariance with the added variance; below it, that variance for each
        feature; in the corner the share.
    """
    channels = len(moments) - 1
    exact = moments.astype(np.float64)
    mean = exact[:channels, channels]
    covariance = exact[:channels, :channels] - np.outer(mean, mean)
    variance = max(added * np.trace(covariance) / channels, _LEAST)
    values, vectors = np.linalg.eigh(covariance + variance * np.eye(channels))
    metric = np.zeros(moments.shape)
    metric[:channels, :channels] = (vectors * np.sqrt(np.maximum(values, variance))) @ vectors.T
    metric[channels, :channels] = variance
    metric[channels, channels] = share
    return metric
