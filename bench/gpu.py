"""Evaluations a second and pictures an hour on a GPU: this program in every way that it can, and PyTorch eager.

    python bench/gpu.py [--provider cuda] [--sizes 256,512,1024] [--overlaps 1,2,4,8] [--iterations 300] [--save]

Every row paints the same photo `--pictures` times at one size, `--scales 1`, objective `gatys`, without decoding and
encoding: in each precision with the optimiser's vectors on the host, for each overlap; then in the quickest precision with
vectors on the device, with CUDA graphs, with both, and in lock-step. `idle` is the share of the wall time in which no graph
is under way, transfers counted as such; `matrix rate` the share of the card's own rate of float32, TF32 or float16
products, measured in the same run, that convolutions and Gram matrices have. Peers on the same card: PyTorch eager with
torch's L-BFGS as the field uses it (history 100), cuDNN's benchmark on; and pastiche (PyPI) as a whole program, where it is
installed, with this program's own schedule (scales and whitening as by default) at the iterations a scale that first reach
pastiche's loss. The last column is the loss of the 8-bit picture, by one float32 evaluation on the CPU provider.

With `--provider cpu` it runs anywhere, to try it. To a host without a network that has PyTorch, NumPy and onnx, carry the
wheels of nstbatch, onnxruntime-gpu, click, filelock, onnx-ir, onnxscript, pastiche, pillow, platformdirs and scipy.
"""

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock

import click
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from common import (
    GATYS,
    ITERATIONS,
    Array,
    at_once,
    gigaflop,
    load_bundle,
    machine,
    markdown,
    pairs,
    pastiche,
    plain_loss,
    read,
    torch_lbfgs,
    torch_objective,
    write,
)
from nstbatch.cli.actions.bundles import DEFAULT, BundleRequest, find_bundle
from nstbatch.runtime.bundle.spec import Bundle
from nstbatch.runtime.engine.binding import Buffer
from nstbatch.runtime.engine.engine import Engine, Evaluate
from nstbatch.runtime.engine.host import Host, available_cores
from nstbatch.runtime.painting.lockstep import LockStep
from nstbatch.runtime.painting.objective import Objective, Targets, balance, encode
from nstbatch.runtime.painting.painting import PhotoJob
from nstbatch.runtime.painting.stylizer import Stylizer
from nstbatch.runtime.pictures.photo import Picture
from nstbatch.runtime.pictures.pixels import from_pixels, to_pixels
from nstbatch.runtime.recipe.provider import Precision


class Clocked(Engine):
    """Knows when evaluations were under way."""

    def __init__(self, bundle: Bundle, provider: str, way: "Way") -> None:
        host = Host(provider=provider, vectors=way.vectors, cuda_graphs=way.cuda_graphs)
        super().__init__(bundle, host, way.precision)
        self._lock = Lock()
        self._under_way = 0
        self._since = 0.0
        self.busy = 0.0
        """Seconds in which at least one graph was under way."""
        self.evaluations = 0

    def bind(self, graph: str, fixed: Mapping[str, Array], precision: str = "float32") -> Evaluate:
        """See `Engine`."""
        evaluate = super().bind(graph, fixed, precision)

        def clocked(changing: Mapping[str, Array | Buffer], kept: Mapping[str, Buffer] | None = None) -> list[Array]:
            images = changing["image"].shape[0] if graph == "gradient" else 0
            with self._clocked(images):
                return evaluate(changing, kept)

        return clocked

    @contextmanager
    def _clocked(self, images: int) -> Iterator[None]:
        with self._lock:
            if not self._under_way:
                self._since = time.perf_counter()
            self._under_way += 1
        try:
            yield
        finally:
            with self._lock:
                self._under_way -= 1
                self.evaluations += images
                if not self._under_way:
                    self.busy += time.perf_counter() - self._since


@dataclass(frozen=True)
class Way:
    """How to paint."""

    precision: str
    overlap: int = 1
    vectors: str = "host"
    cuda_graphs: bool = False
    lock_step: bool = False
    scales: str = "1"
    whitening: str = "off"

    def __str__(self) -> str:
        extras = [f"vectors on the {self.vectors}"] if self.vectors != "host" else []
        extras += ["CUDA graphs"] * self.cuda_graphs + ["lock-step"] * self.lock_step
        extras += [f"scales {self.scales}"] * (self.scales != "1")
        return ", ".join([self.precision, *extras])


@dataclass
class Problem:
    """One photo and style at one size, and the judge of its paintings."""

    size: int
    photo: Array
    style: Array
    style_path: Path
    judge: Objective
    work: float
    """Of one evaluation, in 1e9 operations."""

    def loss(self, image: Array) -> float:
        """Of an 8-bit picture."""
        return float(self.judge(image)[2].sum())


