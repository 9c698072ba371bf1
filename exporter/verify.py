"""The exporter's check of its own output: the bundle's graphs against autograd.

What is right does not depend on the machine: the graphs are evaluated in float64, by onnx's reference implementation, and
compared with autograd in float64, to seven digits. The image, every target and every weight are changed in turn, because a
tracer can freeze any of them into a constant without a word; a change that the reference does not feel would prove nothing,
so that is an error too. How far ONNX Runtime is off in the bundle's own precision is measured besides, and bounded loosely:
rounding flips a few ReLU and pooling ties, and which depends on the processor.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun
from PIL import Image
from torch import Tensor

from ..runtime.bundle.gaussians import root_metric
from ..runtime.bundle.network import CLASSIFIED_SIDE
from ..runtime.bundle.spec import CLASSIFY, GRADIENT, GRAM, TV_WEIGHT, WASSERSTEIN, BundleSpec, Parity
from ..runtime.errors import ExportError
from .classifier import Classifier
from .objective import Objective
from .step import conclude, descend, example_state


@dataclass(frozen=True)
class Tolerance:
    """How far graphs may be from float64, all relative.

    Attributes:
        loss: of a loss.
        gradient: of a gradient, a feature or a Gram matrix (Euclidean norm).
    """

    loss: float
    gradient: float


EXACT = Tolerance(1e-7, 1e-7)
"""Of a graph that is evaluated in float64; its constants are float32's."""

TOLERANCES = {
    # Seen: 2e-6, and 1e-3 where ties flip.
    "float32": Tolerance(1e-4, 1e-2),
    # Seen: 4e-3 and 3e-2.
    "fp16": Tolerance(1e-2, 1e-1),
}
"""By the precision of a bundle, of what ONNX Runtime computes."""

ROOTS_TOLERANCE = Tolerance(1e-2, 1e-1)
"""The same of a bundle in float32 that compares Gaussians: at these sizes covariances have six positions, and a root of what
float32 rounds away. Seen: 2e-4, and 1.4e-3 in VGG-16."""


def tolerance_of(spec: BundleSpec) -> Tolerance:
    """Of what ONNX Runtime computes of a bundle's graphs."""
    roots = spec.style_distance == WASSERSTEIN and spec.precision == "float32"
    return ROOTS_TOLERANCE if roots else TOLERANCES[spec.precision]


_FELT = 1e-5
"""By how much a change has to move the gradient, so that it would be missed."""

SIZES = ((40, 48), (45, 33), (48, 32))
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
    others: list[Tensor]

    def arguments(
        self, dtype: torch.dtype
    ) -> tuple[Tensor, list[Tensor], list[Tensor], list[Tensor], Tensor, Tensor, Tensor, list[Tensor], list[Tensor]]:
        return (
            self.image.to(dtype),
            [t.to(dtype) for t in self.contents],
            [t.to(dtype) for t in self.grams],
            [t.to(dtype) for t in self.metrics],
            self.content_weight.to(dtype),
            self.style_weight.to(dtype),
            self.tv_weight.to(dtype),
            [t.to(dtype) for t in self.masks],
            [t.to(dtype) for t in self.others],
        )

    def inputs(self) -> list[Tensor]:
        """The graph's inputs in their order."""
        image, contents, grams, metrics, *weights, masks, others = self.arguments(torch.float64)
        return [image, *contents, *grams, *metrics, *weights, *masks, *others]

    def without_variation(self) -> "_Batch":
        """The same with a weight of 0 for total variation."""
        return replace(self, tv_weight=torch.zeros_like(self.tv_weight))


@dataclass(frozen=True)
class Subject:
    """Graphs to compare with autograd.

    Attributes:
        folder: has them, and ``encode``.
        regions: whether they take masks.
        traced: names of gradient graphs; the first has every input.
        rewritten: names of others that were made of these. What is frozen in none of these is not in them, so that they are
            compared for fewer changes. One that lacks inputs takes metrics for the identity, and total variation for none.
        steps: names of graphs of a step, with gradients of these inside.
    """

    folder: Path
    regions: bool = False
    traced: tuple[str, ...] = (GRADIENT,)
    rewritten: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()

    def load(self, name: str) -> "_Graph":
        """The graph of that name."""
        return _Graph.load(self.folder / f"{name}.onnx")


