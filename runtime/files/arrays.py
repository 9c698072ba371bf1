"""Arrays that nstbatch has kept, read back: those that were written, bit for bit, or none."""

import hashlib
import zipfile
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from .scratch import Empty, zeros

Arrays = dict[str, NDArray[Any]]
"""Arrays by name."""

_DIGEST = "sha256"
"""The member of an archive that holds the digest of the others."""

_KINDS = "biufU"
"""Kinds of arrays that are kept: booleans, numbers and text."""


def write_arrays(file: BinaryIO, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write an ``.npz`` archive with a digest inside.

    Raises:
        OSError: the disk is full.
    """
    ordered = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    np.savez(file, **{_DIGEST: np.array(_digest(ordered))}, **ordered)  # type: ignore[arg-type]


def read_arrays(
    file: BinaryIO, most: int, shapes: Mapping[str, tuple[int, ...]] | None = None, empty: Empty = zeros
) -> Arrays:
    """Read what `write_arrays` has written.

    Args:
        file: the archive.
        most: bytes that all arrays may take; more are not read.
        shapes: of float32 arrays, by name, which these must have, and no others; None for any.
        empty: makes what arrays of float32 are read into.

    Raises:
        ValueError: it is damaged, or holds other arrays.
        OSError: it cannot be read.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            arrays = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            if len(arrays) > _MEMBERS:
                raise ValueError("more arrays than are kept")
            if shapes is not None and set(arrays) - {_DIGEST} != set(shapes):
                raise ValueError("other arrays than expected")
            found: Arrays = {}
            for name, info in arrays.items():
                shape = None if shapes is None else shapes.get(name)
                found[name] = _member(archive, info, most, shape, empty)
                most -= found[name].nbytes
    except OSError:
        raise
    except Exception as error:  # of a damaged header, NumPy and zipfile raise what they like
        raise ValueError(str(error) or type(error).__name__) from None
    digest = found.pop(_DIGEST, None)
    if digest is None or str(digest) != _digest(found):
        raise ValueError("the digest is not that of the arrays")
    return found


def _member(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, most: int, expected: tuple[int, ...] | None, empty: Empty
) -> NDArray[Any]:
    with archive.open(info) as member:
        version = npy.read_magic(member)
        if version != (1, 0):
            raise ValueError(f"version {version}")
        shape, fortran, dtype = npy.read_array_header_1_0(member)
        if dtype.kind not in _KINDS or fortran:
            raise ValueError(f"{info.filename}: {dtype} is not kept")
        if expected is not None and (shape != expected or dtype != np.float32):
            raise ValueError(f"{info.filename}: {dtype} {shape}, not float32 {expected}")
        count = int(np.prod(shape, dtype=object))
        if count * dtype.itemsize > most:
            raise ValueError(f"{info.filename}: larger than {most:,} bytes")
        array = empty(shape) if dtype == np.float32 and count else np.empty(shape, dtype)
        content = _bytes(array)
        done = 0
        while done < len(content):
            part = member.read(min(len(content) - done, _PART))
            if not part:
                raise ValueError(f"{info.filename}: cut off")
            content[done : done + len(part)] = part
            done += len(part)
        return array


_PART = 2**22
_MEMBERS = 256


def _digest(arrays: Mapping[str, NDArray[Any]]) -> str:
    """Of names, kinds, shapes and values."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(_bytes(array))
    return digest.hexdigest()


def _bytes(array: NDArray[Any]) -> memoryview:
    return array.reshape(-1).view(np.uint8).data if array.size else memoryview(b"")
