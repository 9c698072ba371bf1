"""Arrays that stay on the device between evaluations, and graphs that are run on them."""

import contextlib
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .installed import import_onnxruntime
from .stream import Stream

Array = NDArray[np.float32]

Pending = Callable[[], list[Array]]
"""What waits for the outputs of a run that has begun, and gives them."""


WEBGPU = "webgpu"
"""ONNX Runtime's name of WebGPU's memory."""


@dataclass(frozen=True)
class Place:
    """A device, as ONNX Runtime calls it.

    Attributes:
        kind: ``cuda``, ``webgpu`` or ``cpu``.
        number: of the GPU.
    """

    kind: str
    number: int = 0

    def empty(self, shape: tuple[int, ...]) -> "Buffer":
        """Memory there."""
        value = import_onnxruntime().OrtValue.ortvalue_from_shape_and_type(list(shape), np.float32, self.kind, self.number)
        return Buffer(self, shape, 0, value)

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
        first: index of its first element in the whole.
        whole: ONNX Runtime's value, which owns the memory.
    """

    place: Place
    shape: tuple[int, ...]
    first: int
    whole: Any

    @property
    def pointer(self) -> int:
        """Its address; of WebGPU's memory it means nothing."""
        return int(self.whole.data_ptr()) + 4 * self.first

    @property
    def bindable(self) -> bool:
        """Whether a graph can be run on it: WebGPU's memory has no address, so that a graph takes the whole or nothing."""
        return self.place.kind != WEBGPU or (self.first == 0 and self.shape == tuple(self.whole.shape()))

    def part(self, index: int) -> "Buffer":
        """The part at an index of the first dimension, in the same memory."""
        shape = self.shape[1:]
        return Buffer(self.place, shape, self.first + index * prod(shape), self.whole)

    def reshape(self, shape: tuple[int, ...]) -> "Buffer":
        """The same memory in another shape, of as many elements."""
        return Buffer(self.place, shape, self.first, self.whole)

    def read(self) -> Array:
        """A copy on the host. Of a part, too, though from a GPU the whole comes over."""
        elements = self.whole.numpy().reshape(-1)[self.first : self.first + prod(self.shape)]
        return np.array(elements).reshape(self.shape)

    def write(self, array: Array) -> None:
        """Take on an array's elements; not in a part. ONNX Runtime checks their number, and not their type."""
        self.whole.update_inplace(np.ascontiguousarray(array, np.float32))


class BoundGraph:
    """A graph whose inputs and outputs stay where they are from run to run: binding takes longer than a small kernel.

    Args:
        session: of ONNX Runtime.
        place: where it computes.
        fixed: inputs by name that are copied there once.
        options: ONNX Runtime's RunOptions.
        capture: number of the graph that is captured for it, and released with it; None for none. It is to be run by one
            thread then, with the same buffers each time.
        stream: that the session computes on, so that no copy of what changes has to be waited for; None for ordinary copies.
    """

    def __init__(
        self,
        session: Any,
        place: Place,
        fixed: Mapping[str, Array],
        options: Any = None,
        capture: int | None = None,
        stream: Stream | None = None,
    ) -> None:
        self.capture = capture
        if capture is not None:
            weakref.finalize(self, _release, session, capture)
        self._session = session
        self._place = place
        self._options = options
        self._stream = stream
        self._pinned: dict[str, Array] = {}
        """On the host, what goes to a held buffer or comes from it, where there is a stream."""
        self._binding = session.io_binding()
        self._bound: dict[str, Buffer] = {}
        self._outputs = {output.name: tuple(output.shape) for output in session.get_outputs()}
        self._held: dict[str, Buffer] = {}
        for name, value in fixed.items():
            self._write(name, value)

    def __call__(self, changing: Mapping[str, Array | Buffer], kept: Mapping[str, Buffer] | None = None) -> list[Array]:
        """`launch`, and wait."""
        return self.launch(changing, kept)()

    def launch(self, changing: Mapping[str, Array | Buffer], kept: Mapping[str, Buffer] | None = None) -> Pending:
        """Begin a run; the one before must have been waited for.

        Args:
            changing: the other inputs; an array keeps the shape that it has at the first call.
            kept: where on the device to write some outputs.

        Returns:
            What waits for the outputs, on the host, in the order of the graph, but for those that are kept.
        """
        for name, value in changing.items():
            if isinstance(value, Buffer):
                self._bind_input(name, value)
            else:
                self._write(name, value)
        kept = kept or {}
        read = {name: self._held_output(name, shape) for name, shape in self._outputs.items() if name not in kept}
        for name, buffer in kept.items():
            self._bind_output(name, buffer)
        self._session.run_with_iobinding(self._binding, self._options)
        if self._stream is None or None in read.values():
            return lambda: [self._value(name) if buffer is None else buffer.read() for name, buffer in read.items()]
        for name, held in read.items():
            assert held is not None, "its shape is known"
            self._stream.copy(self._staging(name, held.shape).ctypes.data, held.pointer, prod(held.shape))
        wait = self._stream.mark()

        def outputs() -> list[Array]:
            wait()
            return [self._pinned[name].copy() for name in read]

        return outputs

    def _write(self, name: str, value: Array) -> None:
        if name in self._held and self._stream is not None:
            self._staging(name, value.shape)[...] = value
            self._stream.copy(self._held[name].pointer, self._pinned[name].ctypes.data, value.size)
        elif name in self._held:
            self._held[name].write(value)
        else:
            self._held[name] = held = self._place.put(value)
            self._bind_input(name, held)

    def _held_output(self, name: str, shape: tuple[int | str, ...]) -> Buffer | None:
        """Where an output of a known shape goes; None where ONNX Runtime is to make room for it."""
        if not all(isinstance(size, int) for size in shape):
            self._binding.bind_output(name, "cpu")
            self._bound.pop(name, None)
            return None
        if name not in self._held:
            self._held[name] = self._place.empty(shape)  # type: ignore[arg-type]
        self._bind_output(name, self._held[name])
        return self._held[name]

    def _staging(self, name: str, shape: tuple[int, ...]) -> Array:
        if name not in self._pinned:
            assert self._stream is not None, "ordinary copies need none"
            self._pinned[name] = self._stream.pinned(shape)
        return self._pinned[name]

    def _value(self, name: str) -> Array:
        position = list(self._outputs).index(name)
        # A copy: what `numpy` gives of a value on the host is the value's own memory.
        return np.array(self._binding.get_outputs()[position].numpy())

    def _bind_input(self, name: str, buffer: Buffer) -> None:
        self._bind(self._binding.bind_input, self._binding.bind_ortvalue_input, name, buffer)

    def _bind_output(self, name: str, buffer: Buffer) -> None:
        self._bind(self._binding.bind_output, self._binding.bind_ortvalue_output, name, buffer)

    def _bind(self, bind: Callable[..., None], bind_value: Callable[..., None], name: str, buffer: Buffer) -> None:
        if self._bound.get(name) is buffer:
            return
        place = buffer.place
        if place.kind == WEBGPU:
            assert buffer.bindable, f"a part of WebGPU's memory as '{name}'"
            bind_value(name, buffer.whole)
        else:
            bind(name, place.kind, place.number, np.float32, list(buffer.shape), buffer.pointer)
        self._bound[name] = buffer


def _release(session: Any, capture: int) -> None:
    # Older versions cannot; then it goes with the session.
    with contextlib.suppress(Exception):
        session.release_captured_graph(capture)
