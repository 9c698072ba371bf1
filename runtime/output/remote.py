"""Output folders behind a URL: objects, and a folder of this host that mirrors what nstbatch remembers of them."""

import contextlib
import re
import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from ..errors import UsageError, first_line
from ..files import remote
from ..files.name import Name
from ..files.own import MOST, OwnFile, make_folder, own_files
from ..files.reading import sha256_file
from ..files.stamp import Stamp
from .folder import Present
from .journal import NAMES, Entry, Journal
from .names import REPORT, REPORT_FILES, STATE, THUMBNAILS, Key, state
from .runs import run_files
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
        self._there: dict[Key, Present] = {}
        """What is there, by key: asking for each would take longer than painting some."""

    @property
    def folder(self) -> Path:
        """The mirror: nothing is staged."""
        return self.root

    @property
    def name(self) -> str:
        """The URL, for people."""
        return str(self.url)

    def place(self, key: Key) -> "UPath":
        """The URL of a painting."""
        return self.url / key

    def look(self, key: Key) -> Present | None:
        """What is in a painting's place, as of `pull` and of what was saved since."""
        return self._there.get(key)

    def sha256(self, key: Key) -> str | None:
        """Of what is in a painting's place, which is read."""
        try:
            return sha256_file(self.place(key))
        except OSError:
            return None

    def commit(
        self, key: Key, temporary: Name, data: bytes, journalled: Callable[[Present], None], mtime_ns: int | None = None
    ) -> None:
        """Upload a painting whole, and have it journalled then."""
        del temporary, mtime_ns
        place = self.place(key)
        remote.write_bytes(place, data)
        found = _found(remote.stamp_of(place))
        self._there[key] = found
        journalled(found)

    def put(self, name: Name, data: bytes) -> None:
        """Write what nstbatch remembers, there and in the mirror.

        Raises:
            OSError: it cannot be written.
        """
        remote.write_bytes(self.url / name, data)
        OwnFile(self.root, name).write(data)

    def drop(self, name: Name) -> None:
        """Delete what `put` wrote, there and in the mirror; what cannot be deleted stays."""
        with contextlib.suppress(OSError):
            remote.delete(self.url / name)
        with contextlib.suppress(OSError):
            OwnFile(self.root, name).delete()

    def pull(self) -> None:
        """List the output, and fetch what other hosts have remembered of it."""
        remembered: set[Name] = set()
        try:
            make_folder(self.root)
            for text, stamp in self._listed():
                folder, _, leaf = text.partition("/")
                # Other names are no paintings, and nothing that nstbatch remembers.
                with contextlib.suppress(ValueError):
                    if folder == STATE and _REMEMBERED.fullmatch(leaf) and stamp.size <= MOST:
                        remembered.add(state(leaf))
                    else:
                        self._there[Key(text)] = _found(stamp)
            for file in own_files(self.root, STATE, _REMEMBERED):
                if file.name not in remembered:
                    file.delete()
            # What is named journal is written once; lines of runs are added to.
            missing = [
                file
                for file in (OwnFile(self.root, name) for name in sorted(remembered))
                if not (NAMES.fullmatch(file.path.name) and file.is_there())
            ]
            with ThreadPoolExecutor(_FETCHES, thread_name_prefix="fetch") as pool:
                for file, data in zip(missing, pool.map(self._fetch, missing), strict=True):
                    if data is not None:
                        file.write(data)
        except OSError as error:
            raise UsageError(f"{self.url}: cannot be an output ({first_line(error)}); name another with -o") from None

    def push(self) -> None:
        """Upload the report, its thumbnails and the lines of runs, where they have changed.

        Raises:
            OSError: one cannot be written.
        """
        files = [OwnFile(self.root, Name(REPORT)), *own_files(self.root, REPORT_FILES, THUMBNAILS), *run_files(self.root)]
        sent = OwnFile(self.root, state("sent"))
        last = _changed(sent)
        new = [file for file in files if _changed(file) > last]

        def send(file: OwnFile) -> None:
            remote.write_bytes(self.url / file.name, file.read())

        # From before they are read: what is added meanwhile is sent the next time.
        newest = max((_changed(file) for file in new), default=last)
        with ThreadPoolExecutor(_FETCHES, thread_name_prefix="send") as pool:
            list(pool.map(send, new))
        sent.write(b"", newest)

    def _listed(self) -> Iterator[tuple[str, Stamp]]:
        try:
            for name, stamp in remote.listing(self.url, recursive=True):
                if stamp is not None:
                    yield name, stamp
        except FileNotFoundError:
            return

    def _fetch(self, file: OwnFile) -> bytes | None:
        try:
            return remote.read_bytes(self.url / file.name)
        except FileNotFoundError:
            # Merged by its writer meanwhile, whose merger the next run sees.
            return None


_REMEMBERED = re.compile(r"(journal|runs)[0-9a-z-]*\.jsonl")
"""Names of journals and of lines of runs."""


def _changed(file: OwnFile) -> int:
    """When a file was changed last, in nanoseconds; 0 where there is none."""
    status = file.status()
    return 0 if status is None else status.st_mtime_ns


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
        self._lines: dict[Name, bytes] = {}
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
        name = state(f"journal{self.shard.suffix}-{time.time_ns():020d}-{secrets.token_hex(4)}.jsonl")
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
            first = next(iter(self._lines))
            self._output.put(Name(first.replace(".jsonl", "-merged.jsonl")), b"".join(self._lines.values()))
            for name in self._lines:
                self._output.drop(name)
        self._lines.clear()