def verify(
    subject: Subject,
    objective: Objective,
    tolerance: Tolerance,
    sizes: Sequence[tuple[int, int]] = SIZES,
    progress: Callable[[str], None] = lambda _: None,
    stored: Objective | None = None,
) -> Parity:
    """Compare graphs with ``objective``, which computes in float64.

    Args:
        subject: the graphs.
        objective: what they are to compute.
        tolerance: of ONNX Runtime.
        sizes: heights and widths to compare at; at the first, everything is changed in turn.
        progress: is called with each step in a few words.
        stored: the objective with weights in the graphs' precision, where that is not float32.

    Raises:
        ExportError: something differs by more than it may, or a change is not felt.
    """
    encode = subject.load("encode")
    traced, rewritten, steps = (
        [subject.load(name) for name in names] for names in (subject.traced, subject.rewritten, subject.steps)
    )
    stored = stored or objective
    errors: dict[str, list[float]] = {"loss": [], "gradient": [], "features": []}
    for size in sizes:
        progress(f"comparing with autograd at {size[1]} x {size[0]}")
        base: Reference | None = None
        # Whether something is frozen shows at any size.
        for batch in _batches(objective, size, subject.regions, whole=size == sizes[0]):
            case = _Case.of(batch, objective, stored, size)
            inputs = dict(zip(traced[0].inputs, batch.inputs(), strict=True))
            for graph in (*traced, *(rewritten if size != sizes[0] else ())):
                posed = case if TV_WEIGHT in graph.inputs else _Case.of(batch.without_variation(), objective, stored, size)
                in_float64, in_precision = graph.evaluate(inputs)
                for loss, slope in posed.compare(in_float64, in_precision, tolerance):
                    errors["loss"].append(loss)
                    errors["gradient"].append(slope)
            for graph in steps if size == sizes[-1] else ():
                of_step = batch if TV_WEIGHT in graph.inputs else batch.without_variation()
                _compare_step(graph, of_step, inputs, (stored, objective), tolerance, size)
            for i, what in enumerate(batch.changed):
                if base is None:
                    base = case.reference[1][i]
                elif _relative(case.reference[1][i], base) < _FELT:
                    raise ExportError(f"the check is blind at {size}: changing {what} does not move the gradient")
        image = _picture("photo", size)
        masks = _masks(objective, size) if subject.regions else []
        exact, measured = encode.evaluate(dict(zip(encode.inputs, [image, *masks], strict=True)))
        for right_values, value in zip(_features(stored, image, masks), exact, strict=True):
            _require(_relative(value, right_values), EXACT.gradient, "a feature or Gram matrix differs in float64", size)
        for reference_values, found in zip(_features(objective, image, masks), measured, strict=True):
            errors["features"].append(_relative(found, reference_values))
            _require(errors["features"][-1], tolerance.gradient, "a feature or Gram matrix differs in ONNX Runtime", size)
    largest = {name: max(values) for name, values in errors.items()}
    return Parity(**largest, sizes=tuple((h, w) for h, w in sizes), cases=len(errors["loss"]))


def verify_classifier(subject: Subject, classifier: Classifier, progress: Callable[[str], None] = lambda _: None) -> None:
    """Compare the probabilities that a graph gives of two pictures with those of ``classifier``, which computes in float64.

    Args:
        subject: has the graph.
        classifier: what it is to compute.
        progress: see `verify`.

    Raises:
        ExportError: they differ by more than they may, or the two pictures have the same.
    """
    size = (CLASSIFIED_SIDE, CLASSIFIED_SIDE)
    progress(f"comparing {CLASSIFY} with PyTorch")
    images = torch.cat([_picture(name, size) for name in ("photo", "style")])
    right = classifier(images).numpy()
    if _relative(right[0], right[1]) < _FELT:
        raise ExportError(f"the check of {CLASSIFY} is blind: another picture has the same probabilities")
    exact, measured = subject.load(CLASSIFY).evaluate({"image": images})
    _require(_relative(exact[0], right), EXACT.gradient, "a probability differs in float64", size)
    _require(_relative(measured[0], right), TOLERANCES["float32"].gradient, "a probability differs in ONNX Runtime", size)


