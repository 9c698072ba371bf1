"""Inputs that stay on the device between evaluations."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .sessions import import_onnxruntime

Array = NDArray[np.float32]


class BoundGraph:
    """A graph with some inputs that are copied to the device once, and others that are written there in place.

    Args:
        session: of ONNX Runtime.
        fixed: inputs by name that stay as they are.
        kind: of the device, as ONNX Runtime calls it: ``cuda`` or ``cpu``.
        device: its number.
    """

    def __init__(self, session: Any, fixed: Mapping[str, Array], kind: str, device: int) -> None:
        self._session = session
        self._place = kind, device
        self._binding = session.io_binding()
        self._changing: dict[str, Any] = {}
        for name, value in fixed.items():
            self._hold(name, value)
        for output in session.get_outputs():
            self._binding.bind_output(output.name, "cpu")

    def __call__(self, changing: Mapping[str, Array], options: Any = None) -> list[Array]:
        """Outputs, on the host, in the order of the graph.

        Args:
            changing: the other inputs; each keeps the shape that it has at the first call.
            options: ONNX Runtime's RunOptions.
        """
        for name, value in changing.items():
            if name in self._changing:
                self._changing[name].update_inplace(np.ascontiguousarray(value))
            else:
                self._changing[name] = self._hold(name, value)
        self._session.run_with_iobinding(self._binding, options)
        return list(self._binding.copy_outputs_to_cpu())

    def _hold(self, name: str, value: Array) -> Any:
        """A copy on the device: `ortvalue_from_numpy` would take the caller's own memory, where that is the device."""
        held = import_onnxruntime().OrtValue.ortvalue_from_shape_and_type(list(value.shape), np.float32, *self._place)
        held.update_inplace(np.ascontiguousarray(value))
        self._binding.bind_ortvalue_input(name, held)
        return held
