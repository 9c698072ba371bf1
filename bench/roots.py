"""How close the Wasserstein distance in float32 comes to eigenvectors in float64: by the steps of its roots, and by what is
added to each variance.

python bench/roots.py [--save]
"""

import itertools

import click
import numpy as np
import torch
from torch import Tensor

from common import machine, markdown, pairs, read, torch_objective, write
from nstbatch.exporter.moments import moments, root_steps, tap_means, wasserstein_loss
from nstbatch.exporter.objective import gram_matrix
from nstbatch.runtime.bundle.gaussians import root_metric
from nstbatch.runtime.bundle.spec import BundleSpec

SIZES = (64, 256, 512)

STEPS = {
    "Newton-Schulz, 12": [(1.5, -0.5)] * 12,
    "Newton-Schulz, 16": [(1.5, -0.5)] * 16,
    "Newton-Schulz, 20": [(1.5, -0.5)] * 20,
    "Newton-Schulz, 24": [(1.5, -0.5)] * 24,
    "scaled, 10": root_steps(10),
    "scaled, 12": root_steps(),
    "scaled to 1e-4, 14": root_steps(14, 1e-4),
}

ADDED = (0.01, 0.03, 0.1)


def exactly(own: Tensor, target: Tensor, added: float) -> tuple[float, Tensor]:
    """The distance over the channels, and its slope in the covariance, by eigenvectors in float64."""
    channels = len(own) - 1

    def gaussian(of: Tensor) -> tuple[Tensor, Tensor]:
        mean = of[:channels, channels]
        return mean, of[:channels, :channels] - torch.outer(mean, mean) + added * torch.eye(channels, dtype=of.dtype)

    def power(matrix: Tensor, exponent: float, least: float) -> Tensor:
        values, vectors = torch.linalg.eigh(matrix)
        return (vectors * values.clamp(min=least) ** exponent) @ vectors.mT

    (m, C), (a, A) = gaussian(own), gaussian(target)
    root = power(A, 0.5, added)
    product = root @ C @ root
    loss = ((m - a) ** 2).sum() + (C + A - 2 * power(product, 0.5, added**2)).trace()
    return float(loss) / channels, (
        torch.eye(channels, dtype=C.dtype) - root @ power(product, -0.5, added**2) @ root
    ) / channels


@click.command(help=__doc__)
@click.option("--save", is_flag=True, help="Keep the table in bench/results/.")
def main(save: bool) -> None:
    spec = BundleSpec()
    network = torch_objective(spec).network
    errors: dict[tuple[float, str, int], list[tuple[float, float]]] = {}
    for size, (photo, style) in itertools.product(SIZES, pairs().values()):
        with torch.no_grad():
            own, other = (network(torch.from_numpy(read(path, size))) for path in (photo, style))
        for tap, added in itertools.product(spec.style_taps, ADDED):
            single = [moments(gram_matrix(of[tap]), *tap_means(of[tap])) for of in (own, other)]
            wide = [of[tap].double() for of in (own, other)]
            exact = [moments(gram_matrix(of), *tap_means(of))[0] for of in wide]
            metric = root_metric(exact[1].numpy(), added=added)
            loss, slope = exactly(*exact, float(metric[-1, 0]))
            for name, steps in STEPS.items():
                value, found = wasserstein_loss(*single, torch.from_numpy(metric.astype(np.float32))[None], steps)
                off = float((found[0, :-1, :-1].double() - slope).norm() / slope.norm())
                errors.setdefault((added, name, size), []).append((abs(float(value) / loss - 1), off))
    rows = []
    for added, name in itertools.product(ADDED, STEPS):
        row = [str(added), name]
        for size in SIZES:
            found_errors = np.array(errors[added, name, size])
            row += ["diverges"] if not (found_errors < 1e3).all() else [" / ".join(f"{e:.0e}" for e in found_errors.max(0))]
        rows.append(row)
        print(*row, sep="; ", flush=True)
    heads = [
        "added to each variance, over their mean",
        "steps",
        *(f"{size} px: largest error of loss / slope" for size in SIZES),
    ]
    if save:
        what = "# The roots of the Wasserstein distance\n\n`python bench/roots.py --save`"
        write("roots.md", f"{what}\n\n{machine(torch.get_num_threads())}\n\n{markdown(heads, rows)}")


if __name__ == "__main__":
    main()
