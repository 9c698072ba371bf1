"""Names of what can compute a painting, and in which precision, as the settings and the command line know them."""

from enum import StrEnum


class Provider(StrEnum):
    """An execution provider of ONNX Runtime."""

    CPU = "cpu"
    OPENVINO = "openvino"
    CUDA = "cuda"
    TENSORRT = "tensorrt"
    TENSORRT_RTX = "tensorrt-rtx"
    WEBGPU = "webgpu"


AUTO = "auto"
"""The choice of a provider, a precision or a place that leaves it to the program."""

PROVIDER_CHOICES = (AUTO, *(provider.value for provider in Provider))


class Precision(StrEnum):
    """The arithmetic of the network. Gram matrices, losses and the optimizer are float32 in each."""

    FLOAT32 = "float32"
    TF32 = "tf32"
    FP16 = "fp16"
    BFLOAT16 = "bfloat16"
    MIXED = "mixed"
    """The provider's quickest for early work, and float32 at the end."""


PRECISIONS = (AUTO, *(precision.value for precision in Precision))
"""Choices: ``auto`` is a bundle's own precision, and of a float32 one mixed where that is quicker."""

VECTORS = (AUTO, "host", "device")
"""Where L-BFGS's vectors can be: in the memory of this process, or where the graphs are computed. With CUDA and WebGPU they
are there unasked."""

TILE_OFF = "off"
"""The choice of no tiles."""
