"""The exporter's check of its own output: the bundle's graphs against autograd in float64.

The image, every target and every weight are changed in turn, because a tracer can freeze any of them into a constant
without a word; a change that the reference does not feel would prove nothing, so that is an error too.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from io import BytesIO
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ..runtime.bundle.spec import Parity
from ..runtime.errors import ExportError
from .graphs import GraphSpec
from .objective import Objective


@dataclass(frozen=True)
class Tolerance:
    """How far graphs may be from float64, all relative.

    Attributes:
        loss: of a loss.
        gradient: of a gradient, a feature or a Gram matrix (Euclidean norm).
        felt: by how much a change has to move the gradient, so that it would be missed.
    """

    loss: float
    gradient: float
    felt: float


TOLERANCES = {
    # Float32 flips a few ReLU and pooling ties, which moves the gradient by up to 4e-4 on a real picture.
    "float32": Tolerance(1e-4, 1e-3, 1e-2),
    # Seen: 4e-3 and 3e-2.
    "fp16": Tolerance(1e-2, 5e-2, 1e-1),
}
"""By the precision of a bundle."""

SIZES = ((48, 72), (61, 45), (64, 56))
"""Heights and widths that are compared, in pixels; one is odd."""

Reference = NDArray[np.float64]


@dataclass(frozen=True)
class _Batch:
    """Inputs of the gradient graph; ``changed`` says, for each image, which one differs from the base case."""

    changed: tuple[str, ...]
    image: Tensor
    contents: list[Tensor]
    grams: list[Tensor]
    metrics: list[Tensor]
    content_weight: Tensor
    style_weight: Tensor
    tv_weight: Tensor
    masks: list[Tensor]

    def arguments(
        self, dtype: torch.dtype
    ) -> tuple[Tensor, list[Tensor], list[Tensor], list[Tensor], Tensor, Tensor, Tensor, list[Tensor]]:
        return (
            self.image.to(dtype),
            [t.to(dtype) for t in self.contents],
            [t.to(dtype) for t in self.grams],
            [t.to(dtype) for t in self.metrics],
            self.content_weight.to(dtype),
            self.style_weight.to(dtype),
            self.tv_weight.to(dtype),
            [t.to(dtype) for t in self.masks],
        )


def verify(
    folder: Path,
    objective: Objective,
    tolerance: Tolerance,
    regions: bool = False,
    sizes: Sequence[tuple[int, int]] = SIZES,
    progress: Callable[[str], None] = lambda _: None,
) -> Parity:
    """Compare the graphs in ``folder`` with ``objective``, which computes in float64.

    Raises:
        ExportError: something differs by more than it may, or a change is not felt.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    encode, gradient = (
        onnxruntime.InferenceSession(folder / f"{name}.onnx", options, providers=["CPUExecutionProvider"])
        for name in ("encode", "gradient")
    )
    loss_errors, gradient_errors, feature_errors = [], [], []
    for size in sizes:
        progress(f"comparing with autograd at {size[1]} x {size[0]}")
        base: Reference | None = None
        for batch in _batches(objective, size, regions):
            reference_losses, reference_gradients = (
                t.numpy() for t in objective.losses_and_gradient(*batch.arguments(torch.float64))
            )
            losses, gradients = _run_gradient(gradient, batch)
            for i, what in enumerate(batch.changed):
                loss_errors.append(float(np.abs(losses[i] / reference_losses[i] - 1).max()))
                gradient_errors.append(_relative(gradients[i], reference_gradients[i]))
                _require(loss_errors[-1], tolerance.loss, f"a loss after changing {what}", size)
                _require(gradient_errors[-1], tolerance.gradient, f"the gradient after changing {what}", size)
                if base is None:
                    base = reference_gradients[i]
                elif _relative(reference_gradients[i], base) < tolerance.felt:
                    raise ExportError(f"the check is blind at {size}: changing {what} does not move the gradient")
        image = _picture("photo", size)
        masks = _masks(objective, size) if regions else []
        contents, grams = objective.encode(image, masks)
        found = encode.run(None, _feeds(encode, [image, *masks]))
        for mine, theirs in zip(found, [*contents, *grams], strict=True):
            feature_errors.append(_relative(mine, theirs.numpy()))
            _require(feature_errors[-1], tolerance.gradient, "a feature or Gram matrix", size)
    return Parity(
        loss=max(loss_errors),
        gradient=max(gradient_errors),
        features=max(feature_errors),
        sizes=tuple((h, w) for h, w in sizes),
        cases=len(loss_errors),
    )


def verify_functions(folder: Path, specs: Iterable[GraphSpec]) -> None:
    """Compare graphs without weights with the functions that they were traced from, on random inputs.

    Raises:
        ExportError: an output differs by more than 1e-4 of its largest element.
    """
    rng = np.random.default_rng(0)
    sizes = {"H": 33, "W": 38, "R": 6, "n": 1000}
    for spec in specs:
        shapes = {name: [sizes[d] if isinstance(d, str) else d for d in shape] for name, shape in spec.inputs.items()}
        inputs = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
        session = onnxruntime.InferenceSession(folder / f"{spec.name}.onnx", providers=["CPUExecutionProvider"])
        found = session.run(None, inputs)
        expected = spec.function(*(torch.from_numpy(np.asarray(value)) for value in inputs.values()))
        expected = expected if isinstance(expected, tuple) else (expected,)
        for name, mine, theirs in zip(spec.outputs, found, expected, strict=True):
            error = float(np.abs(mine - theirs.numpy()).max() / theirs.abs().max())
            if not error <= TOLERANCES["float32"].loss:
                raise ExportError(f"graph {spec.name}: '{name}' is off by {error:.1e}; nothing was written")


