"""Seconds and memory of an evaluation, of a picture in one piece and in tiles.

    python bench/tiling.py [--sizes 1024,2048] [--tile 1024] [--limit GIB] [--bundle DIR] [--save]
    python bench/tiling.py --fits

Each is a process of its own, in turns: a square photo, two evaluations at its own size. Memory is the most that the process
had of its own (RssAnon), without the files that it maps. With --limit the process gets so many GiB, by a control group of
memory (version 1, as root), and tiles alone are tried, of the size that nstbatch chooses. --fits evaluates nothing: it
prints the largest square that a plan allows, by the memory that there is.
"""

import json
import os
import subprocess
import sys
import threading
import time
from bisect import bisect
from pathlib import Path

import click
import numpy as np
from PIL import Image

from nstbatch.runtime.bundle.spec import Bundle, BundleSpec
from nstbatch.runtime.engine.host import available_cores
from nstbatch.runtime.painting.painting import Progress
from nstbatch.runtime.painting.stylizer import Stylizer
from nstbatch.runtime.painting.tiling import tile_size
from nstbatch.runtime.pictures.photo import Picture
from nstbatch.runtime.planning.budget import Budget
from nstbatch.runtime.recipe.settings import ORIGINAL, Settings
from nstbatch.runtime.recipe.size import Size

SAMPLES = Path(__file__).resolve().parents[1] / "samples"

GROUP = Path("/sys/fs/cgroup/memory/nstbatch-bench")


@click.command(help=__doc__)
@click.option("--sizes", default="1024,2048", show_default=True, help="Sides, in pixels.")
@click.option("--tile", default=1024, show_default=True, help="Most pixels of a tile's side.")
@click.option("--limit", type=float, help="Memory of each process, in GiB.")
@click.option("--fits", is_flag=True, help="Print what fits where, by a plan's budget.")
@click.option("--bundle", type=click.Path(path_type=Path), help="Bundle to evaluate.")
@click.option("--save", is_flag=True, help="Keep the table in bench/results/.")
def main(sizes: str, tile: int, limit: float | None, fits: bool, bundle: Path | None, save: bool) -> None:
    # Here: PyTorch has no place in the memory that is measured.
    from common import load_bundle, machine, markdown, write

    if fits:
        print(markdown(["GiB", "in one piece", "in tiles", "of a side of"], [_fitting(gib) for gib in (4, 8, 16, 32, 80)]))
        return
    path = load_bundle(bundle).path
    rows = []
    for size in map(int, sizes.split(",")):
        if limit is None:
            whole, tiled = (measured(path, size, choice, None) for choice in ("off", str(tile)))
            ratio = f"{tiled['seconds'] / whole['seconds']:.2f}"
            rows.append([str(size), *_cells(whole), *_cells(tiled), ratio])
        else:
            found = measured(path, size, "auto", limit)
            rows.append([str(size), str(found["tile"]), *_cells(found)])
        print(*rows[-1], flush=True)
    if limit is None:
        header = ["side", "whole, s", "whole, GiB", f"tiles of {tile}, s", "tiles, GiB", "times as long"]
        command, name = f"python bench/tiling.py --sizes {sizes} --tile {tile}", "tiling-cpu.md"
    else:
        header = ["side", "tile's side", "s", "GiB"]
        command, name = f"python bench/tiling.py --sizes {sizes} --limit {limit:g}", f"tiling-{limit:g}gib.md"
    text = f"# An evaluation in tiles\n\n`{command}`\n\n{machine(available_cores())}\n\n{markdown(header, rows)}"
    if save:
        write(name, text)


def _fitting(gib: int) -> list[str]:
    """Sides of the largest squares, in one piece and in tiles, by VGG-19 with a style of 512 pixels."""
    spec, settings, free = BundleSpec(), Settings(size=ORIGINAL, style_size=512), gib * 2**30
    tile = tile_size(spec, free)

    def largest(budget: Budget) -> str:
        sides = range(32, 40_000)
        return str(sides[bisect(sides, False, key=lambda side: not budget.fits(Size(side, side))) - 1])

    return [
        str(gib),
        largest(Budget(spec, settings, free)),
        largest(Budget(spec, settings, free, tile=tile)),
        str(tile.side),
    ]


def measured(bundle: Path, size: int, tile: str, limit: float | None) -> dict[str, float]:
    """What `evaluate` prints in a process of its own."""
    if limit is not None:
        GROUP.mkdir(exist_ok=True)
        (GROUP / "memory.limit_in_bytes").write_text(str(int(limit * 2**30)))
    command = [sys.executable, __file__, "evaluate", str(bundle), str(size), tile, "" if limit is None else str(GROUP)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def evaluate(bundle: Path, size: int, tile: str, group: str) -> None:
    """Evaluate twice, and print seconds, memory and the tile's side."""
    if group:
        (Path(group) / "cgroup.procs").write_text(str(os.getpid()))
    most = [0]
    threading.Thread(target=_watch, args=(most,), daemon=True).start()
    photo = Picture(Image.open(SAMPLES / "photos" / "town.jpg").convert("RGB").resize((size, size)))
    times: list[float] = []

    def note(_: Progress) -> None:
        times.append(time.perf_counter())

    stylizer = Stylizer.open(
        Bundle.load(bundle),
        SAMPLES / "starry.jpg",
        size=size,
        iterations=2,
        scales="1",
        whitening="off",
        provider="cpu",
        tile=int(tile) if tile.isdigit() else tile,
    )
    stylizer(photo, note)
    side = stylizer.tiling.size.side if stylizer.tiling.size else 0
    print(json.dumps({"seconds": float(np.diff(times)[-1]), "bytes": most[0], "tile": side}))


def _watch(most: list[int]) -> None:
    while True:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                most[0] = max(most[0], int(line.split()[1]) * 1024)
        time.sleep(0.05)


def _cells(found: dict[str, float]) -> list[str]:
    return [f"{found['seconds']:.1f}", f"{found['bytes'] / 2**30:.1f}"]


if __name__ == "__main__":
    if sys.argv[1:2] == ["evaluate"]:
        evaluate(Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4], sys.argv[5])
    else:
        main()
