"""Paints on a Ray cluster: each worker is an actor with one stylizer, and each picture a task.

Workers read photos and masks where the driver says they are, so these lie where every node sees them: on a shared file
system, or behind a URL. Paintings come back through Ray's object store, and the driver saves and journals them.
"""

import os
import socket
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil
from types import ModuleType
from typing import Any

from ..bundle.packed import PackedBundle
from ..bundle.spec import Bundle
from ..engine.engine import Engine
from ..engine.host import Host
from ..errors import LostWorkerError, ProviderError, UsageError, first_line
from ..files.location import absolute
from ..painting.stylizer import Facts, Stylizer
from ..pictures.photo import Photo
from ..pictures.styles import Styles
from ..planning.plan import Task
from ..recipe.settings import Settings
from ..stop import Stop, StopReason
from .fleet import travelling
from .interface import Ending, MakeStylizer, Painted, Procedure, ProgressListener, Unpainted
from .local import LocalPainters


class MakeElsewhere:
    """Makes a `Stylizer` on a host that need not have the bundle.

    Args:
        bundle: what to take along.
        styles: read already.
        settings: of the optimisation.
        host: what of that host is to compute; its cache keeps the bundle, too.
        start: the picture that ``init`` names, if there is one.
    """

    def __init__(self, bundle: Bundle, styles: Styles, settings: Settings, host: Host, start: Photo | None = None) -> None:
        self._bundle = PackedBundle.of(bundle)
        self._styles = styles
        self._settings = settings
        self._host = host
        self._start = start

    def __call__(self, *, device: int | None = None, threads: int | None = None) -> Stylizer:
        """The stylizer, of a bundle that is unpacked into the cache, once for each host."""
        assert self._host.cache is not None, "a bundle that travels is kept"
        host = replace(self._host, device=device, threads=threads)
        engine = Engine(self._bundle.unpack(self._host.cache), host, self._settings.precision)
        return Stylizer(engine, self._styles, self._settings, self._start)


ATTEMPTS = 3
"""Workers that one picture may cost."""

_STARTS = 3
"""Workers that may end in a row before they have begun."""

_REACH = 10.0
"""Seconds within which a cluster's address answers."""

_GLANCE = 1.0
"""Most seconds of a wait for workers, after which a stop is looked for."""

_PATIENCE = 600.0
"""Seconds to wait for the first worker: a cluster that scales may have to start a node."""


