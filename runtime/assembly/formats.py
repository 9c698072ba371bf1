"""The file formats that weights come in, read as arrays by their names."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import WeightsError, first_line
from .torch_file import read_tensors

Arrays = Mapping[str, NDArray[Any]]
"""Arrays by their names in a file."""


def read_arrays(path: Path) -> Arrays:
    """The arrays of a file in one of `FORMATS`.

    Raises:
        WeightsError: the format is not known, the file is damaged, or a package that reads it is not installed.
    """
    try:
        reader = FORMATS[path.suffix.lower()]
    except KeyError:
        raise WeightsError(f"{path}: unknown kind of file; weights are in one of {', '.join(FORMATS)}") from None
    try:
        return reader(path)
    except ImportError as error:
        package = (error.name or "").partition(".")[0]
        raise WeightsError(f"{path}: {first_line(error)}; run `pip install {package}`") from None
    except Exception as error:
        # Any error: each library has its own for what is damaged.
        raise WeightsError(f"{path}: cannot be read as weights ({first_line(error)})") from None


def _read_npz(path: Path) -> Arrays:
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _read_safetensors(path: Path) -> Arrays:
    from safetensors.numpy import load_file

    return load_file(path)


def _read_h5(path: Path) -> Arrays:
    import h5py

    arrays: dict[str, NDArray[Any]] = {}

    def visit(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset) and item.dtype.kind == "f":
            arrays[name] = np.asarray(item[()])

    with h5py.File(path, "r") as file:
        file.visititems(visit)
    return arrays


FORMATS: dict[str, Callable[[Path], Arrays]] = {
    ".pth": read_tensors,
    ".pt": read_tensors,
    ".bin": read_tensors,
    ".h5": _read_h5,
    ".hdf5": _read_h5,
    ".npz": _read_npz,
    ".safetensors": _read_safetensors,
}
"""Reads a file, by its extension."""
