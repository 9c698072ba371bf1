"""From a torch function that takes gradients inside to a flat graph of forward operations.

`torch.onnx.export` cannot look into autograd, so the gradient is traced out with ``make_fx`` first. The backward
operations that ONNX has no word for, or that ONNX Runtime's providers are slow or wrong at, are decomposed here.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx

aten = torch.ops.aten

Decompositions = dict[Any, Callable[..., Any]]


def trace(function: Callable[..., Any], example: Sequence[Any], decompositions: Decompositions) -> GraphModule:
    """Graph of ``function`` with every size symbolic, gradients included.

    Args:
        function: takes tensors and lists of tensors; may call `torch.func.grad`.
        example: arguments to trace with; a dimension of size 1 is taken to be 1 always, others stay free.
        decompositions: of operations; `PLAIN` or `FOR_GPUS`.
    """

    # fx counts the arguments in the code object, where a bound method has one more.
    def unbound(*arguments: Any) -> Any:
        return function(*arguments)

    tracer = make_fx(unbound, decomposition_table=decompositions, tracing_mode="symbolic", _allow_non_fake_inputs=True)
    return tracer(*example)


def _convolution_backward(
    gradient: Tensor, x: Tensor, weight: Tensor, _bias: Any, stride: Any, padding: Any, *_: Any
) -> tuple[Tensor, None, None]:
    """Gradient to the input of a 3x3 convolution of stride 1: another with flipped, transposed weights.

    A Conv rather than the equivalent ConvTranspose: ONNX Runtime's CPU provider has no blocked layout for the latter,
    and OpenVINO computes it wrongly.
    """
    if tuple(weight.shape[2:]) != (3, 3) or list(stride) != [1, 1] or list(padding) not in ([1, 1], [0, 0]):
        raise NotImplementedError(f"backward of a convolution {tuple(weight.shape)}, stride {stride}, padding {padding}")
    return F.conv2d(gradient, weight.flip(2, 3).transpose(0, 1), padding=2 - padding[0]), None, None


def _max_pool_backward(
    gradient: Tensor, x: Tensor, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil: bool, _indices: Tensor
) -> Tensor:
    """Gradient to the input of a 2x2 max pooling, without its indices, which TensorRT cannot use.

    Where several inputs of a window share the maximum, the first in row-major order gets the gradient, as in autograd:
    flat regions (a clipped sky, a drawing) are all ties. Each input that equals the maximum is marked with its rank in
    the window, and a second pooling finds the best rank.
    """
    pooled = aten.max_pool2d_with_indices(x, kernel, stride, padding, dilation, ceil)[0]
    rank = torch.tensor([[4.0, 3.0], [2.0, 1.0]], dtype=x.dtype).reshape(1, 1, 2, 2)
    ranks = _pad_like(rank.repeat(1, 1, pooled.shape[2], pooled.shape[3]), x)
    marked = (x == _upsample(pooled, x)).to(x.dtype) * ranks
    best = aten.max_pool2d_with_indices(marked, kernel, stride, padding, dilation, ceil)[0]
    return (marked == _upsample(best, x)).to(gradient.dtype) * _upsample(gradient, x)


def _average_pool_backward(gradient: Tensor, x: Tensor, *_: Any) -> Tensor:
    """Gradient to the input of a 2x2 average pooling."""
    return _upsample(gradient / 4, x)


def _upsample(t: Tensor, like: Tensor) -> Tensor:
    """Each value doubled in height and width, then padded to the size of ``like``.

    Spelt as aten's operation: the public `interpolate` decomposes into an index computation, a Gather in ONNX.
    """
    doubled = aten.upsample_nearest2d.default(t, [2 * t.shape[2], 2 * t.shape[3]], 2.0, 2.0)
    return _pad_like(doubled, like)


def _pad_like(t: Tensor, like: Tensor) -> Tensor:
    """Zeros below and to the right, up to the height and width of ``like``: pooling drops the last line of an odd size."""
    return F.pad(t, (0, like.shape[3] - t.shape[3], 0, like.shape[2] - t.shape[2]))


def _threshold_backward(gradient: Tensor, x: Tensor, threshold: float) -> Tensor:
    """Gradient of a ReLU, as a product: ONNX Runtime's Where on the CPU takes twice the time."""
    return gradient * (x > threshold).to(gradient.dtype)


def _slice_backward(gradient: Tensor, sizes: Sequence[int], dim: int, start: int, end: int, step: int) -> Tensor:
    """Gradient of a slice of step 1: zeros around it. The default is a ScatterND."""
    if step != 1:
        raise NotImplementedError(f"backward of a slice of step {step}")
    before = start if start >= 0 else start + sizes[dim]
    after = sizes[dim] - before - gradient.shape[dim]
    return F.pad(gradient, [0, 0] * (len(sizes) - 1 - dim) + [before, after])


PLAIN: Decompositions = {
    aten.convolution_backward.default: _convolution_backward,
    aten.max_pool2d_with_indices_backward.default: _max_pool_backward,
    aten.avg_pool2d_backward.default: _average_pool_backward,
    aten.threshold_backward.default: _threshold_backward,
    aten.slice_backward.default: _slice_backward,
}


def _max_pool_backward_by_windows(
    gradient: Tensor, x: Tensor, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil: bool, _indices: Tensor
) -> Tensor:
    """The same by windows, ``[N, C, h, 2, w, 2]``, which broadcasts where the other enlarges."""
    pooled = aten.max_pool2d_with_indices(x, kernel, stride, padding, dilation, ceil)[0]
    batch, channels, height, width = pooled.shape
    whole = (batch, channels, 2 * height, 2 * width)
    windows = (batch, channels, height, 2, width, 2)
    window = (batch, channels, height, 1, width, 1)
    rank = torch.tensor([[4.0, 3.0], [2.0, 1.0]], dtype=x.dtype).reshape(1, 1, 1, 2, 1, 2)
    inside = x[:, :, : 2 * height, : 2 * width].reshape(windows)
    zero = torch.zeros((), dtype=x.dtype)
    marked = torch.where(inside == pooled.reshape(window), rank, zero)
    best = aten.max_pool2d_with_indices(marked.reshape(whole), kernel, stride, padding, dilation, ceil)[0]
    first = marked == best.reshape(window)
    return _pad_like(torch.where(first, gradient.reshape(window), zero).reshape(whole), x)


def _threshold_backward_by_choice(gradient: Tensor, x: Tensor, threshold: float) -> Tensor:
    return torch.where(x > threshold, gradient, torch.zeros((), dtype=gradient.dtype))


FOR_GPUS: Decompositions = PLAIN | {
    aten.max_pool2d_with_indices_backward.default: _max_pool_backward_by_windows,
    aten.threshold_backward.default: _threshold_backward_by_choice,
}
