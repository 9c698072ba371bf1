"""The objective of Gatys et al. (2016, "Image Style Transfer Using Convolutional Neural Networks"), in plain torch.

Written once: the graphs of the bundle are traced from it, and the exporter's check evaluates it in float64. Every term
is an unweighted mean of squares; the papers' constants (their equations 1, 4 and 7) become weights.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..runtime.bundle.spec import GRAM
from .moments import moments, moments_loss, region_means, tap_means
from .vgg import Features, TruncatedVGG


class _Gram(torch.autograd.Function):
    """F Fᵀ, with a gradient of one product over the positions, (D + Dᵀ) F; autograd's own takes two and a transposition."""

    generate_vmap_rule = True

    @staticmethod
    def forward(flat: Tensor) -> Tensor:
        return torch.bmm(flat, flat.transpose(1, 2))

    @staticmethod
    def setup_context(context: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        context.save_for_backward(inputs[0])

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        (flat,) = context.saved_tensors
        return torch.bmm(gradient + gradient.transpose(1, 2), flat)


def gram_matrix(features: Tensor) -> Tensor:
    """Gram matrices ``[N, C, C]`` of features ``[N, C, h, w]``: F Fᵀ / (h·w), equation 3 over the positions' number."""
    flat = features.flatten(2)
    product: Tensor = _Gram.apply(flat)  # type: ignore[no-untyped-call]
    return product / flat.shape[2]


class _RegionGrams(torch.autograd.Function):
    """F diag(m) Fᵀ of each mask m, and its gradient, the sum of (D + Dᵀ) F diag(m): one product for all masks each way."""

    generate_vmap_rule = True

    @staticmethod
    def forward(flat: Tensor, masks: Tensor) -> Tensor:
        count, channels = masks.shape[1], flat.shape[1]
        product = torch.bmm(masked(flat, masks), flat.transpose(1, 2))
        return product.reshape(-1, count, channels, channels)

    @staticmethod
    def setup_context(context: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        context.save_for_backward(*inputs)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        flat, masks = context.saved_tensors
        symmetric = (gradient + gradient.transpose(2, 3)).transpose(1, 2).flatten(2)
        return torch.bmm(symmetric, masked(flat, masks)), None


def masked(flat: Tensor, masks: Tensor) -> Tensor:
    """F diag(m) of every mask, one below the other: ``[N, C, P]`` and ``[N, R, P]`` to ``[N, R·C, P]``."""
    return (flat.unsqueeze(1) * masks.unsqueeze(2)).flatten(1, 2)


def region_grams(features: Tensor, masks: Tensor) -> Tensor:
    """Gram matrices of regions: the sum over positions of a mask times f fᵀ.

    The guided Gram matrices of Gatys et al. 2017, "Controlling Perceptual Factors in Neural Style Transfer", section 4.1,
    whose guidance channels T have the squares T² for masks here.

    Args:
        features: ``[N, C, h, w]``.
        masks: ``[N, R, h, w]``, each of which sums to 1; or to 0, where there is nothing of a region.

    Returns:
        ``[N, R, C, C]``.
    """
    grams: Tensor = _RegionGrams.apply(features.flatten(2), masks.flatten(2))  # type: ignore[no-untyped-call]
    return grams


class _Quadratic(torch.autograd.Function):
    """Mean of D ∘ QDQ over the elements of each D, for a symmetric Q; autograd's own gradient would form QDQ twice."""

    generate_vmap_rule = True

    @staticmethod
    def forward(difference: Tensor, metric: Tensor) -> tuple[Tensor, Tensor]:
        weighted = torch.matmul(torch.matmul(metric, difference), metric)
        return (difference * weighted).mean(-1).mean(-1), weighted

    @staticmethod
    def setup_context(context: Any, inputs: tuple[Tensor, Tensor], output: tuple[Tensor, Tensor]) -> None:
        context.mark_non_differentiable(output[1])
        context.save_for_backward(output[1])

    @staticmethod
    def backward(context: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor, None]:
        (weighted,) = context.saved_tensors
        return 2 * gradient[..., None, None] * weighted / (weighted.shape[-1] * weighted.shape[-2]), None


def style_loss(gram: Tensor, target: Tensor, metric: Tensor) -> Tensor:
    """Mean of squares of M (G - A) M for each G of a batch ``[N, ..., C, C]``, with M² = Q: ``[N, ...]``.

    With Q = I it is the term of Gatys et al., equation 4, up to its constant; another Q weighs the directions of feature
    space, which is ours.

    Args:
        gram: G, ``[N, ..., C, C]``.
        target: A, ``[1 or N, ..., C, C]``.
        metric: Q, ``[1 or N, ..., C, C]``, symmetric.
    """
    loss, _ = _Quadratic.apply(gram - target, metric)  # type: ignore[no-untyped-call]
    return loss  # type: ignore[no-any-return]


def mean_square(difference: Tensor) -> Tensor:
    """Mean of squares of each item of a batch: ``[N, ...]`` to ``[N]``."""
    return _mean(difference * difference)


def total_variation(image: Tensor) -> Tensor:
    """Mean dx² + mean dy² over forward differences (Mahendran, Vedaldi 2014, with beta = 2): ``[N,3,H,W]`` to ``[N]``."""
    dx, dy = _differences(image)
    return mean_square(dx) + mean_square(dy)


def _differences(image: Tensor) -> tuple[Tensor, Tensor]:
    """Forward differences along rows and along columns."""
    return image[:, :, :, 1:] - image[:, :, :, :-1], image[:, :, 1:, :] - image[:, :, :-1, :]


def _mean(values: Tensor) -> Tensor:
    """Mean of each item of a batch."""
    # One dimension at a time: ONNX Runtime adds up float32 in sequence, and over all elements at once the rounding
    # reaches 6e-5 at 512 x 512.
    while values.ndim > 1:
        values = values.mean(-1)
    return values


def absolute_variation(image: Tensor) -> Tensor:
    """Mean |dx| + mean |dy|: ``[N,3,H,W]`` to ``[N]``."""
    dx, dy = _differences(image)
    return _mean(dx.abs()) + _mean(dy.abs())


def normalised_variation(image: Tensor) -> Tensor:
    """`absolute_variation` of RGB over ImageNet's standard deviations, as torchvision normalises."""
    deviations = torch.tensor([0.229, 0.224, 0.225], dtype=image.dtype).reshape(1, 3, 1, 1)
    return absolute_variation(image / (255 * deviations))


def summed_variation(image: Tensor) -> Tensor:
    """(sum |dx| + sum |dy|) / (3·H·W): each edge counts alike, whatever the picture's shape."""
    height, width = image.shape[2:]
    dx, dy = _differences(image)
    return _mean(dx.abs()) * ((width - 1) / width) + _mean(dy.abs()) * ((height - 1) / height)


def power_variation(image: Tensor) -> Tensor:
    """Mean (dx² + dy²)^1.25 over the pixels that have both differences, as Keras' example has it."""
    dx, dy = _differences(image)
    dx, dy = dx[:, :, :-1, :], dy[:, :, :, :-1]
    return _mean((dx * dx + dy * dy) ** 1.25)


def nine_point_variation(image: Tensor) -> Tensor:
    """2/3 of the means of dx² and dy², and 1/6 of those along both diagonals: ``[N,3,H,W]`` to ``[N]``.

    From crowsonkb/style-transfer-pytorch, where the picture's edge is repeated beyond it: so means are over H·W pixels, and
    over (H + 1)·(W + 1) along diagonals, of which those across the edge are differences along it.
    """
    dx, dy = _differences(image)
    falling, rising = image[:, :, 1:, 1:] - image[:, :, :-1, :-1], image[:, :, 1:, :-1] - image[:, :, :-1, 1:]
    height, width = image.shape[2:]
    edges = _total(dx[:, :, :1]) + _total(dx[:, :, -1:]) + _total(dy[..., :1]) + _total(dy[..., -1:])
    straight = (_total(dx) + _total(dy)) / (3 * height * width)
    slanted = (_total(falling) + _total(rising) + 2 * edges) / (3 * (height + 1) * (width + 1))
    return straight * (2 / 3) + slanted * (1 / 6)


def _total(difference: Tensor) -> Tensor:
    """Sum of squares of each item of a batch; the last dimension first, see `_mean`."""
    return (difference * difference).sum(-1).sum(-1).sum(-1)


VARIATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "squares": lambda image: total_variation(image),
    "absolute": absolute_variation,
    "normalised": normalised_variation,
    "sums": summed_variation,
    "power": power_variation,
    "nine-point": nine_point_variation,
}
"""By the names of `TVS`."""


@dataclass(frozen=True)
class Objective:
    """Content, style and total-variation losses of a network.

    With masks, one ``[N, R, h, w]`` for each style tap, Gram matrices and metrics are of R regions, ``[N, R, C, C]``, and a
    style term is the sum over them: a metric times the root of a factor gives its region that factor.

    Attributes:
        network: the feature extractor; it reads at least the taps named here.
        content_taps: k names.
        style_taps: l names.
        tv: a key of `VARIATIONS`.
        style_distance: one of `STYLE_DISTANCES`. For all but `GRAM` what is called Gram matrices here are `moments`, and
            metrics those of `wasserstein_loss`.
    """

    network: TruncatedVGG
    content_taps: Sequence[str]
    style_taps: Sequence[str]
    tv: str = "squares"
    style_distance: str = GRAM

    def encode(self, image: Tensor, masks: Sequence[Tensor] = ()) -> tuple[list[Tensor], list[Tensor]]:
        """Content features ``[N, C, h, w]`` and Gram matrices ``[N, C, C]`` of images ``[N, 3, H, W]``."""
        return self._read(self.network(image), masks)

    def _read(self, features: Features, masks: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        style = [features[t] for t in self.style_taps]
        grams = [region_grams(f, m) for f, m in zip(style, masks, strict=True)] if masks else [*map(gram_matrix, style)]
        if self.style_distance != GRAM:
            means = [region_means(f, m) for f, m in zip(style, masks, strict=True)] if masks else [*map(tap_means, style)]
            grams = [moments(gram, *mean) for gram, mean in zip(grams, means, strict=True)]
        return [features[t] for t in self.content_taps], grams

    def losses(
        self,
        image: Tensor,
        contents: Sequence[Tensor],
        grams: Sequence[Tensor],
        metrics: Sequence[Tensor],
        masks: Sequence[Tensor] = (),
        others: Sequence[Tensor] = (),
    ) -> Tensor:
        """The k content terms, the l style terms and the TV term of each image, unweighted: ``[N, k + l + 1]``."""
        return self._terms(self.network(image), image, contents, grams, metrics, masks, others)

    def _terms(
        self,
        taps: Features,
        image: Tensor,
        contents: Sequence[Tensor],
        grams: Sequence[Tensor],
        metrics: Sequence[Tensor],
        masks: Sequence[Tensor],
        others: Sequence[Tensor],
    ) -> Tensor:
        features, own = self._read(taps, masks)
        if others:
            own = [moments + rest for moments, rest in zip(own, others, strict=True)]
        terms = [mean_square(f - p) for f, p in zip(features, contents, strict=True)]
        compare = style_loss if self.style_distance == GRAM else partial(moments_loss, self.style_distance)
        styles = [compare(g, a, q) for g, a, q in zip(own, grams, metrics, strict=True)]
        terms += [loss.sum(1) for loss in styles] if masks else styles
        terms.append(VARIATIONS[self.tv](image))
        # cat, not stack: the gradient of stack is a select, which ONNX spells Gather.
        return torch.cat([term.unsqueeze(1) for term in terms], dim=1)

    def losses_and_gradient(
        self,
        image: Tensor,
        contents: Sequence[Tensor],
        grams: Sequence[Tensor],
        metrics: Sequence[Tensor],
        content_weight: Tensor,
        style_weight: Tensor,
        tv_weight: Tensor,
        masks: Sequence[Tensor] = (),
        others: Sequence[Tensor] = (),
    ) -> tuple[Tensor, Tensor]:
        """Unweighted losses ``[N, k + l + 1]`` and the gradient ``[N, 3, H, W]`` of their weighted sum.

        Args:
            image: ``[N, 3, H, W]``, RGB, 0..255.
            contents: k targets ``[N, C, h, w]``.
            grams: l targets ``[1 or N, C, C]``, or of regions ``[1 or N, R, C, C]``.
            metrics: l metrics of the same shape, symmetric, see `style_loss`.
            content_weight: ``[k]``.
            style_weight: ``[l]``.
            tv_weight: scalar.
            masks: none, or l masks ``[N, R, h, w]``, see `region_grams`.
            others: none, or `moments` of what other tiles have of the picture, ``[1 or N, R, C + 1, C + 1]``.
        """
        weights = torch.cat([content_weight, style_weight, tv_weight.reshape(1)])

        def weighted_sum(taps: Features, x: Tensor) -> tuple[Tensor, Tensor]:
            terms = self._terms(taps, x, contents, grams, metrics, masks, others)
            return (terms * weights).sum(), terms

        taps, back = self.network.differentiate(image)
        (of_taps, of_image), terms = torch.func.grad(weighted_sum, argnums=(0, 1), has_aux=True)(taps, image)
        return terms, back(of_taps) + of_image
