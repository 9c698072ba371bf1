"""The output folders of a run, on this host and behind URLs."""

import hashlib
import os
from pathlib import Path

from ..errors import UsageError, first_line
from ..files.location import Location, absolute, is_remote
from .journal import Journal
from .remote import RemoteJournal, RemoteOutput
from .shard import Shard


class Outputs:
    """Knows which folder of this host belongs to which output.

    Args:
        cache: folder for the mirrors of outputs behind URLs.
    """

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._remote: dict[Path, RemoteOutput] = {}
        self._apart: dict[Path, Path] = {}

    def mirror(self, output: Location) -> Path:
        """The folder that an output's journal is in: of one behind a URL, its mirror in the cache."""
        if not is_remote(output):
            assert isinstance(output, Path), "it is of this host"
            return output
        root = self._cache / "outputs" / hashlib.sha256(str(output).encode()).hexdigest()[:24]
        self._remote.setdefault(root, RemoteOutput(output, root))
        return root

    def beside(self, painting: Path) -> Path:
        """The folder that the journal of a single painting is in: in the cache, as its own folder is no output folder."""
        place = absolute(painting)
        root = self._cache / "outputs" / hashlib.sha256(os.fsencode(place)).hexdigest()[:24]
        self._apart[root] = place.parent
        return root

    def journal(self, root: Path, shard: Shard) -> Journal:
        """The journal of an output folder, or of a mirror.

        Raises:
            UsageError: it cannot be read, or the URL not be listed.
        """
        output = self._remote.get(root)
        try:
            if output is None:
                return Journal.read(root, shard, apart=self._apart.get(root))
            output.pull()
            return RemoteJournal(output, shard)
        except OSError as error:
            name = root if output is None else output.name
            raise UsageError(f"{name}: its journal cannot be read ({first_line(error)})") from None
