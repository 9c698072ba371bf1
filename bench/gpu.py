"""A short turn on a GPU: what an evaluation costs there, alone and in whole paintings, against PyTorch on the same card.

    bench/gpu.sh [WHEELS] [--provider cuda] [--sizes 256,512,1024] [--budget 600] [--save]

One process. Each row is printed as soon as it is known, and with `--save` kept in bench/results/ at once; when the budget of
seconds is used up, the rest is left out. What fails says so, the next goes on, and the exit code is 1. Warm-up and
measurement are on one thread. By size:

- `placement`: the nodes of a step by the provider that runs them.
- `agreement`: relative difference of the gradient from the CPU provider's.
- `gradient alone`, `step alone`: milliseconds of 100 replays in a row, with nothing read between them.
- `kernel`: the kernels of a step that take most of a run's time, and how often one runs, by PyTorch's profiler, which sees
  all that a process launches.
- `PyTorch`: evaluations/s with torch's own L-BFGS as the field uses it (history 100), eager and, at 512 pixels, compiled.
- `painting`: evaluations/s and pictures/h of whole paintings, one at a time, two in turns and several in lock-step, with
  `--scales 1`; `idle` is 1 less the rate times the seconds of a step alone: the share of the time that a card could spare.
- `busy`: of the same painting under the profiler, the share of the time in which no kernel ran and nothing was copied.
- `to PyTorch's loss`: seconds of a picture by this program's own schedule that is at least as good as PyTorch's after
  `--iterations` evaluations, by the loss of the 8-bit picture in float32 on the CPU provider, and those that PyTorch took.

With `--provider cpu` it runs anywhere, to try it.
"""

import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import numpy as np
import torch

from common import (
    GATYS,
    ITERATIONS,
    Array,
    at_once,
    load_bundle,
    machine,
    markdown,
    pairs,
    plain_loss,
    read,
    torch_lbfgs,
    torch_objective,
    write,
)
from nstbatch.cli.actions.bundles import DEFAULT, BundleRequest, find_bundle
from nstbatch.runtime.bundle.spec import GRADIENT, STEP, Bundle, BundleSpec
from nstbatch.runtime.engine.binding import BoundGraph
from nstbatch.runtime.engine.engine import Engine, dimensions
from nstbatch.runtime.engine.forms import form_for
from nstbatch.runtime.engine.host import Host, available_cores
from nstbatch.runtime.engine.installed import import_onnxruntime
from nstbatch.runtime.engine.providers import OnnxRuntime
from nstbatch.runtime.engine.sessions import PROVIDERS, provider_chain
from nstbatch.runtime.optimizer.choose import RANGE
from nstbatch.runtime.optimizer.preconditioner import FrequencyPreconditioner
from nstbatch.runtime.optimizer.step_vectors import StepVectors
from nstbatch.runtime.painting.agreement import FULL_TRIAL, check_agreement
from nstbatch.runtime.painting.lockstep import LockStep
from nstbatch.runtime.painting.objective import Objective, Targets, balance, encode
from nstbatch.runtime.painting.painting import PhotoJob, Progress
from nstbatch.runtime.painting.stylizer import Stylizer
from nstbatch.runtime.painting.turns import Turns
from nstbatch.runtime.pictures.photo import Picture
from nstbatch.runtime.pictures.pixels import from_pixels, to_pixels
from nstbatch.runtime.recipe.provider import AUTO

HEADER = ["size", "what", "how", "ms", "evaluations/s", "pictures/h", "idle", "loss or note"]

FAILED = "failed"

REPLAYS = 100

WARM_UP = 3
"""Runs before those that are timed: ONNX Runtime captures in the third."""

PROFILED = 20
"""Runs, or iterations, under the profiler."""

KERNELS = 12
"""Shown of a step."""


@dataclass
class Table:
    """Rows, kept as they come, until the budget is used up."""

    title: str
    budget: float
    file: str | None
    rows: list[list[str]] = field(default_factory=list)
    failed: bool = False
    began: float = field(default_factory=time.perf_counter)

    def add(self, size: int, rows: Iterator["Row"]) -> None:
        """Take rows."""
        while time.perf_counter() - self.began < self.budget:
            row = next(rows, None)
            if row is None:
                return
            self.failed = self.failed or row.how == FAILED
            self.rows.append([str(size), *row.cells()])
            print(" | ".join(self.rows[-1]), flush=True)
            if self.file:
                write(self.file, self.title + markdown(HEADER, self.rows))
        print(f"{size}: the budget of {self.budget:g} s is used up", flush=True)


