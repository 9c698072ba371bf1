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
        self._patterns = {pattern: _plain(pattern) for pattern in patterns}
        self._matched: set[str] = set()
        self._kinds: Counter[str] = Counter()
        self._excluded = 0
        self._raws = 0

    def excludes(self, path: PurePath) -> bool:
        """Whether a pattern names a file, or a folder that it is in, by its path below the one that was named; counted."""
        if not self._patterns:
            return False
        names = [*path.parts, *(str(each) for each in (path, *path.parents) if each.parts)]
        found = [pattern for pattern, plain in self._patterns.items() if any(fnmatchcase(name, plain) for name in names)]
        self._matched.update(found)
        self._excluded += bool(found)
        return bool(found)

    def skip(self, path: PurePath) -> None:
        """Count a file of a kind that is not painted."""
        self._kinds[path.suffix.lower() or "without an extension"] += 1

    def skip_raw(self) -> None:
        """Count a RAW file of which a developed photo lies beside."""
        self._raws += 1

    def __str__(self) -> str:
        kinds = sorted(self._kinds.items(), key=lambda each: (-each[1], each[0]))[:_KINDS]
        parts = [f"{count:,} {kind}" + (f" ({hint})" if (hint := lacks(kind)) else "") for kind, count in kinds]
        others = self._kinds.total() - sum(count for _, count in kinds)
        parts += [f"{others:,} of other kinds"] if others else []
        parts += [f"{self._raws:,} RAW with a photo of the same name beside"] if self._raws else []
        parts += [f"{self._excluded:,} by --exclude"] if self._excluded else []
        parts += [f"nothing by --exclude {pattern}" for pattern in self._patterns if pattern not in self._matched]
        return f"left out: {', '.join(parts)}" if parts else ""


def _plain(pattern: str) -> str:
    """A pattern without what other programs write around it: ``./raw/``, ``/raw``, ``**/raw``."""
    return pattern.removeprefix("./").strip("/").removeprefix("**/").removesuffix("/**")
