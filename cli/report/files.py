"""What a report keeps in an output folder: the page, thumbnails beside it, and a line for each run."""

import contextlib
import datetime
import hashlib
import io
import json
import math
import os
import platform
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from PIL import Image

from ...runtime.atomic import make_folder, write_atomic
from ...runtime.errors import NstbatchError
from ...runtime.images import read_thumbnail
from ...runtime.journal import Entry
from ...runtime.output import REPORT, STATE, Output
from ...runtime.output import REPORT_FILES as FOLDER
from ...runtime.remote import Location, to_location
from ...runtime.settings import MAX_MEGAPIXELS

PAGE = REPORT
_SIDE = 480
"""Long side of a thumbnail, in pixels."""

_QUALITY = 82

GENERATOR = "nstbatch"
"""Content of the page's meta element of that name: a page without it is somebody else's."""


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
    def begin(cls, provider: str, precision: str, bundle: str) -> "Run":
        """A run that begins now, of this process."""
        started = datetime.datetime.now(datetime.UTC)
        return cls(
            id=f"{started:%Y%m%dT%H%M%S}-{platform.node()}-{os.getpid()}",
            started=started.isoformat(timespec="seconds"),
            command=shlex.join(["nstbatch", *sys.argv[1:]]),
            versions=", ".join(_versions()),
            provider=f"{provider}, {precision}",
            bundle=bundle,
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


def thumbnail_names(entry: Entry) -> tuple[str, str]:
    """Names of the thumbnails of a photo and of its painting; another photo or painting has others."""
    photo = f"{entry.source}\n{entry.photo_sha256}"
    painting = f"{entry.target}\n{entry.output_sha256}"
    first, second = (hashlib.sha256(os.fsencode(text)).hexdigest()[:24] for text in (photo, painting))
    return f"{first}.jpg", f"{second}.jpg"


def make_thumbnails(output: Output, entry: Entry) -> None:
    """Make what is missing of an entry's thumbnails; what cannot be read has none."""
    sources: list[Callable[[], Location]] = [lambda: to_location(entry.source)]
    if entry.outcome == "painted":
        sources.append(lambda: output.place(entry.target))
    for name, source in zip(thumbnail_names(entry), sources, strict=False):
        path = output.root / FOLDER / name
        if path.exists():
            continue
        with contextlib.suppress(OSError, NstbatchError):
            # What was painted was not too large; what was not may have been.
            limit = math.inf if entry.outcome == "painted" else MAX_MEGAPIXELS
            small = jpeg(read_thumbnail(source(), _SIDE, limit))
            make_folder(path.parent)
            write_atomic(path, small)


def discard_temporary(root: Path) -> None:
    """Remove what a killed run has left of a page or of thumbnails; the folder is held."""
    for folder in (root, root / FOLDER):
        with contextlib.suppress(OSError):
            for path in folder.iterdir():
                if _TEMPORARY.fullmatch(path.name):
                    path.unlink()


_TEMPORARY = re.compile(r"\.[0-9a-f]{16}\.tmp")
"""Of `write_atomic`."""


def jpeg(image: Image.Image) -> bytes:
    """A file for a page: smaller than a painting's, and without its profile."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()


def is_ours(path: Path) -> bool:
    """Whether nothing is lost when a page is replaced: it is missing, or an earlier one."""
    if not os.path.lexists(path):
        return True
    with contextlib.suppress(OSError), path.open(encoding="utf-8", errors="replace") as file:
        return f'name="generator" content="{GENERATOR}' in file.read(2000)
    return False


def _versions() -> Iterator[str]:
    for name in ("nstbatch", "onnxruntime", "onnxruntime-gpu", "numpy"):
        with contextlib.suppress(PackageNotFoundError):
            yield f"{name} {version(name)}"
    yield f"Python {platform.python_version()}"
