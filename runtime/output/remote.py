"""Output folders behind a URL: objects, and a folder of this host that mirrors what nstbatch remembers of them."""

import contextlib
import os
import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from ..errors import UsageError, first_line
from ..files import remote
from ..files.atomic import make_folder, write_atomic
from ..files.stamp import Stamp
from .folder import REPORT, REPORT_FILES, STATE, Present
from .journal import Entry, Journal
from .shard import Shard

if TYPE_CHECKING:
    from upath import UPath


_FETCHES = 16
"""Objects that are fetched at a time."""


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
        self._there: dict[str, Present] = {}
        """What is there, by key: asking for each would take longer than painting some."""

    @property
    def name(self) -> str:
        """The URL, for people."""
        return str(self.url)

    def place(self, key: str) -> "UPath":
        """The URL of a painting."""
        return self.url / key

    def look(self, key: str) -> Present | None:
        """What is in a painting's place, as of `pull` and of what was saved since."""
        return self._there.get(key)

    def commit(self, key: str, temporary: Path, data: bytes, journalled: Callable[[Present], None]) -> None:
        """Upload a painting whole, and have it journalled then."""
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
            raise UsageError(f"{self.url}: cannot be an output ({first_line(error)}); name another with -o") from None

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


def _found(stamp: Stamp) -> Present:
    return Present(stamp.size, stamp.ctime_ns)


class RemoteJournal(Journal):
    """The journal of an output behind a URL: objects, each written once, since an object store cannot add to one.

    A line is an object at first; of many, and of the last ones of a run, one is made. What is written twice is read twice,
    which does no harm.

    Args:
        output: where; pulled.
        shard: see `Journal`.
        curves: likewise.
    """

    MERGED: ClassVar[int] = 500
    """Lines that become one object."""

    def __init__(self, output: RemoteOutput, shard: Shard | None = None, curves: int = 0) -> None:
        super().__init__(output.root, shard=shard or Shard(), curves=curves)
        self._output = output
        self._lines: dict[str, bytes] = {}
        """Those not yet merged, by the names of their objects."""
        self.take_files()

    @property
    def output(self) -> RemoteOutput:
        """Where the paintings are."""
        return self._output

    def again(self, curves: int = 0) -> "RemoteJournal":
        """The same journal, read anew from the mirror."""
        return RemoteJournal(self._output, self.shard, curves)

    def append(self, entry: Entry) -> None:
        """Add a line as an object of its own; many of them are merged into one."""
        if self._is_known(entry):
            return
        line = entry.to_json().encode() + b"\n"
        name = f"{STATE}/journal{self.shard.suffix}-{time.time_ns():020d}-{secrets.token_hex(4)}.jsonl"
        self._output.put(name, line)
        self._lines[name] = line
        self._take(entry)
        if len(self._lines) >= self.MERGED:
            self._merge()

    def close(self) -> None:
        """Merge the last lines; what cannot be merged now stays as it is."""
        with contextlib.suppress(OSError):
            self._merge()

    def _merge(self) -> None:
        if len(self._lines) > 1:
            self._output.put(next(iter(self._lines)).replace(".jsonl", "-merged.jsonl"), b"".join(self._lines.values()))
            for name in self._lines:
                self._output.drop(name)
        self._lines.clear()
