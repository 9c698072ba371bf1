"""What each idea gives: full-size-equivalent evaluations until the loss that torch's L-BFGS has after 300.

    python bench/ideas.py [--size 192] [--pairs N] [--bundle DIR] [--save]

Objective `gatys` (see converge.py). An evaluation at a smaller size counts by its pixels; one in the whitened metric counts
in full. Each idea has about 90 equivalents. After the stroke stands its own loss at their end, over torch's. Pixels stay
within 0..255 but for the idea that lets them go; torch's do not, and the loss of the picture that is left of its best point
is given besides.
"""

import contextlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from common import GATYS, Array, load_bundle, machine, markdown, pairs, read, write
from converge import Recorder, with_torch
from nstbatch.runtime.engine.engine import Engine
from nstbatch.runtime.engine.host import Host, available_cores
from nstbatch.runtime.optimizer.choose import RANGE
from nstbatch.runtime.optimizer.lbfgs import LBFGS
from nstbatch.runtime.optimizer.preconditioner import FrequencyPreconditioner, Preconditioner
from nstbatch.runtime.painting.objective import Objective, Targets, balance, encode
from nstbatch.runtime.painting.schedule import DAMPING
from nstbatch.runtime.pictures.pixels import enlarge
from nstbatch.runtime.recipe.size import Size

STEPS = 300
"""Of torch's L-BFGS."""

Stage = tuple[float, int, float | None]
"""Share of the full size, evaluations, damping of the metric."""

MEASURED = 1.75
"""Exponent of the measured ratio of steps to differences of gradients over frequency, between 0.01 and 0.1 per pixel."""


class Steeper(FrequencyPreconditioner):
    """The preconditioner with the spectrum that curvature pairs have late in a run: f to the power -1.75, floor 0.012."""

    def __init__(self, shape: tuple[int, int, int], threads: int = 1) -> None:
        super().__init__(shape, floor=0.012, threads=threads)
        self._filter = self._filter**MEASURED


@dataclass(frozen=True)
class Idea:
    """A way to spend 90 equivalents."""

    name: str
    stages: tuple[Stage, ...]
    history: int = 10
    detail: bool = True
    average: int = 0
    carry: bool = False
    bounds: tuple[float, float] | None = RANGE
    precondition: Callable[..., Preconditioner] | None = FrequencyPreconditioner


def ideas() -> list[Idea]:
    """Those that are compared."""
    coarse: tuple[Stage, ...] = ((1 / 4, 60, None), (1 / 2, 60, None))
    whitened: tuple[Stage, ...] = ((1 / 4, 60, DAMPING), (1 / 2, 60, DAMPING))
    root = 2**-0.5
    return [
        Idea("plain L-BFGS, one size", ((1, 90, None),), precondition=None),
        Idea("frequency preconditioner, one size", ((1, 90, None),)),
        Idea("coarse-to-fine, 60 at each", (*coarse, (1, 71, None))),
        Idea("the same, pixels without bounds", (*coarse, (1, 71, None)), bounds=None),
        Idea("steps of √2", ((1 / 4, 60, None), (1 / 2, 50, None), (root, 40, None), (1, 53, None))),
        Idea("iterations by cost: 240, 120", ((1 / 4, 240, None), (1 / 2, 120, None), (1, 45, None))),
        Idea("no photo's detail added", (*coarse, (1, 71, None)), detail=False),
        Idea("history 20", (*coarse, (1, 71, None)), history=20),
        Idea("steeper preconditioner, as measured", (*coarse, (1, 71, None)), precondition=Steeper),
        Idea("curvature pairs carried across sizes", (*coarse, (1, 71, None)), carry=True),
        Idea("average of the last 5 iterates", (*coarse, (1, 70, None)), average=5),
        Idea("whitened early work", (*whitened, (1, 35, DAMPING), (1, 36, None))),
        Idea("whitened, only at smaller sizes", (*whitened, (1, 71, None))),
        Idea("whitened, one size", ((1, 45, DAMPING), (1, 45, None))),
        Idea("whitened, damping 0.1", ((1 / 4, 60, 0.1), (1 / 2, 60, 0.1), (1, 35, 0.1), (1, 36, None))),
        Idea("whitened, damping 0.005", ((1 / 4, 60, 5e-3), (1 / 2, 60, 5e-3), (1, 35, 5e-3), (1, 36, None))),
        Idea(
            "whitened, damping 0.01, 0.02, 0.1",
            ((1 / 4, 60, 0.01), (1 / 2, 60, 0.01), (1, 25, 0.02), (1, 20, 0.1), (1, 26, None)),
        ),
        Idea("whitened, history 20", (*whitened, (1, 35, DAMPING), (1, 36, None)), history=20),
        Idea("whitened for longer, history 20", (*whitened, (1, 50, DAMPING), (1, 21, None)), history=20),
    ]


@dataclass
class Pair:
    """Photo and style at any size, and their targets."""

    engine: Engine
    photo: Path
    style: Path
    size: int
    _made: dict[int, tuple[Array, Targets]] = field(default_factory=dict)

    def at(self, size: int) -> tuple[Array, Targets]:
        """The photo and the targets at a long side."""
        if size not in self._made:
            photo, style = read(self.photo, size), read(self.style, size)
            targets = Targets(encode(self.engine, photo).contents, encode(self.engine, style).grams)
            self._made[size] = photo, targets
        return self._made[size]


