"""Runs the graphs of a bundle."""

import contextlib
import ctypes
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .bundle import Bundle
from .errors import EvaluationError, OutOfMemoryError
from .host import memory_limit
from .providers import first_line, import_onnxruntime, make_session, precisions, start_provider, thread_count
from .stop import DroppedError


class Engine:
    """Runs the graphs of a bundle on one execution provider.

    Args:
        bundle: whose graphs to run.
        provider: one of `CHOICES`. A provider that is asked for by name is had, or it is an error; ``auto`` takes the
            first of `AUTO` that starts.
        threads: threads of the CPU, at most and by default one for each core this process may use.
        precision: that `run` will be asked for, besides float32.

    Attributes:
        provider: the provider that was obtained, a key of `PROVIDERS`.
        precisions: those that it computes in.

    Raises:
        ProviderError: ONNX Runtime is not installed, or does not start the provider.
        BundleError: the bundle lacks a graph.
    """

    def __init__(
        self, bundle: Bundle, provider: str = "auto", threads: int | None = None, precision: str = "float32"
    ) -> None:
        self.bundle = bundle
        self.threads = thread_count(threads)
        self.provider = start_provider(provider, precision)
        self.precisions = precisions(self.provider)
        self._sessions: dict[tuple[object, ...], Any] = {}
        self._cancelled = False
        self._options = import_onnxruntime().RunOptions()

    def run(
        self, graph: str, feeds: Mapping[str, NDArray[np.float32]], precision: str = "float32"
    ) -> list[NDArray[np.float32]]:
        """Outputs of ``graph``, in the order of the contract, for ``feeds`` by input name.

        Raises:
            OutOfMemoryError: there was not enough memory.
            EvaluationError: ONNX Runtime could not compute them for another reason.
            DroppedError: `cancel` was called.
        """
        session = self._session(graph, feeds, precision)
        try:
            return list(session.run(None, dict(feeds), self._options))
        except Exception as error:  # onnxruntime's exceptions share no base but Exception
            if self._cancelled:
                raise DroppedError from None
            # After running out of memory a session may stay broken, and its arena keeps what it has: all are rebuilt.
            self._sessions.clear()
            kind = OutOfMemoryError if _is_out_of_memory(error) else EvaluationError
            raise kind(f"onnxruntime could not evaluate '{graph}': {first_line(error)}") from None

    def _session(self, graph: str, feeds: Mapping[str, NDArray[np.float32]], precision: str) -> Any:
        """A session of one shape where the provider is quicker so, and of any shape elsewhere."""
        sizes = _dimensions(feeds) if self.provider in _STATIC and graph == "gradient" else {}
        key = (graph, precision, *sizes.values())
        session = self._sessions.pop(key, None)
        if session is None:
            while len(self._sessions) >= _KEPT:
                del self._sessions[next(iter(self._sessions))]
            session = make_session(str(self.bundle.graph(graph)), self.provider, self.threads, precision, sizes)
        # In again at the end: the first is the one not used for longest.
        self._sessions[key] = session
        return session

    def free_memory(self) -> int | None:
        """Bytes that this process may use where the graphs are computed, what it has already included; None if unknown."""
        if self.provider in ("cpu", "openvino"):
            return memory_limit()
        return _free_on_device()

    def cancel(self) -> None:
        """From another thread: end an evaluation that is under way, and every later one at once.

        The CPU provider ends within a layer; OpenVINO, to which a graph is one node, ends it as usual.
        """
        self._cancelled = True
        self._options.terminate = True


_STATIC = ("openvino",)
"""Providers that are quicker when a session knows its shape: OpenVINO by 8 % in float32 and 20 % in bfloat16 at 512 pixels,
the CPU provider not at all."""

_KEPT = 8
"""Sessions that are kept: the levels of one shape of photo."""


def _dimensions(feeds: Mapping[str, NDArray[np.float32]]) -> dict[str, int]:
    """Sizes of the free dimensions of the gradient graph, by the names they have there."""
    sizes: dict[str, int] = {}
    for name, value in feeds.items():
        kind, _, tap = name.partition(".")
        if kind == "image":
            sizes |= {"N": value.shape[0], "H": value.shape[2], "W": value.shape[3]}
        elif kind == "content":
            sizes |= {f"{tap}.h": value.shape[2], f"{tap}.w": value.shape[3]}
        elif kind in ("gram", "metric"):
            sizes[f"{kind}_N"] = value.shape[0]
    return sizes


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