@click.command(help=__doc__)
@click.option("--provider", default="cuda", show_default=True, help="Execution provider.")
@click.option("--sizes", default="256,512,1024", show_default=True, help="Long sides, in pixels.")
@click.option("--overlaps", default="1,2,4,8", show_default=True, help="Pictures painted at a time.")
@click.option("--iterations", default=300, show_default=True, help="Evaluations of each picture.")
@click.option("--pictures", default=8, show_default=True, help="Of each row.")
@click.option("--bundle", type=click.Path(path_type=Path), help="Bundle to measure; one beside it that ends in -fp16, too.")
@click.option("--save", is_flag=True, help="Keep the table in bench/results/.")
def main(provider: str, sizes: str, overlaps: str, iterations: int, pictures: int, bundle: Path | None, save: bool) -> None:
    loaded = load_bundle(bundle)
    half = load_half(bundle)
    device = "cuda" if provider != "cpu" and torch.cuda.is_available() else "cpu"
    rates = {precision: matrix_rate(device, precision) for precision in ("float32", "tf32", "fp16")}
    rows = []
    many = max(map(int, overlaps.split(",")))
    for size in map(int, sizes.split(",")):
        problem = make_problem(loaded, size)
        engine = Engine(loaded, Host(provider=provider))
        choices = [
            *engine.precisions,
            *([Precision.MIXED] if len(engine.precisions) > 1 else []),
            *(["fp16"] if half else []),
        ]
        ways = [Way(precision, overlap) for precision in choices for overlap in map(int, overlaps.split(","))]
        ways += others("fp16" if half else engine.precisions[-1], many, cuda_graphs=engine.provider == "cuda")
        for way in ways:
            used = half if way.precision == "fp16" and half else loaded
            rows.append(ours(used, problem, provider, way, iterations, pictures, rates))
            print(" | ".join(rows[-1]), flush=True)
        for tf32 in (False, True) if device == "cuda" else (False,):
            rows.append(eager(loaded, problem, device, tf32, iterations, rates))
            print(" | ".join(rows[-1]), flush=True)
        if find_spec("pastiche") is not None:
            bundles = {precision: half if precision == "fp16" and half else loaded for precision in choices}
            for row in against_pastiche(bundles, problem, provider, many, iterations, pictures):
                rows.append(row)
                print(" | ".join(row), flush=True)
    name = torch.cuda.get_device_name() if device == "cuda" else "no GPU"
    measured = ", ".join(f"{precision} {rate:.0f} GFLOP/s" for precision, rate in rates.items())
    text = (
        f"# On a GPU\n\n`python bench/gpu.py --provider {provider} --sizes {sizes} --overlaps {overlaps} --iterations "
        f"{iterations} --pictures {pictures}`. {name}; products of matrices: {measured}.\n\n{machine(available_cores())}\n\n"
        + markdown(["size", "program", "at a time", "evaluations/s", "pictures/h", "idle", "matrix rate", "loss"], rows)
    )
    if save:
        write(f"gpu-{provider}.md", text)
    else:
        print(text)


def make_problem(bundle: Bundle, size: int) -> Problem:
    photo_path, style_path = next(iter(pairs().values()))
    photo, style = read(photo_path, size), read(style_path, size)
    engine = Engine(bundle, Host(provider="cpu"))
    targets = Targets(encode(engine, photo).contents, encode(engine, style).grams)
    network = torch_objective(bundle.manifest.spec).network
    work = gigaflop(network, bundle.manifest.spec.style_taps, photo.shape[2], photo.shape[3])
    return Problem(size, photo, style, style_path, Objective(engine, targets, balance(GATYS, targets)), work)


def ours(
    bundle: Bundle,
    problem: Problem,
    provider: str,
    way: Way,
    iterations: int,
    pictures: int,
    rates: dict[str, float],
) -> list[str]:
    """A row of this program."""
    engine = Clocked(bundle, provider, way)
    stylizer = make_stylizer(engine, problem, way, iterations)
    picture = Picture(from_pixels(problem.photo))
    make_stylizer(engine, problem, way, 3)(picture)
    stylizer.begin(PhotoJob(picture))  # compares the provider with the CPU's, once
    engine.busy, engine.evaluations = 0.0, 0
    began = time.perf_counter()
    painted = (
        in_lock_step(stylizer, picture, pictures, way.overlap)
        if way.lock_step
        else at_a_time(stylizer, picture, pictures, way.overlap)
    )
    wall = time.perf_counter() - began
    rate = engine.evaluations / wall
    at_full_size = way.precision in rates and way.scales == "1"
    share = problem.work * engine.evaluations / engine.busy / rates[way.precision] if at_full_size else None
    return [
        str(problem.size),
        f"nstbatch, {engine.provider}, {way}",
        str(way.overlap),
        f"{rate:.2f}",
        f"{3600 * pictures / wall:.1f}",
        f"{100 * (1 - engine.busy / wall):.0f} %",
        "" if share is None else f"{100 * share:.0f} %",
        f"{problem.loss(to_pixels(painted)):.4g}",
    ]


def make_stylizer(engine: Engine, problem: Problem, way: Way, iterations: int) -> Stylizer:
    return Stylizer.open(
        engine,
        problem.style_path,
        precision=way.precision,
        size=problem.size,
        scales=way.scales,
        iterations=iterations,
        content_weight=GATYS.content,
        style_weight=GATYS.style,
        tv_weight=GATYS.tv,
        whitening=way.whitening,
    )


