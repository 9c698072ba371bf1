"""Distances of moments against float64, with eigenvectors and autograd, and against the peer that has one of them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from nstbatch.exporter.export import export_bundle
from nstbatch.exporter.moments import correlation_loss, covariance_loss, moments, tap_means, wasserstein_loss
from nstbatch.exporter.objective import VARIATIONS, gram_matrix
from nstbatch.runtime.bundle.gaussians import root_metric
from nstbatch.runtime.bundle.spec import GRADIENT, LEAN, WASSERSTEIN
from seams import ONE_LAYER


def features(channels: int, positions: tuple[int, int], rank: int, seed: int) -> Tensor:
    """Features as a ReLU gives them, ``[1, C, h, w]``: of few directions, some nearly the same."""
    random = np.random.default_rng(seed)
    mixed = random.normal(size=(channels, rank)) * 0.5 ** np.arange(rank)
    values = mixed @ random.normal(size=(rank, positions[0] * positions[1])) + random.uniform(-1, 1, (channels, 1))
    return torch.from_numpy(np.maximum(values, 0).reshape(1, channels, *positions))


def moments_of(values: Tensor) -> Tensor:
    return moments(gram_matrix(values), *tap_means(values))


def root(matrix: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.mT


def exactly(own: Tensor, target: Tensor, added: float) -> Tensor:
    """The distance over the channels, of flat features ``[C, P]``, by eigenvectors."""

    def gaussian(flat: Tensor) -> tuple[Tensor, Tensor]:
        mean = flat.mean(1)
        away = flat - mean[:, None]
        return mean, away @ away.mT / flat.shape[1] + added * torch.eye(len(flat), dtype=flat.dtype)

    (m, C), (a, A) = gaussian(own), gaussian(target)
    half = root(A)
    return (((m - a) ** 2).sum() + (C + A - 2 * root(half @ C @ half)).trace()) / len(m)


@pytest.mark.parametrize(
    ("channels", "positions", "rank"), [(8, (6, 7), 8), (64, (20, 20), 64), (64, (5, 4), 20), (32, (9, 9), 3)]
)
@pytest.mark.parametrize("seed", [0, 1])
def test_value_and_gradient_are_those_of_eigenvectors(
    channels: int, positions: tuple[int, int], rank: int, seed: int
) -> None:
    """Covariances that are nearly singular included: fewer positions than channels, or few directions."""
    own, target = (features(channels, positions, rank, 2 * seed + i) for i in (0, 1))
    metric = torch.from_numpy(root_metric(moments_of(target)[0].numpy()))[None]
    added = float(metric[0, -1, 0])
    flat = own.flatten(2)[0].clone().requires_grad_()
    expected = exactly(flat, target.flatten(2)[0], added)
    (slope,) = torch.autograd.grad(expected, flat)
    for dtype, value_error, slope_error in ((torch.float64, 2e-4, 2e-2), (torch.float32, 3e-4, 3e-2)):
        values = own.to(dtype)
        loss, of_moments = wasserstein_loss(moments_of(values), moments_of(target.to(dtype)), metric.to(dtype))
        assert loss.item() == pytest.approx(expected.item(), rel=value_error)
        pulled = 2 * (of_moments[0, :-1, :-1] @ values.flatten(2)[0] + of_moments[0, :-1, -1:]) / flat.shape[1]
        assert (pulled - slope).norm() < slope_error * slope.norm()


def test_a_picture_is_at_no_distance_from_itself() -> None:
    own = moments_of(features(32, (8, 9), 32, 0))
    loss, slope = wasserstein_loss(own, own, torch.from_numpy(root_metric(own[0].numpy()))[None])
    size = own[0, :-1, :-1].trace() / 32
    assert abs(loss.item()) < 1e-4 * size
    assert slope.abs().max() < 1e-2 / 32


def test_where_nothing_varies_it_is_the_means() -> None:
    own, target = (torch.full((1, 8, 4, 5), value, dtype=torch.float64) for value in (2.0, 5.0))
    metric = torch.from_numpy(root_metric(moments_of(target)[0].numpy()))[None]
    loss, slope = wasserstein_loss(moments_of(own), moments_of(target), metric)
    assert loss.item() == pytest.approx(9.0, rel=1e-6)
    assert torch.isfinite(slope).all()


def test_of_regions_it_counts_by_the_share() -> None:
    pair = torch.stack([moments_of(features(16, (7, 8), 16, seed))[0] for seed in (0, 1)])[None]
    target = pair.flip(1)
    shares = 0.25, 2.0
    metrics = [root_metric(each.numpy(), share) for each, share in zip(target[0], shares, strict=True)]
    losses, slopes = wasserstein_loss(pair, target, torch.from_numpy(np.stack(metrics))[None])
    for i, share in enumerate(shares):
        whole = torch.from_numpy(root_metric(target[0, i].numpy()))[None]
        loss, slope = wasserstein_loss(pair[:, i], target[:, i], whole)
        assert losses[0, i].item() == pytest.approx(share * loss.item(), rel=1e-9)
        assert torch.allclose(slopes[:, i], share * slope, rtol=1e-9)


def test_moments_are_of_the_features_and_one_more() -> None:
    values = features(6, (5, 4), 6, 0)
    one = torch.cat([values, torch.ones(1, 1, 5, 4, dtype=values.dtype)], 1)
    assert torch.allclose(moments_of(values), gram_matrix(one))


def test_an_exported_graph_compares_gaussians_of_regions_and_of_tiles(tmp_path: Path) -> None:
    """The exporter compares it with autograd, and changes each input in turn; here that it does so for this distance."""
    spec = replace(ONE_LAYER, style_distance=WASSERSTEIN, regions=True)
    bundle = export_bundle(spec, tmp_path / "bundle")
    changed = 2 + len(spec.content_taps) + 4 * len(spec.style_taps)
    assert bundle.manifest.parity.cases > 2 * changed, "target, metric, mask and other tiles, at least in two graphs"
    assert not bundle.has(LEAN), "whose metric is the identity"
    graph = onnx.load(bundle.graph(GRADIENT), load_external_data=False).graph
    assert {"gram.relu1_1", "metric.relu1_1", "mask.relu1_1", "others.relu1_1"} <= {value.name for value in graph.input}
    shape = next(value.type.tensor_type.shape for value in graph.input if value.name == "gram.relu1_1")
    assert [dim.dim_value for dim in shape.dim[2:]] == [65, 65]


def test_nine_points_are_the_peers() -> None:
    """`TVLoss` of crowsonkb/style-transfer-pytorch, written as it is there."""
    image = torch.rand(1, 3, 9, 12, dtype=torch.float64)
    padded = F.pad(image, (1, 1, 1, 1), "replicate")
    inner, after, but_last, but_first = slice(1, -1), slice(2, None), slice(None, -1), slice(1, None)
    right = (padded[..., inner, after] - padded[..., inner, inner]).pow(2).mean() / 3
    down = (padded[..., after, inner] - padded[..., inner, inner]).pow(2).mean() / 3
    falling = (padded[..., but_first, but_first] - padded[..., but_last, but_last]).pow(2).mean() / 12
    rising = (padded[..., but_first, but_last] - padded[..., but_last, but_first]).pow(2).mean() / 12
    assert VARIATIONS["nine-point"](image).item() == pytest.approx(2 * (right + down + falling + rising).item(), rel=1e-12)


@pytest.mark.parametrize("loss", [covariance_loss, correlation_loss])
def test_covariances_and_correlations_are_gram_matrices_of_maps_that_are_shifted(loss: Callable[..., Any]) -> None:
    own, target = (features(12, (7, 6), 12, seed) for seed in (0, 1))
    metric = torch.from_numpy(root_metric(moments_of(target)[0].numpy(), 0.5))[None]
    added = metric[0, -1, 0]

    def shifted(values: Tensor) -> Tensor:
        away = values - values.mean((2, 3), keepdim=True)
        if loss is correlation_loss:
            away = away / ((away**2).mean((2, 3), keepdim=True) + added).sqrt()
        return gram_matrix(away)

    leaf = own.clone().requires_grad_()
    expected = 0.5 * ((shifted(leaf) - shifted(target)) ** 2).mean()
    (slope,) = torch.autograd.grad(expected, leaf)
    value, of_moments = loss(moments_of(own), moments_of(target), metric)
    assert value.item() == pytest.approx(expected.item(), rel=1e-9)
    pulled = 2 * (of_moments[0, :-1, :-1] @ own.flatten(2)[0] + of_moments[0, :-1, -1:]) / 42
    assert torch.allclose(pulled, slope.flatten(2)[0], rtol=1e-6, atol=1e-9)
