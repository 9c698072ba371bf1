"""What is left out of a run, for those who wonder."""

from collections import Counter
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import PurePath

from ..pictures.formats import lacks

SYSTEM = ("@eaDir", "#recycle", "$RECYCLE.BIN", "lost+found", "System Volume Information")
"""Folders that NAS systems and file systems make, of thumbnails and of what was deleted."""

_KINDS = 6
"""Kinds of files that are named, those first of which there are most."""


class LeftOut:
    """Counts the files that no photo was made of, by the reason.

    Args:
        patterns: of names, and of paths below a folder that was named, that are excluded; as shells have them, ``*``
            standing for anything, ``/`` too.
    """

    def __init__(self, patterns: Sequence[str] = ()) -> None:
        self._patterns = patterns
        self._kinds: Counter[str] = Counter()
        self._excluded = 0

    def is_excluded(self, path: PurePath) -> bool:
        """Whether a pattern names a file, or a folder that it is in, by its path below the folder that was named."""
        names = [*path.parts, *(str(each) for each in (path, *path.parents) if each.parts)]
        return any(fnmatchcase(name, pattern) for pattern in self._patterns for name in names)

    def exclude(self) -> None:
        """Count a photo or a folder that is excluded."""
        self._excluded += 1

    def skip(self, path: PurePath) -> None:
        """Count a file of a kind that is not painted."""
        self._kinds[path.suffix.lower() or "without an extension"] += 1

    def __str__(self) -> str:
        kinds = sorted(self._kinds.items(), key=lambda each: (-each[1], each[0]))[:_KINDS]
        parts = [f"{count:,} {kind}" + (f" ({hint})" if (hint := lacks(kind)) else "") for kind, count in kinds]
        others = self._kinds.total() - sum(count for _, count in kinds)
        parts += [f"{others:,} of other kinds"] if others else []
        parts += [f"{self._excluded:,} by --exclude"] if self._excluded else []
        return f"left out: {', '.join(parts)}" if parts else ""