def against_pastiche(
    bundles: Mapping[str, Bundle], problem: Problem, provider: str, overlap: int, steps: int, pictures: int
) -> Iterator[list[str]]:
    """A row of pastiche, and one of this program in each precision that a bundle is given for, to the same loss."""
    with TemporaryDirectory() as name:
        inputs = Path(name, "photo.png"), Path(name, "style.png")
        for image, path in zip((problem.photo, problem.style), inputs, strict=True):
            from_pixels(image).save(path)
        output = Path(name, "pastiche.png")
        seconds = pastiche(*inputs, output, problem.size, steps)
        target = problem.loss(read(output, problem.size))
    rates = f"{steps / seconds:.2f}", f"{3600 / seconds:.1f}"
    yield [str(problem.size), f"pastiche, {steps} steps", "1", *rates, "", "", f"{target:.4g}"]
    picture = Picture(from_pixels(problem.photo))
    for precision, bundle in bundles.items():
        way = Way(precision, overlap, scales="auto", whitening="auto")
        engine = Engine(bundle, Host(provider=provider), precision=precision)
        for iterations in ITERATIONS:
            painted = make_stylizer(engine, problem, way, iterations)(picture).picture.rgb
            if problem.loss(to_pixels(painted)) <= target:
                break
        row = ours(bundle, problem, provider, way, iterations, pictures, {})
        yield [row[0], f"{row[1]}, {iterations} iterations", *row[2:]]


def others(precision: str, overlap: int, *, cuda_graphs: bool) -> list[Way]:
    """Ways other than more pictures at a time."""
    device = [Way(precision, n, vectors="device") for n in (1, 2)]
    captured = [Way(precision, cuda_graphs=True), Way(precision, vectors="device", cuda_graphs=True)] if cuda_graphs else []
    return [*device, *captured, Way(precision, overlap, lock_step=True)]


def at_a_time(stylizer: Stylizer, picture: Picture, pictures: int, overlap: int) -> Image.Image:
    """Paint so many, each on a thread; one of them."""
    with ThreadPoolExecutor(overlap) as pool:
        painted = list(pool.map(lambda _: stylizer(picture).picture.rgb, range(pictures)))
    return painted[0]


def in_lock_step(stylizer: Stylizer, picture: Picture, pictures: int, overlap: int) -> Image.Image:
    """Paint so many, by batches; one of them."""
    lock = LockStep()
    for first in range(0, pictures, overlap):
        paintings = [stylizer.begin(PhotoJob(picture)) for _ in range(first, min(first + overlap, pictures))]
        while not paintings[0].done:
            at_once(lock, paintings)
    return paintings[0].result().picture.rgb


def load_half(named: Path | None) -> Bundle | None:
    """The fp16 bundle: beside a named one, ending in ``-fp16``; else the cache's."""
    if named is None:
        return find_bundle(BundleRequest(spec=replace(DEFAULT, precision="fp16")), note=print, step=print)
    beside = named.with_name(named.name + "-fp16")
    return Bundle.load(beside) if beside.exists() else None


def eager(bundle: Bundle, problem: Problem, device: str, tf32: bool, iterations: int, rates: dict[str, float]) -> list[str]:
    """A row of PyTorch with its own L-BFGS."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cudnn.benchmark = True
    objective = torch_objective(bundle.manifest.spec)
    objective.network.weights = objective.network.weights.to(torch.device(device))
    photo, style = (torch.from_numpy(image.copy()).to(device) for image in (problem.photo, problem.style))
    with torch.no_grad():
        contents, grams = objective.encode(photo)[0], objective.encode(style)[1]
    flat = [GATYS.content] * len(contents) + [GATYS.style / gram.shape[1] ** 2 for gram in grams]
    weights = torch.tensor(flat, device=device)
    pixels = photo.clone().requires_grad_()
    made = 0

    def closure() -> torch.Tensor:
        nonlocal made
        made += 1
        optimiser.zero_grad()
        loss = plain_loss(objective, pixels, contents, grams, weights)
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

    optimiser = torch_lbfgs(pixels, 3)
    run(3)
    pixels.data.copy_(photo)
    wall = run(iterations)
    image: NDArray[np.float32] = np.rint(pixels.detach().cpu().numpy().clip(0, 255))
    return [
        str(problem.size),
        f"PyTorch eager, {'tf32' if tf32 else 'float32'}",
        "1",
        f"{made / wall:.2f}",
        f"{3600 / wall:.1f}",
        "",
        f"{100 * problem.work * made / wall / rates['tf32' if tf32 else 'float32']:.0f} %",
        f"{problem.loss(image):.4g}",
    ]


def matrix_rate(device: str, precision: str, repeats: int = 10) -> float:
    """Products of float32 or float16 matrices, in GFLOP/s."""
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    size = 8192 if device == "cuda" else 1024
    a, b = (torch.rand(size, size, device=device) for _ in range(2))
    if precision == "fp16":
        a, b = a.half(), b.half()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        a @ b
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    return 2 * size**3 / 1e9 / float(np.median(times[1:]))


if __name__ == "__main__":
    main()