def _batches(objective: Objective, size: tuple[int, int], regions: bool) -> Iterator[_Batch]:
    """One batch in which each image has another target changed, then each weight changed for a single image."""
    photo, style = _picture("photo", size), _picture("style", size)
    masks = _masks(objective, size) if regions else []
    contents, other_grams = objective.encode(photo.flip(3), masks)
    _, grams = objective.encode(style, masks)
    metrics = [torch.eye(g.shape[-1], dtype=g.dtype).expand(g.shape) for g in grams]
    # Weights under which every term has the same share, so that no target hides behind another.
    weights = 1 / objective.losses(photo, contents, grams, metrics, masks)[0]
    k, l = len(contents), len(grams)
    changed = [
        "nothing",
        "the image",
        *(f"content target {name}" for name in objective.content_taps),
        *(f"style target {name}" for name in objective.style_taps),
        *(f"style metric {name}" for name in objective.style_taps),
        *(f"mask {name}" for name in objective.style_taps if regions),
    ]
    images = photo.repeat(len(changed), 1, 1, 1)
    images[1] = 0.5 * photo[0] + 0.5 * style[0]
    contents = [t.repeat(len(changed), 1, 1, 1) for t in contents]
    batched_grams, batched_metrics, batched_masks = (
        [t.repeat(len(changed), *[1] * (t.ndim - 1)) for t in group] for group in (grams, metrics, masks)
    )
    for i in range(k):
        contents[i][2 + i] *= 3
    for i in range(l):
        batched_grams[i][2 + k + i] = 0.5 * other_grams[i][0]
        scaled = other_grams[i][0] / other_grams[i].abs().max()
        batched_metrics[i][2 + k + l + i] += scaled + scaled.mT
    for i, mask in enumerate(masks):
        batched_masks[i][2 + k + 2 * l + i] = mask[0].flip(0)
    content_weight, style_weight, tv_weight = weights[:k], weights[k : k + l], weights[k + l]
    yield _Batch(
        tuple(changed),
        images,
        contents,
        batched_grams,
        batched_metrics,
        content_weight,
        style_weight,
        tv_weight,
        batched_masks,
    )
    targets = [t[:1] for t in contents]
    single = _Batch((), photo, targets, grams, metrics, content_weight, style_weight, tv_weight, masks)
    yield replace(single, changed=("the content weights",), content_weight=3 * single.content_weight)
    yield replace(single, changed=("the style weights",), style_weight=3 * single.style_weight)
    yield replace(single, changed=("the TV weight",), tv_weight=3 * single.tv_weight)


def _run_gradient(session: onnxruntime.InferenceSession, batch: _Batch) -> list[NDArray[np.float32]]:
    image, contents, grams, metrics, *weights, masks = batch.arguments(torch.float32)
    return list(session.run(None, _feeds(session, [image, *contents, *grams, *metrics, *weights, *masks])))


def _feeds(session: onnxruntime.InferenceSession, values: Sequence[Tensor]) -> dict[str, NDArray[np.float32]]:
    """Values for the inputs of a session, in their order."""
    names = [i.name for i in session.get_inputs()]
    return {name: value.float().numpy() for name, value in zip(names, values, strict=True)}


def _masks(objective: Objective, size: tuple[int, int]) -> list[Tensor]:
    """For each style tap, two regions with a soft edge between them, ``[1, 2, h, w]``; the first is the smaller."""
    shapes = [objective.network.taps[name].block - 1 for name in objective.style_taps]
    masks = []
    for halvings in shapes:
        height, width = (side >> halvings for side in size)
        ramp = torch.linspace(-1, 2, width, dtype=torch.float64).clamp(0, 1).repeat(height, 1) ** 2
        pair = torch.stack([ramp, 1 - ramp])[None]
        masks.append(pair / pair.sum((2, 3), keepdim=True))
    return masks


def _picture(name: str, size: tuple[int, int]) -> Tensor:
    """A picture of the package at a size, ``[1, 3, H, W]`` in float64."""
    data = (files(__package__) / "parity" / f"{name}.jpg").read_bytes()
    picture = Image.open(BytesIO(data)).convert("RGB").resize((size[1], size[0]), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].double()


def _relative(found: NDArray[np.floating], reference: NDArray[np.floating]) -> float:
    return float(np.linalg.norm(found - reference) / np.linalg.norm(reference))


def _require(error: float, tolerance: float, what: str, size: tuple[int, int]) -> None:
    # Not "error > tolerance": a NaN has to fail.
    if not error <= tolerance:
        raise ExportError(
            f"the graph does not equal autograd: {what} differs by {error:.1e} at {size[1]} x {size[0]} "
            f"(allowed: {tolerance:.0e}); nothing was written"
        )
