"""A cluster of Ray's on this host, and runs of any painters."""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from nstbatch.runtime.batch.batch import Batch
from nstbatch.runtime.batch.outcome import Outcome
from nstbatch.runtime.output.journal import Journal
from nstbatch.runtime.output.lock import hold
from nstbatch.runtime.planning.plan import make_plan
from nstbatch.runtime.stop import Stop
from nstbatch.runtime.workers.interface import Painters, Procedure
from nstbatch.runtime.workers.ray_cluster import RayPainters
from places import SUPPORT
from seams import Bench


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """A cluster of Ray for the module: one takes seconds to start."""
    ray = pytest.importorskip("ray")
    with pytest.MonkeyPatch.context() as patch:
        # Workers import the functions of `fleets`.
        patch.setenv("PYTHONPATH", str(SUPPORT))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
        yield
        ray.shutdown()


@contextmanager
def ray_painters(function: Callable[..., Any], **arguments: Any) -> Iterator[Painters]:
    """Two workers of Ray's."""
    with RayPainters(functools.partial(function, **arguments), workers=2, threads=1) as painters:
        yield painters


def run_with(bench: Bench, painters: Painters, folder: Path, procedure: Procedure | None = None, **options: Any) -> Outcome:
    """A run of these painters over a folder; options of `Batch`."""
    with hold([bench.output]):
        journals = {bench.output: Journal.read(bench.output)}
        procedure = procedure or Procedure()
        plan = make_plan(bench.items(folder), journals, painters.facts.recipe, procedure.policy)
        stop = options.setdefault("stop", Stop())
        report = Outcome(len(plan.tasks))
        report.rows += Batch(plan, painters, journals, procedure, **options).run()
        report.stopped = stop.reason
    return report


def tokens(folder: Path, count: int) -> Path:
    """A folder of so many files, for `fleets.dying`."""
    folder.mkdir()
    for index in range(count):
        (folder / str(index)).touch()
    return folder
