"""How right the time left is that a run tells, at its first tenth and later.

python bench/pace.py [--save]
"""

import tempfile
import time
from pathlib import Path

import click
import numpy as np
from PIL import Image

from common import ROOT, load_bundle, machine, markdown, write
from nstbatch.cli.watchers.pace import Pace
from nstbatch.runtime.batch.batch import Batch
from nstbatch.runtime.engine.host import available_cores
from nstbatch.runtime.output.journal import Journal
from nstbatch.runtime.output.lock import hold
from nstbatch.runtime.painting.stylizer import Stylizer
from nstbatch.runtime.planning.discovery import discover
from nstbatch.runtime.planning.placement import Destination, make_items
from nstbatch.runtime.planning.plan import make_plan
from nstbatch.runtime.workers.local import LocalPainters

MARKS = (0.1, 0.25, 0.5, 0.75)
"""Shares of a run's time at which it is asked."""


def photos(folder: Path, count: int, size: int) -> None:
    """Photos of many shapes, a third of them smaller than what is optimised."""
    rng = np.random.default_rng(0)
    samples = sorted((ROOT / "samples" / "photos").iterdir())
    for index in range(count):
        low, high = (0.4, 0.9) if index % 3 == 0 else (1.0, 4.0)
        width, height = (round(size * rng.uniform(low, high)) for _ in range(2))
        Image.open(samples[index % len(samples)]).resize((width, height)).save(folder / f"{index:03d}.jpg")


@click.command(help=__doc__)
@click.option("--size", default=160, show_default=True, help="Long side, in pixels.")
@click.option("--count", default=16, show_default=True, help="Photos.")
@click.option("--iterations", default=20, show_default=True, help="Evaluations at each scale.")
@click.option("--overlap", default=1, show_default=True, help="Pictures at a time.")
@click.option("--save", is_flag=True, help="Keep the table in bench/results/.")
def main(size: int, count: int, iterations: int, overlap: int, save: bool) -> None:
    style = ROOT / "samples" / "starry.jpg"
    stylizer = Stylizer.open(load_bundle(None), style, provider="cpu", size=size, iterations=iterations)
    told: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as name:
        folder, output = Path(name) / "in", Path(name) / "out"
        folder.mkdir()
        photos(folder, count, size)
        items = make_items(discover([folder], styles=[style]), [style], Destination(output=output))
        with hold([output]):
            journals = {output: Journal.read(output)}
            plan = make_plan(items, journals, stylizer.facts.recipe)
            pace = Pace(plan, stylizer.settings)
            began = time.monotonic()
            batch = Batch(plan, LocalPainters(stylizer, overlap=overlap), journals)

            def progress(item, step, _):  # type: ignore[no-untyped-def]
                pace.progress(item, step.fraction)
                left = pace.seconds_left
                if left is not None:
                    told.append((time.monotonic() - began, left))

            for row in batch.run(lambda task: pace.started(task.item), progress):
                pace.finished(row.item, row.outcome)
            seconds = time.monotonic() - began
    rows = []
    for mark in MARKS:
        at, left = next(pair for pair in told if pair[0] >= mark * seconds)
        truth = seconds - at
        rows.append([f"{mark:.0%}", f"{at:.0f}", f"{left:.0f}", f"{truth:.0f}", f"{100 * (left / truth - 1):+.0f} %"])
    text = (
        f"# The time left\n\n`python bench/pace.py --size {size} --count {count} --iterations {iterations} "
        f"--overlap {overlap}`: {count} photos of many shapes, a third of them smaller than that, in {seconds:.0f} s.\n\n"
        f"{machine(available_cores())}\n\n" + markdown(["of the run", "after s", "told s left", "were left", "off"], rows)
    )
    if save:
        write("pace-cpu.md", text)
    else:
        print(text)


if __name__ == "__main__":
    main()
