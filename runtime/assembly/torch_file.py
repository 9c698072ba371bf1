"""Tensors out of a file of ``torch.save``, without PyTorch and without running what the file says.

Both forms are read: the archive (since PyTorch 1.6, a ZIP of ``data.pkl`` and one member for each storage) and the older
stream (three pickles, the object, the storages' keys, and then the storages themselves). A pickle may name nothing but the
few functions and types that a dictionary of tensors is made of.
"""

import collections
import pickle
import struct
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_MAGIC = 0x1950A86A20F9469CFC6C
"""What the older form begins with, pickled."""

_STORAGES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "<i1",
    "ByteStorage": "<u1",
    "BoolStorage": "<?",
}
"""NumPy's type of each storage's elements; bfloat16 has none."""

_LOCAL_HEADER = struct.Struct("<26x2H")
"""Of a ZIP member: lengths of its name and of its extra field, which follow, and then the data (APPNOTE 4.3.7)."""


@dataclass(frozen=True)
class _StorageType:
    dtype: np.dtype[Any]


def read_tensors(path: Path) -> dict[str, Array]:
    """The tensors of a ``state_dict``, or of a dictionary with an entry of that name.

    Values are mapped from the file, and read when they are used.

    Raises:
        ValueError: it is no such file, or names something else than tensors.
        pickle.UnpicklingError, EOFError, OSError, zipfile.BadZipFile: the file is damaged.
    """
    content = _read_archive(path) if zipfile.is_zipfile(path) else _read_stream(path)
    nested = content.get("state_dict", content) if isinstance(content, dict) else None
    if not isinstance(nested, dict):
        raise ValueError("it holds no state_dict")
    return {str(name): value for name, value in nested.items() if isinstance(value, np.ndarray)}


class _Unpickler(pickle.Unpickler):
    """Reads a pickle that names tensors and dictionaries, and nothing else.

    Args:
        file: the pickle.
        storage: gives the storage of a type, a key and a number of elements.
    """

    def __init__(self, file: BinaryIO, storage: Callable[[np.dtype[Any], str, int], Array] | None = None) -> None:
        super().__init__(file, encoding="utf-8")
        self._storage = storage

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in _STORAGES:
            return _StorageType(np.dtype(_STORAGES[name]))
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise ValueError(f"it names {module}.{name}, which is no tensor; nothing of it was run") from None

    def persistent_load(self, pid: Any) -> Array:
        kind, storage_type, key, _, count, *view = pid
        whole = kind == "storage" and view in ([], [None])
        if not whole or not isinstance(storage_type, _StorageType) or self._storage is None:
            raise ValueError("it holds a tensor of an unknown kind")
        return self._storage(storage_type.dtype, str(key), int(count))


def _rebuild_tensor(storage: Array, offset: int, shape: Sequence[int], strides: Sequence[int], *_: object) -> Array:
    """The view of a storage that a tensor is; strides are in elements."""
    if len(shape) != len(strides) or offset < 0 or min((*shape, *strides), default=0) < 0:
        raise ValueError("it holds a tensor of an impossible shape")
    last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    if 0 not in shape and last >= len(storage):
        raise ValueError("it holds a tensor that is larger than its storage")
    byte_strides = [stride * storage.itemsize for stride in strides]
    return np.lib.stride_tricks.as_strided(storage[offset:], tuple(shape), byte_strides, writeable=False)


_ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): lambda data, *_: data,
}
"""What a pickle may call, by module and name."""


def _read_archive(path: Path) -> Any:
    with zipfile.ZipFile(path) as archive, path.open("rb") as file:
        pickles = [name for name in archive.namelist() if name.rpartition("/")[2] == "data.pkl"]
        if len(pickles) != 1:
            raise ValueError("it has no data.pkl")
        folder = pickles[0].removesuffix("data.pkl")

        def storage(dtype: np.dtype[Any], key: str, count: int) -> Array:
            member = archive.getinfo(f"{folder}data/{key}")
            if member.compress_type != zipfile.ZIP_STORED or member.file_size < count * dtype.itemsize:
                raise ValueError(f"its storage {key} is shorter than its tensor")
            file.seek(member.header_offset)
            begin = member.header_offset + _LOCAL_HEADER.size + sum(_LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size)))
            return _map(path, dtype, begin, count)

        with archive.open(pickles[0]) as pickled:
            return _Unpickler(cast("BinaryIO", pickled), storage).load()


def _read_stream(path: Path) -> Any:
    storages: dict[str, Array] = {}
    size = path.stat().st_size

    def storage(dtype: np.dtype[Any], key: str, count: int) -> Array:
        # A tensor is built of its storage before that is read: so here is the place for it.
        if not 0 <= count * dtype.itemsize <= size:
            raise ValueError(f"its storage {key} is longer than the file")
        return storages.setdefault(key, np.empty(count, dtype))

    with path.open("rb") as file:
        try:
            magic = _Unpickler(file).load()
        except (pickle.UnpicklingError, ValueError, IndexError, EOFError):
            magic = None
        if magic != _MAGIC:
            raise ValueError("it is not a file of torch.save")
        for _ in ("protocol", "system"):
            _Unpickler(file).load()
        content = _Unpickler(file, storage).load()
        for key in _Unpickler(file).load():
            values = storages[key]
            count = int.from_bytes(file.read(8), "little")
            if count != len(values) or file.readinto(values.data.cast("B")) != values.nbytes:
                raise ValueError("it is torn: a storage has not all of its elements")
    return content


def _map(path: Path, dtype: np.dtype[Any], begin: int, count: int) -> Array:
    return np.memmap(path, dtype, "r", begin, (count,)) if count else np.empty(0, dtype)
