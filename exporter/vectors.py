"""The arithmetic of L-BFGS where the objective is evaluated: functions to be traced, for the runtime's `DeviceVectors`.

Vectors are images ``[3, H, W]``, or the same flat, ``[n]``. Elementwise work is float32, and sums over a vector are taken in
float64, as on the host; products with the history are float32 matrix products.
"""

import torch
from torch import Tensor

from ..runtime.bundle.spec import ARITHMETIC
from .graphs import GraphSpec, Shape


def begin(gradient: Tensor, x: Tensor, scale: Tensor, bounds: Tensor, *transform: Tensor) -> tuple[Tensor, Tensor]:
    """The gradient at x, scaled and projected, and P times it."""
    projected = _projected(gradient, x, scale, bounds)
    return projected, _precondition(projected, *transform)


def accept(
    gradient: Tensor,
    trial: Tensor,
    x: Tensor,
    before: Tensor,
    conditioned_before: Tensor,
    scale: Tensor,
    bounds: Tensor,
    *transform: Tensor,
) -> tuple[Tensor, ...]:
    """`begin` at the trial point; the step s, w = P·y, the difference of gradients y; sᵀy, sᵀs, yᵀy and gᵀg, ``[4]``."""
    projected, conditioned = begin(gradient, trial, scale, bounds, *transform)
    s, y = trial - x, projected - before
    sums = [_inner(s, y), _inner(s, s), _inner(y, y), _inner(projected, projected)]
    return projected, conditioned, s, conditioned - conditioned_before, y, torch.cat(sums)


def measure(gradient: Tensor, step: Tensor) -> Tensor:
    """Inner product with the step and largest absolute value, ``[2]``; not finite where an element is not."""
    # A maximum may pass over a NaN, a sum does not.
    largest = gradient.abs().amax(0).reshape(1) + (gradient * 0).sum().reshape(1)
    return torch.cat([_inner(gradient, step), largest])


def products(rows: Tensor, gradient: Tensor, difference: Tensor) -> Tensor:
    """Inner products of each row ``[R, n]`` with two vectors ``[n]``: ``[R, 2]``."""
    return rows @ torch.cat([gradient[:, None], difference[:, None]], dim=1)


