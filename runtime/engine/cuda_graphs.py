"""A graph with every input and output at a fixed address, which CUDA can capture once and replay."""

from collections.abc import Callable, Mapping, Sequence
from threading import Lock
from typing import Any

import numpy as np

from .binding import Array, BoundGraph, Buffer, Place
from .sessions import import_onnxruntime

Copy = Callable[[Buffer, Buffer], None]
"""Copies the first buffer to the second, on the device."""


_ID = "1"
"""Of a session's one captured graph; ONNX Runtime takes 0 for itself."""


class CapturedGraph:
    """One graph in one shape, for any number of objectives in turn.

    A replay reads and writes what was bound when it was captured, and ONNX Runtime never frees a captured graph: so each
    session is captured once, and what is evaluated there is copied to its buffers.

    Args:
        session: of ONNX Runtime, of fixed dimensions, with graphs enabled.
        place: where it computes.
        sizes: of the free dimensions that its outputs have, by name.
        copy: copies between buffers.
    """

    def __init__(self, session: Any, place: Place, sizes: Mapping[str, int], copy: Copy) -> None:
        self._copy = copy
        self._bound = BoundGraph(session, place, {})
        self._place = place
        shapes = {
            output.name: tuple(sizes[size] if isinstance(size, str) else size for size in output.shape)
            for output in session.get_outputs()
        }
        self._outputs = {name: place.empty(shape) for name, shape in shapes.items()}
        self._inputs: dict[str, Buffer] = {}
        self._fixed: Mapping[str, Array] | None = None
        self._lock = Lock()
        self._options = import_onnxruntime().RunOptions()
        self._options.add_run_config_entry("gpu_graph_id", _ID)

    def __call__(
        self, fixed: Mapping[str, Array], changing: Mapping[str, Array | Buffer], kept: Mapping[str, Buffer] | None = None
    ) -> list[Array]:
        """Compute the outputs, those that are kept on the device and the others on the host.

        Args:
            fixed: inputs that are written again only when this is another object than the last.
            changing: the other inputs.
            kept: where on the device to write some outputs.
        """
        kept = kept or {}
        with self._lock:
            if self._fixed is not fixed:
                self._fixed = None
                for name, value in fixed.items():
                    self._set(name, value)
                self._fixed = fixed
            for name, changed in changing.items():
                self._set(name, changed)
            self._bound(self._inputs, self._outputs, self._options)
            for name, buffer in kept.items():
                self._copy(self._outputs[name], buffer)
            return [buffer.read() for name, buffer in self._outputs.items() if name not in kept]

    def run(self, _: Sequence[str] | None, feeds: Mapping[str, Array], __: Any = None) -> list[Array]:
        """As a session's."""
        return self(feeds, {})

    def _set(self, name: str, value: Array | Buffer) -> None:
        if name not in self._inputs:
            self._inputs[name] = self._place.empty(value.shape)
        if isinstance(value, Buffer):
            self._copy(value, self._inputs[name])
        else:
            self._inputs[name].write(np.asarray(value))
