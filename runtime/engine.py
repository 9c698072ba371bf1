"""Runs the graphs of a bundle."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .binding import BoundGraph
from .bundle import Bundle
from .cuda import free_memory
from .errors import EvaluationError, NstbatchError, OutOfMemoryError
from .host import memory_limit
from .providers import precisions, start_provider, thread_count
from .sessions import ON_GPU, STATIC, first_line, import_onnxruntime, make_session
from .stop import DroppedError
from .tensorrt import EngineCache


class Engine:
    """Runs the graphs of a bundle on one execution provider, for any number of threads at a time.

    Args:
        bundle: whose graphs to run.
        provider: one of `CHOICES`. A provider that is asked for by name is had, or it is an error; ``auto`` takes the
            first of `AUTO` that starts.
        threads: threads of the CPU, at most and by default one for each core this process may use.
        precision: a key of `AUTO`, that `run` will be asked for.
        device: number of the GPU; None for the first, or none.
        cache: folder to keep TensorRT's engines in; None keeps none.

    Attributes:
        provider: the provider that was obtained, a key of `PROVIDERS`.
        precisions: those that it computes in, the quickest last.
        device: number of the GPU; 0 where there is none.

    Raises:
        ProviderError: ONNX Runtime is not installed, or does not start the provider.
        BundleError: the bundle lacks a graph.
    """

    def __init__(
        self,
        bundle: Bundle,
        provider: str = "auto",
        threads: int | None = None,
        precision: str = "float32",
        device: int | None = None,
        cache: Path | None = None,
    ) -> None:
        self.bundle = bundle
        self.threads = thread_count(threads)
        self.provider = start_provider(provider, precision, device)
        self.device = device or 0
        self.precisions = precisions(self.provider)
        self._engines: EngineCache | None = None
        if self.provider == "tensorrt" and cache is not None:
            self._engines = EngineCache.find(cache, bundle.id, import_onnxruntime().__version__, self.device)
        self._sessions: dict[tuple[object, ...], Any] = {}
        self._making = Lock()
        self._cancelled = False
        self._options = import_onnxruntime().RunOptions()

    def run(
        self, graph: str, feeds: Mapping[str, NDArray[np.float32]], precision: str = "float32"
    ) -> list[NDArray[np.float32]]:
        """Outputs of ``graph``, in the order of the contract, for ``feeds`` by input name.

        Raises:
            OutOfMemoryError: there was not enough memory.
            EvaluationError: ONNX Runtime could not compute them for another reason.
            DroppedError: `cancel` was called.
        """
        with self._evaluating(graph):
            return list(self._session(graph, feeds, precision).run(None, dict(feeds), self._options))

    def bind(
        self, graph: str, fixed: Mapping[str, NDArray[np.float32]], precision: str = "float32"
    ) -> Callable[[Mapping[str, NDArray[np.float32]]], list[NDArray[np.float32]]]:
        """`run` as a function of the inputs that change; on a GPU, the ``fixed`` ones are copied there once.

        Its inputs keep their shapes, and it raises what `run` raises.
        """
        if self.provider not in ON_GPU:
            return lambda changing: self.run(graph, {**fixed, **changing}, precision)
        bound: list[BoundGraph] = []

        def evaluate(changing: Mapping[str, NDArray[np.float32]]) -> list[NDArray[np.float32]]:
            with self._evaluating(graph):
                if not bound:
                    session = self._session(graph, {**fixed, **changing}, precision)
                    bound.append(BoundGraph(session, fixed, "cuda", self.device))
                return bound[0](changing, self._options)

        return evaluate

    @contextmanager
    def _evaluating(self, graph: str) -> Iterator[None]:
        """Errors of ONNX Runtime as ours."""
        try:
            yield
        except NstbatchError:
            raise
        except Exception as error:  # onnxruntime's exceptions share no base but Exception
            if self._cancelled:
                raise DroppedError from None
            # After running out of memory a session may stay broken, and its arena keeps what it has: all are rebuilt.
            with self._making:
                self._sessions.clear()
            kind = OutOfMemoryError if _is_out_of_memory(error) else EvaluationError
            raise kind(f"onnxruntime could not evaluate '{graph}': {first_line(error)}") from None

    def _session(self, graph: str, feeds: Mapping[str, NDArray[np.float32]], precision: str) -> Any:
        """A session of one shape where the provider is quicker so, and of any shape elsewhere."""
        sizes = _dimensions(feeds) if self.static and graph == "gradient" else {}
        # It is run once for a photo and size: not worth the build of an engine.
        provider = "cuda" if self.provider == "tensorrt" and graph == "encode" else self.provider
        key = (graph, precision, *sizes.values())
        with self._making:
            session = self._sessions.pop(key, None)
            if session is None:
                while len(self._sessions) >= _KEPT:
                    del self._sessions[next(iter(self._sessions))]
                session = make_session(
                    str(self.bundle.graph(graph)),
                    provider,
                    self.threads,
                    precision=precision,
                    device=self.device,
                    dimensions=sizes,
                    engines=self._engine_folder(graph, sizes, precision) if provider == "tensorrt" else None,
                )
            # In again at the end: the first is the one not used for longest.
            self._sessions[key] = session
            return session

    def _engine_folder(self, graph: str, sizes: Mapping[str, int], precision: str) -> Path | None:
        """Where TensorRT's engines go; None without a cache that can be written to."""
        if self._engines is None:
            return None
        folder = self._engines.of(graph, sizes, precision)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            return None
        return folder

    def free_memory(self) -> int | None:
        """Bytes that this process may use where the graphs are computed, what it has already included; None if unknown."""
        return free_memory(self.device) if self.provider in ON_GPU else memory_limit()

    @property
    def static(self) -> bool:
        """Whether the engine keeps a session for each shape, so that photos of one shape are best painted in a row."""
        return self.provider in STATIC

    def unbuilt(self, shapes: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
        """Those widths and heights that an engine would have to be built for first, which takes `SECONDS`."""
        return [shape for shape in shapes if self._engines is not None and not self._engines.has(*shape)]

    def cancel(self) -> None:
        """From another thread: end an evaluation that is under way, and every later one at once.

        The CPU provider ends within a layer; OpenVINO, to which a graph is one node, ends it as usual.
        """
        self._cancelled = True
        self._options.terminate = True


_KEPT = 8
"""Sessions that are kept: the levels of one shape of photo."""


def _dimensions(feeds: Mapping[str, NDArray[np.float32]]) -> dict[str, int]:
    """Sizes of the free dimensions of the gradient graph, by the names they have there."""
    sizes: dict[str, int] = {}
    for name, value in feeds.items():
        kind, _, tap = name.partition(".")
        if kind == "image":
            sizes |= {"N": value.shape[0], "H": value.shape[2], "W": value.shape[3]}
        elif kind == "content":
            sizes |= {f"{tap}.h": value.shape[2], f"{tap}.w": value.shape[3]}
        elif kind in ("gram", "metric"):
            sizes[f"{kind}_N"] = value.shape[0]
    return sizes


def _is_out_of_memory(error: Exception) -> bool:
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(sign in text for sign in _OUT_OF_MEMORY)


_OUT_OF_MEMORY = ("failed to allocate", "out of memory", "bad_alloc", "bad allocation", "alloc_failed", "failure 2:")
"""How ONNX Runtime, CUDA (whose error 2 it is), cuBLAS and cuDNN say so; there is no class of errors for it."""
