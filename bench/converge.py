"""Best loss against evaluations: our driver, torch's L-BFGS and SciPy's, on one objective.

    python bench/converge.py [--size 192] [--evaluations 200] [--bundle DIR] [--save]

Objective `gatys`: content relu4_2, mean square x 1; style relu1_1 .. relu5_1, Gram matrices over h·w, mean square
x 1000/C² each; start from the content; max pooling. Every optimiser evaluates the same ONNX graph in float32. Content and
style terms of the best point are shown apart: equal totals need not look alike. `stylizer` is the program itself; it counts,
besides, the evaluations at the smaller sizes by their pixels, and those in the whitened metric, so that its row is the loss
after that many full-size equivalents. The last column is the loss of what a user gets: the best point as an 8-bit picture.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import click
import matplotlib as mpl
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize

from common import GATYS, RESULTS, Array, load_bundle, machine, markdown, pairs, read, torch_lbfgs, write
from nstbatch.runtime.engine.engine import Engine
from nstbatch.runtime.engine.host import Host, available_cores
from nstbatch.runtime.optimizer.choose import RANGE
from nstbatch.runtime.optimizer.lbfgs import LBFGS
from nstbatch.runtime.optimizer.preconditioner import FrequencyPreconditioner
from nstbatch.runtime.painting.objective import Objective, Targets, balance, encode
from nstbatch.runtime.painting.stylizer import Stylizer
from nstbatch.runtime.pictures.photo import Picture
from nstbatch.runtime.pictures.pixels import from_pixels, to_pixels

MARKS = (10, 20, 50, 100, 150, 200, 300)

# What a plain two-loop L-BFGS gave on this objective, measured before this one was written, on a machine of the same kind.
REFERENCE = {
    "plain L-BFGS, m 20, Armijo (reference)": {10: 7.2e7, 20: 3.6e7, 50: 1.17e7, 100: 6.29e6, 150: 4.87e6, 200: 4.19e6}
}


@dataclass
class Recorder:
    """Evaluates, counts, and keeps every loss with its terms."""

    objective: Objective
    shape: tuple[int, ...]
    unit: float
    limit: int
    losses: list[float] = field(default_factory=list)
    best: Array | None = None
    """The point of the lowest loss."""
    terms: list[NDArray[np.float64]] = field(default_factory=list)

    def __call__(self, x: NDArray[np.floating]) -> tuple[float, Array]:
        if len(self.losses) >= self.limit:
            raise StopIteration
        loss, gradient, terms = self.objective(np.asarray(x, np.float32).reshape(self.shape))
        if not self.losses or terms.sum() < min(self.losses):
            self.best = np.array(x, np.float32)
        self.losses.append(float(terms.sum()))
        self.terms.append(terms)
        # Optimisers that look at absolute numbers are given the objective as the authors weigh it.
        return loss * self.unit, gradient.reshape(-1) * np.float32(self.unit)

    @property
    def picture(self) -> float:
        """Loss of the best point as a file holds it: cut off at 0 and 255, in 8 bits."""
        assert self.best is not None, "there has been an evaluation"
        return float(self.objective(np.rint(self.best.clip(*RANGE)).reshape(self.shape))[2].sum())


def ours(
    record: Recorder, start: Array, precondition: bool, history: int, bounds: tuple[float, float] | None = None
) -> None:
    """Our driver."""
    shape = (record.shape[1], record.shape[2], record.shape[3])
    preconditioner = FrequencyPreconditioner(shape) if precondition else None
    optimiser = LBFGS(start, history=history, precondition=preconditioner, bounds=bounds)
    while not optimiser.done:
        optimiser.tell(*record(optimiser.ask()))


def with_torch(record: Recorder, start: Array) -> None:
    """torch.optim.LBFGS as the field uses it: history 100, no line search."""
    x = torch.from_numpy(start.copy().reshape(-1)).requires_grad_()
    optimiser = torch_lbfgs(x, 10**6)

    def closure() -> torch.Tensor:
        loss, gradient = record(x.detach().numpy())
        x.grad = torch.from_numpy(gradient.copy())
        return torch.tensor(loss)

    while True:
        optimiser.step(closure)  # type: ignore[no-untyped-call]


def with_scipy(record: Recorder, start: Array) -> None:
    """SciPy's L-BFGS-B, m = 10, float64 vectors."""

    def function(x: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        loss, gradient = record(x)
        return loss, gradient.astype(np.float64)

    options = {"maxfun": 10**6, "maxiter": 10**6, "maxcor": 10, "ftol": 0, "gtol": 0}
    minimize(function, start.reshape(-1).astype(np.float64), jac=True, method="L-BFGS-B", options=options)


@click.command(help=__doc__)
@click.option("--size", default=192, show_default=True, help="Long side, in pixels.")
@click.option("--evaluations", default=200, show_default=True, help="For each optimiser.")
@click.option("--bundle", type=click.Path(path_type=Path), help="Bundle to use.")
@click.option("--save", is_flag=True, help="Keep table and plot in bench/results/.")
def main(size: int, evaluations: int, bundle: Path | None, save: bool) -> None:
    engine = Engine(load_bundle(bundle), Host(provider="cpu"))
    methods: dict[str, Callable[[Recorder, Array], None]] = {
        "nstbatch, plain, m 20": lambda r, x: ours(r, x, precondition=False, history=20),
        "nstbatch, plain, m 30": lambda r, x: ours(r, x, precondition=False, history=30),
        "nstbatch, frequency preconditioner, m 10": lambda r, x: ours(r, x, precondition=True, history=10),
        "the same, within 0..255": lambda r, x: ours(r, x, precondition=True, history=10, bounds=RANGE),
        "torch.optim.LBFGS, history 100": with_torch,
        "SciPy L-BFGS-B, m 10": with_scipy,
    }
    marks = [m for m in MARKS if m <= evaluations]
    sections, curves = [], {}
    for pair, (photo, style) in pairs().items():
        image, style_image = read(photo, size), read(style, size)
        targets = Targets(encode(engine, image).contents, encode(engine, style_image).grams)
        weights = balance(GATYS, targets)
        rows = []
        for name, method in methods.items():
            record = Recorder(
                Objective(engine, targets, weights), image.shape, max(*weights.content, *weights.style), evaluations
            )
            with contextlib.suppress(StopIteration):
                method(record, image.copy())
            rows.append(row(name, np.array(record.losses), np.array(record.terms), record.picture, marks))
            curves[pair, name] = np.minimum.accumulate(record.losses)
            print(pair, "|", " | ".join(rows[-1]), flush=True)
        rows += [coarse_to_fine(engine, image, style, size, evaluations, marks, whitening) for whitening in ("off", "on")]
        if "starry_night" in pair and size == 192:
            rows += [[n, *(f"{v[m]:.3g}" if m in v else "" for m in marks), "", ""] for n, v in REFERENCE.items()]
        header = ["best loss after", *map(str, marks), "content + style", "of its picture"]
        sections.append(f"## {pair}\n\n" + markdown(header, rows))
    text = (
        f"# Best loss against evaluations\n\n`python bench/converge.py --size {size} --evaluations {evaluations}`: "
        f"objective `gatys` from the content, long side {size} px, float32, every optimiser on the same graph.\n\n"
        f"{machine(available_cores())}\n\n" + "\n".join(sections)
    )
    if save:
        write(f"converge-{size}.md", text)
        plot(curves, size)
    else:
        print(text)


def row(name: str, losses: NDArray[np.float64], terms: NDArray[np.float64], picture: float, marks: list[int]) -> list[str]:
    """A row of the table; the last columns split the best loss, and give that of the 8-bit picture."""
    best = np.minimum.accumulate(losses)
    split = terms[int(np.argmin(losses))]
    cells = [f"{best[min(m, len(best)) - 1]:.3g}" for m in marks]
    return [name, *cells, f"{split[0]:.3g} + {split[1:-1].sum():.3g}", f"{picture:.3g}"]


def coarse_to_fine(
    engine: Engine, image: Array, style: Path, size: int, evaluations: int, marks: list[int], whitening: str
) -> list[str]:
    """The stylizer itself: 48, 96, ... up to the size, with the same number of evaluations at each."""
    scales = [size]
    while scales[0] // 2 >= 48:
        scales.insert(0, scales[0] // 2)
    cost = sum((s / size) ** 2 for s in scales)
    iterations = int(evaluations / cost)
    stylizer = Stylizer.open(
        engine,
        style,
        whitening=whitening,
        size=size,
        scales=scales,
        iterations=iterations,
        content_weight=GATYS.content,
        style_weight=GATYS.style,
        tv_weight=GATYS.tv,
    )
    result = stylizer(Picture(from_pixels(image)))
    last = result.losses.terms[(result.sizes == max(result.sizes)) & ~result.whitened]
    before = round(iterations * cost) - len(last)
    best = np.minimum.accumulate(last.sum(1))
    split = last[int(np.argmin(last.sum(1)))]
    cells = [f"{best[min(m - before, len(best)) - 1]:.3g}" if m > before else "" for m in marks]
    name = f"stylizer, {scales}, whitening {whitening}, {before} equivalents before the objective at full size"
    targets = Targets(encode(engine, image).contents, stylizer.style.grams(size))
    picture = float(Objective(engine, targets, balance(GATYS, targets))(to_pixels(result.picture.rgb))[2].sum())
    return [name, *cells, f"{split[0]:.3g} + {split[1:-1].sum():.3g}", f"{picture:.3g}"]


def plot(curves: dict[tuple[str, str], NDArray[np.float64]], size: int) -> None:
    """Loss against evaluations, one panel for each pair."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    names = list(dict.fromkeys(pair for pair, _ in curves))
    figure, axes = plt.subplots(1, len(names), figsize=(5.5 * len(names), 4), squeeze=False)
    for axis, pair in zip(axes[0], names, strict=True):
        for (p, name), best in curves.items():
            if p == pair:
                axis.loglog(np.arange(1, len(best) + 1), best, label=name)
        axis.set(title=f"{pair}, {size} px", xlabel="evaluations", ylabel="best loss")
        axis.legend(fontsize=7)
    figure.tight_layout()
    RESULTS.mkdir(parents=True, exist_ok=True)
    figure.savefig(RESULTS / f"converge-{size}.png", dpi=110)


if __name__ == "__main__":
    main()
