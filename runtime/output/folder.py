"""Where paintings are kept: a folder of this host, or objects behind a URL."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ..files.atomic import make_folder, publish, stage
from ..files.location import Location
from ..files.reading import sha256_file

STATE = ".nstbatch"
"""Folder, in every output folder, of what nstbatch remembers of it."""

REPORT_FILES = "report_files"
"""Folder, in every output folder, of a report's thumbnails: the name that browsers give to what they save beside a page."""

REPORT = "report.html"
"""The report's page."""


@dataclass(frozen=True, slots=True)
class Present:
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

    def look(self, key: str) -> Present | None:
        """What is there; None for nothing."""
        ...

    def commit(self, key: str, temporary: Path, data: bytes, journalled: Callable[[Present], None]) -> None:
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
        """The folder's path, for people."""
        return str(self.root)

    def place(self, key: str) -> Path:
        """The path of a painting."""
        return self.root / key

    def look(self, key: str) -> Present | None:
        """What is in a painting's place; None for nothing."""
        target = self.root / key
        try:
            status = target.lstat()
        except OSError:
            return None
        return Present(status.st_size, status.st_mtime_ns, target.is_dir())

    def commit(self, key: str, temporary: Path, data: bytes, journalled: Callable[[Present], None]) -> None:
        """Stage a painting, have it journalled, and publish it. The next run completes what a kill leaves in between."""
        target = self.root / key
        make_folder(target.parent)
        status = stage(temporary, data)
        try:
            journalled(Present(status.st_size, status.st_mtime_ns))
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        publish(temporary, target)


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
