"""Arrays that stay on the device between evaluations, and graphs that are run on them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .sessions import import_onnxruntime

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Place:
    """A device, as ONNX Runtime calls it.

    Attributes:
        kind: ``cuda`` or ``cpu``.
        number: of the GPU.
    """

    kind: str
    number: int = 0

    def empty(self, shape: tuple[int, ...]) -> "Buffer":
        """Memory there."""
        value = import_onnxruntime().OrtValue.ortvalue_from_shape_and_type(list(shape), np.float32, self.kind, self.number)
        return Buffer(self, shape, value.data_ptr(), value)

    def put(self, array: Array) -> "Buffer":
        """A copy of an array there; ONNX Runtime's own would take the caller's memory, where that is the device."""
        buffer = self.empty(array.shape)
        buffer.write(array)
        return buffer


@dataclass(frozen=True)
class Buffer:
    """A float32 array on a device, or a part of one; contiguous.

    Attributes:
        place: where it is.
        shape: its shape.
        pointer: its address.
    """

    place: Place
    shape: tuple[int, ...]
    pointer: int
    _whole: Any
    """ONNX Runtime's value, which owns the memory."""

    def part(self, index: int) -> "Buffer":
        """The part at an index of the first dimension, in the same memory."""
        shape = self.shape[1:]
        return Buffer(self.place, shape, self.pointer + 4 * index * int(np.prod(shape)), self._whole)

    def reshape(self, shape: tuple[int, ...]) -> "Buffer":
        """The same memory in another shape, of as many elements."""
        return Buffer(self.place, shape, self.pointer, self._whole)

    def read(self) -> Array:
        """A copy on the host; not of a part."""
        return np.array(self._whole.numpy()).reshape(self.shape)

    def write(self, array: Array) -> None:
        """Take on an array's elements; not in a part. ONNX Runtime checks their number, and not their type."""
        self._whole.update_inplace(np.ascontiguousarray(array, np.float32))


class BoundGraph:
    """A graph with some inputs that are copied to the device once, and others that are written there in place.

    Args:
        session: of ONNX Runtime.
        place: where it computes.
        fixed: inputs by name that stay as they are.
    """

    def __init__(self, session: Any, place: Place, fixed: Mapping[str, Array]) -> None:
        self._session = session
        self._place = place
        self._binding = session.io_binding()
        self._outputs = [output.name for output in session.get_outputs()]
        self._held: dict[str, Buffer] = {}
        for name, value in fixed.items():
            self._write(name, value)

    def __call__(
        self, changing: Mapping[str, Array | Buffer], kept: Mapping[str, Buffer] | None = None, options: Any = None
    ) -> list[Array]:
        """Outputs, on the host, in the order of the graph, but for those that are kept.

        Args:
            changing: the other inputs; an array keeps the shape that it has at the first call.
            kept: where on the device to write some outputs.
            options: ONNX Runtime's RunOptions.
        """
        for name, value in changing.items():
            if isinstance(value, Buffer):
                self._binding.bind_input(*_described(name, value))
            else:
                self._write(name, value)
        kept = kept or {}
        for name in self._outputs:
            if name in kept:
                self._binding.bind_output(*_described(name, kept[name]))
            else:
                self._binding.bind_output(name, "cpu")
        self._session.run_with_iobinding(self._binding, options)
        values = zip(self._outputs, self._binding.get_outputs(), strict=True)
        # A copy: what `numpy` gives of a value on the host is the value's own memory.
        return [np.array(value.numpy()) for name, value in values if name not in kept]

    def _write(self, name: str, value: Array) -> None:
        if name in self._held:
            self._held[name].write(value)
        else:
            self._held[name] = held = self._place.put(value)
            self._binding.bind_input(*_described(name, held))


def _described(name: str, buffer: Buffer) -> tuple[Any, ...]:
    """What ONNX Runtime's ``bind_input`` and ``bind_output`` take."""
    return name, buffer.place.kind, buffer.place.number, np.float32, list(buffer.shape), buffer.pointer