@dataclass(frozen=True)
class Row:
    """A row of the table."""

    what: str
    how: str
    milliseconds: float | None = None
    rate: float | None = None
    hourly: float | None = None
    idle: float | None = None
    note: str = ""

    def cells(self) -> list[str]:
        def shown(value: float | None, form: str) -> str:
            return "" if value is None else format(value, form)

        numbers = (
            shown(self.milliseconds, ".3f"),
            shown(self.rate, ".1f"),
            shown(self.hourly, ".0f"),
            shown(self.idle, ".0%"),
        )
        return [self.what, self.how, *numbers, self.note]


@dataclass
class Problem:
    """One photo and style at one size, bundles by precision, and the judge of paintings."""

    size: int
    provider: str
    iterations: int
    bundles: Mapping[str, Bundle]
    photo: Array
    style: Array
    style_path: Path
    targets: Targets
    judge: Objective
    step: dict[str, float] = field(default_factory=dict)
    """Milliseconds of a step alone, by precision."""
    reached: list[tuple[str, float, float]] = field(default_factory=list)
    """How PyTorch was run, the loss of its picture, and its seconds."""

    @classmethod
    def of(cls, size: int, provider: str, iterations: int, bundles: Mapping[str, Bundle]) -> "Problem":
        photo_path, style_path = next(iter(pairs().values()))
        photo, style = read(photo_path, size), read(style_path, size)
        engine = Engine(bundles["float32"], Host(provider="cpu"))
        targets = Targets(encode(engine, photo).contents, encode(engine, style).grams)
        judge = Objective(engine, targets, balance(GATYS, targets))
        return cls(size, provider, iterations, bundles, photo, style, style_path, targets, judge)

    def engine(self, precision: str, **host: Any) -> Engine:
        """An engine that takes steps."""
        vectors = {"vectors": "device"} if self.provider == "cpu" else {}
        return Engine(self.bundles[precision], Host(provider=self.provider, **vectors, **host), precision)

    def loss(self, image: Array) -> float:
        """Of an 8-bit picture."""
        return float(self.judge(image).terms.sum())

    def stylizer(self, engine: Engine, precision: str, **options: Any) -> Stylizer:
        """That paints as PyTorch does, unless options say otherwise."""
        weights = {"content_weight": GATYS.content, "style_weight": GATYS.style, "tv_weight": GATYS.tv}
        plain = {"scales": "1", "whitening": "off", "iterations": self.iterations}
        return Stylizer.open(
            engine, self.style_path, **{"precision": precision, "size": self.size} | weights | plain | options
        )

    @property
    def picture(self) -> Picture:
        return Picture(from_pixels(self.photo))


@click.command(help=__doc__)
@click.option("--provider", default="cuda", show_default=True, help="Execution provider.")
@click.option("--sizes", default="256,512,1024", show_default=True, help="Long sides, in pixels.")
@click.option("--iterations", default=300, show_default=True, help="Evaluations of each picture.")
@click.option("--budget", default=600.0, show_default=True, help="Seconds, for all of it.")
@click.option("--bundle", type=click.Path(path_type=Path), help="Bundle to measure; one beside it that ends in -fp16, too.")
@click.option("--save", is_flag=True, help="Keep the table in bench/results/.")
def main(provider: str, sizes: str, iterations: int, budget: float, bundle: Path | None, save: bool) -> None:
    card = torch.cuda.get_device_name() if provider != "cpu" and torch.cuda.is_available() else "no GPU"
    title = (
        f"# On a GPU\n\n`bench/gpu.sh --provider {provider} --sizes {sizes} --iterations {iterations} --budget {budget:g}`. "
        f"{card}.\n\n{machine(available_cores())}\n\n"
    )
    table = Table(title, budget, f"gpu-{provider}.md" if save else None)
    # On a CPU float16 is converted to and fro.
    full, half = load_bundle(bundle), None if provider == "cpu" else load_half(bundle)
    precisions = OnnxRuntime().precisions(provider)
    bundles = dict.fromkeys(precisions, full) | ({"fp16": half} if half else {})
    for size in map(int, sizes.split(",")):
        table.add(size, measured(Problem.of(size, provider, iterations, bundles)))
    raise SystemExit(int(table.failed))


def measured(problem: Problem) -> Iterator[Row]:
    """All rows of a size. Each section is made only when it is come to, and one that fails leaves the next."""
    sections: list[Callable[[Problem], Iterator[Row]]] = [
        placement,
        agreement,
        alone,
        kernels,
        in_torch,
        paintings,
        busy,
        to_torchs_loss,
        by_default,
    ]
    for section in sections:
        try:
            yield from section(problem)
        except Exception as error:
            text = " ".join(str(error).split())[:300]
            yield Row(section.__name__, FAILED, note=f"{type(error).__name__}: {text}")


