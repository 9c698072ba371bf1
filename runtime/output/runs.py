"""The runs of an output folder, a line or two each, for its report."""

import contextlib
import datetime
import json
import os
import platform
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ..bundle.spec import Bundle
from .folder import STATE


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
        seconds: that it took; None if it has not ended, or was killed.
        exit_code, painted, failed: how it ended.
    """

    id: str
    started: str
    command: str
    versions: str
    provider: str
    bundle: str
    seconds: float | None = None
    exit_code: int | None = None
    painted: int | None = None
    failed: int | None = None

    @classmethod
    def begin(cls, provider: str, precision: str, bundle: Bundle, command: str) -> "Run":
        """A run that begins now, of this process."""
        started = datetime.datetime.now(datetime.UTC)
        return cls(
            id=f"{started:%Y%m%dT%H%M%S}-{platform.node()}-{os.getpid()}",
            started=started.isoformat(timespec="seconds"),
            command=command,
            versions=", ".join(_versions()),
            provider=f"{provider}, {precision}",
            bundle=f"{bundle.manifest.spec.network}, {bundle.path}",
        )

    def append(self, root: Path, suffix: str = "") -> None:
        """Add it to an output folder's lines, or to those of a `Shard.suffix`; a disk that is full costs the line."""
        with contextlib.suppress(OSError), (root / STATE / f"runs{suffix}.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(self)) + "\n")


def run_files(root: Path) -> list[Path]:
    """Where the runs of an output folder, and of its shards, have their lines."""
    return sorted((root / STATE).glob("runs*.jsonl"))


def read_runs(root: Path) -> list[Run]:
    """The runs of an output folder, the newest first; torn lines are skipped."""
    runs: dict[str, Run] = {}
    known = {field.name for field in fields(Run)}
    for path in run_files(root):
        for line in path.read_bytes().splitlines():
            with contextlib.suppress(ValueError, TypeError, AttributeError):
                values: dict[str, Any] = json.loads(line)
                run = Run(**{name: value for name, value in values.items() if name in known})
                runs[run.id] = run
    return sorted(runs.values(), key=lambda run: run.started, reverse=True)


def _versions() -> Iterator[str]:
    for name in ("nstbatch", "onnxruntime", "onnxruntime-gpu", "numpy"):
        with contextlib.suppress(PackageNotFoundError):
            yield f"{name} {version(name)}"
    yield f"Python {platform.python_version()}"
