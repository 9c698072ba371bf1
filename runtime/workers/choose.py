"""Choose and make the workers that paint: of this host, of several of its GPUs, or of a Ray cluster."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from ..bundle.spec import Bundle, BundleSpec
from ..engine.engine import Engine
from ..engine.host import Host
from ..engine.providers import all_devices
from ..errors import UsageError
from ..painting.stylizer import Facts, Stylizer
from ..pictures.photo import Photo
from ..pictures.styles import Styles
from ..planning.budget import Budget
from ..recipe.settings import Settings
from ..recipe.size import Size
from .fleet import Fleet
from .interface import Painters
from .local import LocalPainters

ENGINES = ("local", "ray")


@dataclass(frozen=True, kw_only=True)
class WorkerChoice:
    """What paints, and how many pictures at a time.

    Attributes:
        engine: one of `ENGINES`: this host, or the workers of a Ray cluster.
        ray_address: of the cluster; None for one of this host, started now.
        workers: of the cluster; None for one for each GPU, or for each host where there are none.
        gpus_per_worker: of the cluster; None for 1, or 0 where there are none.
        devices: numbers of this host's GPUs, a process for each; none of them for all; None for no such processes.
        overlap: pictures that are painted at a time; None for as many as pay, see `at_once`.
        lock_step: whether those are evaluated together; None where that pays.
    """

    engine: str = ENGINES[0]
    ray_address: str | None = None
    workers: int | None = None
    gpus_per_worker: float | None = None
    devices: tuple[int, ...] | None = None
    overlap: int | None = None
    lock_step: bool | None = None

    def check(self, host: Host) -> None:
        """Refuse choices that do not go with each other, or with a host.

        Raises:
            UsageError: there are some.
        """
        if host.device is not None and self.devices is not None:
            raise UsageError("--device names one GPU and --devices several; choose one of the two")
        if self.lock_step and (self.overlap == 1 or self.devices is not None):
            raise UsageError("--lock-step takes several pictures at a time, and not --devices")
        if self.engine != "ray":
            if any(value is not None for value in (self.ray_address, self.workers, self.gpus_per_worker)):
                raise UsageError("--ray-address, --workers and --gpus-per-worker take --engine ray")
            return
        for name, used in (
            ("--device", host.device is not None),
            ("--devices", self.devices is not None),
            ("--overlap", (self.overlap or 1) > 1),
        ):
            if used:
                raise UsageError(f"{name} is of one host; with --engine ray choose --workers and --gpus-per-worker")

    def at_once(self, spec: BundleSpec, facts: Facts) -> tuple[int, bool]:
        """How many pictures are painted at a time on this host, and whether they take each step together.

        Where a GPU captures a step and has the memory, and nothing else is asked for, small ones are `_BATCH_ON_GPU` in
        lock-step, or `_BATCH`: one alone has too little work for a GPU's many cores. Others are two in turns: the GPU is at
        one while the host decides for the other. Elsewhere they are painted one at a time.

        Args:
            spec: of the bundle.
            facts: of what paints.
        """
        if self.overlap is not None or self.lock_step or self.devices is not None or not facts.captures:
            return self.overlap or (_BATCH if self.lock_step else 1), bool(self.lock_step)

        def fit(count: int) -> bool:
            budget = Budget(spec, facts.settings, facts.free_memory or 0, count, len(facts.regions))
            return facts.free_memory is None or budget.fits(_LARGE)

        if self.lock_step is None and facts.settings.size <= _SMALL:
            for count in (_BATCH_ON_GPU, _BATCH):
                if fit(count):
                    return count, True
        return (_IN_TURNS if fit(_IN_TURNS) else 1), False


_SMALL = 256
"""Long side, in pixels, up to which pictures are painted several at a time."""

_BATCH = 4

_BATCH_ON_GPU = 8
"""Measured, see `bench/results/gpu-cuda.md`."""

_IN_TURNS = 2

_LARGE = Size(16_000, 12_500)
"""A photo that is to fit all the same."""

MakeEngine = Callable[[Bundle, Host, str], Engine]
"""Makes what evaluates the graphs of a bundle, on a host, in a precision; `Engine`, unless a test hands in another."""


@dataclass(frozen=True)
class StylizerFactory:
    """Makes stylizers of one bundle and style, see `MakeStylizer`. It can be pickled.

    Attributes:
        bundle: what computes.
        styles: what to paint in.
        settings: of the optimisation.
        host: what is to compute.
        start: the picture that ``init`` names, if there is one.
        make_engine: see `MakeEngine`.
    """

    bundle: Bundle
    styles: Styles
    settings: Settings
    host: Host
    start: Photo | None = None
    make_engine: MakeEngine = Engine

    def __call__(self, *, device: int | None = None, threads: int | None = None) -> Stylizer:
        """The stylizer of a device, or with so many threads, where the host leaves these open."""
        host = replace(self.host, device=self.host.device if device is None else device)
        host = host if threads is None else replace(host, threads=threads)
        engine = self.make_engine(self.bundle, host, self.settings.precision)
        return Stylizer(engine, self.styles, self.settings, self.start)


def one_stylizer(choice: WorkerChoice, make: StylizerFactory) -> Stylizer:
    """A stylizer of this host that stands for all workers: to estimate, or to prepare.

    Raises:
        NstbatchError: it cannot be made.
    """
    if choice.devices is None:
        return make()
    return make(device=(choice.devices or all_devices())[0])


@contextlib.contextmanager
def make_painters(choice: WorkerChoice, make: StylizerFactory) -> Iterator[Painters]:
    """Painters that end with the block.

    Raises:
        NstbatchError: they cannot be made.
    """
    if choice.engine == "ray":
        from .ray_cluster import MakeElsewhere, RayPainters

        elsewhere = MakeElsewhere(make.bundle, make.styles, make.settings, make.host, make.start)
        with RayPainters(
            elsewhere,
            address=choice.ray_address,
            workers=choice.workers,
            threads=make.host.threads,
            gpus=choice.gpus_per_worker,
        ) as painters:
            yield painters
    elif choice.devices is not None:
        with Fleet(make, choice.devices or all_devices()) as fleet:
            yield LocalPainters(fleet)
    else:
        stylizer = make()
        overlap, lock_step = choice.at_once(make.bundle.manifest.spec, stylizer.facts)
        yield LocalPainters(stylizer, overlap=overlap, lock_step=lock_step)
