"""Checkpoints: the optimiser's state of the picture in work, so that a run that was stopped goes on within it."""

import contextlib
import hashlib
import os
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..files.arrays import Arrays, read_arrays, write_arrays
from ..files.own import OwnFile, delete_files, identity, stale
from ..files.scratch import Empty, zeros
from .names import STATE, Key, state

_FOLDER = "checkpoints"

_TEMPORARY = re.compile(r"[0-9a-f]{24}\.tmp")

_FINGERPRINT = "fingerprint"


class Checkpoint:
    """The checkpoint of one picture: at most one file, in the output folder, as large as 26 pictures of float32.

    Args:
        root: the output folder.
        target: the output, relative to it.
        fingerprint: of what is painted; a checkpoint of anything else is not taken up.
        interval: seconds between two; None saves none.
        clock: seconds, never set back.
    """

    def __init__(
        self,
        root: Path,
        target: Key,
        fingerprint: str = "",
        interval: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        name = hashlib.sha256(os.fsencode(target)).hexdigest()[:24]
        self._file = OwnFile(root, state(f"{_FOLDER}/{name}.npz"))
        self._temporary = self._file.beside(f"{name}.tmp")
        self._root = root
        self._identity = identity(root)
        self.interval = interval
        self._fingerprint = fingerprint
        self._clock = clock
        self._last = clock()

    @property
    def due(self) -> bool:
        """Whether the interval is over."""
        return self.interval is not None and self._clock() - self._last >= self.interval

    @property
    def path(self) -> Path:
        """Where it is."""
        return self._file.path

    def load(self, most: int, empty: Empty = zeros) -> Arrays | None:
        """The state that was saved last; None where there is none, or it is damaged, or of something else.

        Args:
            most: bytes that it can have.
            empty: makes what its vectors are read into.
        """
        try:
            with self._file.reading() as file:
                found = read_arrays(file, most, empty=empty)
        except (OSError, ValueError):
            return None
        fingerprint = found.pop(_FINGERPRINT, None)
        return found if fingerprint is not None and str(fingerprint) == self._fingerprint else None

    def save(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Save a state in place of the last.

        Raises:
            OSError: the disk is full, or the folder cannot be written to, or is another one than before; the last one stays.
        """
        if identity(self._root) != self._identity:
            raise stale(self._root)
        # To a file, not through memory: it is the largest thing there is.
        with self._file.writing(self._temporary) as file:
            write_arrays(file, {_FINGERPRINT: np.array(self._fingerprint), **state})
        self._last = self._clock()

    def discard(self) -> None:
        """Remove it: the picture is done."""
        with contextlib.suppress(OSError):
            self._file.delete()


def delete_unfinished(root: Path) -> None:
    """Delete what killed runs have left of checkpoints; the folder is held."""
    delete_files(root, f"{STATE}/{_FOLDER}", _TEMPORARY)
