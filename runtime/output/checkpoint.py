"""Checkpoints: the optimiser's state of the picture in work, so that a run that was stopped goes on within it."""

import contextlib
import hashlib
import os
import time
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..files.atomic import make_folder, publish
from .folder import STATE

Arrays = dict[str, NDArray[Any]]
"""The state of a painting, by name; see `Painting.state`."""

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
        target: str,
        fingerprint: str = "",
        interval: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        name = hashlib.sha256(os.fsencode(target)).hexdigest()[:24]
        self.path = root / STATE / "checkpoints" / f"{name}.npz"
        self.interval = interval
        self._fingerprint = fingerprint
        self._clock = clock
        self._last = clock()

    @property
    def due(self) -> bool:
        """Whether the interval is over."""
        return self.interval is not None and self._clock() - self._last >= self.interval

    def load(self) -> Arrays | None:
        """The state that was saved last; None where there is none, or it is damaged, or of something else."""
        try:
            with np.load(self.path, allow_pickle=False) as archive:
                state = {name: archive[name] for name in archive.files}
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
            return None
        found = state.pop(_FINGERPRINT, None)
        return state if found is not None and str(found) == self._fingerprint else None

    def save(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Save a state in place of the last.

        Raises:
            OSError: the disk is full, or the folder cannot be written to; the last one stays.
        """
        make_folder(self.path.parent)
        temporary = self.path.with_suffix(".tmp")
        try:
            handle = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
            # To a file, not through memory: it is the largest thing there is.
            with os.fdopen(handle, "w+b") as file:
                np.savez(file, **{_FINGERPRINT: np.array(self._fingerprint)}, **state)  # type: ignore[arg-type]
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        publish(temporary, self.path)
        self._last = self._clock()

    def discard(self) -> None:
        """Remove it: the picture is done."""
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)
