"""Features compared by means and second moments: as Gaussians, or by the covariances or correlations of their maps."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..runtime.bundle.spec import CORRELATION, COVARIANCE, WASSERSTEIN


def moments(gram: Tensor, mean: Tensor, total: Tensor) -> Tensor:
    """Second moments and means as one matrix: the Gram matrix of the features and one more, which is 1 everywhere.

    Unlike covariances, moments of several pictures may be averaged, and those of parts of one added up.

    Args:
        gram: ``[N, ..., C, C]``.
        mean: ``[N, ..., C]``.
        total: what the positions' weights sum to, ``[N, ...]``: 1, or 0 where there is nothing of a region.

    Returns:
        ``[N, ..., C + 1, C + 1]``.
    """
    above = torch.cat([gram, mean.unsqueeze(-1)], -1)
    below = torch.cat([mean, total.unsqueeze(-1)], -1)
    return torch.cat([above, below.unsqueeze(-2)], -2)


def tap_means(features: Tensor) -> tuple[Tensor, Tensor]:
    """Means of features ``[N, C, h, w]``, ``[N, C]``, and 1 for each image."""
    mean = features.mean(-1).mean(-1)
    return mean, torch.ones_like(mean[:, 0])


def region_means(features: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """Means of features ``[N, C, h, w]`` in each region, ``[N, R, C]``, and what its mask ``[N, R, h, w]`` sums to."""
    means = torch.bmm(masks.flatten(2), features.flatten(2).transpose(1, 2))
    return means, masks.sum(-1).sum(-1)


def root_steps(count: int = 12, smallest: float = 1e-3) -> list[tuple[float, float]]:
    """Factors a and b of each step x <- a·x + b·x³, by which all of ``smallest`` to 1 comes close to 1.

    A step of Newton-Schulz is 1.5·x - 0.5·x³; of an x that is scaled first, so that both ends come to the same value, it is
    the best of its degree (Chen, Chow 2014, "A stable scaling of Newton-Schulz for improving the sign function computation
    of a Hermitian matrix").

    Args:
        count: of steps; `bench/roots.py` tries others.
        smallest: root of the smallest eigenvalue that counts, over that of the sum of all their squares: float32 has no
            smaller ones.
    """
    steps, low = [], smallest
    for _ in range(count):
        scale = (3 / (1 + low + low * low)) ** 0.5
        # As float32 has them: so that the graph is the same in float64.
        a, b = (float(np.float32(value)) for value in (1.5 * scale, -0.5 * scale**3))
        steps.append((a, b))
        low = min(a * low + b * low**3, a + b)
    return steps


def wasserstein_loss(
    own: Tensor, target: Tensor, metric: Tensor, steps: Sequence[tuple[float, float]] | None = None
) -> tuple[Tensor, Tensor]:
    """Squared 2-Wasserstein distance between features as Gaussians, over their channels, and what it says of the moments.

    With means m and a, and covariances C and A it is |m - a|² + tr(C + A - 2 (A^½ C A^½)^½) (Dowson, Landau 1982); as a
    style's distance it is of crowsonkb/style-transfer-pytorch. Its slope in C is I - A^½ (A^½ C A^½)^-½ A^½. Both roots come
    of the coupled Newton-Schulz iteration (Higham 2008, "Functions of Matrices", equation 6.35), whose steps are scaled: it
    takes matrix products alone, and they converge where float32 still has something of an eigenvalue.

    Args:
        own: `moments` of the features, ``[N, ..., C + 1, C + 1]``, symmetric.
        target: those to reach, ``[1 or N, ..., C + 1, C + 1]``.
        metric: A^½ ``[C, C]``, and below it the variance that is added to each feature's, and is part of A: the rounding of
            moments is larger than the variance of features that hardly vary. In the corner what the term is multiplied by.
        steps: of the roots; None for those of `root_steps`.

    Returns:
        The loss ``[N, ...]``, and its gradient, of the shape of ``own`` and symmetric.
    """
    channels = own.shape[-1] - 1
    identity = torch.eye(channels, dtype=own.dtype)
    mean, root = own[..., :channels, channels:], metric[..., :channels, :channels]
    added, factor = metric[..., channels:, :channels], metric[..., channels:, channels:]
    away = mean - target[..., :channels, channels:]
    covariance = own[..., :channels, :channels] - mean * mean.transpose(-1, -2) + identity * added
    product = torch.matmul(torch.matmul(root, covariance), root)
    size = _over_both(product * product).sqrt()
    forward = product / size
    # Spelt with no multiple of the identity: the graph would keep each as an array.
    (a, b), *later = steps or root_steps()
    inverse = a * (identity + float(np.float32(b / a)) * forward)
    forward = torch.matmul(forward, inverse)
    for a, b in later:
        residual = torch.matmul(inverse, forward)
        forward, inverse = (
            a * forward + b * torch.matmul(forward, residual),
            a * inverse + b * torch.matmul(residual, inverse),
        )
    scale = size.sqrt()
    spread = _over_both(identity * covariance + root * root) - 2 * scale * _over_both(identity * forward)
    loss = factor * (_over_both(away * away) + spread) / channels
    of_covariance = factor * (identity - torch.matmul(torch.matmul(root, inverse), root) / scale) / channels
    # The mean stands in the moments twice.
    of_mean = factor * away / channels - torch.matmul(of_covariance, mean)
    above = torch.cat([of_covariance, of_mean], -1)
    below = torch.cat([of_mean.transpose(-1, -2), 0 * factor * loss], -1)
    return loss.squeeze(-1).squeeze(-1), torch.cat([above, below], -2)


def _over_both(values: Tensor) -> Tensor:
    """Sums of matrices, ``[..., 1, 1]``."""
    return values.sum(-1, keepdim=True).sum(-2, keepdim=True)


def covariance_loss(own: Tensor, target: Tensor, metric: Tensor) -> tuple[Tensor, Tensor]:
    """Mean of squares of the difference of covariances, and its slope, as `wasserstein_loss` has them.

    It is the term of Gatys et al., equation 4, of maps whose mean is 0.
    """
    return _of_maps(own, target, metric, _covariance)


def correlation_loss(own: Tensor, target: Tensor, metric: Tensor) -> tuple[Tensor, Tensor]:
    """The same of correlations: of maps whose mean is 0 and deviation 1, after the course notes' batch normalisation.

    What ``metric`` adds to each variance is added before the division: there are maps that are 0 everywhere.
    """

    def correlation(of: Tensor) -> Tensor:
        covariance = _covariance(of)
        channels = covariance.shape[-1]
        identity = torch.eye(channels, dtype=of.dtype)
        variance = (covariance * identity).sum(-1, keepdim=True) + metric[..., channels:, :channels].transpose(-1, -2)
        return covariance / (variance * variance.transpose(-1, -2)).sqrt()

    return _of_maps(own, target, metric, correlation)


def _covariance(of: Tensor) -> Tensor:
    channels = of.shape[-1] - 1
    mean = of[..., :channels, channels:]
    return of[..., :channels, :channels] - mean * mean.transpose(-1, -2)


def _of_maps(own: Tensor, target: Tensor, metric: Tensor, matrix: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    channels = own.shape[-1] - 1
    factor = metric[..., channels, channels]
    goal = matrix(target)

    def loss(of: Tensor) -> Tensor:
        difference = matrix(of) - goal
        return factor * (difference * difference).mean(-1).mean(-1)

    losses, pull = torch.func.vjp(loss, own)[:2]
    (slope,) = pull(torch.ones_like(losses))
    # The mean was read from one of its two places.
    return losses, (slope + slope.transpose(-1, -2)) / 2


LOSSES: dict[str, Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]] = {
    WASSERSTEIN: wasserstein_loss,
    COVARIANCE: covariance_loss,
    CORRELATION: correlation_loss,
}
"""By the names of `STYLE_DISTANCES`; Gram matrices are not among them."""


class _Compare(torch.autograd.Function):
    """One of `LOSSES`, with the gradient that it gives."""

    generate_vmap_rule = True

    @staticmethod
    def forward(own: Tensor, target: Tensor, metric: Tensor, kind: str) -> tuple[Tensor, Tensor]:
        return LOSSES[kind](own, target, metric)

    @staticmethod
    def setup_context(context: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        context.mark_non_differentiable(output[1])
        context.save_for_backward(output[1])

    @staticmethod
    def backward(context: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor, None, None, None]:
        (slope,) = context.saved_tensors
        return gradient[..., None, None] * slope, None, None, None


def moments_loss(kind: str, own: Tensor, target: Tensor, metric: Tensor) -> Tensor:
    """The loss of one of `LOSSES`, which autograd can differentiate: ``[N, ...]``."""
    loss, _ = _Compare.apply(own, target, metric, kind)  # type: ignore[no-untyped-call]
    return loss  # type: ignore[no-any-return]
