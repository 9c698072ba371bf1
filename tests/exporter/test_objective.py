"""The objective's functions and the gradients that are written by hand."""

import numpy as np
import torch

from nstbatch.exporter.objective import gram_matrix, style_loss, total_variation


def test_gradients_written_by_hand_are_those_of_the_functions() -> None:
    rng = np.random.default_rng(0)

    def random(*shape: int) -> torch.Tensor:
        return torch.from_numpy(rng.standard_normal(shape)).requires_grad_()

    assert torch.autograd.gradcheck(gram_matrix, random(2, 3, 4, 5))
    root = random(1, 4, 4).detach()
    metric = root @ root.transpose(1, 2)
    gram, target = random(3, 4, 4), random(1, 4, 4).detach()
    assert torch.autograd.gradcheck(lambda G: style_loss(G, target, metric), gram)
    M = torch.linalg.cholesky(metric)
    expected = ((M.transpose(1, 2) @ (gram - target) @ M) ** 2).mean((1, 2))
    torch.testing.assert_close(style_loss(gram, target, metric), expected)


def test_gram_matrix_and_total_variation_by_hand() -> None:
    features = torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]]])
    assert gram_matrix(features).tolist() == [[[2.5, 5.5], [5.5, 12.5]]]
    image = torch.tensor([[[[0.0, 1.0], [3.0, 3.0]]]])
    assert total_variation(image).tolist() == [(1 + 0) / 2 + (9 + 4) / 2]