@dataclass(frozen=True)
class _Case:
    """A batch, and its losses and gradient in float64: with weights as the graph has them, and as they are."""

    batch: _Batch
    size: tuple[int, int]
    right: list[Reference]
    reference: list[Reference]

    @classmethod
    def of(cls, batch: _Batch, objective: Objective, stored: Objective, size: tuple[int, int]) -> "_Case":
        reference = _losses_and_gradient(objective, batch)
        return cls(batch, size, reference if stored is objective else _losses_and_gradient(stored, batch), reference)

    def compare(
        self, exact: list[Reference], measured: list[NDArray[np.float32]], tolerance: Tolerance
    ) -> Iterator[tuple[float, float]]:
        """How far ONNX Runtime's losses and gradient are from the reference, for each image.

        Raises:
            ExportError: too far; or the graph in float64 is not right.
        """
        for i, what in enumerate(self.batch.changed):
            for found, expected, allowed, how in (
                (exact, self.right, EXACT, "in float64"),
                (measured, self.reference, tolerance, "in ONNX Runtime"),
            ):
                losses, own = expected[0][i], found[0][i]
                # A term that is left out is 0 exactly.
                loss = float(np.abs((own - losses) / np.where(losses == 0, 1, losses)).max())
                slope = _relative(found[1][i], expected[1][i])
                _require(loss, allowed.loss, f"a loss after changing {what} differs {how}", self.size)
                _require(slope, allowed.gradient, f"the gradient after changing {what} differs {how}", self.size)
            yield loss, slope


def _losses_and_gradient(objective: Objective, batch: _Batch) -> list[Reference]:
    losses, gradient = objective.losses_and_gradient(*batch.arguments(torch.float64))
    if not batch.tv_weight:
        losses[:, -1] = 0
    return [losses.numpy(), gradient.numpy()]


def _compare_step(
    graph: "_Graph",
    batch: _Batch,
    inputs: Mapping[str, Tensor],
    objectives: tuple[Objective, Objective],
    tolerance: Tolerance,
    size: tuple[int, int],
) -> None:
    """Require that a step is its parts, one after the other.

    The two objectives have weights as the graph stores them, and as they are.
    """
    state = example_state(batch.image, history=2)
    in_float64, in_precision = graph.evaluate({**inputs, **state})
    compared: tuple[tuple[Objective, Sequence[NDArray[np.floating]], Tolerance, str], ...] = (
        (objectives[0], in_float64, EXACT, "in float64"),
        (objectives[1], in_precision, tolerance, "in ONNX Runtime"),
    )
    for objective, outputs, allowed, how in compared:
        before = descend(state["rows"], state["control"], state["bounds"])
        losses, gradient = _losses_and_gradient(objective, replace(batch, image=before[0]))
        expected = conclude(torch.from_numpy(losses), torch.from_numpy(gradient), *before, **state)
        for name, right, own in zip(("rows", "report"), expected, outputs, strict=True):
            _require(_relative(own, right.numpy()), allowed.gradient, f"the {name} of a step differ {how}", size)


def _features(objective: Objective, image: Tensor, masks: list[Tensor]) -> list[Reference]:
    return [t.numpy() for group in objective.encode(image, masks) for t in group]


@dataclass(frozen=True)
class _Graph:
    """A graph, evaluated twice: in float64 by onnx's reference implementation, and as it is by ONNX Runtime."""

    exact: ReferenceEvaluator
    measured: onnxruntime.InferenceSession

    @classmethod
    def load(cls, path: Path) -> "_Graph":
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        return cls(ReferenceEvaluator(_in_float64(onnx.load(path)), new_ops=[_Conv, _MaxPool]), session)

    @property
    def inputs(self) -> list[str]:
        return [each.name for each in self.measured.get_inputs()]

    def evaluate(self, inputs: Mapping[str, Tensor]) -> tuple[list[Reference], list[NDArray[np.float32]]]:
        """Outputs in float64, and those of ONNX Runtime, for those inputs that it has."""
        values = {name: inputs[name].numpy() for name in self.inputs}
        count = len(values["image"]) if "image" in values else 1
        # A few images at a time: the evaluator keeps every intermediate value until its end.
        parts = [self.exact.run(None, _some(values, count, i)) for i in range(0, count, _AT_A_TIME)]
        exact = [np.concatenate(part) for part in zip(*parts, strict=True)]
        return exact, list(self.measured.run(None, {name: value.astype(np.float32) for name, value in values.items()}))


def _some(values: Mapping[str, Reference], count: int, first: int) -> dict[str, Reference]:
    """Inputs of some of so many images, from the first on; those that all have in common are left as they are."""
    return {
        name: value[first : first + _AT_A_TIME] if "weight" not in name and len(value) == count else value
        for name, value in values.items()
    }


_AT_A_TIME = 4

_FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16)


