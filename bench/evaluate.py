"""Seconds per loss and gradient: the bundle in ONNX Runtime against the same objective in PyTorch eager.

    python bench/evaluate.py [--sizes 256,512] [--repeats 9] [--bundle DIR] [--threads N] [--save]

All alternate in one run; a ratio is the median over the rounds. `direct` is the bundle's gradient graph as traced; from
a size on, the CPU provider has it in other operators, with Winograd's convolutions. `driver` is one L-BFGS iteration with a
full history and the preconditioner, and its share of the time of a whole step. Peak memory is of a process of its own that
only loads the bundle and evaluates.
"""

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
import torch
from numpy.typing import NDArray

from common import (
    gigaflop,
    load_bundle,
    machine,
    markdown,
    pairs,
    plain_loss,
    read,
    seconds,
    sgemm_rate,
    torch_objective,
    write,
)
from nstbatch.runtime.bundle.spec import FOR_CPU, Bundle
from nstbatch.runtime.engine.engine import Engine
from nstbatch.runtime.engine.host import Host, available_cores
from nstbatch.runtime.optimizer.lbfgs import LBFGS
from nstbatch.runtime.optimizer.preconditioner import FrequencyPreconditioner
from nstbatch.runtime.painting.objective import Objective, Targets, balance, encode
from nstbatch.runtime.recipe.presets import LossWeights
from nstbatch.runtime.recipe.settings import Settings

_PEAK = """
import re, sys
import numpy as np
from nstbatch.runtime.bundle.spec import Bundle
from nstbatch.runtime.engine.engine import Engine
from nstbatch.runtime.engine.host import Host
from nstbatch.runtime.painting.objective import Objective, balance, encode
from nstbatch.runtime.recipe.presets import LossWeights
size, threads = int(sys.argv[2]), int(sys.argv[3])
image = np.random.default_rng(0).uniform(0, 255, (1, 3, size, size)).astype(np.float32)
engine = Engine(Bundle.load(sys.argv[1]), Host(provider=sys.argv[4], threads=threads))
targets = encode(engine, image[:, :, ::-1].copy())
objective = Objective(engine, targets, balance(LossWeights(1.0, 10.0, 0.0), targets))
for _ in range(3):
    objective(image)
# Not getrusage: its peak is inherited from the process that started this one.
print(int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024)
"""


@click.command(help=__doc__)
@click.option("--sizes", default="256,512", show_default=True, help="Heights and widths, in pixels.")
@click.option("--repeats", default=9, show_default=True, help="Rounds; each evaluates both once.")
@click.option("--bundle", type=click.Path(path_type=Path), help="Bundle to measure.")
@click.option("--provider", default="cpu", show_default=True, help="ONNX Runtime's provider.")
@click.option("--threads", type=int, help="CPU threads of both.")
@click.option("--save", is_flag=True, help="Keep the table in bench/results/.")
def main(sizes: str, repeats: int, bundle: Path | None, provider: str, threads: int | None, save: bool) -> None:
    loaded = load_bundle(bundle)
    threads = threads or available_cores()
    torch.set_num_threads(threads)
    rows = [measure(loaded, provider, threads, int(size), repeats) for size in sizes.split(",")]
    header = ["pixels", "GFLOP", "onnxruntime s", "direct s", "direct / it", "PyTorch eager s", "it / PyTorch"]
    header += ["share of sgemm", "driver", "peak MiB"]
    text = (
        f"# Seconds per loss and gradient\n\n`python bench/evaluate.py --sizes {sizes} --repeats {repeats}`, "
        f"provider {provider}. Medians of {repeats} rounds in one run, all alternating; a ratio is the median of the "
        f"rounds' ratios; sgemm measured in the same rounds.\n\n{machine(threads)}\n\n" + markdown(header, rows)
    )
    if save:
        write(f"evaluate-{provider}.md", text)
    else:
        print(text)


def measure(bundle: Bundle, provider: str, threads: int, size: int, repeats: int) -> list[str]:
    """A row of the table."""
    photo_path, style_path = next(iter(pairs().values()))
    image, style = (read(path, 2 * size)[:, :, :size, :size].copy() for path in (photo_path, style_path))
    engine = Engine(bundle, Host(provider=provider, threads=threads))
    targets = Targets(encode(engine, image[:, :, ::-1].copy()).contents, encode(engine, style).grams)
    settings = Settings()
    weights = balance(LossWeights(settings.content_weight, settings.style_weight, settings.tv_weight), targets)
    ours = Objective(engine, targets, weights)
    direct = Objective(Engine(without(bundle, FOR_CPU), engine.host), targets, weights)

    spec = bundle.manifest.spec
    theirs = torch_objective(spec)
    contents = [torch.from_numpy(v) for v in targets.contents.values()]
    grams = [torch.from_numpy(v) for v in targets.grams.values()]
    flat = torch.from_numpy(np.array([*weights.content, *weights.style])).float()
    pixels = torch.from_numpy(image.copy()).requires_grad_()

    def eager() -> None:
        pixels.grad = None
        plain_loss(theirs, pixels, contents, grams, flat).backward()

    own, traced, other, rates = [], [], [], []
    for round_ in range(repeats + 1):
        times = seconds(lambda: ours(image)), seconds(lambda: direct(image)), seconds(eager), sgemm_rate(threads, repeats=1)
        if round_:
            for series, value in zip((own, traced, other, rates), times, strict=True):
                series.append(value)
    driver = driver_share(ours, image, settings.history)
    work = gigaflop(theirs.network, spec.style_taps, size, size)
    peak = subprocess.run(
        [sys.executable, "-c", _PEAK, str(bundle.path), str(size), str(threads), provider],
        capture_output=True,
        text=True,
        check=True,
    )
    median = float(np.median(own))
    share = work / median / float(np.median(rates))
    return [
        f"{size} x {size}",
        f"{work:.0f}",
        f"{median:.3f}",
        f"{np.median(traced):.3f}",
        f"{np.median(np.array(traced) / np.array(own)):.2f}",
        f"{np.median(other):.3f}",
        f"{np.median(np.array(own) / np.array(other)):.2f}",
        f"{share:.2f} of {np.median(rates):.0f} GFLOP/s",
        f"{1e3 * driver[0]:.0f} ms, {100 * driver[1]:.1f} %",
        f"{float(peak.stdout):.0f}",
    ]


def without(bundle: Bundle, graph: str) -> Bundle:
    """The bundle as if it had no such graph."""
    files = {name: digest for name, digest in bundle.manifest.files.items() if name != f"{graph}.onnx"}
    return replace(bundle, manifest=replace(bundle.manifest, files=files))


def driver_share(objective: Objective, image: NDArray[np.float32], history: int) -> tuple[float, float]:
    """Seconds of one L-BFGS iteration with a full history, and its share of iteration and evaluation together."""
    shape = (image.shape[1], image.shape[2], image.shape[3])
    optimiser = LBFGS(image, history=history, precondition=FrequencyPreconditioner(shape))
    own, evaluating = [], []
    while optimiser.iterations < history + 6:
        began = time.perf_counter()
        loss, gradient, _ = objective(optimiser.ask().reshape(image.shape))
        middle = time.perf_counter()
        optimiser.tell(loss, gradient)
        if optimiser.iterations > history:
            own.append(time.perf_counter() - middle)
            evaluating.append(middle - began)
    return float(np.median(own)), sum(own) / (sum(own) + sum(evaluating))


if __name__ == "__main__":
    main()
