"""The runs of an output folder, a line or two each, for its report."""

import contextlib
import datetime
import json
import os
import platform
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ..bundle.spec import Bundle
from ..files.own import OwnFile, own_files, write_all
from ..files.records import Whole, decode
from .names import STATE, state
from .shard import SUFFIXES


@dataclass(frozen=True)
class Run:
    """A run, as a line of ``runs.jsonl``; there are two of each, from its beginning and its end.

    Attributes:
        id: unique.
        started: when, ISO 8601, UTC.
        command: the command line.
        versions: of what computes.
        provider: that was obtained, and the precision.
        bundle: network, and where it is.
        styles: of the style pictures, absolute paths or URLs.
        seconds: that it took; None if it has not ended, or was killed.
        exit_code, painted, failed: how it ended.
    """

    id: str
    started: str
    command: str
    versions: str
    provider: str
    bundle: str
    styles: tuple[str, ...] = ()
    seconds: float | None = None
    exit_code: Whole | None = None
    painted: Whole | None = None
    failed: Whole | None = None

    @classmethod
    def begin(cls, provider: str, precision: str, bundle: Bundle, command: str, styles: tuple[str, ...] = ()) -> "Run":
        """A run that begins now, of this process."""
        started = datetime.datetime.now(datetime.UTC)
        return cls(
            id=f"{started:%Y%m%dT%H%M%S}-{platform.node()}-{os.getpid()}",
            started=started.isoformat(timespec="seconds"),
            command=command,
            versions=", ".join(_versions()),
            provider=f"{provider}, {precision}",
            bundle=f"{bundle.manifest.spec.network}, {bundle.path}",
            styles=styles,
        )

    def append(self, root: Path, suffix: str = "") -> None:
        """Add it to an output folder's lines, or to those of a `Shard.suffix`; a disk that is full costs the line."""
        with contextlib.suppress(OSError):
            handle = OwnFile(root, state(f"runs{suffix}.jsonl")).appending()
            try:
                write_all(handle, f"{json.dumps(asdict(self))}\n".encode())
            finally:
                os.close(handle)


def run_files(root: Path) -> list[OwnFile]:
    """Where the runs of an output folder, and of its shards, have their lines."""
    return own_files(root, STATE, _FILES)


_FILES = re.compile(rf"runs{SUFFIXES}\.jsonl")


def read_runs(root: Path) -> list[Run]:
    """The runs of an output folder, the newest first; lines that are torn are skipped, and so is what is no regular file."""
    runs: dict[str, Run] = {}
    for file in run_files(root):
        with contextlib.suppress(OSError):
            for line in file.lines():
                with contextlib.suppress(ValueError):
                    run = decode(line, Run)
                    runs[run.id] = run
    return sorted(runs.values(), key=lambda run: run.started, reverse=True)


def _versions() -> Iterator[str]:
    for name in ("nstbatch", "onnxruntime", "onnxruntime-gpu", "numpy"):
        with contextlib.suppress(PackageNotFoundError):
            yield f"{name} {version(name)}"
    yield f"Python {platform.python_version()}"
