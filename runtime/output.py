"""Where paintings are kept: a folder of this host, or objects behind a URL."""

import contextlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from . import remote
from .atomic import make_folder, publish, stage, write_atomic
from .errors import UsageError
from .remote import Location
from .sources import sha256_file
from .stamp import Stamp

if TYPE_CHECKING:
    from upath import UPath

STATE = ".nstbatch"
"""Folder, in every output folder, of what nstbatch remembers of it."""

REPORT_FILES = "report_files"
"""Folder, in every output folder, of a report's thumbnails: the name that browsers give to what they save beside a page."""

REPORT = "report.html"
"""The report's page."""

_FETCHES = 16
"""Objects that are fetched at a time."""


@dataclass(frozen=True, slots=True)
class Found:
    """What is in a painting's place.

    Attributes:
        size: in bytes.
        mtime_ns: what the journal compares; of an object, what tells one content from another.
        folder: whether it is one.
    """

    size: int
    mtime_ns: int
    folder: bool = False


class Output(Protocol):
    """Where the paintings of one output folder are.

    Attributes:
        root: the folder of this host that the journal is in.
        name: for people.
    """

    @property
    def root(self) -> Path: ...  # noqa: D102

    @property
    def name(self) -> str: ...  # noqa: D102

    def place(self, key: str) -> Location:
        """Where the painting ``key`` is, see `Item.key`."""
        ...

    def look(self, key: str) -> Found | None:
        """What is there; None for nothing."""
        ...

    def commit(self, key: str, temporary: Path, data: bytes, journalled: Callable[[Found], None]) -> None:
        """Save a painting whole, and have it journalled: so that there is none without its line, or that none is lost.

        Args:
            key: of it.
            temporary: where a file of this host may be staged.
            data: of it.
            journalled: adds the line, of what is there.

        Raises:
            OSError: it cannot be written.
        """
        ...


@dataclass(frozen=True)
class FolderOutput:
    """An output folder of this host. See `Output`."""

    root: Path

    @property
    def name(self) -> str:
        """See `Output`."""
        return str(self.root)

    def place(self, key: str) -> Path:
        """See `Output`."""
        return self.root / key

    def look(self, key: str) -> Found | None:
        """See `Output`."""
        target = self.root / key
        try:
            status = target.lstat()
        except OSError:
            return None
        return Found(status.st_size, status.st_mtime_ns, target.is_dir())

    def commit(self, key: str, temporary: Path, data: bytes, journalled: Callable[[Found], None]) -> None:
        """See `Output`: staged, journalled, published. A run that was killed in between is completed by the next."""
        target = self.root / key
        make_folder(target.parent)
        status = stage(temporary, data)
        try:
            journalled(Found(status.st_size, status.st_mtime_ns))
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        publish(temporary, target)


