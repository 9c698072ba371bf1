"""What TF32 costs in loss, without a GPU: paintings whose convolutions and products of matrices are rounded as its are.

python bench/tf32.py [--size 160] [--iterations 100] [--save]

The gradient is PyTorch's on the CPU, with the operands of every convolution and product of matrices, forward and back, cut
to TF32's 10 bits of mantissa: cut and not rounded, the worst that tensor cores do. Losses are those of the picture in
float32, and the differences those to the first.
"""

from contextlib import nullcontext
from typing import Any

import click
import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from common import Array, load_bundle, machine, markdown, pairs, read, torch_objective, write
from nstbatch.runtime.bundle.spec import GRADIENT, Bundle
from nstbatch.runtime.engine.engine import Engine, Feeds
from nstbatch.runtime.engine.host import Host, available_cores
from nstbatch.runtime.painting.stylizer import Stylizer
from nstbatch.runtime.painting.terms import compare
from nstbatch.runtime.pictures.photo import Picture
from nstbatch.runtime.pictures.pixels import from_pixels
from nstbatch.runtime.recipe.provider import Precision

_CUT = ("convolution", "convolution_backward", "mm", "bmm", "addmm", "baddbmm")

_MANTISSA = -(1 << 13)
"""A mask that leaves 10 of float32's 23 bits of mantissa."""


class Cut(TorchDispatchMode):
    """Cuts the operands of convolutions and products of matrices to TF32."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func._schema.name.removeprefix("aten::") in _CUT:
            args = [_cut(each) if isinstance(each, Tensor) and each.dtype == torch.float32 else each for each in args]
        return func(*args, **(kwargs or {}))


def _cut(values: Tensor) -> Tensor:
    return (values.contiguous().view(torch.int32) & _MANTISSA).view(torch.float32)


class Emulated(Engine):
    """The CPU provider in float32, and PyTorch in what stands for TF32.

    Args:
        bundle: whose graphs to run.
        cut: whether PyTorch cuts anything.
    """

    def __init__(self, bundle: Bundle, cut: bool = True) -> None:
        super().__init__(bundle, Host(provider="cpu"))
        self.precisions = (Precision.FLOAT32, Precision.TF32)
        self._mode = Cut if cut else nullcontext
        self._objective = torch_objective(bundle.manifest.spec)

    def run(self, graph: str, feeds: Feeds, precision: str = "float32") -> list[Array]:
        if precision != Precision.TF32 or graph != GRADIENT:
            return super().run(graph, feeds, precision)
        tensors = {name: torch.from_numpy(np.array(value)) for name, value in feeds.items()}

        def of(kind: str) -> list[Tensor]:
            return [value for name, value in tensors.items() if name.startswith(f"{kind}.")]

        weights = [tensors[name] for name in ("content_weight", "style_weight", "tv_weight")]
        with self._mode():
            found = self._objective.losses_and_gradient(tensors["image"], of("content"), of("gram"), of("metric"), *weights)
        return [each.detach().numpy() for each in found]


@click.command(help=__doc__)
@click.option("--size", default=160, show_default=True, help="Long side, in pixels.")
@click.option("--iterations", default=100, show_default=True)
@click.option("--save", is_flag=True, help="Keep the table in bench/results/.")
def main(size: int, iterations: int, save: bool) -> None:
    torch.set_num_threads(available_cores())
    bundle, rows = load_bundle(None), []
    cut, whole = Emulated(bundle), Emulated(bundle, cut=False)
    ways = [(cut, Precision.FLOAT32), (whole, Precision.TF32), (cut, Precision.TF32), (cut, Precision.MIXED)]
    for name, (photo, style) in pairs().items():
        picture, losses = Picture(from_pixels(read(photo, size))), []
        judge = Stylizer.open(cut, style, size=size)
        for engine, precision in ways:
            options = {"size": size, "iterations": iterations, "precision": precision}
            painted = Stylizer.open(engine, style, check=lambda *_: None, **options)(picture)
            losses.append(compare(judge, picture, painted.picture).loss)
            print(name, precision, losses[-1], flush=True)
        rows.append([name, f"{losses[0]:.4g}", *(f"{100 * (loss / losses[0] - 1):+.2f} %" for loss in losses[1:])])
    text = f"{__doc__}\n{machine(available_cores())}; {size} pixels, {iterations} iterations.\n\n"
    text += markdown(["pair", "loss in float32", "in PyTorch's float32", "in TF32", "mixed"], rows)
    if save:
        write(f"tf32-{size}.md", text)
    else:
        print(text)


if __name__ == "__main__":
    main()
