"""A GPU that is made up: what is put into its stream is done only when somebody waits for it."""

import ctypes
from collections.abc import Callable, Collection
from itertools import count
from pathlib import Path
from typing import Any

from nstbatch.runtime.bundle.spec import STEPS, Bundle
from nstbatch.runtime.engine.binding import Place
from nstbatch.runtime.engine.engine import Engine
from nstbatch.runtime.engine.host import Host
from nstbatch.runtime.engine.providers import OnnxRuntime
from nstbatch.runtime.engine.stream import Stream


class Device:
    """CUDA's runtime library of one such GPU; it stands in for the module of ctypes.

    Attributes:
        waiting: what is in the stream and has not been done.
        done: what has been done, and what was asked for meanwhile, in order.
        freed: addresses of pinned memory that has been given back.
        broken: name of a function that fails.
    """

    def __init__(self, broken: str = "") -> None:
        self.waiting: list[Callable[[], object]] = []
        self.done: list[str] = []
        self.freed: list[int] = []
        self.broken = broken
        self._memory: dict[int, Any] = {}
        self._events: dict[int, int] = {}
        """How much of the stream is to be done, by event."""
        self._handles = count(1)
        self._put = 0

    @property
    def stream(self) -> Stream:
        """Its stream."""
        found = Stream.new(0, self.load)
        assert found is not None
        return found

    def load(self, name: str) -> "Device":
        """The library of CUDA 13."""
        if name != "libcudart.so.13":
            raise OSError(name)
        return self

    def put(self, work: Callable[[], object]) -> None:
        """Put work into the stream."""
        self.waiting.append(work)
        self._put += 1

    def __getattr__(self, name: str) -> Callable[..., int]:
        if not name.startswith("cuda"):
            raise AttributeError(name)
        function = getattr(self, "_" + name.removeprefix("cuda"))
        return (lambda *_: 700) if name == self.broken else lambda *arguments: function(*arguments) or 0

    def _SetDevice(self, device: int) -> int:
        return 0 if device == 0 else 101

    def _StreamCreate(self, stream: Any) -> None:
        stream._obj.value = 0xABC0

    def _HostAlloc(self, pointer: Any, size: ctypes.c_size_t, flags: int) -> None:
        assert flags == 0
        memory = (ctypes.c_char * size.value)()
        pointer._obj.value = ctypes.addressof(memory)
        self._memory[ctypes.addressof(memory)] = memory

    def _FreeHost(self, pointer: ctypes.c_void_p) -> None:
        assert pointer.value is not None
        del self._memory[pointer.value]
        self.freed.append(pointer.value)

    def _MemcpyAsync(self, target: Any, source: Any, size: ctypes.c_size_t, kind: int, stream: ctypes.c_void_p) -> None:
        assert (kind, stream.value) == (4, 0xABC0)
        self.put(lambda: ctypes.memmove(target, source, size.value))

    def _EventCreateWithFlags(self, event: Any, flags: int) -> None:
        assert flags == 2
        event._obj.value = next(self._handles)

    def _EventRecord(self, event: ctypes.c_void_p, stream: ctypes.c_void_p) -> None:
        assert event.value is not None
        self._events[event.value] = self._put

    def _EventSynchronize(self, event: ctypes.c_void_p) -> None:
        assert event.value is not None
        for _ in range(self._events[event.value] - (self._put - len(self.waiting))):
            self.waiting.pop(0)()

    def _EventDestroy(self, event: ctypes.c_void_p) -> None:
        assert event.value is not None
        del self._events[event.value]


class Deferred:
    """A session of the CPU provider that computes when the stream comes to it."""

    def __init__(self, session: Any, device: Device, name: str = "run") -> None:
        self._session = session
        self._device = device
        self._name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def run_with_iobinding(self, binding: Any, options: Any) -> None:
        def compute() -> None:
            self._session.run_with_iobinding(binding, options)
            self._device.done.append(self._name)

        self._device.put(compute)


class WithCuda(OnnxRuntime):
    """A host on which CUDA starts, as far as an engine asks; it computes on the CPU.

    Args:
        step: makes of the session of a step, and of whether CUDA is to capture it, what stands in for it.
        provider: that starts.
        watched: the graphs whose sessions are replaced.
    """

    def __init__(
        self, step: Callable[[Any, bool], Any], provider: str = "cuda", watched: Collection[str] = tuple(STEPS)
    ) -> None:
        self._step = step
        self._provider = provider
        self._watched_graphs = watched

    def start(self, host: Host, precision: str) -> str:
        return self._provider

    def free_memory(self, provider: str, device: int) -> int | None:
        return None

    def make_session(self, model: str, provider: str, threads: int, **options: Any) -> Any:
        captured = options.pop("captured")
        del options["stream"]
        session = super().make_session(model, "cpu", threads, **options)
        return self._step(session, captured) if Path(model).stem in self._watched_graphs else session

    def engine(self, bundle: Bundle, **host: Any) -> Engine:
        """An engine there."""
        made = Engine(bundle, Host(provider=self._provider, threads=1, **host), onnxruntime=self)
        made.place = Place("cpu")
        return made


def engine(bundle: Bundle, device: Device) -> Engine:
    """An engine that computes a step when the stream of a GPU comes to it."""
    made = WithCuda(lambda session, _: Deferred(session, device)).engine(bundle)
    made._stream = device.stream
    return made