def placement(problem: Problem) -> Iterator[Row]:
    """Which provider runs the nodes of a step."""
    ort = import_onnxruntime()
    options = ort.SessionOptions()
    options.log_severity_level = 3
    bound = Alone(problem, "float32", STEP)
    for name, size in bound.sizes.items():
        options.add_free_dimension_override_by_name(name, size)
    options.enable_profiling = True
    with TemporaryDirectory() as folder:
        options.profile_file_prefix = f"{folder}/profile"
        graph = str(problem.bundles["float32"].graph(bound.graph))
        session = ort.InferenceSession(graph, options, provider_chain(problem.provider, "float32", 0))
        session.run(
            None, {name: value if isinstance(value, np.ndarray) else value.read() for name, value in bound.feeds.items()}
        )
        events = json.loads(Path(session.end_profiling()).read_text())
    nodes = [event["args"] for event in events if event.get("args", {}).get("provider")]
    kernels = {(node["provider"], node["node_index"]): node["op_name"] for node in nodes}
    for provider in dict.fromkeys(provider for provider, _ in kernels):
        found = [operator for (runs, _), operator in kernels.items() if runs == provider]
        named = "" if provider == PROVIDERS[problem.provider] else ", ".join(sorted(set(found)))
        yield Row("placement", provider, note=f"{len(found)} nodes {named}".strip())


def agreement(problem: Problem) -> Iterator[Row]:
    """How far a step is from the CPU provider's."""
    for precision in problem.bundles:
        for found in check_agreement(problem.engine(precision), [precision], FULL_TRIAL):
            yield Row("agreement", precision, note=f"gradient {found.gradient:.1e}, loss {found.loss:.1e}")


def alone(problem: Problem) -> Iterator[Row]:
    """Replays of the gradient and of a step; on CUDA captured, and also in the other layout."""
    layouts = (False, True) if problem.provider == "cuda" else (False,)
    for precision in problem.bundles:
        for graph in (GRADIENT, STEP):
            for nhwc in layouts:
                replays = REPLAYS if problem.provider == "cuda" else 3
                milliseconds = Alone(problem, precision, graph, nhwc=nhwc).milliseconds(replays)
                how = precision + (", NHWC" if nhwc else "")
                if graph == STEP and not nhwc:
                    problem.step[precision] = milliseconds
                yield Row(f"{graph} alone", how, milliseconds, 1000 / milliseconds)


class Alone:
    """A graph bound to one picture."""

    def __init__(self, problem: Problem, precision: str, graph: str, *, nhwc: bool = False, captured: bool = True) -> None:
        engine = problem.engine(precision)
        objective = Objective(engine, problem.targets, balance(GATYS, problem.targets))
        vectors = StepVectors(engine.place, problem.photo, 10, FrequencyPreconditioner((3, *problem.photo.shape[2:])), RANGE)
        fixed = objective.fixed if graph == GRADIENT else {**objective.fixed, **vectors.constants}
        self.graph, fixed = form_for(engine.provider, engine.bundle, graph, fixed)
        rows = vectors.rows
        if graph == GRADIENT:
            changing: dict[str, Any] = {"image": engine.place.put(problem.photo)}
        else:
            changing = {"rows": rows, "control": engine.place.put(vectors.trial.control)}
        self.feeds = {**fixed, **changing}
        self.sizes = dimensions(self.feeds)
        self._kept = {"rows_written": rows} if graph == STEP else {}
        captured = captured and engine.provider == "cuda"
        chain_of = provider_chain(engine.provider, precision, 0, cuda_graphs=captured)
        if nhwc:
            chain_of[0][1]["prefer_nhwc"] = "1"
        self._arguments = str(engine.bundle.graph(self.graph)), chain_of, fixed, changing, engine.place
        self._on_gpu, self._captured = engine.provider == "cuda", captured

    def milliseconds(self, replays: int) -> float:
        """Of a run, of so many after the first ones."""
        path, providers, fixed, changing, place = self._arguments
        ort = import_onnxruntime()
        options = ort.SessionOptions()
        options.log_severity_level = 3
        for name, size in self.sizes.items():
            options.add_free_dimension_override_by_name(name, size)
        session = ort.InferenceSession(path, options, providers, enable_fallback=False)
        run = ort.RunOptions()
        if self._captured:
            run.add_run_config_entry("gpu_graph_id", "1")
        outputs = {
            each.name: place.empty(tuple(each.shape)) for each in session.get_outputs() if each.name not in self._kept
        }
        bound = BoundGraph(session, place, fixed, run)
        for _ in range(WARM_UP):
            bound(changing, self._kept | outputs)
        began = time.perf_counter()
        for _ in range(replays):
            bound(changing, self._kept | outputs)
        if self._on_gpu and torch.cuda.is_available():
            torch.cuda.synchronize()
        return 1000 * (time.perf_counter() - began) / replays


