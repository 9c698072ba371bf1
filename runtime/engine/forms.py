"""Which form of a graph is run: a bundle has several, which compute the same."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..bundle.spec import FOR_GPU, GRADIENT, LEAN, METRIC, STEP, STEPS, TV_WEIGHT, Bundle
from ..recipe.provider import Provider


def form_for(provider: str, bundle: Bundle, graph: str, feeds: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """The form of a graph that is quickest, and those of its inputs that it takes.

    The gradient for GPUs is for CUDA and WebGPU. TensorRT, which has not been measured with it, takes the graph as traced;
    so does everything that is not a GPU.

    Args:
        provider: that computes it.
        bundle: whose graph it is.
        graph: its name.
        feeds: by the name of the input.
    """
    if graph == GRADIENT and provider in (Provider.CUDA, Provider.WEBGPU) and bundle.has(FOR_GPU):
        full, lean = FOR_GPU, LEAN
    elif graph == STEP:
        full, lean = STEPS
    else:
        return graph, feeds
    metrics = [value for name, value in feeds.items() if name.startswith(METRIC)]
    if not bundle.has(lean) or feeds[TV_WEIGHT] or not all(map(_is_identity, metrics)):
        return full, feeds
    return lean, {name: value for name, value in feeds.items() if name != TV_WEIGHT and not name.startswith(METRIC)}


def _is_identity(metric: np.ndarray[Any, Any]) -> bool:
    """Whether each matrix ``[..., C, C]`` is the identity."""
    return bool((metric == np.eye(metric.shape[-1], dtype=metric.dtype)).all())
