"""Seconds and memory against pixels, and against the number of pictures.

    python bench/scale.py [--sizes 128,...,1536] [--counts 4,8,16,32] [--provider cpu] [--bundle DIR] [--save]

A size is measured in a process of its own: the median of one iteration (evaluation and L-BFGS step), and the peak of its
memory. A number of pictures is one run of the whole program over a folder, with decoding and encoding, and without start-up:
a run that finds them all done is subtracted. The exponents are of a straight line through the logarithms.
"""

import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import matplotlib as mpl
import numpy as np
from PIL import Image

from common import RESULTS, load_bundle, machine, markdown, pairs, write
from nstbatch.runtime.bundle.spec import Bundle
from nstbatch.runtime.engine.host import available_cores

_STEPS = """
import re, sys, time
import numpy as np
from pathlib import Path
from PIL import Image
from nstbatch.runtime.painting.stylizer import Stylizer
from nstbatch.runtime.images import Picture
bundle, style, photo, size, provider = sys.argv[1:]
size = int(size)
stylizer = Stylizer.open(bundle, style, provider=provider, size=size, scales="1", iterations=14)
picture = Picture(Image.open(photo).convert("RGB").resize((size, size * 3 // 4)))
painting = stylizer.begin(PhotoJob(picture))
times = []
while not painting.done:
    began = time.perf_counter()
    painting.step()
    times.append(time.perf_counter() - began)
status = Path("/proc/self/status").read_text()
print(np.median(times[6:]), int(re.search(r"VmHWM:\\s+(\\d+)", status)[1]) / 1024)
"""


@click.command(help=__doc__)
@click.option("--sizes", default="128,192,256,384,512,768,1024,1536", show_default=True, help="Long sides, in pixels.")
@click.option("--counts", default="4,8,16,32", show_default=True, help="Numbers of pictures.")
@click.option("--provider", default="cpu", show_default=True, help="Execution provider.")
@click.option("--bundle", type=click.Path(path_type=Path), help="Bundle to use.")
@click.option("--save", is_flag=True, help="Keep table and plot in bench/results/.")
def main(sizes: str, counts: str, provider: str, bundle: Path | None, save: bool) -> None:
    loaded = load_bundle(bundle)
    by_size = []
    for size in map(int, sizes.split(",")):
        by_size.append((size * (size * 3 // 4), *step(loaded, size, provider)))
        print(size, by_size[-1], flush=True)
    by_count = [(count, folder(loaded, count, provider)) for count in map(int, counts.split(","))]
    pixels, seconds, memory = np.array(by_size).T
    numbers, spent = np.array(by_count, float).T
    counted = [[f"{n}", f"{s:.1f}", f"{s / n:.2f}"] for n, s in by_count]
    rows = [[f"{p:.0f}", f"{s:.4f}", f"{1e6 * s / p:.2f}", f"{m:.0f}"] for p, s, m in by_size]
    text = (
        f"# Seconds and memory against size and number\n\n`python bench/scale.py --sizes {sizes} --counts {counts} "
        f"--provider {provider}`.\n\n{machine(available_cores())}\n\n"
        + markdown(["pixels", "s an iteration", "µs a pixel", "peak MiB"], rows)
        + f"\nExponent of seconds against pixels: {exponent(pixels, seconds):.3f}.\n\n"
        + markdown(["pictures", "s without start-up", "s a picture"], counted)
        + f"\nExponent of seconds against pictures: {exponent(numbers, spent):.3f}.\n"
    )
    if save:
        write(f"scale-{provider}.md", text)
        plot(pixels, seconds, memory, provider)
    else:
        print(text)


def exponent(x: np.ndarray, y: np.ndarray) -> float:
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def step(bundle: Bundle, size: int, provider: str) -> tuple[float, float]:
    """Seconds of an iteration, and MiB."""
    photo, style = next(iter(pairs().values()))
    command = [sys.executable, "-c", _STEPS, bundle.path, style, photo, size, provider]
    done = subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True)
    seconds, memory = done.stdout.split()
    return float(seconds), float(memory)


def folder(bundle: Bundle, count: int, provider: str) -> float:
    """Seconds of a run over so many pictures, less those of one that finds them done."""
    photo, style = next(iter(pairs().values()))
    with TemporaryDirectory() as name:
        photos = Path(name, "photos")
        photos.mkdir()
        image = Image.open(photo).convert("RGB")
        for index in range(count):
            # Another photo each, and for the program nothing that it has seen.
            image.crop((index, index, image.width - 64 + index, image.height - 64 + index)).save(photos / f"{index}.jpg")
        command = [sys.executable, "-c", "from nstbatch.cli import main; main()", photos, "--style", style, "--quiet"]
        command += ["--bundle", bundle.path, "--provider", provider, "--size", 128, "--scales", 1, "--iterations", 20]
        times = []
        for _ in range(2):
            began = time.perf_counter()
            subprocess.run([str(part) for part in command], check=True)
            times.append(time.perf_counter() - began)
    return times[0] - times[1]


def plot(pixels: np.ndarray, seconds: np.ndarray, memory: np.ndarray, provider: str) -> None:
    """Both against pixels."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.5))
    for axis, values, label in zip(axes, (seconds, memory), ("seconds an iteration", "peak MiB"), strict=True):
        axis.loglog(pixels, values, "o-")
        axis.set(xlabel="pixels", ylabel=label)
    axes[0].loglog(pixels, seconds[-1] * pixels / pixels[-1], "--", label="linear")
    axes[0].legend()
    figure.tight_layout()
    figure.savefig(RESULTS / f"scale-{provider}.png", dpi=110)


if __name__ == "__main__":
    main()
