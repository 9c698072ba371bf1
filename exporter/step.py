"""An evaluation of L-BFGS as one graph: functions to be traced, and put around the gradient, for `StepVectors`.

The vectors of an image are rows of one array, ``[Q, 3, H, W]``, which stays where the graph runs. A step reads some of
them, writes others, and gives the inner products of all with those. Which is which the host says with each run: so a point
is rejected by reading the old rows again, and each image of a batch goes its own way.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from inspect import signature

import onnx
import torch
from onnx.compose import add_prefix
from torch import Tensor

from ..runtime.bundle.step import READ, WRITTEN
from .graphs import GraphSpec, Shape, build


def descend(rows: Tensor, control: Tensor, bounds: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Go from an iterate along minus a direction, as far as the bounds let it.

    Args:
        rows: of each image, ``[N, Q, 3, H, W]``.
        control: of each image, ``[N, control_size(Q)]``: the direction's factors of the rows; the part of the step that is
            to be taken; the rows of `READ`, and of `WRITTEN`.
        bounds: lowest and highest value of an element, ``[2]``.

    Returns:
        The image, ``[N, 3, H, W]``; the iterate, its gradient, and the whole step.
    """
    count = rows.shape[1]
    factors = control[:, :count].unsqueeze(1)
    direction = torch.bmm(factors, rows.flatten(2)).reshape(rows[:, 0].shape)
    rest = control[:, count:]
    part = rest[:, 0].reshape(-1, 1, 1, 1)
    first = count * torch.arange(rows.shape[0])
    x, gradient = (rows.flatten(0, 1).index_select(0, first + rest[:, 1 + i].long()) for i in range(len(READ)))
    # What is held at a bound has a gradient of 0.
    free = torch.where(gradient == 0, torch.zeros((), dtype=x.dtype), direction)
    whole = _within(x - free, bounds)
    step = whole - x
    # A part of 1 rounds nothing, so that an element that comes to a bound is there exactly.
    return _within(whole + (part - 1) * step, bounds), x, gradient, step


def conclude(
    losses: Tensor,
    gradient: Tensor,
    image: Tensor,
    iterate: Tensor,
    gradient_before: Tensor,
    step: Tensor,
    rows: Tensor,
    control: Tensor,
    bounds: Tensor,
    height_basis: Tensor,
    width_basis: Tensor,
    spectrum_factors: Tensor,
) -> tuple[Tensor, Tensor]:
    """Write the rows of a step, and report on it.

    Args:
        losses: of each image, ``[N, L]``.
        gradient: there, ``[N, 3, H, W]``; where it is not finite, 0 is written.
        image: that `descend` gives, as it does the next three.
        iterate: where it started.
        gradient_before: there.
        step: the whole one.
        rows: that `descend` takes, as it does the next two.
        control: what to read and write.
        bounds: lowest and highest value of an element.
        height_basis: see `FrequencyPreconditioner.separable`, for the last three.
        width_basis: see there.
        spectrum_factors: see there.

    Returns:
        The rows, and of each image what `Report` takes apart.
    """
    count = rows.shape[1]
    zero, largest = torch.zeros((), dtype=gradient.dtype), torch.full((), _LARGEST, dtype=gradient.dtype)
    absolute = gradient.abs()
    finite = torch.where(absolute <= largest, gradient, zero)
    # The projected gradient: at a bound only what leads inwards. No logical operations, which some providers lack.
    projected = torch.minimum(finite, torch.where(image > bounds[:1], largest, zero))
    projected = torch.maximum(projected, torch.where(image < bounds[1:], -largest, zero))
    s, y = image - iterate, projected - gradient_before
    # Of both at once, and w not as a difference: that would be of the rounding where the gradients are much alike.
    both = torch.stack([projected, y], dim=1)
    spectrum = torch.matmul(torch.matmul(height_basis, both), width_basis.T)
    conditioned = torch.matmul(torch.matmul(height_basis.T, spectrum * spectrum_factors), width_basis)
    # In the order of WRITTEN.
    written = torch.cat([each.unsqueeze(1) for each in (image, projected, s, y, step, finite)] + [conditioned], dim=1)
    places = control[:, count:][:, 1 + len(READ) :].long()
    # Into the rows as they come in, in no other shape: so ONNX Runtime writes in place. A line of pixels at a time, since
    # CUDA's provider gives what lies at one index to one thread: a whole image took it five times as long as the gradient.
    shape = written.shape[:4]
    indices = (
        torch.arange(shape[0]).reshape(-1, 1, 1, 1),
        places.unsqueeze(-1).unsqueeze(-1),
        torch.arange(shape[2]).reshape(-1, 1),
        torch.arange(shape[3]),
    )
    kept = rows.index_put([each.expand(shape).reshape(-1) for each in indices], written.flatten(0, 3))
    products = torch.bmm(kept.flatten(2), written.flatten(2).transpose(1, 2))
    return kept, torch.cat([absolute.sum(-1).sum(-1), products.flatten(1), losses], dim=1)