def kernels(problem: Problem) -> Iterator[Row]:
    """On which kernels the time of a step goes, in each precision."""
    for precision in problem.bundles:
        bound = Alone(problem, precision, STEP, captured=False)
        bound.milliseconds(1)
        with profiled() as events:
            bound.milliseconds(PROFILED)
        times: defaultdict[str, list[float]] = defaultdict(list)
        for event in events:
            times[event.name].append(event.time_range.elapsed_us() / 1000)
        runs = PROFILED + WARM_UP
        for name, found in sorted(times.items(), key=lambda each: -sum(each[1]))[:KERNELS]:
            yield Row("kernel", precision, sum(found) / runs, note=f"{len(found) / runs:g} of {name[:100]}")


def busy(problem: Problem) -> Iterator[Row]:
    """Whether the device waits, as the profiler sees it."""
    for precision in problem.bundles:
        stylizer = problem.stylizer(problem.engine(precision), precision, iterations=PROFILED)
        stylizer(problem.picture)
        with profiled() as events:
            stylizer(problem.picture)
        spans = sorted((event.time_range.start, event.time_range.end) for event in events)
        if spans:
            worked, end = 0.0, spans[0][0]
            for first, last in spans:
                worked += max(0.0, last - max(first, end))
                end = max(end, last)
            yield Row("busy", precision, idle=1 - worked / (end - spans[0][0]))


@contextmanager
def profiled() -> Iterator[list[Any]]:
    """What the device does meanwhile, as events of PyTorch's profiler; they are there at the end."""
    events: list[Any] = []
    with torch.profiler.profile() as profile:
        yield events
    events += [event for event in profile.events() or () if event.device_type == torch.autograd.DeviceType.CUDA]


def in_torch(problem: Problem) -> Iterator[Row]:
    """PyTorch with its own L-BFGS."""
    device = "cuda" if problem.provider != "cpu" and torch.cuda.is_available() else "cpu"
    ways = [("float32", False), ("tf32", False), ("fp16", False)] if device == "cuda" else [("float32", False)]
    if problem.size == 512 and device == "cuda":
        ways.append(("tf32", True))
    for precision, compiled in ways:
        rate, wall, image = torch_loop(problem, device, precision, compiled=compiled)
        how = precision + (", compiled" if compiled else ", eager")
        loss = problem.loss(image)
        problem.reached.append((how, loss, wall))
        yield Row("PyTorch", how, rate=rate, hourly=3600 / wall, note=f"{loss:.4g}")


