"""Runs the graphs of a bundle."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from math import prod
from typing import Any, Protocol

import numpy as np

from ..bundle.memory import evaluation_bytes, transformed_bytes
from ..bundle.spec import FOR_CPU, FOR_GPU, GRADIENT, LEAN, STEPS, WASSERSTEIN, Bundle
from ..errors import EvaluationError, NstbatchError, OutOfMemoryError, UsageError, first_line
from ..recipe.provider import AUTO, Precision, Provider
from ..recipe.size import Size
from ..stop import DroppedError
from .binding import WEBGPU, Array, BoundGraph, Buffer, Pending, Place
from .capture import Captures
from .forms import form_for
from .host import Host
from .installed import import_onnxruntime
from .providers import OnnxRuntime, shared_stream, thread_count
from .session_cache import SessionCache
from .sessions import BY_ENGINES, ON_CUDA, STATIC
from .tensorrt import EngineCache, Profile, cache_options, make_profiles

Feeds = Mapping[str, Array | Buffer]
"""Inputs of a graph by name."""


class Evaluate(Protocol):
    """A graph as a function of the inputs that change."""

    def __call__(self, changing: Feeds, kept: Mapping[str, Buffer] | None = None) -> Pending:
        """Begin to evaluate it, and wait only where the device makes the host wait.

        Args:
            changing: the inputs that change.
            kept: buffers on the device for some outputs, by name.

        Returns:
            What waits for the other outputs, in the order of the graph. It is to be called before the next evaluation.
        """
        ...


class Engine:
    """Runs the graphs of a bundle on one execution provider, for any number of threads at a time.

    Args:
        bundle: whose graphs to run.
        host: what is to compute them.
        precision: one of `PRECISIONS`, that provider ``auto`` goes by.
        onnxruntime: what makes sessions.

    Attributes:
        provider: the provider that was obtained, a key of `PROVIDERS`.
        precisions: those that it computes in, the quickest last; of an fp16 bundle, that.
        device: number of the GPU; 0 where there is none.
        holds_vectors: whether L-BFGS's vectors are to be in ``place``, and a step is one run.
        place: the device, as ONNX Runtime calls it.

    Raises:
        ProviderError: ONNX Runtime is not installed, or does not start the provider.
        BundleError: the bundle lacks a graph.
        UsageError: the host asks for what the provider cannot do.
    """

    def __init__(
        self,
        bundle: Bundle,
        host: Host = Host(),  # noqa: B008 - it cannot be changed
        precision: str = Precision.FLOAT32,
        onnxruntime: OnnxRuntime = OnnxRuntime(),  # noqa: B008 - likewise
    ) -> None:
        self.bundle = bundle
        self.host = host
        self._onnxruntime = onnxruntime
        self.threads = thread_count(host.threads)
        spec = bundle.manifest.spec
        self._exact = spec.style_distance == WASSERSTEIN
        if self._exact and precision in (AUTO, Precision.MIXED):
            # Not what is quickest in less than float32.
            precision = Precision.FLOAT32
        self.provider = onnxruntime.start(host, precision)
        if host.cuda_graphs and self.provider not in (*_CAPTURING, Provider.TENSORRT):
            raise UsageError(f"graphs are captured by provider 'cuda', 'webgpu' or 'tensorrt', and not by '{self.provider}'")
        self.device = host.device or 0
        self.holds_vectors = host.vectors == "device" or (host.vectors == AUTO and self.provider in _CAPTURING)
        if host.vectors == "device" and self.provider not in (Provider.CPU, *_CAPTURING):
            raise UsageError(f"vectors on the device take provider 'cuda', 'webgpu' or 'cpu', and not '{self.provider}'")
        own = (Precision.FLOAT32,) if self._exact else onnxruntime.precisions(self.provider)
        self.precisions = own if spec.precision == Precision.FLOAT32 else (spec.precision,)
        self._profiles: list[Profile] = []
        self._tensorrt_cache: EngineCache | None = None
        if self.provider in BY_ENGINES and host.cache is not None:
            version = import_onnxruntime().__version__
            self._tensorrt_cache = EngineCache.find(host.cache, self.provider, bundle.id, version, self.device)
        self.place = Place(_MEMORY.get(self.provider, "cpu"), self.device)
        # Asked once: what is free changes from moment to moment, and a picture is to be painted by one graph.
        memory = onnxruntime.free_memory(self.provider, self.device)
        self._spare = None if memory is None else _SPARE * memory
        self._transformed = self._for_cpu_bytes()
        self._sessions = SessionCache(None if memory is None else round(_SHARE * (memory - self._transformed)))
        self._cancelled = False
        self._options, self._step_options = _run_options(waits=True), _run_options(waits=False)
        self._stream = shared_stream(self.device) if self.provider == Provider.CUDA else None
        # TensorRT's gradient only where it is asked for: nobody has tried it yet.
        by_itself = self.provider in _CAPTURING and self.holds_vectors and host.cuda_graphs is not False
        self._captures = Captures(by_itself or host.cuda_graphs is True)

    def run(self, graph: str, feeds: Mapping[str, Array], precision: str = "float32") -> list[Array]:
        """Outputs of ``graph``, in the order of the contract, for ``feeds`` by input name.

        Raises:
            OutOfMemoryError: there was not enough memory.
            EvaluationError: ONNX Runtime could not compute them for another reason.
            DroppedError: `cancel` was called.
        """
        form, inputs = form_for(self.provider, self.bundle, graph, feeds)
        with self._evaluating(graph):
            outputs = list(self._session(form, inputs, precision).run(None, dict(inputs), self._options))
        if graph in _GRADIENTS:
            return outputs
        # What is kept for long has memory of its own: one output keeps all memory of a session that nobody has any more.
        return [np.array(output) for output in outputs]

    def bind(self, graph: str, fixed: Mapping[str, Array], precision: str = "float32") -> Evaluate:
        """`run` as a function of the inputs that change; on a GPU, and of a step, the ``fixed`` ones are copied once.

        Its inputs keep their shapes, it is to be called by one thread, and it raises what `run` raises, as does what waits.
        """
        graph, fixed = form_for(self.provider, self.bundle, graph, fixed)
        if graph not in STEPS and self.provider not in _MEMORY:
            return lambda changing, kept=None: _there(self.run(graph, {**fixed, **changing}, precision))
        captured = _GRADIENTS if self.provider == Provider.TENSORRT else STEPS
        bound: list[BoundGraph] = []

        def launch(changing: Feeds, kept: Mapping[str, Buffer] | None, capture: int | None) -> Pending:
            if not bound:
                session = self._session(graph, {**fixed, **changing}, precision, captured=capture is not None)
                options = self._options_for(graph, capture)
                bound.append(BoundGraph(session, self.place, fixed, options, capture, self._stream))
            return bound[0].launch(changing, kept)

        def evaluate(changing: Feeds, kept: Mapping[str, Buffer] | None = None) -> Pending:
            with self._evaluating(graph):
                if self._cancelled:
                    raise DroppedError
                capture = bound[0].capture if bound else self._captures.take() if graph in captured else None
                try:
                    pending = launch(changing, kept, capture)
                except Exception as error:
                    # Its session may stay broken.
                    bound.clear()
                    if capture is None or _is_out_of_memory(error):
                        raise
                    # A step that failed has written nothing that the next one reads.
                    self._captures.give_up(first_line(error))
                    pending = launch(changing, kept, None)

            def outputs() -> list[Array]:
                with self._evaluating(graph):
                    try:
                        return pending()
                    except Exception:
                        bound.clear()
                        raise

            return outputs

        return evaluate

    def _options_for(self, graph: str, capture: int | None) -> Any:
        """ONNX Runtime's RunOptions."""
        # On a stream of its own, what is read next would not wait for the run.
        waits = self.provider != Provider.CPU and self._stream is None
        if capture is not None:
            options = _run_options(waits=waits)
            options.add_run_config_entry("gpu_graph_id", str(capture))
            return options
        return self._options if waits or graph not in STEPS else self._step_options

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
            self._sessions.clear()
            kind = OutOfMemoryError if _is_out_of_memory(error) else EvaluationError
            raise kind(f"onnxruntime could not evaluate '{graph}': {first_line(error)}") from None

    def _session(self, graph: str, feeds: Feeds, precision: str, *, captured: bool = False) -> Any:
        """A session of one shape where the provider is quicker so, and of any shape elsewhere."""
        sizes, provider = {}, self.provider
        if graph not in _GRADIENTS:
            # Small work, or done once for a photo and size: not worth an engine, nor a compilation.
            provider = {
                Provider.TENSORRT: Provider.CUDA,
                Provider.TENSORRT_RTX: Provider.CPU,
                Provider.OPENVINO: Provider.CPU if graph != "encode" else Provider.OPENVINO,
            }.get(Provider(provider), provider)
        if provider == Provider.WEBGPU or (graph in _GRADIENTS and (self.static or graph in STEPS)):
            # What WebGPU computes of sizes that it does not know, it leaves to the CPU.
            sizes = dimensions(feeds)
        profile = None
        if provider in BY_ENGINES:
            profile = self._profile(Size(sizes["W"], sizes["H"]), precision)
            if not profile.static:
                sizes = {name: sizes[name] for name in ("N", "gram_N", "metric_N", "R") if name in sizes}
        if graph == GRADIENT and self._for_cpu(feeds):
            graph = FOR_CPU
        regions = sizes.get("R", 0)

        def make() -> Any:
            return self._onnxruntime.make_session(
                str(self.bundle.graph(graph)),
                provider,
                self.threads,
                precision=precision,
                device=self.device,
                dimensions=sizes,
                engine_options=self._engine_options(precision, profile, regions) if profile else None,
                captured=captured,
                exact_products=self._exact,
                stream=None if self._stream is None else self._stream.address,
            )

        pixels = profile.high.pixels if profile else prod(sizes[name] for name in "NHW") if sizes else 0
        size = evaluation_bytes(self.bundle.manifest.spec, pixels, regions) if pixels else 0
        return self._sessions.get((graph, precision, profile, captured, *sizes.values()), size, make)

    def _for_cpu(self, feeds: Feeds) -> bool:
        """Whether the graph for the CPU is the quicker one, for images from a size on; and there is memory for it.

        An evaluation takes up to half as much again as `evaluation_bytes` says, which a picture that just fits has not.
        """
        if not self._transformed or prod(feeds["image"].shape[2:]) < _FOR_CPU_PIXELS:
            return False
        sizes = dimensions(feeds)
        need = evaluation_bytes(self.bundle.manifest.spec, prod(sizes[name] for name in "NHW"), sizes.get("R", 0))
        return self._spare is None or need <= self._spare

    def _for_cpu_bytes(self) -> int:
        """What the graph for the CPU takes besides; 0 where it is not used, as there is none, or little memory."""
        if self.provider != Provider.CPU or not self.bundle.has(FOR_CPU):
            return 0
        size = transformed_bytes(self.bundle.manifest.spec)
        return size if self._spare is None or size <= self._spare else 0

    def _profile(self, size: Size, precision: str) -> Profile:
        """The images that a TensorRT engine for one of that size takes: what has been built, else what is prepared for.

        What is captured has one size: its outputs are to stay where they are.
        """
        if self._captures:
            return Profile.of(size)
        built = self._tensorrt_cache.built(precision) if self._tensorrt_cache is not None else ()
        return next((profile for profile in (*built, *self._profiles) if profile.holds(size)), Profile.of(size))

    def _engine_options(self, precision: str, profile: Profile, regions: int) -> dict[str, str]:
        shapes = {} if profile.static else profile.options(self.provider, self.bundle.manifest.spec, regions)
        if self._tensorrt_cache is None:
            return shapes
        folder = self._tensorrt_cache.of(precision, profile)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            # A cache that cannot be written to: the engine is built for this run alone.
            return shapes
        return shapes | cache_options(self.provider, folder)

    def free_memory(self) -> int | None:
        """Bytes that this process may use where the graphs are computed, what it has already included; None if unknown.

        What the engine takes to be quicker is not among them.
        """
        free = self._onnxruntime.free_memory(self.provider, self.device)
        return None if free is None else free - self._transformed

    @property
    def largest_buffer(self) -> int | None:
        """Bytes of the largest array that the device takes; None for no limit but memory, or if it is not known."""
        return self._onnxruntime.largest_buffer(self.provider)

    @property
    def captures(self) -> bool:
        """Whether CUDA or WebGPU captures steps: all are then to be taken by one thread."""
        return bool(self._captures)

    @property
    def not_captured(self) -> str | None:
        """Why a step could not be captured, so that steps are run without; None if nothing went wrong."""
        return self._captures.failure

    @property
    def static(self) -> bool:
        """Whether the engine keeps a session for each shape, so that photos of one shape are best painted in a row."""
        return self.provider in STATIC

    def prepare(self, sizes: Mapping[Size, int], precisions: Iterable[str]) -> int:
        """Announce what is to come, so that a provider of `BY_ENGINES` builds one for many sizes rather than for each.

        Args:
            sizes: of images, and how many have each.
            precisions: that they are evaluated in.

        Returns:
            How many engines TensorRT has to build first, each of which takes `SECONDS`.
        """
        if self.provider not in BY_ENGINES:
            return 0
        self._profiles = make_profiles(sizes)
        if self.provider == Provider.TENSORRT_RTX:
            return 0
        cache = self._tensorrt_cache
        built = {precision: set(cache.built(precision)) if cache else set() for precision in precisions}
        needed = {(p, self._profile(size, p)) for size in sizes for p in built}
        return sum(profile not in built[precision] for precision, profile in needed)

    def release(self) -> None:
        """Drop its sessions, with the memory that they keep; they are made anew when they are needed."""
        self._sessions.clear()

    def of(self, bundle: Bundle) -> "Engine":
        """Another engine for another bundle, on the same provider, with vectors on the host."""
        host = replace(self.host, provider=self.provider, vectors="host", cuda_graphs=None)
        return type(self)(bundle, host, self.precisions[-1], self._onnxruntime)

    def cancel(self) -> None:
        """From another thread: end an evaluation that is under way, and every later one at once.

        The CPU provider ends within a layer; OpenVINO, to which a graph is one node, ends it as usual.
        """
        self._cancelled = True
        self._options.terminate = self._step_options.terminate = True


