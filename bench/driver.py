"""What a batch costs besides painting: memory and time of one driver for many pictures.

    python bench/driver.py [--count 100000] [--report] [--save]

The photos are links to one small file, and the painters give back a ready file of `--bytes` at once: what is left is
listing, items, plan, saving (staged, synced, journalled, renamed), and a second run that finds all done. The rates are what
`bench/scale_out.py` takes. With `--report` the thumbnails and the page are made as well.
"""

import os
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import numpy as np
from PIL import Image

from common import machine, markdown, pairs, write
from nstbatch.cli.report.page import rebuild
from nstbatch.runtime.batch.batch import Batch
from nstbatch.runtime.engine.host import available_cores
from nstbatch.runtime.files.location import absolute
from nstbatch.runtime.files.reading import sha256_file, stamp_of
from nstbatch.runtime.output.journal import Entry, Journal, now
from nstbatch.runtime.output.lock import hold
from nstbatch.runtime.painting.stylizer import Facts
from nstbatch.runtime.pictures.encoding import encode_picture
from nstbatch.runtime.pictures.photo import Picture
from nstbatch.runtime.planning.discovery import discover
from nstbatch.runtime.planning.placement import Destination, make_items
from nstbatch.runtime.planning.plan import Task, TaskState, make_plan
from nstbatch.runtime.recipe.fingerprint import Recipe, Subject
from nstbatch.runtime.recipe.settings import Settings
from nstbatch.runtime.stop import Stop
from nstbatch.runtime.workers.interface import Ending, Painted, Procedure, ProgressListener


class ReadyPainters:
    """`Painters` that have painted before they are asked."""

    sharing, rate, by_shape, free = 1, None, False, True

    def __init__(self, data: bytes, photo: Path) -> None:
        self.facts = Facts(Settings(), Recipe(("0" * 64,), "0" * 64, Settings(), None), False, "cpu", None, ())
        self._data = data
        self._sha256 = sha256_file(photo)
        self._ended: list[Ending] = []

    @property
    def busy(self) -> bool:
        return bool(self._ended)

    def open(self, procedure: Procedure, stop: Stop, progress: ProgressListener) -> None:
        pass

    def submit(self, task: Task, following: Task | None) -> None:
        item, recipe = task.item, self.facts.recipe
        fingerprint = recipe.fingerprint(Subject(self._sha256, task.size.long_side, item.format, style=item.style))
        entry = Entry(
            target=item.key,
            source=str(absolute(item.source)),
            outcome="painted",
            reason="all iterations done",
            finished=now(),
            nstbatch="0",
            fingerprint=fingerprint,
            asked=fingerprint,
            photo_sha256=self._sha256,
            photo_stamp=stamp_of(item.source),
            long_side=max(task.size),
            loss=1.0,
            evaluations=100,
            seconds=3.6,
            curve=[[float(i), 1.0, 1.0, 1.0] for i in range(48)],
        )
        self._ended.append(Painted(task, self._data, entry))

    def receive(self, *, wait: bool) -> list[Ending]:
        ended, self._ended = self._ended, []
        return ended

    def close(self) -> None:
        pass


@click.command(help=__doc__)
@click.option("--count", default=100_000, show_default=True, help="Pictures.")
@click.option("--bytes", "size", default=200_000, show_default=True, help="Of a painting, roughly.")
@click.option("--report", "with_report", is_flag=True, help="Make the report, too.")
@click.option("--folder", type=click.Path(path_type=Path), help="On whose disk to work.  [default: the temporary one]")
@click.option("--save", is_flag=True, help="Keep the table in bench/results/.")
def main(count: int, size: int, with_report: bool, folder: Path | None, save: bool) -> None:
    rows: list[list[str]] = []

    @contextmanager
    def stage(name: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        seconds = time.perf_counter() - began
        resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        rows.append([name, f"{seconds:.1f}", f"{1e6 * seconds / count:.0f}", f"{count / seconds:.0f}", f"{resident:.0f}"])
        print(" | ".join(rows[-1]), flush=True)

    _, style = next(iter(pairs().values()))
    with tempfile.TemporaryDirectory(dir=folder) as name:
        photos, output = Path(name, "in"), Path(name, "out")
        photo = make_photos(photos, count)
        data = painting(size)
        painters = ReadyPainters(data, photo)
        with stage("nothing yet"):
            pass
        for run in ("first", "second"):
            with stage(f"{run} run: listing"):
                inputs = discover([photos], styles=[style])
            with stage(f"{run} run: items"):
                items = make_items(inputs, [style], Destination(output=output))
            with hold([output]):
                with stage(f"{run} run: reading the journal"):
                    journals = {output: Journal.read(output)}
                with stage(f"{run} run: plan"):
                    plan = make_plan(items, journals, painters.facts.recipe)
                assert plan.count(TaskState.TODO) == (count if run == "first" else 0), "all or none"
                with stage(f"{run} run: saving" if run == "first" else "second run: nothing to do"):
                    ended = sum(1 for _ in Batch(plan, painters, journals).run())
                assert ended == count, "a row for each"
                if run == "first":
                    # The second is a run of its own.
                    del inputs, items, plan, journals
        journal = journals[output].path.stat().st_size / 2**20
        if with_report:
            with stage("report, with all thumbnails"):
                rebuild(output)
    text = (
        f"# A driver's share\n\n`python bench/driver.py --count {count} --bytes {size}"
        f"{' --report' if with_report else ''}`. {machine(available_cores())}\n\n{count:,} pictures, paintings of "
        f"{len(data):,} bytes, a journal of {journal:.0f} MiB.\n\n"
        + markdown(["stage", "s", "µs a picture", "pictures/s", "largest resident set so far, MiB"], rows)
    )
    if save:
        write("driver.md", text)
    else:
        print(text)


def make_photos(folder: Path, count: int) -> Path:
    """So many names of one small photo; a file of a disk takes 65,000 links or fewer."""
    folder.mkdir()
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8))
    first = folder / "0.jpg"
    for number in range(count):
        path = folder / f"{number}.jpg"
        if number % 30_000 == 0:
            image.save(path)
            original = path
        else:
            os.link(original, path)
    return first


def painting(size: int) -> bytes:
    """A file of about that many bytes."""
    side = max(32, int((size / 1.2) ** 0.5))
    noise = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
    return encode_picture(Picture(Image.fromarray(noise)), ".jpg").data


if __name__ == "__main__":
    main()
