"""Engines of TensorRT and TensorRT for RTX on disk: each is for one graph, range of shapes and GPU."""

import ctypes
import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ..bundle.spec import BundleSpec
from ..recipe.presets import Shapes
from ..recipe.provider import Provider
from ..recipe.size import Size
from .cuda import LIBNVINFER, Load, device_name

SECONDS = (20, 100)
"""That TensorRT takes to build an engine: from, to."""

RTX_WHEEL = "onnxruntime-ep-nv-tensorrt-rtx-cu13"

_PREFIXES: Mapping[str, str] = {Provider.TENSORRT: "trt", Provider.TENSORRT_RTX: "nv"}
"""Of options, by provider."""


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

    def options(self, provider: str, spec: BundleSpec, regions: int = 0) -> dict[str, str]:
        """Options of ``tensorrt`` or ``tensorrt-rtx``, for the gradient graph of one image at a time."""

        def shapes(size: Size) -> str:
            of = Shapes.of(spec, size)
            taps = zip(spec.content_taps, of.content, strict=True)
            contents = [f"content.{tap}:1x{C}x{h}x{w}" for tap, (C, h, w) in taps]
            guided = zip(spec.style_taps, of.style, strict=True) if spec.regions else ()
            masks = [f"mask.{tap}:1x{regions}x{h}x{w}" for tap, (_, h, w) in guided]
            return ",".join([f"image:1x3x{size.height}x{size.width}", *contents, *masks])

        ends = {"min": self.low, "opt": self.usual, "max": self.high}
        return {f"{_PREFIXES[provider]}_profile_{end}_shapes": shapes(size) for end, size in ends.items()}


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
    """Where engines lie that fit one bundle, GPU, and versions of ONNX Runtime and of TensorRT or TensorRT for RTX.

    Attributes:
        folder: theirs.
    """

    folder: Path

    @classmethod
    def find(
        cls, cache: Path, provider: str, bundle: str, onnxruntime: str, device: int, load: Load = ctypes.CDLL
    ) -> "EngineCache":
        """The one for this host.

        Args:
            cache: folder of the user's.
            provider: ``tensorrt`` or ``tensorrt-rtx``.
            bundle: `Bundle.id`.
            onnxruntime: its version.
            device: number of the GPU.
            load: see `CudaHost.find`.
        """
        own = _version(load) if provider == Provider.TENSORRT else _wheel(RTX_WHEEL)
        parts = (bundle, onnxruntime, own, device_name(device, load))
        return cls(cache / provider / hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24])

    def of(self, precision: str, profile: Profile) -> Path:
        """Folder of the engines of the gradient graph."""
        return self.folder / precision / profile.name

    def built(self, precision: str) -> Iterator[Profile]:
        """Those that TensorRT has engines of, the narrowest first."""
        folders = {path.parent for path in (self.folder / precision).glob("*/*.engine")}
        found = [profile for folder in folders if (profile := Profile.named(folder.name))]
        return iter(sorted(found, key=lambda profile: (profile.high.pixels, profile.name)))


def cache_options(provider: str, folder: Path) -> dict[str, str]:
    """Options of ``tensorrt`` or ``tensorrt-rtx`` that keep what is built in a folder."""
    if provider == Provider.TENSORRT_RTX:
        return {"nv_runtime_cache_path": str(folder)}
    return {
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(folder),
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": str(folder.parent),
    }


def _wheel(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"


def _version(load: Load) -> str:
    try:
        return str(load(LIBNVINFER).getInferLibVersion())
    except (OSError, AttributeError):
        return "unknown"
