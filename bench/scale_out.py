"""An estimate for many pictures on many GPUs, by simulation from what was measured: what breaks first?

    python bench/scale_out.py [--pictures 10000000] [--gpus 1000] [--save]

Workers paint, each picture for a time around `--painting`; one driver takes what is painted, in order, saves it and hands
out the next, and a worker waits for both. That is all there is to simulate: everything else is a product. The defaults of
the driver's times are those of bench/results/driver.md and cluster-cpu.md, and of the painting what a picture of 512 pixels
took on an H100 (docs/gpu-hosts.md); the network's are assumptions, and said to be.
"""

import heapq
from collections.abc import Callable

import click
import numpy as np

from common import markdown, write

_BUSY = 0.95
"""Share of its time that a GPU is to paint."""

_BEGIN, _END = 10, 40
"""What is looked at, in the time of a picture: until then the workers get out of step."""


_PAGE = """# {pictures} pictures on {gpus} GPUs

`{command}`: an estimate, by simulation. Nothing of this was run at that size. Measured were the driver's times, on two cores
and one disk (driver.md, cluster-cpu.md), and a picture's on one H100: {painting} s at 512 pixels. Assumed: {page_s} s for a
thousand objects of a listing, {request_s} s for a request.

If no GPU ever waited it would take {ideal} hours, {rate} pictures a second. One driver that saves and hands out, workers
that wait for it, painting times that scatter by a third:

{table}
## What breaks first

1. **The driver's saving.** It is one thread. A picture costs it {saving} ms on a disk, for two syncs, and {handling} ms of
   CPU with Ray; on an object store it waits for three requests. The last column says what to do: so many drivers, each with
   a shard of its own and its part of the GPUs.

{drivers}
2. **Its memory.** {resident} KiB a picture, {memory} GiB for all of them in one driver. Every shard makes the items of all
   photos before it leaves out the others', and reads the journals of all: shards do not make that smaller.
3. **The journal.** Reading all lines takes {lines} minutes at the start of a run.
4. **The listing.** On a disk {planning} minutes, with items and plan. On an object store {listing} minutes, in one line, by
   every shard; and headers, 32 at a time, {headers} hours in one driver, which shards do share.
5. **The report.** Thumbnails take {thumbnails} ms even of tiny photos, {thumbnail_hours} hours in one thread; the page shows
   5,000 rows.

Ray's own limits were not met: two workers are not a thousand.

## What would be changed

- With what is there: `--shard`, a driver for {least} GPUs or fewer, `--quiet`, and folders of a million photos rather than
  one of all.
- Then, in the order of what it would bring: saving on several threads, with one sync of the journal for many lines (group
  commit); workers that upload by themselves and send back only the line; a shard that leaves out names while it lists, and
  reads its own journal alone; a journal compacted by target (SQLite), so that a start reads what changed.
"""