def _in_float64(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph with every constant and every cast to a float in float64."""
    attributes = [(node, attribute) for node in model.graph.node for attribute in node.attribute]
    for tensor in (*model.graph.initializer, *(attribute.t for _, attribute in attributes)):
        if tensor.data_type in _FLOATS:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float64), tensor.name))
    for node, attribute in attributes:
        if node.op_type == "Cast" and attribute.name == "to" and attribute.i in _FLOATS:
            attribute.i = onnx.TensorProto.DOUBLE
    return model


class _Conv(OpRun):
    """Convolution by torch: onnx's own takes the window apart in Python."""

    op_domain = ""

    def _run(self, x: Reference, weight: Reference, bias: Reference | None = None, **how: Any) -> tuple[Reference]:
        rank = x.ndim - 2
        pads = how.get("pads") or (0,) * (2 * rank)
        around = [pads[i + end * rank] for i in reversed(range(rank)) for end in (0, 1)]
        stride, dilation = (tuple(how.get(name) or (1,) * rank) for name in ("strides", "dilations"))
        tensors = torch.tensor(weight), None if bias is None else torch.tensor(bias)
        convolve = F.conv2d if rank == 2 else F.conv3d
        return (convolve(F.pad(torch.from_numpy(x), around), *tensors, stride, 0, dilation, how.get("group") or 1).numpy(),)


_Conv.__name__ = "Conv"


class _MaxPool(OpRun):
    """Max pooling by torch, likewise."""

    op_domain = ""

    def _run(self, x: Reference, **how: Any) -> tuple[Reference]:
        assert not any(how.get("pads") or ()), "no pooling here pads"
        return (F.max_pool2d(torch.from_numpy(x), tuple(how["kernel_shape"]), tuple(how["strides"])).numpy(),)


_MaxPool.__name__ = "MaxPool"


def _batches(objective: Objective, size: tuple[int, int], regions: bool, whole: bool) -> Iterator[_Batch]:
    """One batch in which each image has another target changed, then each weight changed for a single image.

    Where it is not to be the ``whole``, a batch of two images that differ.
    """
    photo, style = _picture("photo", size), _picture("style", size)
    masks = _masks(objective, size) if regions else []
    contents, other_grams = objective.encode(photo.flip(3), masks)
    _, grams = objective.encode(style, masks)
    metrics = [_metric(objective, g) for g in grams]
    others = [torch.zeros_like(g) for g in grams] if regions and objective.style_distance != GRAM else []
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
        *(f"what other tiles have of {name}" for name in objective.style_taps if others),
    ]
    if not whole:
        changed = changed[:2]
    images = photo.repeat(len(changed), 1, 1, 1)
    images[1] = 0.5 * photo[0] + 0.5 * style[0]
    contents = [t.repeat(len(changed), 1, 1, 1) for t in contents]
    batched_grams, batched_metrics, batched_masks, batched_others = (
        [t.repeat(len(changed), *[1] * (t.ndim - 1)) for t in group] for group in (grams, metrics, masks, others)
    )
    if whole:
        for i in range(k):
            contents[i][2 + i] *= 3
        for i in range(l):
            batched_grams[i][2 + k + i] = 0.5 * other_grams[i][0]
            batched_metrics[i][2 + k + l + i] = _other_metric(objective, metrics[i][0], other_grams[i][0])
        for i, mask in enumerate(masks):
            batched_masks[i][2 + k + 2 * l + i] = mask[0].flip(0)
        for i, rest in enumerate(batched_others):
            # No means: the moments' sum is to be of some features.
            rest[2 + k + 3 * l + i, :, :-1, :-1] = 0.5 * other_grams[i][0, :, :-1, :-1]
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
        batched_others,
    )
    if not whole:
        return
    targets = [t[:1] for t in contents]
    single = _Batch((), photo, targets, grams, metrics, content_weight, style_weight, tv_weight, masks, others)
    yield replace(single, changed=("the content weights",), content_weight=3 * single.content_weight)
    yield replace(single, changed=("the style weights",), style_weight=3 * single.style_weight)
    yield replace(single, changed=("the TV weight",), tv_weight=3 * single.tv_weight)


def _metric(objective: Objective, target: Tensor) -> Tensor:
    """What Gram matrices are compared in: the identity; or what a target's moments come to, ``[1, ..., C + 1, C + 1]``."""
    if objective.style_distance == GRAM:
        return torch.eye(target.shape[-1], dtype=target.dtype).expand(target.shape)
    flat = target.reshape(-1, *target.shape[-2:]).numpy()
    return torch.from_numpy(np.stack([root_metric(each) for each in flat])).reshape(target.shape)


def _other_metric(objective: Objective, metric: Tensor, other: Tensor) -> Tensor:
    """Another of an image."""
    if objective.style_distance != GRAM:
        return 1.5 * metric
    scaled = other / other.abs().max()
    return metric + scaled + scaled.mT


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
            f"the graph does not equal autograd: {what} by {error:.1e} at {size[1]} x {size[0]} "
            f"(allowed: {tolerance:.0e}); nothing was written"
        )
