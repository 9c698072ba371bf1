"""The choice among ONNX Runtime's execution providers: what is installed, what starts, and what it computes in."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from ..errors import ProviderError, first_line
from ..recipe.provider import AUTO, PROVIDER_CHOICES, Precision, Provider
from .binding import Place
from .cuda import CudaHost, free_memory, reasons
from .host import Host, available_cores, memory_limit
from .installed import cuda_major, import_onnxruntime
from .plugins import PLUGINS, plugin_device
from .probe import ADD, ADD_HALF
from .sessions import NUMBERED, PROVIDERS, make_session
from .stream import Stream
from .vulkan import find_adapter
from .webgpu import buffer_limit, is_real_gpu

CANDIDATES: dict[str, tuple[Provider, ...]] = {
    AUTO: (Provider.CUDA, Provider.WEBGPU, Provider.OPENVINO, Provider.CPU),
    Precision.FLOAT32: (Provider.CUDA, Provider.WEBGPU, Provider.CPU),
    Precision.TF32: (Provider.CUDA,),
    Precision.FP16: (Provider.CUDA, Provider.WEBGPU),
    Precision.BFLOAT16: (Provider.OPENVINO,),
    Precision.MIXED: (Provider.CUDA, Provider.OPENVINO),
}
"""What the provider ``auto`` tries, in order, for each choice of precision. TensorRT, which first builds engines for
minutes, has to be asked for by name."""


class OnnxRuntime:
    """What an engine asks of the installed ONNX Runtime. Another may be handed to it, of a host that is made up."""

    def start(self, host: Host, precision: str) -> str:
        """The provider to compute with, see `start_provider`."""
        return start_provider(host.provider, precision, host.device)

    def precisions(self, provider: str) -> tuple[str, ...]:
        """What a provider computes in, see `precisions`."""
        return precisions(provider)

    def make_session(self, model: str, provider: str, threads: int, **options: Any) -> Any:
        """A session of a graph, see `make_session`."""
        return make_session(model, provider, threads, **options)

    def free_memory(self, provider: str, device: int) -> int | None:
        """Bytes that this process may use where the graphs are computed, what it has already included; None if unknown."""
        if provider in NUMBERED:
            return free_memory(device)
        return (_adapter_memory() if provider == Provider.WEBGPU else 0) or memory_limit()

    def largest_buffer(self, provider: str) -> int | None:
        """Bytes of the largest array that a provider's device takes; None for no limit but memory, or if it is not known."""
        return buffer_limit() if provider == Provider.WEBGPU else None


@cache
def _adapter_memory() -> int:
    """Bytes of WebGPU's adapter, 0 if they are not known; asked once, as that starts Vulkan."""
    adapter = find_adapter()
    return 0 if adapter is None else adapter.memory


def start_provider(provider: str, precision: str = "float32", device: int | None = None) -> str:
    """The provider to use for a choice of the user: one that really starts.

    Args:
        provider: one of `PROVIDER_CHOICES`.
        precision: one of `PRECISIONS`, that ``auto`` goes by.
        device: number of the GPU that was asked for; None where none was, which leaves ``auto`` the CPU.

    Raises:
        ProviderError: it does not start; for ``auto``, none of `CANDIDATES` does.
    """
    if provider not in PROVIDER_CHOICES:
        known = ", ".join(PROVIDER_CHOICES)
        raise ProviderError(f"provider '{provider}' is not known; choose one of: {known}")
    candidates: tuple[str, ...] = CANDIDATES[precision] if provider == AUTO else (provider,)
    if device is not None:
        candidates = tuple(name for name in candidates if name in NUMBERED)
        if not candidates:
            raise ProviderError(f"--device {device} names a GPU; provider '{provider}' in {precision} takes no number")
    names = [name for name in candidates if why_not(name) is None] if provider == AUTO else candidates
    errors: list[ProviderError] = []
    for name in names or candidates[-1:]:
        try:
            probe(name, device or 0, half=precision == Precision.FP16 and name == Provider.WEBGPU)
        except ProviderError as error:
            errors.append(error)
        else:
            return name
    raise errors[-1]


