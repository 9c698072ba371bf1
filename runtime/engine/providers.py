"""The choice among ONNX Runtime's execution providers: what is installed, what starts, and what it computes in."""

import importlib.util
from collections.abc import Sequence

from ..errors import ProviderError
from .cuda import CudaHost, reasons
from .host import available_cores
from .sessions import ON_GPU, PROVIDERS, cuda_major, import_onnxruntime, make_session, openvino_device

MIXED = "mixed"
"""The choice of a provider's quickest precision for early work, and float32 at the end."""

AUTO = {
    "float32": ("cuda", "cpu"),
    "tf32": ("cuda",),
    "fp16": ("cuda",),
    "bfloat16": ("openvino",),
    MIXED: ("cuda", "openvino"),
}
"""What the provider ``auto`` tries, in order, for each choice of precision."""

CHOICES = ("auto", *PROVIDERS)

VECTORS = ("host", "device")
"""Where an optimiser's vectors can be: in the memory of this process, or where the graphs are computed."""


def start_provider(provider: str, precision: str = "float32", device: int | None = None) -> str:
    """The provider to use for a choice of the user: one that really starts.

    Args:
        provider: one of `CHOICES`.
        precision: a key of `AUTO`, that ``auto`` goes by.
        device: number of the GPU that was asked for; None where none was, which leaves ``auto`` the CPU.

    Raises:
        ProviderError: it does not start; for ``auto``, none of `AUTO` does.
    """
    if provider not in CHOICES:
        raise ProviderError(f"provider '{provider}' is not known; choose one of: {', '.join(CHOICES)}")
    candidates = AUTO[precision] if provider == "auto" else (provider,)
    if device is not None:
        candidates = tuple(name for name in candidates if name in ON_GPU)
        if not candidates:
            raise ProviderError(f"--device {device} names a GPU; provider '{provider}' in {precision} uses none")
    # Only those of the package: ONNX Runtime writes to stderr when a provider it carries does not start.
    names = [name for name in candidates if name in installed_providers()] if provider == "auto" else candidates
    errors: list[ProviderError] = []
    for name in names or candidates[-1:]:
        try:
            probe(name, device or 0)
        except ProviderError as error:
            errors.append(error)
        else:
            return name
    raise errors[-1]


def probe(provider: str, device: int = 0) -> None:
    """Build a session on a provider, a key of `PROVIDERS`, and run it.

    Raises:
        ProviderError: it does not start or does not add.
    """
    # Here, and not above: the command line takes `CHOICES` from this module, and is to answer --help at once.
    import numpy as np

    (result,) = make_session(_PROBE, provider, threads=1, device=device).run(None, {"x": np.ones(1, np.float32)})
    if result[0] != 2:
        raise ProviderError(f"provider '{provider}' computes 1 + 1 = {result[0]}; reinstall onnxruntime")


def precisions(provider: str) -> tuple[str, ...]:
    """Keys of `AUTO`, but `MIXED`, that a provider computes in at the hardware's full speed; the quickest last.

    Inputs and outputs are float32 in any case.
    """
    if provider == "cuda":
        return ("float32", "tf32")
    if provider == "openvino":
        capable = openvino_device().ep_metadata.get("OPTIMIZATION_CAPABILITIES", "").split()
        return ("float32", "bfloat16") if "BF16" in capable else ("float32",)
    return ("float32",)


# An ONNX model, opset 18: y = x + x for one float.
_PROBE = (
    b'\x08\x08\x12\x00:9\n\x0e\n\x01x\n\x01x\x12\x01y"\x03Add\x12\x05probeZ\x0f\n\x01x\x12\n\n\x08\x08\x01'
    b"\x12\x04\n\x02\x08\x01b\x0f\n\x01y\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01B\x04\n\x00\x10\x12"
)


def installed_providers() -> list[str]:
    """Names of the providers the installed onnxruntime carries; whether they start, only a session tells."""
    available: Sequence[str] = import_onnxruntime().get_available_providers()
    plugin = importlib.util.find_spec("onnxruntime_ep_openvino") is not None
    return [name for name, full in PROVIDERS.items() if full in available or (name == "openvino" and plugin)]


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