@dataclass(frozen=True)
class Crew:
    """How many workers, and what each takes of the cluster.

    Attributes:
        workers: of them.
        cpus: of each; also the threads it computes with.
        gpus: of each; a share below 1 puts several on a GPU, one of which is evaluated while others decode and step.
    """

    workers: int
    cpus: int
    gpus: float

    @classmethod
    def fit(
        cls, resources: dict[str, float], nodes: int, workers: int | None, threads: int | None, gpus: float | None
    ) -> "Crew":
        """What is asked for; by default a worker for each GPU of the cluster, or for each node where there are none.

        Args:
            resources: of the cluster, as Ray tells them.
            nodes: of the cluster.
            workers: as asked for; None for the default.
            threads: of each worker, likewise.
            gpus: of each worker, likewise.

        Raises:
            UsageError: GPUs are asked for and there are none.
        """
        there = resources.get("GPU", 0.0)
        share = (1.0 if there else 0.0) if gpus is None else gpus
        if share and not there:
            raise UsageError("--gpus-per-worker: the cluster has no GPU; leave it out, or give 0")
        count = workers or max(1, int(there / share) if share else nodes)
        return cls(count, threads or max(1, int(resources.get("CPU", 1.0)) // count), share)


class RayPainters:
    """`Painters` that are actors of Ray.

    A context manager that ends the actors, and Ray's processes where it has started them. An actor or a node that dies costs
    its picture an attempt, of `ATTEMPTS`; another actor takes its place. No more pictures are submitted than there are
    workers, so that neither the object store nor the driver fills up.

    Args:
        make: makes a worker's stylizer, of the number of its threads; put into the object store once.
        address: of the cluster, as Ray takes it; None for one of this host, started now.
        workers, threads, gpus: see `Crew.fit`.
        clock: seconds, never set back.

    Raises:
        UsageError: Ray is not installed, or the cluster cannot be reached or has no such GPUs.
        NstbatchError: what the first ``make`` that failed has raised.
        ProviderError: no worker began.
    """

    def __init__(
        self,
        make: MakeStylizer,
        *,
        address: str | None = None,
        workers: int | None = None,
        threads: int | None = None,
        gpus: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ray = _import_ray()
        self._clock = clock
        self._mine = not self._ray.is_initialized()
        if self._mine:
            self._connect(address)
        try:
            nodes = [node for node in self._ray.nodes() if node["Alive"]]
            self.crew = Crew.fit(self._ray.cluster_resources(), len(nodes), workers, threads, gpus)
            self._make = self._ray.put(make)
            self._idle: deque[Any] = deque()
            self._starting: dict[Any, Any] = {}
            self._working: dict[Any, tuple[Any, Task, float]] = {}
            self._again: deque[Task] = deque()
            self._lost: Counter[int] = Counter()
            """Workers that a picture has cost, by `id` of its task; only of those in work."""
            self._failed_starts = 0
            self._ended: list[Ending] = []
            self.rate: float | None = None
            self._facts: Facts | None = None
            for _ in range(self.crew.workers):
                self._start()
            began = clock()
            while self._facts is None:
                self._look(timeout=_GLANCE)
                if clock() - began > _PATIENCE:
                    raise ProviderError(f"no worker began within {_PATIENCE:.0f} s; {self._wanted()}")
        except BaseException:
            self.end()
            raise

    def __enter__(self) -> "RayPainters":
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    @property
    def facts(self) -> Facts:
        """The facts of the worker that began first; the others are like it."""
        assert self._facts is not None, "known once a worker has begun"
        return self._facts

    @property
    def sharing(self) -> int:
        """As many pictures as one node may have to take at a time."""
        if self.crew.gpus:
            return ceil(1 / self.crew.gpus)
        most = max(node["Resources"].get("CPU", 1.0) for node in self._ray.nodes() if node["Alive"])
        return max(1, min(self.crew.workers, int(most // self.crew.cpus)))

    @property
    def by_shape(self) -> bool:
        """Whether pictures of one size are best submitted in a row."""
        return self.facts.static

    @property
    def free(self) -> bool:
        """Whether a worker waits for a picture."""
        return bool(self._idle) and not self._again

    @property
    def busy(self) -> bool:
        """Whether there is anything left to receive."""
        return bool(self._working or self._again or self._ended)

    def open(self, procedure: Procedure, stop: Stop, progress: ProgressListener) -> None:
        """Send the workers how to paint. The evaluations of other hosts are not reported here."""
        self._settings = self.facts.settings
        content, protect = (
            None if path is None else absolute(path) for path in (procedure.masks.content_mask, procedure.masks.protect)
        )
        masks = replace(procedure.masks, content_mask=content, protect=protect)
        self._procedure = self._ray.put(replace(procedure, masks=masks))
        self._stop = stop
        stop.when_dropping(self._cancel)

    def submit(self, task: Task, following: Task | None) -> None:
        """Give a picture to a worker that waits."""
        del following
        actor = self._idle.popleft()
        item = task.item
        # Workers have working directories of their own.
        item = replace(item, source=absolute(item.source), target=absolute(item.target), root=absolute(item.root))
        ref = actor.paint.remote(self._procedure, replace(task, item=item))
        self._working[ref] = actor, task, self._clock()

    def receive(self, *, wait: bool) -> list[Ending]:
        """What became of pictures since the last call, after a moment's wait if asked for."""
        self._look(timeout=_GLANCE if wait and not self._ended else 0)
        while self._idle and self._again and self._stop.reason is None:
            self.submit(self._again.popleft(), None)
        if self._stop.reason is not None:
            # A picture whose worker died is left to the next run.
            self._again.clear()
        ended, self._ended = self._ended, []
        return ended

    def close(self) -> None:
        """Forget which workers were lost."""
        self._lost.clear()

    def end(self) -> None:
        """End the actors."""
        if self._mine:
            self._ray.shutdown()
            return
        for actor in (*self._idle, *self._starting.values(), *(actor for actor, *_ in self._working.values())):
            self._ray.kill(actor)

    def _connect(self, address: str | None) -> None:
        # Ray counts its users unless it is told not to: that is not for a cron job to do.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        local: dict[str, Any] = {} if address else {"include_dashboard": False}
        try:
            host, _, port = (address or "").rpartition(":")
            if port.isdecimal() and "/" not in host:
                # Ray itself would try for minutes.
                socket.create_connection((host, int(port)), _REACH).close()
            self._ray.init(address=address, log_to_driver=False, logging_level="error", **local)
        except Exception as error:  # Ray's exceptions share no base but Exception
            where = f"--ray-address {address}" if address else "Ray"
            raise UsageError(f"{where}: no cluster there ({first_line(error)}); see `ray status`") from None

    def _start(self) -> None:
        worker = self._ray.remote(_Worker).options(num_cpus=self.crew.cpus, num_gpus=self.crew.gpus, max_concurrency=2)
        actor = worker.remote(self._make, self.crew.cpus)
        self._starting[actor.facts.remote()] = actor

    def _look(self, timeout: float) -> None:
        """Take what has come, and wait so many seconds for something to."""
        refs = [*self._working, *self._starting]
        if not refs:
            return
        ready, _ = self._ray.wait(refs, num_returns=1, timeout=timeout)
        if ready:
            ready, _ = self._ray.wait(refs, num_returns=len(refs), timeout=0)
        for ref in ready:
            if ref in self._starting:
                self._begun(ref)
            else:
                self._done(ref)

    def _begun(self, ref: Any) -> None:
        actor = self._starting.pop(ref)
        try:
            succeeded, value = self._ray.get(ref)
        except self._ray.exceptions.RayError as error:
            self._failed_starts += 1
            if self._failed_starts >= _STARTS:
                raise ProviderError(
                    f"workers end before they begin ({first_line(error)}); {self._wanted()}, and look at Ray's logs"
                ) from None
            self._start()
            return
        if not succeeded:
            raise value
        self._failed_starts = 0
        self._facts = self._facts or value
        self._idle.append(actor)

    def _done(self, ref: Any) -> None:
        actor, task, began = self._working.pop(ref)
        seconds = self._clock() - began
        try:
            succeeded, value = self._ray.get(ref)
        except self._ray.exceptions.RayError as error:
            self._lost[id(task)] += 1
            self._start()
            if self._lost[id(task)] < ATTEMPTS:
                self._again.append(task)
                return
            succeeded, value = True, Unpainted(task, _lost_three(error), seconds)
        else:
            self._idle.append(actor)
        self._lost.pop(id(task), None)
        if not succeeded:
            raise value
        if isinstance(value, Painted):
            self.rate = seconds / task.pixels(self._settings)
        self._ended.append(replace(value, task=task))

    def _cancel(self) -> None:
        for actor, *_ in list(self._working.values()):
            actor.cancel.remote()

    def _wanted(self) -> str:
        crew, resources = self.crew, self._ray.cluster_resources()
        return (
            f"{crew.workers} workers of {crew.cpus} CPUs and {crew.gpus:g} GPUs were asked for, the cluster has "
            f"{resources.get('CPU', 0):g} and {resources.get('GPU', 0):g}: see --workers, --threads and --gpus-per-worker"
        )


class _Worker:
    """An actor. Its errors travel as values: Ray would wrap them."""

    def __init__(self, make: MakeStylizer, threads: int) -> None:
        self._stop = Stop()
        self._procedure: Procedure | None = None
        self._error: Exception | None = None
        try:
            self._painters = LocalPainters(make(threads=threads))
        except Exception as error:
            self._error = travelling(error)

    def facts(self) -> tuple[bool, Any]:
        return (True, self._painters.facts) if self._error is None else (False, self._error)

    def paint(self, procedure: Procedure, task: Task) -> tuple[bool, Any]:
        painters = self._painters
        try:
            if self._procedure is None:
                painters.open(procedure, self._stop, lambda *_: None)
                self._procedure = procedure
            painters.submit(task, None)
            endings: list[Ending] = []
            while not endings:
                endings = painters.receive(wait=True)
        except Exception as error:  # what a photo sets off has been met: no picture can be painted
            return False, travelling(error)
        (ending,) = endings
        if isinstance(ending, Unpainted):
            ending = Unpainted(task, travelling(ending.error), ending.seconds)
        return True, ending

    def cancel(self) -> None:
        self._stop.request(StopReason.INTERRUPTED, drop=True)


def _lost_three(error: Exception) -> LostWorkerError:
    return LostWorkerError(f"its worker ended {ATTEMPTS} times, at last so: {first_line(error)}")


def _import_ray() -> ModuleType:
    try:
        import ray
    except ImportError as error:
        raise UsageError(f"--engine ray: Ray is not installed ({error}); run `pip install 'nstbatch[ray]'`") from None
    return ray