def torch_loop(problem: Problem, device: str, precision: str, *, compiled: bool) -> tuple[float, float, Array]:
    """Evaluations a second, wall seconds, and the 8-bit picture."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision != "float32"
    torch.backends.cudnn.benchmark = True
    objective = torch_objective(problem.bundles["float32"].manifest.spec)
    objective.network.weights = objective.network.weights.to(torch.device(device))
    layout = torch.channels_last if precision == "fp16" else torch.contiguous_format
    photo, style = (torch.from_numpy(image.copy()).to(device) for image in (problem.photo, problem.style))
    with torch.no_grad():
        contents, grams = objective.encode(photo)[0], objective.encode(style)[1]
    flat = [GATYS.content] * len(contents) + [GATYS.style / gram.shape[1] ** 2 for gram in grams]
    weights = torch.tensor(flat, device=device)
    pixels = photo.clone().requires_grad_()
    function = torch.compile(plain_loss) if compiled else plain_loss
    optimiser = torch_lbfgs(pixels, 3)
    made = 0

    def closure() -> torch.Tensor:
        nonlocal made
        made += 1
        optimiser.zero_grad()
        with torch.autocast("cuda", torch.float16) if precision == "fp16" else nullcontext():
            # Not the pixels themselves: PyTorch's L-BFGS takes no gradient in that layout.
            loss = function(objective, pixels.contiguous(memory_format=layout), contents, grams, weights)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    def run(count: int) -> float:
        nonlocal made, optimiser
        made = 0
        optimiser = torch_lbfgs(pixels, count)
        began = time.perf_counter()
        while made < count:
            optimiser.step(closure)  # type: ignore[no-untyped-call]
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - began

    run(3)
    pixels.data.copy_(photo)
    wall = run(problem.iterations)
    return made / wall, wall, np.rint(pixels.detach().cpu().numpy().clip(0, 255))


def paintings(problem: Problem) -> Iterator[Row]:
    """Whole paintings: one at a time in each precision; in the quickest, two in turns and several in lock-step."""
    quickest = list(problem.bundles)[-1]
    ways = [(precision, 1, False) for precision in problem.bundles]
    ways += [(quickest, 2, False), (quickest, 4, True), (quickest, 8, True)]
    for precision, count, together in ways:
        engine = problem.engine(precision)
        problem.stylizer(engine, precision, iterations=5)(problem.picture)
        stylizer = problem.stylizer(engine, precision)
        stylizer.agree()
        began = time.perf_counter()
        painted = (in_lock_step if together else in_turns)(stylizer, problem.picture, count)
        wall = time.perf_counter() - began
        rate = count * problem.iterations / wall
        idle = 1 - rate * problem.step[precision] / 1000 if precision in problem.step else None
        how = precision + (f", {count} in lock-step" if together else f", {count} in turns" if count > 1 else "")
        how += f", not captured: {engine.not_captured}" if engine.not_captured else ""
        yield Row("painting", how, rate=rate, hourly=3600 * count / wall, idle=idle, note=f"{problem.loss(painted):.4g}")


def in_turns(stylizer: Stylizer, picture: Picture, count: int) -> Array:
    """Paint so many on this thread, of which each is evaluated while the others wait for the host; one of them."""
    turns, batch = Turns(), [stylizer.begin(PhotoJob(picture)) for _ in range(count)]
    steps = {painting: Future[Progress]() for painting in batch}
    while steps:
        turns.step([*steps.items()])
        for painting in [painting for painting, step in steps.items() if step.done()]:
            steps.pop(painting).result()
            if not painting.done:
                steps[painting] = Future()
    return to_pixels(batch[0].result().picture.rgb)


def in_lock_step(stylizer: Stylizer, picture: Picture, count: int) -> Array:
    """Paint so many as one batch; one of them."""
    lock, batch = LockStep(), [stylizer.begin(PhotoJob(picture)) for _ in range(count)]
    while not batch[0].done:
        at_once(lock, batch)
    return to_pixels(batch[0].result().picture.rgb)


def to_torchs_loss(problem: Problem) -> Iterator[Row]:
    """By this program's own schedule, to the best loss that PyTorch came to."""
    how, target, wall = min(problem.reached, key=lambda each: each[1])
    for precision in problem.bundles:
        engine = problem.engine(precision)
        for iterations in ITERATIONS:
            stylizer = problem.stylizer(engine, precision, iterations=iterations, scales="auto", whitening="auto")
            stylizer.agree()
            result = stylizer(problem.picture)
            loss = problem.loss(to_pixels(result.picture.rgb))
            if loss <= target:
                break
        note = f"{loss:.4g}, {iterations} iterations, {result.seconds:.2f} s; PyTorch {how} {target:.4g}, {wall:.2f} s"
        yield Row("to PyTorch's loss", precision, hourly=3600 / result.seconds, note=note)


def by_default(problem: Problem) -> Iterator[Row]:
    """What the program does by itself, whose style distance takes no TF32; in float16, and by Gram matrices."""
    for spec in (DEFAULT, replace(DEFAULT, precision="fp16"), BundleSpec()):
        engine = Engine(find_bundle(BundleRequest(spec=spec)), Host(provider=problem.provider), AUTO)
        stylizer = Stylizer.open(engine, problem.style_path, size=problem.size)
        stylizer.agree()
        stylizer(problem.picture)
        result = stylizer(problem.picture)
        how = f"{spec.style_distance}, {' and '.join(stylizer.precisions)}"
        rate = result.evaluations / result.seconds
        yield Row("nstbatch, its defaults", how, rate=rate, hourly=3600 / result.seconds)


def load_half(named: Path | None) -> Bundle | None:
    """The fp16 bundle: beside a named one, ending in ``-fp16``; else the cache's."""
    if named is None:
        return find_bundle(BundleRequest(spec=BundleSpec(precision="fp16")), note=print, step=print)
    beside = named.with_name(named.name + "-fp16")
    return Bundle.load(beside) if beside.exists() else None


if __name__ == "__main__":
    main()
