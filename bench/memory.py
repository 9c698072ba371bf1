"""Peak memory of a painting against the estimate that a run refuses pictures by, and memory over many pictures.

    python bench/memory.py [--sizes 128,256,512] [--pictures 500] [--bundle DIR] [--save]

Each size is painted in a process of its own. Then pictures of as many shapes, up to 160 pixels, are painted in one process,
whose resident memory is read as it goes.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import click
import numpy as np
from PIL import Image

from common import load_bundle, machine, markdown, write
from nstbatch.runtime.bundle.memory import transformed_bytes
from nstbatch.runtime.bundle.spec import FOR_CPU, Bundle
from nstbatch.runtime.engine.providers import thread_count
from nstbatch.runtime.painting.stylizer import Stylizer
from nstbatch.runtime.pictures.photo import Picture
from nstbatch.runtime.planning.budget import Budget
from nstbatch.runtime.recipe.settings import Settings
from nstbatch.runtime.recipe.size import Size

_PAINT = """
import re, sys
from nstbatch.runtime.painting.stylizer import Stylizer
bundle, style, photo, size, threads, provider = sys.argv[1:]
stylizer = Stylizer.open(bundle, style, size=int(size), iterations=15, scales="1", provider=provider, threads=int(threads))
stylizer(photo)
# Not getrusage: its peak is inherited from the process that started this one.
print(int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) * 1024)
"""

_PHOTO = 1.5
"""A photo's side, in units of the size that it is painted at."""


@click.command(help=__doc__)
@click.option("--sizes", default="128,256,512", show_default=True, help="Long sides, in pixels.")
@click.option("--pictures", default=500, show_default=True, help="Pictures to paint in one process.")
@click.option("--bundle", type=click.Path(path_type=Path), help="Bundle to measure.")
@click.option("--provider", default="cpu", show_default=True, help="ONNX Runtime's provider.")
@click.option("--save", is_flag=True, help="Keep the tables in bench/results/.")
def main(sizes: str, pictures: int, bundle: Path | None, provider: str, save: bool) -> None:
    loaded = load_bundle(bundle)
    threads = thread_count(None)
    with tempfile.TemporaryDirectory() as folder:
        rows = [peak(loaded, int(size), provider, threads, Path(folder)) for size in sizes.split(",")]
        flat = over_many(loaded, pictures, provider, threads)
    step = max(1, len(flat) // 10)
    table = [[str(count), f"{resident / 2**20:.0f}"] for count, resident in flat[step - 1 :: step]]
    text = (
        f"# Memory\n\n`python bench/memory.py --sizes {sizes} --pictures {pictures}`, provider {provider}.\n\n"
        f"{machine(threads)}\n\n"
        + markdown(["size", "photo", "peak MiB", "estimate MiB", "estimate / peak"], rows)
        + f"\n{pictures} pictures of {pictures} shapes in one process:\n\n"
        + markdown(["pictures", "resident MiB"], table)
    )
    if save:
        write(f"memory-{provider}.md", text)
    else:
        print(text)


def peak(bundle: Bundle, size: int, provider: str, threads: int, folder: Path) -> list[str]:
    """A row of the table."""
    photo = Size(round(_PHOTO * size), round(_PHOTO * size * 3 / 4))
    path = folder / f"{size}.png"
    noise(photo, size).save(path)
    done = subprocess.run(
        [sys.executable, "-c", _PAINT, str(bundle.path), str(path), str(path), str(size), str(threads), provider],
        capture_output=True,
        text=True,
        check=True,
    )
    estimate = Budget(bundle.manifest.spec, Settings(size=size), 0).need(photo)
    if provider == "cpu" and bundle.has(FOR_CPU):
        estimate += transformed_bytes(bundle.manifest.spec)
    found = int(done.stdout)
    return [
        str(size),
        str(photo),
        f"{found / 2**20:.0f}",
        f"{estimate / 2**20:.0f}",
        f"{estimate / found:.2f}",
    ]


def over_many(bundle: Bundle, count: int, provider: str, threads: int) -> list[tuple[int, int]]:
    """Pictures painted, and resident bytes then; in a process of its own."""
    command = [sys.executable, __file__, "many", str(bundle.path), str(count), provider, str(threads)]
    return [tuple(pair) for pair in json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)]


def many(bundle: str, count: int, provider: str, threads: int) -> list[tuple[int, int]]:
    """What `over_many` runs."""
    shapes = np.random.default_rng(0).permutation([(w, h) for w in range(64, 125, 3) for h in range(34, 67)])[:count]
    with tempfile.TemporaryDirectory() as folder:
        style = Path(folder) / "style.png"
        noise((160, 120), 0).save(style)
        stylizer = Stylizer.open(bundle, style, size=160, iterations=1, provider=provider, threads=threads, cache=folder)
        found = []
        for done, (width, height) in enumerate(shapes, start=1):
            stylizer(Picture(noise((int(width), int(height)), done)))
            found.append((done, int(Path("/proc/self/statm").read_text().split()[1]) * 4096))
    return found


def noise(size: tuple[int, int], seed: int) -> Image.Image:
    """A picture of soft blots."""
    values = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), np.uint8)
    return Image.fromarray(values).resize(size, Image.Resampling.BICUBIC)


if __name__ == "__main__":
    if sys.argv[1:2] == ["many"]:
        print(json.dumps(many(sys.argv[2], int(sys.argv[3]), sys.argv[4], int(sys.argv[5]))))
    else:
        main()
