"""Losses and gradient as a GPU computes them best: the same function, in fewer operations that move fewer bytes.

Three quarters of what the graph of `Objective` moves on a GPU is outside its convolutions. So the gradients of Gram
matrices, terms and total variation are written out here, and `trace.FOR_GPUS` has other decompositions of ReLUs and
poolings. On a CPU that is slower: comparisons and choices with broadcasting are.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnx import helper, numpy_helper
from torch import Tensor

from ..runtime.bundle.spec import GRAM, METRIC, TV_WEIGHT
from .moments import LOSSES, moments, region_means, tap_means
from .objective import VARIATIONS, Objective, masked
from .vgg import Features


@dataclass(frozen=True)
class LeanObjective:
    """An objective whose gradient is written out.

    Attributes:
        objective: what is computed.
    """

    objective: Objective

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
        """What `Objective.losses_and_gradient` gives, where each of ``grams`` is symmetric, as Gram matrices are."""
        objective = self.objective
        taps, back = objective.network.differentiate(image)
        gradients: Features = {}
        sums: list[Tensor] = []
        scales: list[float] = []
        # Constants are applied to all weights at once, and to all sums: a small operation takes as long as a middling one.
        sizes = [taps[name][0].numel() for name in objective.content_taps]
        areas = [taps[name].shape[1] ** 2 for name in objective.style_taps]
        positions = [taps[name].shape[2] * taps[name].shape[3] for name in objective.style_taps]
        slopes = content_weight * _row(image, [2 / size for size in sizes])
        style_slopes = style_weight * _row(image, [4 / (a * p) for a, p in zip(areas, positions, strict=True)])
        if masks:
            # Masks are divided by the positions already.
            style_slopes = style_weight * _row(image, [4 / a for a in areas])
        if objective.style_distance != GRAM:
            style_slopes = style_weight * _row(image, [2.0 if masks else 2 / p for p in positions])

        def add(name: str, gradient: Tensor) -> None:
            gradients[name] = gradients[name] + gradient if name in gradients else gradient

        for i, (name, target) in enumerate(zip(objective.content_taps, contents, strict=True)):
            difference = taps[name] - target
            # By rows first, as ONNX Runtime's CPU provider adds up float32 in sequence.
            sums.append((difference * difference).sum(-1).flatten(1).sum(1))
            scales.append(1 / sizes[i])
            add(name, difference * slopes[i : i + 1])
        for i, (name, target) in enumerate(zip(objective.style_taps, grams, strict=True)):
            flat = taps[name].flatten(2)
            if masks:
                below = masked(flat, masks[i].flatten(2))
                gram = torch.bmm(below, flat.transpose(1, 2)).reshape(-1, masks[i].shape[1], flat.shape[1], flat.shape[1])
            else:
                below = flat
                gram = torch.bmm(flat, flat.transpose(1, 2)) / positions[i]
            if objective.style_distance != GRAM:
                means = region_means(taps[name], masks[i]) if masks else tap_means(taps[name])
                own = moments(gram, *means)
                loss, slope = LOSSES[objective.style_distance](own + others[i] if others else own, target, metrics[i])
                sums.append(loss.sum(1) if masks else loss)
                scales.append(1.0)
                add(name, _of_moments(slope * style_slopes[i : i + 1], below, masks[i] if masks else None, taps[name]))
                continue
            difference = gram - target
            weighted = torch.matmul(torch.matmul(metrics[i], difference), metrics[i])
            sums.append((difference * weighted).flatten(1).sum(1))
            scales.append(1 / areas[i])
            # Of a symmetric difference D, the gradient (D + Dᵀ) F is 2 D F.
            slope = weighted * style_slopes[i : i + 1]
            beside = slope.transpose(1, 2).flatten(2) if masks else slope
            add(name, torch.bmm(beside, below).reshape(taps[name].shape))
        variation, slope = _variation(image, objective.tv)
        losses = torch.cat([each.unsqueeze(1) for each in sums], dim=1) * _row(image, scales)
        return torch.cat([losses, variation.unsqueeze(1)], dim=1), back(gradients) + slope * tv_weight


def _of_moments(slope: Tensor, below: Tensor, masks: Tensor | None, features: Tensor) -> Tensor:
    """Half the gradient of features, by that of their moments.

    Args:
        slope: of moments, symmetric, ``[N, C + 1, C + 1]``; of regions, ``[N, R, C + 1, C + 1]``.
        below: the features ``[N, C, P]``, or `masked` ones.
        masks: of regions, ``[N, R, h, w]``.
        features: ``[N, C, h, w]``.
    """
    channels = features.shape[1]
    of_gram, of_mean = slope[..., :channels, :channels], slope[..., :channels, channels:]
    if masks is None:
        return (torch.bmm(of_gram, below) + of_mean).reshape(features.shape)
    beside = of_gram.transpose(1, 2).flatten(2)
    each = torch.bmm(of_mean.squeeze(-1).transpose(1, 2), masks.flatten(2))
    return (torch.bmm(beside, below) + each).reshape(features.shape)


def _row(like: Tensor, values: Sequence[float]) -> Tensor:
    """Numbers, some of which depend on sizes, as a tensor."""
    return torch.cat([torch.ones(1, dtype=like.dtype) * value for value in values])


def _variation(image: Tensor, kind: str) -> tuple[Tensor, Tensor]:
    """Total variation of each image, and its gradient."""
    if kind != "squares":
        losses, pull = torch.func.vjp(VARIATIONS[kind], image)[:2]
        return losses, pull(torch.ones_like(losses))[0]
    height, width = image.shape[2:]
    dx, dy = image[:, :, :, 1:] - image[:, :, :, :-1], image[:, :, 1:, :] - image[:, :, :-1, :]
    across, down = 1 / (3 * height * (width - 1)), 1 / (3 * (height - 1) * width)
    # Second differences, with the edge's own pixels beyond the edge.
    along = torch.tensor([[0.0, 0, 0], [-2, 4, -2], [0, 0, 0]], dtype=image.dtype).repeat(3, 1, 1, 1)
    kernel = along * across + along.transpose(2, 3) * down
    slope = F.conv2d(F.pad(image, (1, 1, 1, 1), mode="replicate"), kernel, groups=3)
    return (dx * dx).flatten(1).sum(1) * across + (dy * dy).flatten(1).sum(1) * down, slope


def finish(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph, less operations that ONNX Runtime would carry out though they do nothing.

    Metrics are not repeated for each image, as a matrix product does that by itself. Pooling leaves out the last line of an
    odd size; where the size is even, that slice has the one end by which ONNX Runtime knows a slice of everything.
    """
    finished = onnx.ModelProto()
    finished.CopyFrom(model)
    graph = finished.graph
    repeated = {
        node.output[0]: node.input[0] for node in graph.node if node.op_type == "Expand" and _is_metric(node.input[0])
    }
    constants = {tensor.name for tensor in graph.initializer}
    nodes = []
    for node in graph.node:
        if node.op_type == "Slice" and node.input[2] not in constants:
            nodes += _open_ended(node)
        for i, name in enumerate(node.input):
            node.input[i] = repeated.get(name, name)
        nodes.append(node)
    return _used(_with_nodes(finished, nodes))


