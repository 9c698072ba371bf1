"""Pictures of a painting in work."""

import contextlib
import re
from pathlib import Path, PurePath

from ..errors import ImageError
from ..files.name import Name
from ..files.own import OwnFile, delete_files, identity
from ..pictures.encoding import encode_picture
from ..pictures.photo import Picture
from .names import SNAPSHOTS, Key


class Snapshots:
    """The snapshots of one painting: ``beach.jpg.snapshots/000050.jpg`` beside it.

    What is wrong with them, such as a full disk, costs the painting nothing.

    Args:
        root: the output folder.
        key: of the painting.
        every: evaluations between two; None for none.
    """

    def __init__(self, root: Path, key: Key, every: int | None) -> None:
        self._root = root
        self._identity = identity(root)
        self._folder = f"{key}{SNAPSHOTS}"
        self._extension = PurePath(key).suffix
        self._every = every

    def clear(self) -> None:
        """Remove those of an earlier painting."""
        if self._every is None:
            return
        delete_files(self._root, self._folder, re.compile(r"\d{6}" + re.escape(self._extension)))

    def due(self, evaluations: int) -> bool:
        """Whether there is to be one after so many."""
        return self._every is not None and evaluations % self._every == 0

    def save(self, evaluations: int, picture: Picture) -> None:
        """Write the picture after so many evaluations; not into another folder than before."""
        if identity(self._root) != self._identity:
            return
        with contextlib.suppress(OSError, ImageError):
            file = OwnFile(self._root, Name(f"{self._folder}/{evaluations:06d}{self._extension}"))
            file.write(encode_picture(picture, self._extension).data)