_GRADIENTS = (GRADIENT, FOR_GPU, LEAN, *STEPS)
"""Graphs of the gradient that `_session` is asked for."""

_CAPTURING = (Provider.CUDA, Provider.WEBGPU)
"""Providers that keep the optimizer's vectors where they compute, and capture a step."""

_MEMORY: Mapping[str, str] = {**dict.fromkeys(ON_CUDA, "cuda"), Provider.WEBGPU: WEBGPU}
"""ONNX Runtime's name of the memory that a graph's inputs are kept in."""

_SPARE = 0.25
"""Of the memory, for transformed kernels; and for an evaluation with them."""

_FOR_CPU_PIXELS = 96 * 96
"""Of an image, from which on `FOR_CPU` is quicker: measured, see `bench/evaluate.py`."""

_SHARE = 0.5
"""Of the memory, for sessions of several shapes; one picture may take more."""


def _there(values: list[Array]) -> Pending:
    return lambda: values


def _run_options(*, waits: bool) -> Any:
    """ONNX Runtime's RunOptions: whether the host waits for the device at the end of a run."""
    options = import_onnxruntime().RunOptions()
    if not waits:
        options.add_run_config_entry("disable_synchronize_execution_providers", "1")
    return options


def dimensions(feeds: Feeds) -> dict[str, int]:
    """Sizes of the free dimensions of the gradient graph, by the names they have there."""
    sizes: dict[str, int] = {}
    for name, value in feeds.items():
        kind, _, tap = name.partition(".")
        if kind == "image":
            sizes |= {"N": value.shape[0], "H": value.shape[2], "W": value.shape[3]}
        elif kind in ("content", "mask"):
            sizes |= {f"{tap}.h": value.shape[2], f"{tap}.w": value.shape[3]}
            if kind == "mask":
                sizes["R"] = value.shape[1]
        elif kind in ("gram", "metric", "others"):
            sizes[f"{kind}_N"] = value.shape[0]
        elif kind == "rows":
            sizes |= dict(zip(("N", "Q", "H", "W"), (*value.shape[:2], *value.shape[3:]), strict=True))
        elif kind == "control":
            sizes[kind] = value.shape[1]
    return sizes


def _is_out_of_memory(error: Exception) -> bool:
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(sign in text for sign in _OUT_OF_MEMORY)


_OUT_OF_MEMORY = ("failed to allocate", "out of memory", "bad_alloc", "bad allocation", "alloc_failed", "failure 2:")
"""How ONNX Runtime, CUDA (whose error 2 it is), cuBLAS and cuDNN say so; there is no class of errors for it."""
