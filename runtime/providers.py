"""ONNX Runtime's execution providers: the one place that chooses them and makes sessions on them."""

import importlib.util
import json
import os
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from .errors import ProviderError
from .host import available_cores

PROVIDERS: dict[str, str] = {
    "cpu": "CPUExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
"""Names of the command line and ONNX Runtime's names for them."""

AUTO = ("cuda", "cpu")
"""What the provider ``auto`` tries, in order, for float32."""

CHOICES = ("auto", *PROVIDERS)

PRECISIONS = ("float32", "bfloat16")
"""In which a graph is evaluated; its inputs and outputs are float32 in any case."""


def start_provider(provider: str, precision: str = "float32") -> str:
    """The provider to use for a choice of the user: one that really starts.

    Args:
        provider: one of `CHOICES`.
        precision: one of `PRECISIONS`, that ``auto`` has to look for.

    Raises:
        ProviderError: it does not start; for ``auto``, none of `AUTO` does.
    """
    if provider not in CHOICES:
        raise ProviderError(f"provider '{provider}' is not known; choose one of: {', '.join(CHOICES)}")
    if provider == "auto" and precision != "float32":
        provider = _OPENVINO
    if provider != "auto":
        probe(provider)
        return provider
    # Only those of the package: ONNX Runtime writes to stderr when a provider it carries does not start.
    names = [name for name in AUTO if name in installed_providers()]
    errors: list[ProviderError] = []
    for name in names:
        try:
            probe(name)
        except ProviderError as error:
            errors.append(error)
        else:
            return name
    raise errors[-1] if errors else ProviderError(f"this onnxruntime carries none of {', '.join(AUTO)}; {_MEND['cpu']}")


def probe(provider: str) -> None:
    """Build a session on a provider, a key of `PROVIDERS`, and run it.

    Raises:
        ProviderError: it does not start or does not add.
    """
    # Here, and not above: the command line takes `CHOICES` from this module, and is to answer --help at once.
    import numpy as np

    (result,) = make_session(_PROBE, provider, threads=1).run(None, {"x": np.ones(1, np.float32)})
    if result[0] != 2:
        raise ProviderError(f"provider '{provider}' computes 1 + 1 = {result[0]}; reinstall onnxruntime")


def precisions(provider: str) -> tuple[str, ...]:
    """Those of `PRECISIONS` that a provider has, and that the hardware computes at full speed."""
    if provider == _OPENVINO and "BF16" in _openvino_device().ep_metadata.get("OPTIMIZATION_CAPABILITIES", "").split():
        return PRECISIONS
    return ("float32",)


def make_session(
    model: str | bytes,
    provider: str,
    threads: int,
    precision: str = "float32",
    dimensions: Mapping[str, int] | None = None,
) -> Any:
    """The one place that makes sessions: on the provider that was asked for, or not at all.

    Args:
        model: path of a graph, or the graph.
        provider: a key of `PROVIDERS`.
        threads: of a CPU.
        precision: one of the provider's `precisions`.
        dimensions: sizes of the graph's free dimensions by name, where they are known.

    Raises:
        ProviderError: the provider is not installed, or does not start.
    """
    ort = import_onnxruntime()
    wanted = PROVIDERS[provider]
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    # A memory pattern is one block for all of a shape's tensors, kept for each shape: at 512 x 512 it saves no time and
    # takes 0.7 GiB more.
    options.enable_mem_pattern = False
    options.log_severity_level = 3
    for name, size in (dimensions or {}).items():
        options.add_free_dimension_override_by_name(name, size)
    chain = [wanted] if provider == "cpu" else [wanted, PROVIDERS["cpu"]]
    if provider == _OPENVINO:
        # OpenVINO would choose bfloat16 by itself where the CPU has it.
        hints = {"INFERENCE_PRECISION_HINT": _OPENVINO_PRECISION[precision], "INFERENCE_NUM_THREADS": str(threads)}
        options.add_provider_for_devices([_openvino_device()], {"load_config": json.dumps({"CPU": hints})})
        chain = []
    elif wanted not in ort.get_available_providers():
        raise ProviderError(
            f"provider '{provider}' is not in the installed onnxruntime {ort.__version__}; {_MEND[provider]}"
        )
    elif provider != "cpu" and hasattr(ort, "preload_dlls"):
        # CUDA's and cuDNN's wheels lie in site-packages, where the loader does not look by itself.
        ort.preload_dlls()
    try:
        session = ort.InferenceSession(model, options, providers=chain)
    except Exception as error:  # onnxruntime's exceptions share no base but Exception
        raise ProviderError(f"provider '{provider}' cannot load the graph: {first_line(error)}") from None
    if session.get_providers()[0] != wanted:
        raise ProviderError(f"provider '{provider}' did not start, and onnxruntime fell back; {_MEND[provider]}")
    return session


_OPENVINO = "openvino"

_OPENVINO_PRECISION = {"float32": "f32", "bfloat16": "bf16"}


def _openvino_device() -> Any:
    """The CPU as OpenVINO's plugin for ONNX Runtime sees it.

    Raises:
        ProviderError: the plugin is not installed, does not fit this onnxruntime, or knows no CPU.
    """
    ort = import_onnxruntime()
    try:
        import onnxruntime_ep_openvino as plugin

        def devices() -> list[Any]:
            found = [device for device in ort.get_ep_devices() if device.ep_name == plugin.get_ep_name()]
            return [device for device in found if device.device.type == ort.OrtHardwareDeviceType.CPU]

        if not devices():
            ort.register_execution_provider_library(_OPENVINO, plugin.get_library_path())
        return devices()[0]
    except Exception as error:  # onnxruntime's exceptions share no base but Exception
        raise ProviderError(
            f"provider '{_OPENVINO}' does not start ({first_line(error) or type(error).__name__}); {_MEND[_OPENVINO]}"
        ) from None


# An ONNX model, opset 18: y = x + x for one float.
_PROBE = (
    b'\x08\x08\x12\x00:9\n\x0e\n\x01x\n\x01x\x12\x01y"\x03Add\x12\x05probeZ\x0f\n\x01x\x12\n\n\x08\x08\x01'
    b"\x12\x04\n\x02\x08\x01b\x0f\n\x01y\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01B\x04\n\x00\x10\x12"
)

_MEND = {
    "cpu": "run `pip install 'nstbatch[cpu]'`",
    "openvino": "run `pip install 'nstbatch[cpu,openvino]'` on an x86-64 host, or use --provider cpu",
    "cuda": "install `nstbatch[gpu]` (not beside [cpu]) on a host with an NVIDIA driver of 580 or newer, "
    "or use --provider cpu",
    "tensorrt": "install `nstbatch[gpu]` and `tensorrt-cu13>=10.13,<11`, or use --provider cuda",
}


def installed_providers() -> list[str]:
    """Names of the providers the installed onnxruntime carries; whether they start, only a session tells."""
    available: Sequence[str] = import_onnxruntime().get_available_providers()
    plugin = importlib.util.find_spec("onnxruntime_ep_openvino") is not None
    return [name for name, full in PROVIDERS.items() if full in available or (name == _OPENVINO and plugin)]


def thread_count(asked: int | None) -> int:
    """Threads to use: as many as ``asked`` for, by default and at most one for each core."""
    return min(asked or available_cores(), available_cores())


def import_onnxruntime() -> ModuleType:
    """The module ``onnxruntime``.

    Raises:
        ProviderError: it is not installed.
    """
    # From 1.31 on, ONNX Runtime sends telemetry on Linux, too, keeps a device ID in the user's cache, and complains on
    # stderr where it cannot. That is not for a cron job to do; who wants it sets the variable to 0.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        import onnxruntime
    except ImportError as error:
        raise ProviderError(
            f"onnxruntime is not installed ({error}); run `pip install 'nstbatch[cpu]'`, "
            f"or `pip install 'nstbatch[gpu]'` on a host with an NVIDIA GPU"
        ) from None
    return onnxruntime  # type: ignore[no-any-return]


def first_line(error: Exception) -> str:
    """What ONNX Runtime says, without the rest of its report."""
    return str(error).strip().partition("\n")[0]