@dataclass(frozen=True)
class StepParts:
    """What a step is besides the gradient: the same in every bundle.

    Attributes:
        before, after: graphs of `descend` and of `conclude`.
    """

    before: onnx.ModelProto
    after: onnx.ModelProto

    def around(self, gradient: onnx.ModelProto) -> onnx.ModelProto:
        """The graph of a step: what one part gives is what a later one takes by the same name."""
        parts = [
            add_prefix(part, f"{part.graph.name}/", rename_inputs=False, rename_outputs=False)
            for part in (self.before, gradient, self.after)
        ]
        joined = onnx.ModelProto()
        joined.CopyFrom(parts[0])
        graph = joined.graph
        for part in parts[1:]:
            graph.node.extend(part.graph.node)
            graph.initializer.extend(part.graph.initializer)
        given = {name for node in graph.node for name in node.output}
        taken = {value.name: value for part in parts for value in part.graph.input if value.name not in given}
        del graph.input[:], graph.output[:]
        graph.input.extend(taken.values())
        graph.output.extend(parts[-1].graph.output)
        return joined


@cache
def step_parts() -> StepParts:
    """Trace them."""
    return StepParts(*(build(spec) for spec in step_specs()))


def step_specs() -> list[GraphSpec]:
    """The functions of this module, to be traced."""
    tensors = example_state(torch.zeros(5, 3, 37, 41), history=9) | {"losses": torch.zeros(5, 7)}
    pixels: Shape = ("N", 3, "H", "W")
    shapes: dict[str, Shape] = {
        "rows": ("N", "Q", 3, "H", "W"),
        "control": ("N", "control"),
        "bounds": (2,),
        "height_basis": ("H", "H"),
        "width_basis": ("W", "W"),
        "spectrum_factors": ("H", "W"),
        "losses": ("N", "losses"),
    }
    for name in ("gradient", "image", "iterate", "gradient_before", "step"):
        tensors[name], shapes[name] = torch.zeros(5, 3, 37, 41), pixels
    functions: tuple[Callable[..., tuple[Tensor, ...]], ...] = (descend, conclude)
    given: tuple[dict[str, Shape], ...] = (
        dict.fromkeys(("image", "iterate", "gradient_before", "step"), pixels),
        {"rows_written": shapes["rows"], "report": ("N", "report")},
    )
    return [
        GraphSpec(
            name=function.__name__,
            function=function,
            example=tuple(tensors[name] for name in names),
            dynamic=tuple(
                {i: torch.export.Dim.AUTO for i, size in enumerate(shapes[name]) if isinstance(size, str)} for name in names
            ),
            inputs={name: shapes[name] for name in names},
            outputs=outputs,
        )
        for function, outputs in zip(functions, given, strict=True)
        for names in [list(signature(function).parameters)]
    ]


def example_state(images: Tensor, history: int) -> dict[str, Tensor]:
    """Inputs of a step that leads from images ``[N, 3, H, W]`` by a grey level or so, by name."""
    batch, _, height, width = images.shape
    random = torch.Generator().manual_seed(0)

    def noise(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=images.dtype, generator=random)

    rows = noise(batch, 2 * history + len(WRITTEN), *images.shape[1:])
    count = rows.shape[1]
    rows[:, 0] = images
    factors = noise(batch, count) / 8
    factors[:, 0] = 0
    written = range(count - len(WRITTEN), count)
    told = torch.tensor([0.5, 0, 1, *written], dtype=images.dtype)
    return {
        "rows": rows,
        "control": torch.cat([factors, told.repeat(batch, 1)], dim=1),
        "bounds": torch.tensor([0.0, 255.0], dtype=images.dtype),
        "height_basis": noise(height, height) / height**0.5,
        "width_basis": noise(width, width) / width**0.5,
        "spectrum_factors": noise(height, width).abs(),
    }


_LARGEST = 1e30
"""Of a gradient's elements that are taken to be finite: what is computed of them is it, too."""


def _within(image: Tensor, bounds: Tensor) -> Tensor:
    return torch.minimum(torch.maximum(image, bounds[:1]), bounds[1:])
