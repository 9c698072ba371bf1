"""A stream of CUDA's: what is put into it is done in its order, and the host need not wait for any of it."""

import ctypes
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .cuda import Load, cuda_runtimes

_FLOAT = 4

_EITHER_WAY = 4
"""cudaMemcpyDefault: CUDA knows from the addresses which way a copy goes."""

_WITHOUT_TIME = 2
"""cudaEventDisableTiming."""


@dataclass(frozen=True)
class Stream:
    """A stream of a GPU, which lasts as long as the process.

    Every session computes on it. So they wait for each other, and ordinary copies wait for them, without the host.

    Attributes:
        device: number of the GPU.
        address: as ONNX Runtime takes it.
    """

    device: int
    address: int
    _runtime: Any
    """CUDA's runtime library."""

    @classmethod
    def new(cls, device: int, load: Load = ctypes.CDLL) -> "Stream | None":
        """A new one; None if CUDA gives none.

        Args:
            device: number of the GPU.
            load: gives a shared library by its name, or raises OSError.
        """
        stream = ctypes.c_void_p()
        for runtime in cuda_runtimes(device, load):
            # Not one that is "non-blocking": such a stream and ordinary copies do not wait for each other.
            if runtime.cudaStreamCreate(ctypes.byref(stream)) == 0 and stream.value is not None:
                return cls(device, stream.value, runtime)
        return None

    def pinned(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """An array on the host that a copy reaches while the host does something else. No view of it may outlive it."""
        pointer = ctypes.c_void_p()
        self._done(self._runtime.cudaHostAlloc(ctypes.byref(pointer), ctypes.c_size_t(_FLOAT * prod(shape)), 0))
        array = np.ctypeslib.as_array(ctypes.cast(pointer, ctypes.POINTER(ctypes.c_float)), shape)
        weakref.finalize(array, self._runtime.cudaFreeHost, pointer)
        return array

    def copy(self, target: int, source: int, count: int) -> None:
        """Put a copy of so many numbers of float32 from an address to another into the stream."""
        size = ctypes.c_size_t(_FLOAT * count)
        arguments = ctypes.c_void_p(target), ctypes.c_void_p(source), size, _EITHER_WAY, ctypes.c_void_p(self.address)
        self._done(self._runtime.cudaMemcpyAsync(*arguments))

    def mark(self) -> Callable[[], None]:
        """What waits until all is done that is in the stream now."""
        event = ctypes.c_void_p()
        # Of the device that the calling thread has chosen, which is to be the stream's.
        self._done(self._runtime.cudaSetDevice(self.device))
        self._done(self._runtime.cudaEventCreateWithFlags(ctypes.byref(event), _WITHOUT_TIME))
        self._done(self._runtime.cudaEventRecord(event, ctypes.c_void_p(self.address)))

        def wait() -> None:
            try:
                self._done(self._runtime.cudaEventSynchronize(event))
            finally:
                self._runtime.cudaEventDestroy(event)

        return wait

    def _done(self, status: int) -> None:
        if status != 0:
            raise RuntimeError(f"CUDA failure {status}")
