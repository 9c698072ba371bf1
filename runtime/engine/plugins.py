"""Execution providers that pip installs as plugins of ONNX Runtime: where each is, and what it computes on."""

import importlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import ProviderError, first_line
from ..recipe.provider import Provider
from .installed import import_onnxruntime


@dataclass(frozen=True)
class Plugin:
    """A plugin of ONNX Runtime.

    Attributes:
        module: what pip installs. It tells the path of its library, and the name of its provider.
        kinds: names of ``OrtHardwareDeviceType`` that it may compute on, the best first.
        needs: hardware that it needs, in words.
        mend: what to do where it does not start.
    """

    module: str
    kinds: tuple[str, ...]
    needs: str
    mend: str

    @property
    def installed(self) -> bool:
        """Whether its module is there."""
        spec = importlib.util.find_spec(self.module)
        # A folder that was left behind is a package without an origin.
        return spec is not None and spec.origin is not None


PLUGINS: Mapping[str, Plugin] = {
    Provider.OPENVINO: Plugin(
        "onnxruntime_ep_openvino",
        ("CPU",),
        "a CPU of Intel's",
        "run `pip install 'nstbatch[cpu,openvino]'` on a host with a CPU of Intel's, or use --provider cpu",
    ),
    # A CPU only where the user's environment lets software draw: ORT_WEBGPU_EP_ALLOW_SOFTWARE_ADAPTER=1.
    Provider.WEBGPU: Plugin(
        "onnxruntime_ep_webgpu",
        ("GPU", "CPU"),
        "a GPU with a driver for Vulkan, Metal or D3D12, and in a container its devices (--device /dev/dri)",
        "run `pip install 'nstbatch[webgpu]'` on a host with a GPU and its driver, or use --provider cpu",
    ),
    Provider.TENSORRT_RTX: Plugin(
        "onnxruntime_ep_nv_tensorrt_rtx",
        ("GPU",),
        "an NVIDIA GPU of compute capability 8.6, 8.9, 12.0 or newer",
        "run `pip install 'nstbatch[tensorrt-rtx]'` on a host with a GeForce RTX 30 or newer and an NVIDIA driver of 580 or "
        "newer, or use --provider webgpu",
    ),
}
"""By the provider's name."""


def plugin_device(provider: str, number: int = 0) -> Any:
    """The device that a plugin is to compute on, as ONNX Runtime knows it.

    Args:
        provider: a key of `PLUGINS`.
        number: of the device, among those of the best kind that there are.

    Raises:
        ProviderError: the plugin is not installed, does not fit this onnxruntime, or has no such device.
    """
    plugin = PLUGINS[provider]
    try:
        module = importlib.import_module(plugin.module)
        found = _devices(module.get_ep_name())
        if not found:
            # Never twice: that fails, and the WebGPU plugin's next session then crashes.
            _register(provider, module.get_library_path())
            found = _devices(module.get_ep_name())
    except Exception as error:  # onnxruntime's exceptions share no base but Exception
        raise ProviderError(f"provider '{provider}' does not start ({first_line(error)}); {plugin.mend}") from None
    by_kind = [[device for device in found if device.device.type.name == kind] for kind in plugin.kinds]
    usable = next((devices for devices in by_kind if devices), [])
    if not usable:
        raise ProviderError(
            f"provider '{provider}' knows no device on this host: it needs {plugin.needs}; use --provider cpu"
        )
    if number >= len(usable):
        raise ProviderError(f"provider '{provider}' knows {len(usable)} devices on this host, and no number {number}")
    return usable[number]


def _devices(name: str) -> list[Any]:
    """Devices of a registered provider."""
    return [device for device in import_onnxruntime().get_ep_devices() if device.ep_name == name]


def _register(provider: str, library: str) -> None:
    try:
        import_onnxruntime().register_execution_provider_library(provider, library)
    except Exception as error:
        if "already registered" not in str(error):
            raise