class RemoteOutput:
    """Objects behind a URL, and a folder of this host that mirrors what nstbatch remembers of them.

    An object is uploaded whole, and then journalled, since an object store has no rename: a run that was killed in between
    leaves a painting that the next does not know, and paints again. The journal is objects, too, each written once: see
    `RemoteJournal`. Other hosts are not kept from the same output, but for their shards: those have journals of their own.

    Args:
        url: of the output.
        mirror: folder of this host, for this URL alone.

    Raises:
        UsageError: the URL cannot be listed, or the mirror not written.
    """

    def __init__(self, url: "UPath", mirror: Path) -> None:
        self.url = url
        self.root = mirror
        self._there: dict[str, Found] = {}
        """What is there, by key: asking for each would take longer than painting some."""

    @property
    def name(self) -> str:
        """See `Output`."""
        return str(self.url)

    def place(self, key: str) -> "UPath":
        """See `Output`."""
        return self.url / key

    def look(self, key: str) -> Found | None:
        """See `Output`: as of `pull`, and of what was saved since."""
        return self._there.get(key)

    def commit(self, key: str, temporary: Path, data: bytes, journalled: Callable[[Found], None]) -> None:
        """See `Output`: uploaded, journalled."""
        del temporary
        place = self.place(key)
        remote.write_bytes(place, data)
        found = _found(remote.stamp_of(place))
        self._there[key] = found
        journalled(found)

    def put(self, name: str, data: bytes) -> None:
        """Write what nstbatch remembers, there and in the mirror.

        Raises:
            OSError: it cannot be written.
        """
        remote.write_bytes(self.url / name, data)
        make_folder((self.root / name).parent)
        write_atomic(self.root / name, data)

    def drop(self, name: str) -> None:
        """Delete what `put` wrote, there and in the mirror; what cannot be deleted stays."""
        with contextlib.suppress(OSError):
            remote.delete(self.url / name)
        with contextlib.suppress(OSError):
            (self.root / name).unlink(missing_ok=True)

    def pull(self) -> None:
        """List the output, and fetch what other hosts have remembered of it."""
        remembered = {}
        try:
            make_folder(self.root / STATE)
            for name, stamp in self._listed():
                folder = name.partition("/")[0]
                if folder == STATE and name.endswith(".jsonl"):
                    remembered[name] = stamp
                elif folder not in (STATE, REPORT_FILES):
                    self._there[name] = _found(stamp)
            for path in (self.root / STATE).glob("*.jsonl"):
                if f"{STATE}/{path.name}" not in remembered:
                    path.unlink()
            # What is named journal is written once; lines of runs are added to.
            missing = [
                name for name in remembered if not name.startswith(f"{STATE}/journal") or not (self.root / name).exists()
            ]
            with ThreadPoolExecutor(_FETCHES, thread_name_prefix="fetch") as pool:
                for name, data in zip(missing, pool.map(self._fetch, missing), strict=True):
                    if data is not None:
                        write_atomic(self.root / name, data)
        except OSError as error:
            raise UsageError(f"{self.url}: cannot be an output ({error.strerror or error}); name another with -o") from None

    def push(self) -> None:
        """Upload the report, its thumbnails and the lines of runs, where they have changed.

        Raises:
            OSError: one cannot be written.
        """
        paths = [self.root / REPORT, *(self.root / REPORT_FILES).glob("*.jpg"), *(self.root / STATE).glob("runs*.jsonl")]
        sent = self.root / STATE / "sent"
        last = sent.stat().st_mtime_ns if sent.exists() else 0
        new = [path for path in paths if path.exists() and path.stat().st_mtime_ns > last]

        def send(path: Path) -> None:
            remote.write_bytes(self.url / path.relative_to(self.root).as_posix(), path.read_bytes())

        with ThreadPoolExecutor(_FETCHES, thread_name_prefix="send") as pool:
            list(pool.map(send, new))
        write_atomic(sent, b"")
        if new:
            newest = max(path.stat().st_mtime_ns for path in new)
            os.utime(sent, ns=(newest, newest))

    def _listed(self) -> Iterator[tuple[str, Stamp]]:
        try:
            for name, stamp in remote.listing(self.url, recursive=True):
                if stamp is not None:
                    yield name, stamp
        except FileNotFoundError:
            return

    def _fetch(self, name: str) -> bytes | None:
        try:
            return remote.read_bytes(self.url / name)
        except FileNotFoundError:
            # Merged by its writer meanwhile, whose merger the next run sees.
            return None


def damage(output: Output, key: str, size: int, mtime_ns: int, sha256: str) -> str | None:
    """What has become of a painting since it was journalled; None if it is as it was."""
    found = output.look(key)
    if found is None:
        return "the painting has been deleted"
    if (found.size, found.mtime_ns) == (size, mtime_ns):
        return None
    return None if sha256_of(output, key) == sha256 else "the painting has been changed by hand"


def sha256_of(output: Output, key: str) -> str | None:
    """Of what is there; None if it cannot be read."""
    try:
        return sha256_file(output.place(key))
    except OSError:
        return None


def _found(stamp: Stamp) -> Found:
    return Found(stamp.size, stamp.ctime_ns)
