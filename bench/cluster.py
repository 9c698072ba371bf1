"""What Ray costs: a cluster of this host with two workers of one thread each against this process with two threads.

    python bench/cluster.py [--size 192] [--count 12] [--iterations 10] [--rounds 3] [--save]

The same photos, alternately, each time into a new folder; the engines are started once, and that is told apart. `overhead`
is the time of the workers in which no picture was painted, for each picture: submitting, bringing back, saving, waiting for
the last one. Memory is the resident set of a worker when the last picture is done, and what of it is not shared.
"""

import statistics
import tempfile
import time
from pathlib import Path

import click
import psutil

from common import load_bundle, machine, markdown, pairs, read, write
from nstbatch.runtime.batch.batch import Batch
from nstbatch.runtime.engine.host import Host
from nstbatch.runtime.output.journal import Journal
from nstbatch.runtime.output.lock import hold
from nstbatch.runtime.painting.stylizer import Stylizer
from nstbatch.runtime.pictures.pixels import from_pixels
from nstbatch.runtime.pictures.styles import Styles
from nstbatch.runtime.planning.discovery import discover
from nstbatch.runtime.planning.placement import Destination, make_items
from nstbatch.runtime.planning.plan import make_plan
from nstbatch.runtime.recipe.settings import Settings
from nstbatch.runtime.workers.interface import Painters
from nstbatch.runtime.workers.local import LocalPainters
from nstbatch.runtime.workers.ray_cluster import MakeElsewhere, RayPainters


@click.command(help=__doc__)
@click.option("--size", default=192, show_default=True, help="Long side, in pixels.")
@click.option("--count", default=12, show_default=True, help="Pictures.")
@click.option("--iterations", default=10, show_default=True, help="Of each scale.")
@click.option("--rounds", default=3, show_default=True, help="Of each engine.")
@click.option("--save", is_flag=True, help="Keep the table in bench/results/.")
def main(size: int, count: int, iterations: int, rounds: int, save: bool) -> None:
    bundle = load_bundle(None)
    photo_path, style_path = next(iter(pairs().values()))
    settings = {"size": size, "iterations": iterations}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "in").mkdir()
        for number in range(count):
            from_pixels(read(photo_path, size + number)).save(folder / "in" / f"{number}.png")
        began = time.perf_counter()
        local = LocalPainters(Stylizer.open(bundle, style_path, provider="cpu", threads=2, **settings))
        starts = [time.perf_counter() - began]
        began = time.perf_counter()
        make = MakeElsewhere(
            bundle,
            Styles.read([style_path]),
            Settings(size=size, iterations=iterations),
            Host(provider="cpu", cache=folder / "cache"),
        )
        with RayPainters(make, workers=2, threads=1) as ray:
            starts.append(time.perf_counter() - began)
            engines: list[tuple[str, Painters, int]] = [
                ("this process, 2 threads", local, 1),
                ("Ray, 2 workers of 1 thread", ray, 2),
            ]
            found: list[list[tuple[float, float, float]]] = [[], []]
            for number in range(rounds + 1):
                for (_, painters, workers), times in zip(engines, found, strict=True):
                    wall, painting, busy = run(painters, folder, style_path, f"{workers}-{number}")
                    # The first round makes the sessions.
                    times += [(wall, (workers * wall - painting) / count, busy / count)] if number else []
            memory = ["", *worker_memory()]
    rows = []
    for (title, _, _), times, start, taken in zip(engines, found, starts, memory, strict=False):
        walls = [row[0] for row in times]
        wall, overhead, busy = (statistics.median(row[i] for row in times) for i in range(3))
        spread = f"{min(walls):.1f} to {max(walls):.1f}"
        rows.append(
            [
                title,
                f"{start:.1f}",
                f"{wall:.1f} ({spread})",
                f"{wall / count:.2f}",
                f"{1000 * overhead:.0f}",
                f"{1000 * busy:.0f}" if taken else "",
                taken,
            ]
        )
    ratio = statistics.median(a[0] / b[0] for a, b in zip(found[1], found[0], strict=True))
    text = (
        f"# Ray on one host\n\n`python bench/cluster.py --size {size} --count {count} --iterations {iterations} --rounds "
        f"{rounds}`: {count} pictures of {size} pixels. {machine(2)}\n\nRay's time to that of this process, median of the "
        f"rounds: {ratio:.2f}.\n\n"
        + markdown(
            [
                "engine",
                "start, s",
                "wall, s (least to most)",
                "s a picture",
                "overhead, ms a picture",
                "driver's CPU, ms a picture",
                "memory of a worker",
            ],
            rows,
        )
    )
    if save:
        write("cluster-cpu.md", text)
    else:
        print(text)


def run(painters: Painters, folder: Path, style: Path, name: str) -> tuple[float, float, float]:
    """Wall seconds, those in which pictures were painted, and those of the CPU that this process took."""
    output = folder / name
    items = make_items(discover([folder / "in"], styles=[style]), [style], Destination(output=output))
    with hold([output]):
        journals = {output: Journal.read(output)}
        plan = make_plan(items, journals, painters.facts.recipe)
        began, before = time.perf_counter(), time.process_time()
        assert all(row.loss is not None for row in Batch(plan, painters, journals).run()), "all are painted"
        wall = time.perf_counter() - began
        busy = time.process_time() - before
    return wall, sum(entry.seconds for entry in journals[output].painted.values()), busy


def worker_memory() -> list[str]:
    """Of Ray's workers, resident and unshared, in MiB."""
    found = []
    for process in psutil.Process().children(recursive=True):
        if " ".join(process.cmdline()).startswith("ray::_Worker"):
            memory = process.memory_full_info()
            found.append(f"{memory.rss / 2**20:.0f} MiB, {memory.uss / 2**20:.0f} of its own")
    return found[:1]


if __name__ == "__main__":
    main()
