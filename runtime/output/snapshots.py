"""Pictures of a painting in work."""

import contextlib
import re
from pathlib import Path

from ..errors import ImageError
from ..files.atomic import make_folder
from ..pictures.encoding import write_picture
from ..pictures.photo import Picture

SUFFIX = ".snapshots"
"""Of the name of their folder, after the painting's."""

_NAME = re.compile(r"\d{6}")


class Snapshots:
    """The snapshots of one painting: ``beach.jpg.snapshots/000050.jpg`` beside it.

    What is wrong with them, such as a full disk, costs the painting nothing.

    Args:
        target: the painting.
        every: evaluations between two; None for none.
    """

    def __init__(self, target: Path, every: int | None) -> None:
        self.folder = target.with_name(target.name + SUFFIX)
        self._extension = target.suffix
        self._every = every

    def clear(self) -> None:
        """Remove those of an earlier painting."""
        if self._every is None:
            return
        with contextlib.suppress(OSError):
            for path in self.folder.iterdir():
                if _NAME.fullmatch(path.stem):
                    path.unlink()

    def due(self, evaluations: int) -> bool:
        """Whether there is to be one after so many."""
        return self._every is not None and evaluations % self._every == 0

    def save(self, evaluations: int, picture: Picture) -> None:
        """Write the picture after so many evaluations."""
        with contextlib.suppress(OSError, ImageError):
            make_folder(self.folder)
            write_picture(self.folder / f"{evaluations:06d}{self._extension}", picture)