def _open_ended(node: onnx.NodeProto) -> list[onnx.NodeProto]:
    """Change the end of a slice along one axis to the largest integer, where it is the size; returns nodes that do so."""
    data, _, end, axis = node.input[:4]
    name = f"{node.output[0]}_end"
    largest = numpy_helper.from_array(np.array([sys.maxsize]), f"{name}_largest")
    node.input[2] = name
    return [
        helper.make_node("Constant", [], [f"{name}_largest"], value=largest),
        helper.make_node("Shape", [data], [f"{name}_shape"]),
        helper.make_node("Gather", [f"{name}_shape", axis], [f"{name}_size"]),
        helper.make_node("Equal", [end, f"{name}_size"], [f"{name}_whole"]),
        helper.make_node("Cast", [f"{name}_whole"], [f"{name}_factor"], to=onnx.TensorProto.INT64),
        helper.make_node("Mul", [f"{name}_factor", f"{name}_largest"], [f"{name}_far"]),
        helper.make_node("Max", [end, f"{name}_far"], [name]),
    ]


def without_metrics_and_variation(model: onnx.ModelProto) -> onnx.ModelProto:
    """A finished graph for the metrics that are the identity and no total variation, whose loss is said to be 0.

    Args:
        model: of `LeanObjective`, finished.
    """
    lean = onnx.ModelProto()
    lean.CopyFrom(model)
    graph = lean.graph
    origin = {node.output[0]: node for node in graph.node}
    same: dict[str, str] = {}
    for node in graph.node:
        inner = origin.get(node.input[0]) if node.op_type == "MatMul" else None
        if inner is not None and inner.op_type == "MatMul" and inner.input[0] == node.input[1] and _is_metric(node.input[1]):
            same[node.output[0]] = inner.input[1]
    total, losses = origin["gradient"], origin["losses"]
    assert (total.op_type, losses.op_type) == ("Add", "Concat"), "what `LeanObjective` ends with"
    (of_taps,) = (name for name in total.input if TV_WEIGHT not in origin[name].input)
    pads = numpy_helper.from_array(np.array([0, 0, 0, 1]), "no_variation")
    nodes = []
    for node in graph.node:
        for i, name in enumerate(node.input):
            node.input[i] = same.get(name, name)
        if node is total:
            node = helper.make_node("Identity", [of_taps], ["gradient"])
        elif node is losses:
            nodes.append(helper.make_node("Constant", [], [pads.name], value=pads))
            node = helper.make_node("Pad", [losses.input[0], pads.name], ["losses"])
        nodes.append(node)
    rest = [value for value in graph.input if not _is_metric(value.name) and value.name != TV_WEIGHT]
    del graph.input[:]
    graph.input.extend(rest)
    return _used(_with_nodes(lean, nodes))


def _is_metric(name: str) -> bool:
    return name.startswith(METRIC)


def _with_nodes(model: onnx.ModelProto, nodes: Sequence[onnx.NodeProto]) -> onnx.ModelProto:
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(kept)
    return model


def _used(model: onnx.ModelProto) -> onnx.ModelProto:
    """Less the nodes and constants that no output needs."""
    needed = {value.name for value in model.graph.output}
    nodes = []
    for node in reversed(model.graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
            nodes.append(node)
    weights = [tensor for tensor in model.graph.initializer if tensor.name in needed]
    del model.graph.initializer[:]
    model.graph.initializer.extend(weights)
    return _with_nodes(model, nodes[::-1])