@click.command(help=__doc__)
@click.option("--pictures", default=10_000_000, show_default=True)
@click.option("--gpus", default=1000, show_default=True)
@click.option("--painting", default=3.6, show_default=True, help="Seconds of a picture on a GPU.")
@click.option(
    "--saving", default=1.2, show_default=True, help="Milliseconds of a picture: staged, synced, journalled, renamed."
)
@click.option("--handling", default=13.0, show_default=True, help="Milliseconds of a picture: the driver's CPU, with Ray.")
@click.option(
    "--thumbnails", default=10.6, show_default=True, help="Milliseconds of a picture in a report; more for large ones."
)
@click.option("--planning", default=0.16, show_default=True, help="Milliseconds of a picture: listing, items, plan.")
@click.option("--reading", default=0.03, show_default=True, help="Milliseconds of a line of the journal.")
@click.option("--resident", default=2.7, show_default=True, help="KiB of a picture in the driver: plan and journal.")
@click.option("--page", default=0.15, show_default=True, help="Seconds of a thousand objects of a listing. An assumption.")
@click.option("--request", default=0.03, show_default=True, help="Seconds of a request to an object store. An assumption.")
@click.option("--save", is_flag=True, help="Keep the page in bench/results/.")
def main(
    pictures: int,
    gpus: int,
    painting: float,
    saving: float,
    handling: float,
    thumbnails: float,
    planning: float,
    reading: float,
    resident: float,
    page: float,
    request: float,
    save: bool,
) -> None:
    ways = {
        "no report": (saving + handling) / 1000,
        "with a report": (saving + handling + thumbnails) / 1000,
        "object store, no report": handling / 1000 + 3 * request,
    }
    header = ["GPUs of one driver", *(f"{name}: GPUs at work" for name in ways), "pictures/s that they could paint"]
    rows = []
    for count in sorted({1, 10, 30, 100, 300, gpus}):
        shares = [utilisation(count, painting, service) for service in ways.values()]
        rows.append([str(count), *(f"{100 * share:.0f} %" for share in shares), f"{count / painting:.0f}"])
    ideal = pictures * painting / gpus / 3600
    drivers = []
    for name, service in ways.items():
        most = largest(gpus, lambda count, service=service: utilisation(count, painting, service) >= _BUSY)
        drivers.append([name, f"{1000 * service:.0f}", f"{1 / service:.0f}", str(most), str(-(-gpus // most))])
    values = {
        "pictures": f"{pictures:,}",
        "gpus": f"{gpus:,}",
        "command": f"python bench/scale_out.py --pictures {pictures} --gpus {gpus}",
        "painting": painting,
        "page_s": page,
        "request_s": request,
        "ideal": f"{ideal:.1f}",
        "rate": f"{gpus / painting:.0f}",
        "table": markdown(header, rows),
        "saving": saving,
        "handling": handling,
        "drivers": markdown(["driver", "ms a picture", "pictures/s", "GPUs kept 95 % busy", "drivers for all"], drivers),
        "resident": resident,
        "memory": f"{pictures * resident / 2**20:.0f}",
        "lines": f"{pictures * reading / 60_000:.0f}",
        "planning": f"{pictures * planning / 60_000:.0f}",
        "listing": f"{pictures / 1000 * page / 60:.0f}",
        "headers": f"{pictures * 2 * request / 32 / 3600:.1f}",
        "thumbnails": thumbnails,
        "thumbnail_hours": f"{pictures * thumbnails / 3.6e6:.0f}",
        "least": min(int(row[3]) for row in drivers),
    }
    text = _PAGE.format(**values)
    if save:
        write("scale-out.md", text)
    else:
        print(text)


def largest(top: int, holds: Callable[[int], bool]) -> int:
    """The largest whole number up to ``top`` for which something holds that holds for all below it; at least 1."""
    low, high = 1, top
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if holds(middle) else (low, middle - 1)
    return low


def utilisation(workers: int, painting: float, service: float) -> float:
    """Share of their time in which workers paint, with one driver that serves them in order.

    Args:
        workers: of them.
        painting: mean seconds of a picture; they are scattered as a lognormal distribution with a third of that.
        service: seconds of the driver for a picture.
    """
    rng = np.random.default_rng(0)
    sigma = np.log1p(1 / 9) ** 0.5
    begin, end = _BEGIN * painting, _END * painting
    # All begin at random within a picture's time.
    ready = [(float(moment), worker) for worker, moment in enumerate(rng.uniform(0, painting, workers))]
    heapq.heapify(ready)
    free, worked = 0.0, 0.0
    while ready[0][0] < end:
        moment, worker = heapq.heappop(ready)
        free = max(free, moment) + service
        done = free + painting * float(rng.lognormal(-(sigma**2) / 2, sigma))
        worked += max(0.0, min(done, end) - max(free, begin))
        heapq.heappush(ready, (done, worker))
    return worked / (workers * (end - begin))


if __name__ == "__main__":
    main()
