"""From options by their names, of the command line or of Python, to the job that they ask for."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ...runtime.batch.run import Job
from ...runtime.bundle.spec import Bundle
from ...runtime.engine.engine import Engine
from ...runtime.engine.host import Host
from ...runtime.errors import UsageError, first_line
from ...runtime.files.cache import cache_dir
from ...runtime.files.location import Location
from ...runtime.planning.discovery import PhotoChoice
from ...runtime.planning.lists import read_list
from ...runtime.planning.masks import MaskFiles
from ...runtime.planning.placement import Destination
from ...runtime.planning.plan import Policy
from ...runtime.planning.styles import StyleChoice
from ...runtime.recipe.keywords import Options, names_of, take
from ...runtime.recipe.settings import Settings
from ...runtime.workers.choose import MakeEngine, WorkerChoice
from .bundles import BundleChoice, BundleRequest, find_bundle

_OURS = {"listed", "regions", "cache"}
"""Fields of values that no option sets: the program finds these by itself."""

JOB_OPTIONS = tuple(
    name
    for name in (
        *names_of(PhotoChoice, StyleChoice, MaskFiles, BundleChoice, Host, WorkerChoice, Destination, Policy),
        *Settings.KEYWORDS,
        *("files_from", "checkpoint", "snapshots", "max_duration", "fail_fast"),
    )
    if name not in _OURS
)
"""Names of the options that `make_job` takes."""

FindBundle = Callable[[BundleRequest], Bundle]
"""Finds the bundle that is asked for; see `find_bundle`."""


@dataclass(frozen=True)
class Tools:
    """What a command works with. A test hands in others, as click's ``obj``.

    Attributes:
        find_bundle: finds the bundle that is asked for.
        make_engine: see `MakeEngine`.
    """

    find_bundle: Callable[..., Bundle] = find_bundle
    make_engine: MakeEngine = Engine


def make_job(options: Options, find: FindBundle, make_engine: MakeEngine = Engine, command: str = "") -> Job:
    """The job that options ask for.

    Args:
        options: those that are left out have the defaults of the fields that hold them.
        find: finds the bundle.
        make_engine: see `MakeEngine`.
        command: what started the run, for the report.

    Raises:
        UsageError: an option has a value that it cannot have, or does not go with another.
    """
    settings = settings_of(options)
    styles, masks = take(StyleChoice, options), take(MaskFiles, options)
    choice = take(BundleChoice, options)
    checkpoint: float | None = options.get("checkpoint")
    listed = options.get("files_from")
    job = Job(
        photos=take(PhotoChoice, options, listed=None if listed is None else read_listed(listed)),
        styles=styles,
        bundle=lambda: find(request),
        settings=settings,
        masks=masks,
        host=take(Host, options, cache=cache_dir()),
        workers=take(WorkerChoice, options),
        destination=take(Destination, options),
        policy=take(Policy, options),
        checkpoint=None if checkpoint is None else 60 * checkpoint,
        snapshots=options.get("snapshots"),
        max_duration=options.get("max_duration"),
        fail_fast=options.get("fail_fast", False),
        command=command,
        make_engine=make_engine,
    )
    job.check()
    request = choice.request(settings, job.masked)
    return job


def settings_of(options: Options) -> Settings:
    """The settings that options ask for.

    Raises:
        UsageError: one has a value that it cannot have.
    """
    return Settings.of(**{name: options[name] for name in Settings.KEYWORDS if name in options})


def read_listed(path: Path) -> list[Location]:
    """The paths and URLs of a list, ``-`` for stdin.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        if str(path) == "-":
            if sys.stdin is None:
                raise UsageError("stdin is closed")
            return read_list(sys.stdin.buffer)
        # A pipe of the shell's will do, too: --files-from <(find ...).
        with path.open("rb") as file:
            return read_list(file)
    except (OSError, UsageError) as error:
        raise UsageError(f"--files-from {path}: {first_line(error)}") from None
