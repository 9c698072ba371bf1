"""What of CUDA is on this host: the reasons why ONNX Runtime does not start a provider, which it does not tell itself."""

import ctypes
import importlib.metadata
import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

Load = Callable[[str], Any]
"""Gives a shared library by its name, or raises OSError."""

_WHEELS = ("onnxruntime", "onnxruntime-gpu")

_CUDNN = "9"
"""Major version of cuDNN that ONNX Runtime is built against, for CUDA 12 and 13 alike."""

LIBNVINFER = "libnvinfer.so.10"

_TENSORRT = (LIBNVINFER, "libnvonnxparser.so.10")
"""TensorRT, in the major version that ONNX Runtime is built against."""

_CURAND = "libcurand.so.10"
"""Of CUDA 12 and 13 alike."""


@dataclass(frozen=True)
class CudaHost:
    """CUDA as a process finds it.

    Attributes:
        driver: newest CUDA that the NVIDIA driver serves, (major, minor); None without a driver.
        devices: GPUs that this process may use.
        cudnn: version of cuDNN, (major, minor, patch); None if it cannot be loaded.
        missing: names of the libraries that ONNX Runtime needs and that cannot be loaded.
    """

    driver: tuple[int, int] | None
    devices: int
    cudnn: tuple[int, int, int] | None
    missing: tuple[str, ...]

    @classmethod
    def find(cls, major: str, load: Load = ctypes.CDLL) -> "CudaHost":
        """Ask driver and libraries.

        Args:
            major: of the CUDA version that ONNX Runtime is built for.
            load: gives a shared library by its name, or raises OSError.
        """
        driver, devices = _driver(load)
        names = (
            f"libcudart.so.{major}",
            f"libcublasLt.so.{major}",
            f"libcublas.so.{major}",
            _CURAND,
            f"libcudnn.so.{_CUDNN}",
        )
        libraries = {name: _loaded(name, load) for name in names}
        missing = tuple(name for name, library in libraries.items() if library is None)
        return cls(driver, devices, _cudnn(libraries[names[-1]]), missing)


def reasons(provider: str, major: str, device: int = 0, load: Load = ctypes.CDLL) -> list[str]:
    """Why ``cuda`` or ``tensorrt`` cannot start here, each with what mends it; empty if nothing is known.

    Args:
        provider: ``cuda`` or ``tensorrt``.
        major: of the CUDA version that ONNX Runtime is built for.
        device: number of the GPU that was asked for.
        load: see `CudaHost.find`.
    """
    return list(_reasons(provider, major, device, load))


def free_memory(device: int, load: Load = ctypes.CDLL) -> int | None:
    """Bytes that CUDA says are free on a GPU; None if it cannot be asked."""
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    for runtime in cuda_runtimes(device, load):
        if runtime.cudaMemGetInfo(ctypes.byref(free), ctypes.byref(total)) == 0:
            return free.value
    return None


def preload_tensorrt(load: Load = ctypes.CDLL) -> None:
    """Load TensorRT from where pip puts it, in which the loader does not look; ONNX Runtime does so for CUDA only."""
    package = importlib.util.find_spec("tensorrt_libs")
    for folder in package.submodule_search_locations or () if package else ():
        for name in _TENSORRT:
            _loaded(f"{folder}/{name}", load)


def cuda_runtimes(device: int, load: Load = ctypes.CDLL) -> Iterator[Any]:
    """Each of CUDA's runtime libraries here that takes a GPU, which the calling thread then has; the newest first."""
    for major in ("13", "12"):
        runtime = _loaded(f"libcudart.so.{major}", load)
        if runtime is not None and runtime.cudaSetDevice(device) == 0:
            yield runtime


def device_name(device: int, load: Load = ctypes.CDLL) -> str:
    """What the driver calls a GPU; ``unknown`` if it cannot be asked."""
    library = _loaded("libcuda.so.1", load)
    handle, name = ctypes.c_int(), ctypes.create_string_buffer(256)
    if library is None or library.cuInit(0) != 0 or library.cuDeviceGet(ctypes.byref(handle), device) != 0:
        return "unknown"
    return name.value.decode() if library.cuDeviceGetName(name, len(name), handle) == 0 else "unknown"


OVERWRITTEN = (
    "onnxruntime and onnxruntime-gpu are both installed and overwrite each other: run "
    "`pip uninstall -y onnxruntime onnxruntime-gpu`, then install one"
)


def overwritten() -> bool:
    """Whether two wheels of ONNX Runtime lie in one folder."""
    folders = [_folder(wheel) for wheel in _WHEELS]
    return folders[0] is not None and folders[0] == folders[1]


def _reasons(provider: str, major: str, device: int, load: Load) -> Iterator[str]:
    if overwritten():
        yield OVERWRITTEN
        return
    host = CudaHost.find(major, load)
    if host.driver is None:
        yield "there is no NVIDIA driver (libcuda.so.1): install one, or start the container with its GPUs (--gpus all)"
        return
    if host.driver[0] < int(major):
        serves = f"{host.driver[0]}.{host.driver[1]}"
        other = ", or `pip install 'onnxruntime-gpu<1.27'`, which is built for CUDA 12" if host.driver[0] == 12 else ""
        yield f"the NVIDIA driver serves CUDA {serves} and onnxruntime needs {major}: update it{other}"
        return
    if device >= host.devices:
        yield f"GPU {device} is not there: this process sees {host.devices} (look at CUDA_VISIBLE_DEVICES)"
    for name in host.missing:
        yield f"{name} is missing: `pip install {_package(name, major)}`"
    for name in _TENSORRT if provider == "tensorrt" else ():
        if _loaded(name, load) is None:
            yield f"{name} is missing: `pip install 'tensorrt-cu{major}>=10.13,<11'`"


def _package(library: str, major: str) -> str:
    """The wheel that a library comes in; from CUDA 13 on they have no suffix, but for cuDNN's."""
    suffix = f"-cu{major}" if int(major) < 13 else ""
    if "cudnn" in library:
        return f"nvidia-cudnn-cu{major}"
    kind = "cuda-runtime" if "cudart" in library else "curand" if "curand" in library else "cublas"
    return f"nvidia-{kind}{suffix}"


def _driver(load: Load) -> tuple[tuple[int, int] | None, int]:
    library = _loaded("libcuda.so.1", load)
    version, count = ctypes.c_int(), ctypes.c_int()
    if library is None or library.cuDriverGetVersion(ctypes.byref(version)) != 0:
        return None, 0
    # Without a GPU that may be used, cuInit fails.
    if library.cuInit(0) != 0 or library.cuDeviceGetCount(ctypes.byref(count)) != 0:
        count.value = 0
    return (version.value // 1000, version.value % 1000 // 10), count.value


def _cudnn(library: Any) -> tuple[int, int, int] | None:
    if library is None:
        return None
    number = library.cudnnGetVersion()
    return number // 10000, number % 10000 // 100, number % 100


def _loaded(name: str, load: Load) -> Any:
    try:
        return load(name)
    except OSError:
        return None


def _folder(distribution: str) -> str | None:
    """Where its module lies, if it is installed."""
    try:
        return str(importlib.metadata.distribution(distribution).locate_file("onnxruntime"))
    except importlib.metadata.PackageNotFoundError:
        return None
