"""WebGPU, by ONNX Runtime's plugin: what its adapter can take, and whether there is a real one."""

import re
import sys
from functools import cache
from typing import Any

from ..recipe.provider import Provider
from .installed import LOG_LEVEL, import_onnxruntime
from .plugins import plugin_device
from .probe import ADD
from .vulkan import find_adapter, has_vulkan


def webgpu_options(*, captured: bool) -> dict[str, str]:
    """Options of the plugin.

    Args:
        captured: whether the graph is captured at its first run, and replayed.
    """
    # Rows of a step are numbered in int64, which it otherwise leaves to the CPU. The layout is its own choice, NHWC: for the
    # other it has fewer kernels, and has not been measured on a GPU.
    return {"enableInt64": "1", **({"enableGraphCapture": "1"} if captured else {})}


@cache
def buffer_limit() -> int | None:
    """Bytes of the largest buffer that the adapter binds, WebGPU's ``maxStorageBufferBindingSize``; None if it is not told.

    ONNX Runtime tells it only where it refuses more, and only until its first session.

    Raises:
        ProviderError: there is no device.
    """
    ort = import_onnxruntime()
    options = ort.SessionOptions()
    options.log_severity_level = LOG_LEVEL
    options.add_provider_for_devices([plugin_device(Provider.WEBGPU)], {"maxStorageBufferBindingSize": str(2**62)})
    try:
        ort.InferenceSession(ADD, options)
    except Exception as error:  # onnxruntime's exceptions share no base but Exception
        supported = re.search(r"supported limit \((\d+)\)", str(error))
        return int(supported[1]) if supported else None
    return None


def is_real_gpu() -> bool:
    """Whether WebGPU's adapter is hardware, as far as the host tells.

    Raises:
        ProviderError: the plugin is not installed, or has no device.
    """
    device, adapter = plugin_device(Provider.WEBGPU), find_adapter()
    return device.device.type.name == "GPU" and (adapter is None or adapter.kind != "software")


def on_cpu(session: Any) -> list[str]:
    """Names and operators of the nodes of a session, recorded when it was made, that are not on the device."""
    return [
        f"node '{node.name}' ({node.op_type})"
        for part in session.get_provider_graph_assignment_info()
        if part.ep_name == "CPUExecutionProvider"
        for node in part.get_nodes()
    ]


def webgpu_reasons() -> list[str]:
    """Why there is no adapter, each with what mends it; empty if nothing is known."""
    if sys.platform != "linux":
        return []
    if not has_vulkan():
        return ["Vulkan's loader is missing: install libvulkan1 (Debian, Ubuntu) or vulkan-loader (Fedora)"]
    if find_adapter() is None:
        return ["Vulkan finds no GPU: install its driver, which is mesa-vulkan-drivers for AMD and Intel"]
    return []
