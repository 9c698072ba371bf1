"""Where paintings are kept: a folder of this host, or objects behind a URL."""

import contextlib
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ..files.folders import NotRegularError
from ..files.location import Location
from ..files.name import Name
from ..files.own import OwnFile, make_folder
from .names import Key


@dataclass(frozen=True, slots=True)
class Present:
    """What is in a painting's place.

    Attributes:
        size: in bytes.
        mtime_ns: what the journal compares; of an object, what tells one content from another.
        folder: whether it is one.
        regular: whether it is a file, and not a link or a device.
    """

    size: int
    mtime_ns: int
    folder: bool = False
    regular: bool = True


class Output(Protocol):
    """Where the paintings of one output folder are.

    Attributes:
        root: the folder of this host that the journal is in.
        folder: the folder of this host that paintings are staged in.
        name: for people.
    """

    @property
    def root(self) -> Path: ...  # noqa: D102

    @property
    def folder(self) -> Path: ...  # noqa: D102

    @property
    def name(self) -> str: ...  # noqa: D102

    def place(self, key: Key) -> Location:
        """Where the painting ``key`` is, see `Item.key`; for people, and for those who may follow links."""
        ...

    def look(self, key: Key) -> Present | None:
        """What is there; None for nothing.

        Raises:
            NotRegularError: a link or a file is in the place of a folder above it.
        """
        ...

    def sha256(self, key: Key) -> str | None:
        """Hexadecimal sha256 of what is there; None if it cannot be read, or is no regular file."""
        ...

    def commit(
        self, key: Key, temporary: Name, data: bytes, journalled: Callable[[Present], None], mtime_ns: int | None = None
    ) -> None:
        """Save a painting whole, and have it journalled: so that there is none without its line, or that none is lost.

        Args:
            key: of it.
            temporary: where a file of this host may be staged, in the same folder.
            data: of it.
            journalled: adds the line, of what is there.
            mtime_ns: modification time of its file; None for now. Objects have the time of their upload.

        Raises:
            OSError: it cannot be written.
        """
        ...


@dataclass(frozen=True)
class FolderOutput:
    """An output folder of this host, or one that a single painting goes into. See `Output`.

    Attributes:
        root: that the journal is in.
        apart: the folder that paintings are in, where that is another one.
    """

    root: Path
    apart: Path | None = None

    @property
    def folder(self) -> Path:
        """The folder that paintings are in."""
        return self.root if self.apart is None else self.apart

    @property
    def name(self) -> str:
        """The folder's path, for people."""
        return str(self.folder)

    def place(self, key: Key) -> Path:
        """The path of a painting."""
        return self.folder / key

    def look(self, key: Key) -> Present | None:
        """What is in a painting's place; None for nothing."""
        try:
            status = OwnFile(self.folder, key).status()
        except NotRegularError:
            raise
        except OSError:
            return None
        if status is None:
            return None
        return Present(status.st_size, status.st_mtime_ns, stat.S_ISDIR(status.st_mode), stat.S_ISREG(status.st_mode))

    def sha256(self, key: Key) -> str | None:
        """Of what is in a painting's place."""
        with contextlib.suppress(OSError):
            return OwnFile(self.folder, key).sha256()
        return None

    def commit(
        self, key: Key, temporary: Name, data: bytes, journalled: Callable[[Present], None], mtime_ns: int | None = None
    ) -> None:
        """Stage a painting, have it journalled, and publish it. The next run completes what a kill leaves in between."""
        if self.apart is not None:
            # An output folder is made when it is held.
            make_folder(self.apart)
        staged = OwnFile(self.folder, temporary)
        status = staged.stage(data, mtime_ns)
        try:
            journalled(Present(status.st_size, status.st_mtime_ns))
        except BaseException:
            staged.delete()
            raise
        staged.publish(key)


def damage(output: Output, key: Key, size: int, mtime_ns: int, sha256: str) -> str | None:
    """What has become of a painting since it was journalled; None if it is as it was."""
    found = output.look(key)
    if found is None:
        return "the painting has been deleted"
    if found.regular and (found.size, found.mtime_ns) == (size, mtime_ns):
        return None
    # One of another size is not read: it may be anything.
    same = found.size == size and output.sha256(key) == sha256
    return None if same else "the painting has been changed by hand"