@click.command(help=__doc__)
@click.option("--size", default=192, show_default=True, help="Long side, in pixels.")
@click.option("--pairs", "count", default=3, show_default=True, help="Of photo and style.")
@click.option("--bundle", type=click.Path(path_type=Path), help="Bundle to use.")
@click.option("--save", is_flag=True, help="Keep the table in bench/results/.")
def main(size: int, count: int, bundle: Path | None, save: bool) -> None:
    engine = Engine(load_bundle(bundle), Host(provider="cpu"))
    chosen = dict(list(pairs().items())[:count])
    problems = {name: Pair(engine, photo, style, size) for name, (photo, style) in chosen.items()}
    references = {name: reference(pair) for name, pair in problems.items()}
    found = "; ".join(f"{name} {value:.4g}, of its picture {picture:.4g}" for name, (value, picture) in references.items())
    print(found, flush=True)
    rows = []
    for idea in ideas():
        cells = [cell(try_idea(idea, pair), references[name][0]) for name, pair in problems.items()]
        rows.append([idea.name, *cells])
        print(" | ".join(rows[-1]), flush=True)
    text = (
        f"# What each idea gives\n\n`python bench/ideas.py --size {size} --pairs {count}`: full-size-equivalent evaluations "
        f"until the loss of torch's L-BFGS (history 100) after {STEPS} evaluations, objective `gatys`, long side {size} px, "
        f"float32; after the stroke the idea's own loss over that, at the end of its 90. Torch's losses: {found}.\n\n"
        f"{machine(available_cores())}\n\n" + markdown(["idea", *problems], rows)
    )
    if save:
        write(f"ideas-{size}.md", text)
    else:
        print(text)


def reference(pair: Pair) -> tuple[float, float]:
    """The lowest loss of torch's L-BFGS, and that of the 8-bit picture."""
    photo, targets = pair.at(pair.size)
    weights = balance(GATYS, targets)
    unit = max(*weights.content, *weights.style)
    record = Recorder(Objective(pair.engine, targets, weights), photo.shape, unit, STEPS)
    with contextlib.suppress(StopIteration):
        with_torch(record, photo.copy())
    return min(record.losses), record.picture


def try_idea(idea: Idea, pair: Pair) -> NDArray[np.float64]:
    """Equivalents and the lowest loss of the objective itself at the full size, a row for each evaluation of it."""
    spent, lowest, curve = 0.0, np.inf, []
    before: tuple[Array, Array] | None = None
    pairs: list[tuple[Array, Array]] = []
    for share, evaluations, damping in idea.stages:
        photo, targets = pair.at(round(share * pair.size))
        objective = Objective(pair.engine, targets, balance(GATYS, targets), damping)
        start = photo if before is None else refine(*before, photo, idea.detail)
        shape = photo.shape[1], photo.shape[2], photo.shape[3]
        precondition = idea.precondition and idea.precondition(shape, threads=available_cores())
        optimiser = LBFGS(start, history=idea.history, precondition=precondition, bounds=idea.bounds)
        if idea.carry:
            insert(optimiser, [enlarge_pair(pair, Size.of_array(photo.shape)) for pair in pairs], precondition)
        iterates: list[Array] = []
        visited: list[tuple[Array, Array]] = []
        for _ in range(evaluations):
            if optimiser.done:
                break
            moves = optimiser.iterations
            loss, gradient, terms = objective(optimiser.ask().reshape(photo.shape))
            optimiser.tell(loss, gradient)
            if idea.carry and (optimiser.iterations > moves or not visited):
                visited = [*visited[-idea.history :], (optimiser.x.reshape(photo.shape).copy(), gradient)]
            spent += share**2
            if share == 1 and damping is None:
                lowest = min(lowest, float(terms.sum()))
                curve.append((spent, lowest))
                iterates = [*iterates[-idea.average + 1 :], optimiser.x.copy()] if idea.average else []
        before = optimiser.x.reshape(photo.shape).copy(), photo
        pairs = [(x - old_x, g - old_g) for (old_x, old_g), (x, g) in itertools.pairwise(visited)]
        if iterates:
            mean = np.mean(iterates, axis=0, dtype=np.float32).reshape(photo.shape)
            curve.append((spent + 1, float(objective(mean)[2].sum())))
    return np.array(curve)


def refine(painting: Array, old: Array, photo: Array, detail: bool) -> Array:
    """A painting at the next size, with the photo's detail or without."""
    size = Size.of_array(photo.shape)
    enlarged = enlarge(painting, size)
    return enlarged + (photo - enlarge(old, size)) if detail else enlarged


def enlarge_pair(pair: tuple[Array, Array], size: Size) -> tuple[Array, Array]:
    """A curvature pair at the next size; a pixel's share of the loss shrinks as their number grows."""
    s, y = (enlarge(vector, size) for vector in pair)
    return s, y * np.float32(pair[1].size / y.size)


def insert(optimiser: LBFGS, pairs: list[tuple[Array, Array]], precondition: Preconditioner | None) -> None:
    """Put curvature pairs into an optimiser that has not begun."""
    flat = [(s.reshape(-1), y.reshape(-1)) for s, y in pairs if float(s.reshape(-1) @ y.reshape(-1)) > 0]
    if not flat:
        return
    S, Y = (np.stack(vectors) for vectors in zip(*flat, strict=True))
    W = Y.copy()
    if precondition is not None:
        for w in W:
            precondition.apply(w, out=w)
    state, m = optimiser.state(), len(S)
    state["sy"][:m, :m], state["wy"][:m, :m] = S @ Y.T, W @ Y.T
    rows = np.stack([S, W], axis=1).reshape(2 * m, -1)
    optimiser.restore(state | {"rows": rows, "order": np.arange(m)})


def cell(curve: NDArray[np.float64], target: float) -> str:
    reached = curve[curve[:, 1] <= target]
    needed = f"{reached[0, 0]:.0f}" if len(reached) else f"> {curve[-1, 0]:.0f}"
    return f"{needed} / {curve[-1, 1] / target:.2f}"


if __name__ == "__main__":
    main()