def why_not(name: str) -> str | None:
    """Why ``auto`` does not try a provider, in a few words; None if it does.

    It tries what is there and quicker than the CPU provider. Software that stands in for a GPU is not. OpenVINO is, where
    the CPU has bfloat16; in float32 the CPU provider's own graph is quicker, see `bench/evaluate.py`.
    """
    # ONNX Runtime writes to stderr when a provider that it carries does not start.
    if name not in installed_providers():
        return "not installed"
    try:
        if name == Provider.WEBGPU and not is_real_gpu():
            return "no GPU but software"
        if name == Provider.OPENVINO and Precision.BFLOAT16 not in precisions(name):
            return "this CPU has no bfloat16"
    except ProviderError:
        return "no device"
    return None


def shared_stream(device: int) -> Stream | None:
    """A stream of CUDA's that all sessions can compute on; None if there is none on which they do, or no copy arrives."""
    stream = Stream.new(device)
    if stream is None:
        return None
    try:
        probe(Provider.CUDA, device, stream.address)
        arrives = _copies(stream, Place("cuda", device))
    except (ProviderError, RuntimeError):
        return None
    return stream if arrives else None


def _copies(stream: Stream, place: Place) -> bool:
    """Whether a number comes back from the device."""
    there, back = stream.pinned((2,)), place.empty((1,))
    there[:] = 1, 2
    stream.copy(back.pointer, there.ctypes.data, 1)
    stream.copy(there[1:].ctypes.data, back.pointer, 1)
    stream.mark()()
    return bool(there[1] == 1)


def probe(provider: str, device: int = 0, stream: int | None = None, *, half: bool = False) -> None:
    """Build a session on a provider, a key of `PROVIDERS`, and run it.

    Args:
        provider: to try.
        device: number of the GPU.
        stream: to compute on; None for any.
        half: whether to compute in float16.

    Raises:
        ProviderError: it does not start or does not add.
    """
    session = make_session(ADD_HALF if half else ADD, provider, threads=1, device=device, stream=stream)
    try:
        (result,) = session.run(None, {"x": np.ones(1, np.float16 if half else np.float32)})
    except Exception as error:  # onnxruntime's exceptions share no base but Exception
        if half:
            raise ProviderError(
                f"provider '{provider}' does not compute float16 here: the GPU or its driver has no shader-f16; use "
                f"--precision float32"
            ) from None
        raise ProviderError(f"provider '{provider}' does not compute: {first_line(error)}") from None
    if result[0] != 2:
        raise ProviderError(f"provider '{provider}' computes 1 + 1 = {result[0]}; reinstall onnxruntime")


def precisions(provider: str) -> tuple[str, ...]:
    """Each `Precision` but ``mixed`` that a provider computes in at the hardware's full speed; the quickest last.

    Inputs and outputs are float32 in any case.
    """
    if provider == "cuda":
        return ("float32", "tf32")
    if provider == "openvino":
        capable = plugin_device(provider).ep_metadata.get("OPTIMIZATION_CAPABILITIES", "").split()
        return ("float32", "bfloat16") if "BF16" in capable else ("float32",)
    return ("float32",)


def installed_providers() -> list[str]:
    """Names of the providers the installed onnxruntime carries; whether they start, only a session tells."""
    available: Sequence[str] = import_onnxruntime().get_available_providers()
    plugins = {name for name, plugin in PLUGINS.items() if plugin.installed}
    return [name for name, full in PROVIDERS.items() if full in available or name in plugins]


def all_devices() -> tuple[int, ...]:
    """Numbers of the GPUs that this process may use.

    Raises:
        ProviderError: there is none.
    """
    found = CudaHost.find(cuda_major()).devices
    if not found:
        raise ProviderError(f"no GPU is to be seen: {'; '.join(reasons('cuda', cuda_major())) or 'ask nvidia-smi'}")
    return tuple(range(found))


def thread_count(asked: int | None) -> int:
    """Threads to use: as many as ``asked`` for, by default and at most one for each core."""
    return min(asked or available_cores(), available_cores())