def descend(
    rows: Tensor,
    factors: Tensor,
    conditioned: Tensor,
    factor: Tensor,
    length: Tensor,
    x: Tensor,
    gradient: Tensor,
    bounds: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Step, trial point, and the step's inner product with the gradient ``[1]``.

    Args:
        rows: of the history, ``[R, n]``.
        factors: of each row in the direction, ``[R]``.
        conditioned: P·gradient, or what else is to be gone along, ``[n]``.
        factor: of it, ``[]``.
        length: root mean square to give the direction, ``[]``; 0 leaves it.
        x: the best iterate, ``[n]``.
        gradient: the projected gradient there, ``[n]``.
        bounds: lowest and highest value, ``[2]``.
    """
    direction = (factors[None, :] @ rows).reshape(-1) + factor * conditioned
    norm = (_inner(direction, direction) / direction.shape[0]).sqrt()
    # By arithmetic and not by a choice: 0 / norm must not be 0 / 0 where the direction is 0.
    given = (length > 0).to(length.dtype)
    step = -direction * (given * length / (norm + (1 - given)) + (1 - given)) * (gradient != 0).to(direction.dtype)
    trial = _within(x + step, bounds)
    step = trial - x
    return step, trial, _inner(step, gradient)


def move(x: Tensor, step: Tensor, part: Tensor, bounds: Tensor) -> Tensor:
    """The trial point at a part of the step, all ``[n]``."""
    return _within(x + part * step, bounds)


def vector_graphs() -> list[GraphSpec]:
    """The functions of this module as graphs of a bundle; none of them has weights."""
    image, height, width = torch.zeros(3, 37, 41), torch.zeros(37, 37), torch.zeros(41, 41)
    flat, rows, factors = torch.zeros(19), torch.zeros(6, 19), torch.zeros(6)
    number, bounds = torch.tensor(0.5), torch.tensor([0.0, 255.0])
    free = torch.export.Dim.AUTO
    as_image: tuple[Tensor, dict[int, object], Shape] = (image, {1: free, 2: free}, (3, "H", "W"))
    as_flat: tuple[Tensor, dict[int, object], Shape] = (flat, {0: free}, ("n",))
    scalar: tuple[Tensor, None, Shape] = (number, None, ())
    limits: tuple[Tensor, None, Shape] = (bounds, None, (2,))
    history = {"rows": (rows, {0: free, 1: free}, ("R", "n"))}
    transform = {
        "height_basis": (height, {0: free, 1: free}, ("H", "H")),
        "width_basis": (width, {0: free, 1: free}, ("W", "W")),
        "spectrum_factors": (image[0], {0: free, 1: free}, ("H", "W")),
    }
    inputs: dict[str, dict[str, tuple[Tensor, object, Shape]]] = {
        "begin": {"gradient": as_image, "x": as_image, "scale": scalar, "bounds": limits, **transform},
        "accept": {
            **dict.fromkeys(("gradient", "trial", "x", "before", "conditioned_before"), as_image),
            "scale": scalar,
            "bounds": limits,
            **transform,
        },
        "measure": {"gradient": as_flat, "step": as_flat},
        "products": {**history, "gradient": as_flat, "difference": as_flat},
        "descend": {
            **history,
            "factors": (factors, {0: free}, ("R",)),
            "conditioned": as_flat,
            "factor": scalar,
            "length": scalar,
            "x": as_flat,
            "gradient": as_flat,
            "bounds": limits,
        },
        "move": {"x": as_flat, "step": as_flat, "part": scalar, "bounds": limits},
    }
    pixels: Shape = (3, "H", "W")
    outputs: dict[str, dict[str, Shape]] = {
        "begin": {"projected": pixels, "conditioned": pixels},
        "accept": {**dict.fromkeys(("projected", "conditioned", "s", "w", "y"), pixels), "sums": (4,)},
        "measure": {"sums": (2,)},
        "products": {"found": ("R", 2)},
        "descend": {"moved": ("n",), "trial": ("n",), "slope": (1,)},
        "move": {"trial": ("n",)},
    }
    return [
        GraphSpec(
            name=f"{ARITHMETIC}{function.__name__}",
            function=function,
            # The tracer takes one tensor for one input, however often it is given.
            example=tuple(tensor.clone() for tensor, _, _ in named.values()),
            dynamic=tuple(dimensions for _, dimensions, _ in named.values()),
            inputs={name: shape for name, (_, _, shape) in named.items()},
            outputs=outputs[function.__name__],
        )
        for function in (begin, accept, measure, products, descend, move)
        for named in [inputs[function.__name__]]
    ]


def _projected(gradient: Tensor, x: Tensor, scale: Tensor, bounds: Tensor) -> Tensor:
    """The scaled gradient, zero where -gradient leads out of the bounds ``[2]``."""
    scaled = gradient * scale
    inside = ((x > bounds[:1]) | (scaled < 0)) & ((x < bounds[1:]) | (scaled > 0))
    return scaled * inside.to(scaled.dtype)


def _precondition(image: Tensor, height_basis: Tensor, width_basis: Tensor, factors: Tensor) -> Tensor:
    """`FrequencyPreconditioner.separable`: ONNX Runtime's own Fourier transform has no CUDA kernel."""
    spectrum = height_basis @ image @ width_basis.T
    return height_basis.T @ (spectrum * factors) @ width_basis


def _within(x: Tensor, bounds: Tensor) -> Tensor:
    return torch.minimum(torch.maximum(x, bounds[:1]), bounds[1:])


def _inner(a: Tensor, b: Tensor) -> Tensor:
    """Inner product, ``[1]``."""
    return (a * b).double().sum().float().reshape(1)
