"""TensorRT's engines on disk: built once for a graph, a shape and a GPU, and good for no other."""

import ctypes
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .cuda import LIBNVINFER, Load, device_name

SECONDS = (20, 100)
"""That an engine takes to build: from, to."""


@dataclass(frozen=True)
class EngineCache:
    """Where engines lie that fit one bundle, GPU, and versions of ONNX Runtime and TensorRT.

    Attributes:
        folder: theirs.
    """

    folder: Path

    @classmethod
    def find(cls, cache: Path, bundle: str, onnxruntime: str, device: int, load: Load = ctypes.CDLL) -> "EngineCache":
        """The one for this host.

        Args:
            cache: folder of the user's.
            bundle: `Bundle.id`.
            onnxruntime: its version.
            device: number of the GPU.
            load: see `CudaHost.find`.
        """
        parts = (bundle, onnxruntime, _version(load), device_name(device, load))
        return cls(cache / "tensorrt" / hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24])

    def of(self, graph: str, sizes: Mapping[str, int], precision: str) -> Path:
        """Folder of the engines of one graph in one shape; the sizes are those of its free dimensions, by name."""
        name = "-".join([graph, precision, *(f"{key}{value}" for key, value in sorted(sizes.items()))])
        return self.folder / name

    def has(self, width: int, height: int) -> bool:
        """Whether any has been built for images of that size."""
        return any(self.folder.glob(f"gradient-*-H{height}-*-W{width}-*/*.engine"))


def engine_options(folder: Path) -> dict[str, str]:
    """Options of ONNX Runtime's TensorRT provider that keep engines and timings in a folder."""
    return {
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(folder),
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": str(folder.parent),
    }


def _version(load: Load) -> str:
    try:
        return str(load(LIBNVINFER).getInferLibVersion())
    except (OSError, AttributeError):
        return "unknown"
