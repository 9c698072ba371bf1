"""Total variation on the host, against autograd of what the graphs are traced from."""

import numpy as np
import pytest
import torch

from nstbatch.exporter.objective import VARIATIONS
from nstbatch.runtime.bundle.spec import TVS
from nstbatch.runtime.errors import UsageError
from nstbatch.runtime.painting.variation import variation


@pytest.mark.parametrize("kind", TVS)
@pytest.mark.parametrize("shape", [(33, 41), (64, 32)])
def test_it_is_the_graphs(kind: str, shape: tuple[int, int]) -> None:
    image = np.random.default_rng(0).uniform(0, 255, (1, 3, *shape)).astype(np.float32)
    image[:, :, 4:9, 3:20] = 77
    exact = torch.tensor(image, dtype=torch.float64, requires_grad=True)
    loss = VARIATIONS[kind](exact)
    loss.sum().backward()
    assert exact.grad is not None
    gradient = np.zeros_like(image)
    value = variation(image, kind, gradient, 0.25)
    assert variation(image, kind, gradient, 0.75) == value
    assert value == pytest.approx(loss.item(), rel=1e-6)
    expected = exact.grad.numpy()
    assert np.linalg.norm(gradient - expected) < 1e-6 * np.linalg.norm(expected)


def test_a_flat_picture_has_none() -> None:
    for kind in TVS:
        flat = np.full((1, 3, 32, 40), 9, np.float32)
        gradient = np.zeros_like(flat)
        value = variation(flat, kind, gradient)
        assert value == pytest.approx(0, abs=1e-30)
        assert not gradient.any()


def test_an_unknown_kind() -> None:
    with pytest.raises(UsageError, match="'cubes' is not known"):
        variation(np.zeros((1, 3, 32, 32), np.float32), "cubes", np.zeros((1, 3, 32, 32), np.float32))
