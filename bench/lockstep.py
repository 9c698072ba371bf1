"""Steps of several pictures with one evaluation for all of them, against one after the other.

    python bench/lockstep.py [--provider cpu] [--precision float32] [--sizes 64,...,512] [--pictures 4] [--save]

Whole iterations, L-BFGS included, of as many paintings either way, in one process and in turn; medians.
"""

from functools import partial
from pathlib import Path

import click
import numpy as np

from common import at_once, load_bundle, machine, markdown, pairs, read, seconds, write
from nstbatch.runtime.engine.engine import Engine
from nstbatch.runtime.engine.host import Host, available_cores
from nstbatch.runtime.painting.lockstep import LockStep
from nstbatch.runtime.painting.painting import Painting, PhotoJob
from nstbatch.runtime.painting.stylizer import Stylizer
from nstbatch.runtime.pictures.photo import Picture
from nstbatch.runtime.pictures.pixels import from_pixels


@click.command(help=__doc__)
@click.option("--provider", default="cpu", show_default=True, help="Execution provider.")
@click.option("--precision", default="float32", show_default=True, help="Of the network.")
@click.option("--sizes", default="64,96,128,192,256,512", show_default=True, help="Long sides, in pixels.")
@click.option("--pictures", default=4, show_default=True, help="Of a batch.")
@click.option("--repeats", default=15, show_default=True, help="Iterations that are measured.")
@click.option("--bundle", type=click.Path(path_type=Path), help="Bundle to measure.")
@click.option("--save", is_flag=True, help="Keep the table in bench/results/.")
def main(provider: str, precision: str, sizes: str, pictures: int, repeats: int, bundle: Path | None, save: bool) -> None:
    engine = Engine(load_bundle(bundle), Host(provider=provider), precision)
    photo, style = next(iter(pairs().values()))
    rows = []
    for size in map(int, sizes.split(",")):
        stylizer = Stylizer.open(
            engine, style, precision=precision, size=size, scales="1", iterations=repeats + 2, whitening="off"
        )
        picture = Picture(from_pixels(read(photo, size)))
        one_by_one, joint = ([stylizer.begin(PhotoJob(picture)) for _ in range(pictures)] for _ in range(2))
        lock = LockStep()
        ways = partial(in_turn, one_by_one), partial(at_once, lock, joint)
        times = [[seconds(way) for way in ways] for _ in range(repeats + 2)]
        alone, together = 1000 * np.median(times[2:], axis=0) / pictures
        rows.append([str(size), f"{alone:.1f}", f"{together:.1f}", f"{alone / together:.2f}"])
        print(" | ".join(rows[-1]), flush=True)
    text = (
        f"# In lock-step\n\n`python bench/lockstep.py --provider {provider} --precision {precision} --sizes {sizes} "
        f"--pictures {pictures}`: an iteration of a picture.\n\n{machine(available_cores())}\n\n"
        + markdown(["px", "ms alone", f"ms in a batch of {pictures}", "ratio"], rows)
    )
    if save:
        write(f"lockstep-{engine.provider}-{precision}.md", text)
    else:
        print(text)


def in_turn(paintings: list[Painting]) -> None:
    for painting in paintings:
        painting.step()


if __name__ == "__main__":
    main()
