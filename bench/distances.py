"""What an evaluation costs by each style distance, over that of Gram matrices: on the CPU provider, in turns, medians.

python bench/distances.py [--sizes 256,512] [--repeats 9] [--save]
"""

from dataclasses import replace
from functools import partial

import click
import numpy as np

from common import machine, markdown, pairs, read, seconds, write
from nstbatch.cli.actions.bundles import BundleRequest, find_bundle
from nstbatch.runtime.bundle.spec import GRAM, STYLE_DISTANCES, BundleSpec
from nstbatch.runtime.engine.engine import Engine
from nstbatch.runtime.engine.host import Host, available_cores
from nstbatch.runtime.painting.objective import Objective, encode, weigh
from nstbatch.runtime.recipe.settings import Settings
from nstbatch.runtime.recipe.size import Size


@click.command(help=__doc__)
@click.option("--sizes", default="256,512", show_default=True, help="Long sides, in pixels.")
@click.option("--repeats", default=9, show_default=True)
@click.option("--save", is_flag=True, help="Keep the table in bench/results/.")
def main(sizes: str, repeats: int, save: bool) -> None:
    photo, style = next(iter(pairs().values()))
    engines = {
        distance: Engine(find_bundle(BundleRequest(spec=BundleSpec(style_distance=distance))), Host(provider="cpu"))
        for distance in STYLE_DISTANCES
    }
    rows = []
    for size in map(int, sizes.split(",")):
        content, target = read(photo, size), read(style, size)
        objectives = {}
        for distance, engine in engines.items():
            targets = replace(encode(engine, content), grams=encode(engine, target).grams)
            weights = weigh(Settings(), engine.bundle.manifest.spec, Size.of_array(content.shape))
            objectives[distance] = Objective(engine, targets, weights)
            objectives[distance](content)
        found: dict[str, list[float]] = {distance: [] for distance in objectives}
        for _ in range(repeats):
            for distance, objective in objectives.items():
                found[distance].append(seconds(partial(objective, content)))
        medians = {distance: float(np.median(times)) for distance, times in found.items()}
        for distance, median in medians.items():
            rows.append([str(size), distance, f"{median:.3f}", f"{median / medians[GRAM]:.2f}"])
            print(*rows[-1], flush=True)
        for engine in engines.values():
            engine.release()
    heads = ["long side", "style distance", "s an evaluation", "over that of Gram matrices"]
    text = (
        f"# Style distances\n\n`python bench/distances.py --sizes {sizes} --repeats {repeats}`\n\n"
        f"{machine(available_cores())}\n\n{markdown(heads, rows)}"
    )
    if save:
        write("distances-cpu.md", text)


if __name__ == "__main__":
    main()
