"""The journal of an output folder: what was painted from what, one line a picture, only ever added to."""

import datetime
import heapq
import json
import os
import re
import sys
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Final, Literal

from ..files.own import OwnFile, own_files, write_all
from ..files.records import Whole, decode
from ..files.stamp import Stamp
from .curves import Curve
from .folder import FolderOutput, Output
from .names import STATE, Key, state
from .shard import Shard

Outcome = Literal["painted", "failed"]
PAINTED: Final = "painted"
FAILED: Final = "failed"
"""What a line says of a photo."""

FORMAT_VERSION = 1
"""Version of a line. Lines of another version are skipped, and their pictures painted anew."""


def notes_of(reason: str) -> str:
    """What there is to know of a painting, of its `Entry.reason`: that less the optimiser's status."""
    return reason.partition("; ")[2]


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the journal.

    A line that says "painted" is written when the painting is complete on disk under a temporary name, and before it gets
    its own: so there is no painting without its line, and a run that was killed in between is completed by the next.

    Attributes:
        target: output, relative to the output folder, with ``/`` between folders.
        source: the photo, an absolute path.
        outcome: `PAINTED` or `FAILED`.
        reason: the optimiser's status, and after ``; `` what else is to be known; or why it failed.
        finished: when, ISO 8601, UTC. For people; nothing depends on it.
        nstbatch: version of the program.
        fingerprint: of what was painted, see `Recipe`.
        asked: of what was asked for; another one if the size was shrunk to fit into memory.
        photo_sha256: of the bytes that were painted.
        photo_stamp: of the file they were read from.
        long_side: of the photo, in pixels.
        output_sha256, output_size, output_mtime_ns: of the painting's file.
        loss: lowest loss of the last level.
        evaluations: of loss and gradient, over all levels.
        seconds: wall time.
        style: name of the style, for people.
        curve: see `Curve`.
        run: `Run.id` of the run.
    """

    target: Key
    source: str
    outcome: Outcome
    reason: str
    finished: str
    nstbatch: str
    fingerprint: str = ""
    asked: str = ""
    photo_sha256: str = ""
    photo_stamp: Stamp | None = None
    long_side: Whole = 0
    output_sha256: str = ""
    output_size: Whole = 0
    output_mtime_ns: Whole = 0
    loss: float | None = None
    evaluations: Whole = 0
    seconds: float = 0.0
    style: str = ""
    curve: Curve = field(default_factory=list)
    run: str = ""

    def to_json(self) -> str:
        """The line, without its end. Names that are not UTF-8 are kept as lone surrogates, escaped."""
        return json.dumps({"v": FORMAT_VERSION, **asdict(self)}, sort_keys=False)

    @classmethod
    def from_json(cls, line: bytes) -> "Entry":
        """Inverse of `to_json`. Fields that are not known are skipped.

        Raises:
            ValueError: the line is torn, of another version, or says what no line can.
        """
        entry = decode(line, _Line)
        if entry.v != FORMAT_VERSION:
            raise ValueError("a line of another version")
        # Of a hundred thousand lines most say the same here.
        alike = {name: sys.intern(getattr(entry, name)) for name in _ALIKE}
        asked = entry.fingerprint if entry.asked == entry.fingerprint else entry.asked
        values = {name: getattr(entry, name) for name in cls.__slots__}
        return cls(**(values | alike | {"asked": asked}))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line(Entry):
    """An entry with the version of its line."""

    v: int


_ALIKE = ("outcome", "reason", "finished", "nstbatch", "style", "run")


@dataclass
class Journal:
    """The journal of one output folder, as it was when it was read, and what was added since.

    Attributes:
        root: the output folder.
        painted: the newest line "painted" of each target.
        failed: the newest line "failed" of each target that has no newer "painted".
        known: sha256 of every painting that was ever journalled, by target.
        skipped: lines that could not be understood: torn ones, and those of another version.
        curves: how many of the newest paintings keep their curve, which takes more memory than all else; only a report has a
            use for it.
        apart: see `FolderOutput`.
        guard: raises an `OSError` where the folder is not the one any more that the run holds, see `Held.check`; whoever
            writes to the folder calls it first.
        shard: of the run that adds to it. Each has a file of its own, since network file systems do not keep the lines of
            several hosts apart; all are read.
    """

    root: Path
    shard: Shard = field(default_factory=Shard)
    apart: Path | None = None
    curves: int = 0
    guard: Callable[[], None] = lambda: None
    painted: dict[Key, Entry] = field(default_factory=dict)
    failed: dict[Key, Entry] = field(default_factory=dict)
    known: dict[Key, set[str]] = field(default_factory=dict)
    skipped: int = 0
    _handle: int | None = None
    _with_curves: deque[Entry] = field(default_factory=deque)

    @property
    def output(self) -> Output:
        """Where the paintings are."""
        return FolderOutput(self.root, self.apart)

    @property
    def path(self) -> Path:
        """The file."""
        return self._file.path

    @property
    def _file(self) -> OwnFile:
        return OwnFile(self.root, state(f"journal{self.shard.suffix}.jsonl"))

    @classmethod
    def read(cls, root: Path, shard: Shard | None = None, curves: int = 0, apart: Path | None = None) -> "Journal":
        """Read the journal of an output folder; an empty one where there is none.

        A torn last line, as a power failure leaves it, is skipped like any line that cannot be understood. Of the lines of
        several shards, that count was changed in between, the newest is the one that finished last.

        Args:
            root: the folder.
            shard: of the run that will add to it; None for one of all photos.
            curves: see the attribute.
            apart: likewise.

        Raises:
            OSError: it is there and cannot be read, or is no regular file.
        """
        journal = cls(root, shard=shard or Shard(), curves=curves, apart=apart)
        journal.take_files()
        return journal

    def take_files(self) -> None:
        """Take the lines of every file.

        Raises:
            OSError: see `read`.
        """
        # What is in the folder's place is not to pass for an empty one.
        self._file.status()
        files = [self._entries(file) for file in journal_files(self.root)]
        # Each file's own order stays, whatever a clock has done.
        for entry in files[0] if len(files) == 1 else heapq.merge(*files, key=lambda entry: entry.finished):
            self._take(entry)

    def again(self, curves: int = 0) -> "Journal":
        """The same, read anew.

        Args:
            curves: see the attribute.

        Raises:
            OSError: see `read`.
        """
        return Journal.read(self.root, self.shard, curves, self.apart)

    def append(self, entry: Entry) -> None:
        """Add a line and make it durable. A failure that is journalled already, word for word, is not added again.

        Raises:
            OSError: the disk is full, the folder cannot be written to, or the file that was added to is there no more
                (`errno.ESTALE`). A torn line may stay; it does no harm.
        """
        if self._is_known(entry):
            return
        self.guard()
        if self._handle is None:
            self._handle = self._file.appending()
        self._file.check(os.fstat(self._handle))
        write_all(self._handle, self._line_break(self._handle) + entry.to_json().encode() + b"\n")
        os.fsync(self._handle)
        self._take(entry)

    def close(self) -> None:
        """Close the file; `append` opens it again."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def _is_known(self, entry: Entry) -> bool:
        last = self.failed.get(entry.target) if entry.outcome == FAILED else None
        return last is not None and (last.reason, last.source) == (entry.reason, entry.source)

    def _entries(self, file: OwnFile) -> Iterator[Entry]:
        for line in file.lines():
            try:
                yield Entry.from_json(line)
            except ValueError:
                self.skipped += 1

    def _take(self, entry: Entry) -> None:
        if entry.outcome == PAINTED:
            self.painted[entry.target] = self._lightened(entry)
            self.failed.pop(entry.target, None)
            self.known.setdefault(entry.target, set()).add(entry.output_sha256)
        else:
            self.failed[entry.target] = entry

    def _lightened(self, entry: Entry) -> Entry:
        if not self.curves:
            return replace(entry, curve=[]) if entry.curve else entry
        before = self.painted.get(entry.target)
        if not entry.curve and before is not None and before.output_sha256 == entry.output_sha256:
            # The same painting once more, by a run that had no use for its curve.
            entry = replace(entry, curve=before.curve)
        self._with_curves.append(entry)
        if len(self._with_curves) > self.curves:
            old = self._with_curves.popleft()
            if self.painted.get(old.target) is old:
                self.painted[old.target] = replace(old, curve=[])
        return entry

    @staticmethod
    def _line_break(handle: int) -> bytes:
        """What ends a torn last line, so that the next does not become part of it."""
        if os.fstat(handle).st_size == 0:
            return b""
        os.lseek(handle, -1, os.SEEK_END)
        return b"" if os.read(handle, 1) == b"\n" else b"\n"


def journal_files(root: Path) -> list[OwnFile]:
    """The journals of an output folder: one, or one for each shard; of one behind a URL, its objects."""
    return own_files(root, STATE, NAMES)


NAMES = re.compile(r"journal[0-9a-z-]*\.jsonl")
"""Names of journals."""


def now() -> str:
    """For the journal: this moment, ISO 8601, UTC."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
