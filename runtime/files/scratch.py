"""Arrays that a process puts aside: a file without a name, which goes with the process however that ends."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

Empty = Callable[[tuple[int, ...]], Array]
"""Makes an array of zeros, of a shape."""


def zeros(shape: tuple[int, ...]) -> Array:
    """An array of zeros in memory."""
    return np.zeros(shape, np.float32)


def mapped(folder: Path | None, shape: tuple[int, ...]) -> Array:
    """An array of zeros in a file, of which the system keeps as much in memory as there is room for.

    Args:
        folder: see `Scratch`.
        shape: of the array.

    Raises:
        OSError: the file cannot be made.
    """
    with tempfile.TemporaryFile(dir=folder, prefix=".nstbatch-") as file:
        return np.memmap(file, np.float32, "w+", shape=shape)


class Scratch:
    """Arrays of float32 by number, in memory as long as they are few, and else in a file.

    Args:
        folder: where the file is made; None for the system's folder for temporary files.
        in_memory: bytes that are kept in memory before there is a file.
    """

    def __init__(self, folder: Path | None = None, in_memory: int = 2**28) -> None:
        self._folder = folder
        self._left = in_memory
        self._kept: dict[object, Array] = {}
        self._file: BinaryIO | None = None
        self._places: dict[object, tuple[int, tuple[int, ...]]] = {}
        self._end = 0

    def put(self, key: object, array: Array) -> None:
        """Put an array aside, in the place of the one of that key, which has the same shape.

        Raises:
            OSError: the file cannot be made or written to.
        """
        if key in self._kept or (key not in self._places and array.nbytes <= self._left):
            if key not in self._kept:
                self._left -= array.nbytes
            self._kept[key] = array
            return
        if self._file is None:
            opened = tempfile.TemporaryFile(dir=self._folder, prefix=".nstbatch-")  # noqa: SIM115 - for as long as this
            self._file = cast("BinaryIO", opened)
        if key not in self._places:
            self._places[key] = self._end, array.shape
            self._end += array.nbytes
        self._file.seek(self._places[key][0])
        self._file.write(np.ascontiguousarray(array).data)

    def get(self, key: object) -> Array:
        """The array of a key; not to be written to.

        Raises:
            OSError: the file cannot be read.
        """
        if key in self._kept:
            return self._kept[key]
        assert self._file is not None, "what is put into a file has one"
        start, shape = self._places[key]
        array = np.empty(shape, np.float32)
        self._file.seek(start)
        if self._file.readinto(array.data) != array.nbytes:  # type: ignore[attr-defined]
            raise OSError("the file of arrays that were put aside is shorter than it was")
        return array
