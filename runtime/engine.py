"""ONNX Runtime sessions: the one place that makes them and chooses the execution provider."""

import contextlib
import ctypes
import os
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .bundle import Bundle
from .errors import EvaluationError, OutOfMemoryError, ProviderError
from .host import available_cores, memory_limit
from .stop import DroppedError

PROVIDERS: dict[str, str] = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
"""Names of the command line and ONNX Runtime's names for them."""

AUTO = ("cuda", "cpu")
"""What the provider ``auto`` tries, in order."""

CHOICES = ("auto", *PROVIDERS)


class Engine:
    """Runs the graphs of a bundle on one execution provider.

    Args:
        bundle: whose graphs to run.
        provider: one of `CHOICES`. A provider that is asked for by name is had, or it is an error; ``auto`` takes the
            first of `AUTO` that starts.
        threads: threads of the CPU provider, at most and by default one for each core this process may use.

    Attributes:
        provider: the provider that was obtained, a key of `PROVIDERS`.

    Raises:
        ProviderError: ONNX Runtime is not installed, or does not start the provider.
        BundleError: the bundle lacks a graph.
    """

    def __init__(self, bundle: Bundle, provider: str = "auto", threads: int | None = None) -> None:
        self.bundle = bundle
        self.threads = thread_count(threads)
        self.provider = start_provider(provider)
        self._sessions: dict[str, Any] = {}
        self._cancelled = False
        self._options = _import_onnxruntime().RunOptions()

    def run(self, graph: str, feeds: Mapping[str, NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        """Outputs of ``graph``, in the order of the contract, for ``feeds`` by input name.

        Raises:
            OutOfMemoryError: there was not enough memory.
            EvaluationError: ONNX Runtime could not compute them for another reason.
            DroppedError: `cancel` was called.
        """
        if graph not in self._sessions:
            self._sessions[graph] = _make_session(str(self.bundle.graph(graph)), self.provider, self.threads)
        try:
            return list(self._sessions[graph].run(None, dict(feeds), self._options))
        except Exception as error:  # onnxruntime's exceptions share no base but Exception
            if self._cancelled:
                raise DroppedError from None
            # After running out of memory a session may stay broken, and its arena keeps what it has: all are rebuilt.
            self._sessions.clear()
            kind = OutOfMemoryError if _is_out_of_memory(error) else EvaluationError
            raise kind(f"onnxruntime could not evaluate '{graph}': {_first_line(error)}") from None

    def free_memory(self) -> int | None:
        """Bytes that this process may use where the graphs are computed, what it has already included; None if unknown."""
        if self.provider == "cpu":
            return memory_limit()
        return _free_on_device()

    def cancel(self) -> None:
        """End an evaluation that is under way, from another thread, within a layer; every later one ends at once."""
        self._cancelled = True
        self._options.terminate = True


def start_provider(provider: str) -> str:
    """The provider to use for a choice of the user: one that really starts.

    Args:
        provider: one of `CHOICES`.

    Raises:
        ProviderError: it does not start; for ``auto``, none of `AUTO` does.
    """
    if provider not in CHOICES:
        raise ProviderError(f"provider '{provider}' is not known; choose one of: {', '.join(CHOICES)}")
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
    (result,) = _make_session(_PROBE, provider, threads=1).run(None, {"x": np.ones(1, np.float32)})
    if result[0] != 2:
        raise ProviderError(f"provider '{provider}' computes 1 + 1 = {result[0]}; reinstall onnxruntime")


def _make_session(model: str | bytes, provider: str, threads: int) -> Any:
    """The one place that makes sessions: on the provider that was asked for, or not at all."""
    ort = _import_onnxruntime()
    wanted = PROVIDERS[provider]
    if wanted not in ort.get_available_providers():
        raise ProviderError(
            f"provider '{provider}' is not in the installed onnxruntime {ort.__version__}; {_MEND[provider]}"
        )
    if provider != "cpu" and hasattr(ort, "preload_dlls"):
        # CUDA's and cuDNN's wheels lie in site-packages, where the loader does not look by itself.
        ort.preload_dlls()
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    # A memory pattern is one block for all of a shape's tensors, kept for each shape: at 512 x 512 it saves no time and
    # takes 0.7 GiB more.
    options.enable_mem_pattern = False
    options.log_severity_level = 3
    chain = [wanted] if provider == "cpu" else [wanted, PROVIDERS["cpu"]]
    try:
        session = ort.InferenceSession(model, options, providers=chain)
    except Exception as error:  # onnxruntime's exceptions share no base but Exception
        raise ProviderError(f"provider '{provider}' cannot load the graph: {_first_line(error)}") from None
    if session.get_providers()[0] != wanted:
        raise ProviderError(f"provider '{provider}' did not start, and onnxruntime fell back; {_MEND[provider]}")
    return session


# An ONNX model, opset 18: y = x + x for one float.
_PROBE = (
    b'\x08\x08\x12\x00:9\n\x0e\n\x01x\n\x01x\x12\x01y"\x03Add\x12\x05probeZ\x0f\n\x01x\x12\n\n\x08\x08\x01'
    b"\x12\x04\n\x02\x08\x01b\x0f\n\x01y\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01B\x04\n\x00\x10\x12"
)

_MEND = {
    "cpu": "run `pip install 'nstbatch[cpu]'`",
    "cuda": "install `nstbatch[gpu]` (not beside [cpu]) on a host with an NVIDIA driver of 580 or newer, "
    "or use --provider cpu",
    "tensorrt": "install `nstbatch[gpu]` and `tensorrt-cu13>=10.13,<11`, or use --provider cuda",
}


def installed_providers() -> list[str]:
    """Names of the providers the installed onnxruntime carries; whether they start, only a session tells."""
    available: Sequence[str] = _import_onnxruntime().get_available_providers()
    return [name for name, full in PROVIDERS.items() if full in available]


def thread_count(asked: int | None) -> int:
    """Threads to use: as many as ``asked`` for, by default and at most one for each core."""
    return min(asked or available_cores(), available_cores())


def _import_onnxruntime() -> ModuleType:
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


def _free_on_device() -> int | None:
    """What CUDA says of the device that the graphs run on."""
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    for version in ("13", "12"):
        with contextlib.suppress(OSError, AttributeError):
            if ctypes.CDLL(f"libcudart.so.{version}").cudaMemGetInfo(ctypes.byref(free), ctypes.byref(total)) == 0:
                return free.value
    return None


def _is_out_of_memory(error: Exception) -> bool:
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(sign in text for sign in _OUT_OF_MEMORY)


_OUT_OF_MEMORY = ("failed to allocate", "out of memory", "bad_alloc", "bad allocation", "alloc_failed", "failure 2:")
"""How ONNX Runtime, CUDA (whose error 2 it is), cuBLAS and cuDNN say so; there is no class of errors for it."""


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
