"""What ending a scale early costs: evaluations, time and loss of eight pairs for several tolerances, and the paintings.

python bench/tolerance.py [--size 256] [--save]
"""

import itertools
from pathlib import Path

import click
import numpy as np
from PIL import Image

from common import ROOT, SHARED, load_bundle, machine, markdown, write
from nstbatch.runtime.engine.engine import Engine
from nstbatch.runtime.engine.host import Host, available_cores
from nstbatch.runtime.painting.stylizer import Stylizer
from nstbatch.runtime.pictures.contact_sheet import contact_sheet

TOLERANCES = (0.0, 0.001, 0.002, 0.004, 0.008)


def pairs() -> list[tuple[Path, Path]]:
    """Photos and styles: four and two real ones where the project's shared data are at hand, else samples."""
    samples = ROOT / "samples"
    if SHARED.is_dir():
        photos = [
            SHARED / "tubingen.jpg",
            SHARED / "golden_gate.jpg",
            *(samples / "photos" / f"{n}.jpg" for n in ("town", "tree")),
        ]
        styles = [SHARED / "starry_night.jpg", SHARED / "the_scream.jpg"]
    else:
        photos, styles = sorted((samples / "photos").iterdir()), [samples / "starry.jpg", samples / "mosaic.jpg"]
    return list(itertools.product(photos[:4], styles))


@click.command(help=__doc__)
@click.option("--size", default=256, show_default=True, help="Long side, in pixels.")
@click.option("--save", is_flag=True, help="Keep the table and the sheet of paintings in bench/results/.")
def main(size: int, save: bool) -> None:
    engine = Engine(load_bundle(None), Host(provider="cpu"))
    losses, seconds, work = (np.zeros((len(TOLERANCES), len(pairs()))) for _ in range(3))
    pictures: list[list[Image.Image | None]] = []
    for j, (photo, style) in enumerate(pairs()):
        pictures.append([])
        # Alternating: every tolerance of a pair meets the same moods of the machine.
        for i, tolerance in enumerate(TOLERANCES):
            result = Stylizer.open(engine, style, size=size, tolerance=tolerance)(photo)
            losses[i, j], seconds[i, j] = result.losses.total[result.sizes == result.sizes[-1]].min(), result.seconds
            work[i, j] = ((result.sizes / size) ** 2).sum()
            pictures[-1].append(result.image)
            print(
                f"{photo.stem} x {style.stem}, {tolerance}: {work[i, j]:.1f}, {losses[i, j]:.4g}, {seconds[i, j]:.1f} s",
                flush=True,
            )
    rows = []
    for i, tolerance in enumerate(TOLERANCES):
        excess = losses[i] / losses[0] - 1
        rows.append(
            [
                f"{tolerance:g}",
                f"{np.median(work[i]):.1f}",
                f"{np.median(seconds[i]):.1f}",
                f"{np.median(seconds[i] / seconds[0]):.2f}",
                f"{100 * np.median(excess):+.1f} %",
                f"{100 * excess.max():+.1f} %",
            ]
        )
    header = ["tolerance", "evaluations at full size", "seconds", "of those without", "loss, median", "loss, worst"]
    text = (
        f"# Ending a scale early\n\n`python bench/tolerance.py --size {size}`: medians over {len(pairs())} pairs.\n\n"
        f"{machine(available_cores())}\n\n{markdown(header, rows)}"
    )
    if save:
        write(f"tolerance-{size}.md", text)
        rows_of_sheet = [f"{photo.stem} x {style.stem}" for photo, style in pairs()]
        sheet = contact_sheet(pictures, rows_of_sheet, [f"{tolerance:g}" for tolerance in TOLERANCES])
        sheet.save(ROOT / "bench" / "results" / f"tolerance-{size}.jpg", quality=85)
    else:
        print(text)


if __name__ == "__main__":
    main()
