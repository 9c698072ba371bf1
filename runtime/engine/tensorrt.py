"""TensorRT's engines on disk: built once for a graph, a range of shapes and a GPU, and good for no other."""

import ctypes
import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..bundle.spec import BundleSpec
from ..recipe.presets import Shapes
from ..recipe.size import Size
from .cuda import LIBNVINFER, Load, device_name

SECONDS = (20, 100)
"""That an engine takes to build: from, to."""


@dataclass(frozen=True)
class Profile:
    """The images that one engine takes: TensorRT's minimum, optimum and maximum.

    Attributes:
        low, high: of the smallest and largest heights and widths.
        usual: what it is tuned for.
    """

    low: Size
    usual: Size
    high: Size

    @classmethod
    def of(cls, size: Size) -> "Profile":
        """Of one size alone."""
        return cls(size, size, size)

    @classmethod
    def named(cls, name: str) -> "Profile | None":
        """The profile of a `name`; None if it is none."""
        sizes = [Size(int(w), int(h)) for h, w in re.findall(r"(\d+)x(\d+)", name)]
        profile = cls(*sizes) if len(sizes) == 3 else None
        return profile if profile is not None and profile.name == name else None

    @property
    def name(self) -> str:
        """Its sizes in words, each height x width."""
        return "_".join(f"{size.height}x{size.width}" for size in (self.low, self.usual, self.high))

    @property
    def static(self) -> bool:
        """Whether it is of one size."""
        return self.low == self.high

    def holds(self, size: Size) -> bool:
        """Whether it takes images of that size."""
        return self.low.width <= size.width <= self.high.width and self.low.height <= size.height <= self.high.height

    def options(self, spec: BundleSpec, regions: int = 0) -> dict[str, str]:
        """Of ONNX Runtime's TensorRT provider, for the gradient graph of one image at a time."""

        def shapes(size: Size) -> str:
            of = Shapes.of(spec, size)
            taps = zip(spec.content_taps, of.content, strict=True)
            contents = [f"content.{tap}:1x{C}x{h}x{w}" for tap, (C, h, w) in taps]
            guided = zip(spec.style_taps, of.style, strict=True) if spec.regions else ()
            masks = [f"mask.{tap}:1x{regions}x{h}x{w}" for tap, (_, h, w) in guided]
            return ",".join([f"image:1x3x{size.height}x{size.width}", *contents, *masks])

        ends = {"min": self.low, "opt": self.usual, "max": self.high}
        return {f"trt_profile_{end}_shapes": shapes(size) for end, size in ends.items()}


def make_profiles(sizes: Mapping[Size, int]) -> list[Profile]:
    """Profiles of a plan's sizes: one for all that have the same long side, tuned for the most frequent of them.

    Args:
        sizes: how many images there are of each.
    """
    alike: dict[int, list[Size]] = {}
    for size in sizes:
        alike.setdefault(size.long_side, []).append(size)
    return [
        Profile(
            Size(min(size.width for size in group), min(size.height for size in group)),
            max(group, key=lambda size: sizes[size]),
            Size(max(size.width for size in group), max(size.height for size in group)),
        )
        for group in alike.values()
    ]


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

    def of(self, precision: str, profile: Profile) -> Path:
        """Folder of the engines of the gradient graph."""
        return self.folder / precision / profile.name

    def built(self, precision: str) -> Iterator[Profile]:
        """Those that there are engines of, the narrowest first."""
        folders = {path.parent for path in (self.folder / precision).glob("*/*.engine")}
        found = [profile for folder in folders if (profile := Profile.named(folder.name))]
        return iter(sorted(found, key=lambda profile: (profile.high.pixels, profile.name)))


def cache_options(folder: Path) -> dict[str, str]:
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
