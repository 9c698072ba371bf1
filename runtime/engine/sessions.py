"""Sessions of ONNX Runtime: the one place that makes them, with every option that they get."""

import contextlib
import io
import json
from collections.abc import Mapping
from typing import Any

from ..errors import BundleError, ProviderError, first_line
from ..recipe.provider import Precision, Provider
from .cuda import preload_tensorrt, reasons
from .installed import LOG_LEVEL, cuda_major, import_onnxruntime
from .plugins import PLUGINS, plugin_device
from .webgpu import buffer_limit, on_cpu, webgpu_options, webgpu_reasons

PROVIDERS: dict[str, str] = {
    Provider.CPU: "CPUExecutionProvider",
    Provider.OPENVINO: "OpenVINOExecutionProvider",
    Provider.CUDA: "CUDAExecutionProvider",
    Provider.TENSORRT: "TensorrtExecutionProvider",
    Provider.TENSORRT_RTX: "NvTensorRTRTXExecutionProvider",
    Provider.WEBGPU: "WebGpuExecutionProvider",
}
"""Names of the command line and ONNX Runtime's names for them."""

ON_CUDA = (Provider.CUDA, Provider.TENSORRT)
"""Those that are part of ONNX Runtime's wheel for CUDA."""

NUMBERED = (*ON_CUDA, Provider.TENSORRT_RTX)
"""Those that compute on a numbered device. WebGPU takes the GPU that its driver prefers."""

BY_ENGINES = (Provider.TENSORRT, Provider.TENSORRT_RTX)
"""Those that build an engine of a graph for a range of shapes."""

STATIC = (Provider.OPENVINO, Provider.WEBGPU, *NUMBERED)
"""Providers that are quicker when a session knows its shape. OpenVINO by 8 % in float32 and 20 % in bfloat16 at 512 pixels;
CUDA's convolutions keep one plan, for the last shape; TensorRT builds an engine for each; WebGPU folds what depends on sizes
alone. The CPU provider not at all."""


def make_session(
    model: str | bytes,
    provider: str,
    threads: int,
    *,
    precision: str = "float32",
    device: int = 0,
    dimensions: Mapping[str, int] | None = None,
    engine_options: Mapping[str, str] | None = None,
    captured: bool = False,
    exact_products: bool = False,
    stream: int | None = None,
) -> Any:
    """A session on the provider that was asked for, or none at all.

    Args:
        model: path of a graph, or the graph.
        provider: a key of `PROVIDERS`.
        threads: of a CPU.
        precision: one of the provider's `precisions`.
        device: number of the GPU.
        dimensions: sizes of the graph's free dimensions by name, where they are known.
        engine_options: more options of a provider of `BY_ENGINES`.
        captured: whether CUDA, TensorRT or WebGPU may capture the graph.
        exact_products: whether matrix products are to be float32's even where layers are in float16: roots of matrices do
            not converge in TF32.
        stream: address of a stream of CUDA's to compute on; None for one of its own.

    Raises:
        ProviderError: the provider is not installed, does not start, or leaves a part of the graph to the CPU.
        BundleError: the graph is damaged.
    """
    ort = import_onnxruntime()
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    # A memory pattern is one block for all of a shape's tensors, kept for each shape: at 512 x 512 it saves no time and
    # takes 0.7 GiB more.
    options.enable_mem_pattern = False
    options.log_severity_level = LOG_LEVEL
    for name, size in (dimensions or {}).items():
        options.add_free_dimension_override_by_name(name, size)
    chain = provider_chain(
        provider, precision, device, engine_options, cuda_graphs=captured, exact_products=exact_products, stream=stream
    )
    if provider in PLUGINS:
        if provider == Provider.OPENVINO:
            own = openvino_options(precision, threads)
        elif provider == Provider.WEBGPU:
            own = webgpu_options(captured=captured)
            # Before the first session, which fixes it for the process.
            buffer_limit()
            options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
        else:
            own = dict(engine_options or {})
        options.add_provider_for_devices([plugin_device(provider, device)], own)
        chain = []
    elif PROVIDERS[provider] not in ort.get_available_providers():
        raise ProviderError(
            f"provider '{provider}' is not in the installed onnxruntime {ort.__version__}; {_MEND[provider]}"
        )
    elif provider in ON_CUDA and hasattr(ort, "preload_dlls"):
        # CUDA's and cuDNN's wheels lie in site-packages, where the loader does not look by itself. What it prints is for
        # interactive use, and stdout may carry events.
        with contextlib.redirect_stdout(io.StringIO()):
            ort.preload_dlls()
        if provider == Provider.TENSORRT:
            preload_tensorrt()
    try:
        # Its own fallback would print to stdout, and hide the reason.
        session = ort.InferenceSession(model, options, providers=chain, enable_fallback=False)
    except Exception as error:  # onnxruntime's exceptions share no base but Exception
        if _is_of_the_graph(error, provider):
            what = model if isinstance(model, str) else "a graph"
            raise BundleError(f"{what}: damaged ({first_line(error)}); make the bundle anew, or copy it again") from None
        advice = "".join(f"; {reason}" for reason in _reasons(provider, device))
        raise ProviderError(f"provider '{provider}' cannot load the graph: {first_line(error)}{advice}") from None
    if session.get_providers()[0] != PROVIDERS[provider]:
        why = "; ".join(_reasons(provider, device)) or _MEND[provider]
        raise ProviderError(f"provider '{provider}' did not start, and onnxruntime fell back; {why}")
    if provider == Provider.WEBGPU and (left := on_cpu(session)):
        more = f", as {len(left) - 1} more" if left[1:] else ""
        raise ProviderError(
            f"provider 'webgpu' leaves {left[0]} to the CPU{more}; update onnxruntime-ep-webgpu, or use --provider cpu"
        )
    return session


_DAMAGED = {"InvalidProtobuf", "InvalidGraph", "NoModel", "NoSuchFile", "InvalidArgument"}
"""Names of onnxruntime's exceptions that tell of a graph."""

_CANNOT = {"Fail", "NotImplemented"}
"""Of those that tell of a provider, or of a graph where the provider has every operator that the exporter writes."""


def _is_of_the_graph(error: Exception, provider: str) -> bool:
    """Whether it is the graph that cannot be loaded, and not the provider that cannot load it."""
    name = type(error).__name__
    return name in _DAMAGED or (provider == Provider.CPU and name in _CANNOT and "alloc" not in str(error))


def provider_chain(
    provider: str,
    precision: str,
    device: int,
    tensorrt_options: Mapping[str, str] | None = None,
    *,
    cuda_graphs: bool = False,
    exact_products: bool = False,
    stream: int | None = None,
) -> list[tuple[str, dict[str, str]]]:
    """ONNX Runtime's providers and their options, first to last.

    Args:
        provider: a key of `PROVIDERS` that is none of `PLUGINS`, which are no part of such a list.
        precision: one of the provider's `precisions`.
        device: number of the GPU.
        tensorrt_options: see `make_session`'s ``engine_options``.
        cuda_graphs: whether the provider may capture the graph.
        exact_products: see there.
        stream: see there.
    """
    cpu = (PROVIDERS["cpu"], dict[str, str]())
    if provider not in ON_CUDA:
        return [cpu]
    number = {"device_id": str(device)}
    cuda = (
        PROVIDERS["cuda"],
        {
            **number,
            # On by default: what is called float32 has to be it.
            # An fp16 bundle's Gram matrices lose nothing by it: TF32 has float16's 10 bits of mantissa.
            "use_tf32": "1" if precision in ("tf32", "fp16") and not exact_products else "0",
            # Not DEFAULT, which takes a slow algorithm whatever the shape.
            "cudnn_conv_algo_search": "HEURISTIC",
            # An arena that doubles takes twice what an estimate of memory can know of.
            "arena_extend_strategy": "kSameAsRequested",
            **({"enable_cuda_graph": "1"} if cuda_graphs and provider == Provider.CUDA else {}),
            **({"user_compute_stream": str(stream)} if stream is not None else {}),
        },
    )
    if provider == "cuda":
        return [cuda, cpu]
    # TensorRT 10 takes float16 in a graph for an error unless it may choose float16 itself.
    half = {"trt_fp16_enable": "1"} if precision == "fp16" else {}
    replayed = {"trt_cuda_graph_enable": "1"} if cuda_graphs else {}
    return [(PROVIDERS["tensorrt"], number | half | replayed | dict(tensorrt_options or {})), cuda, cpu]


def openvino_options(precision: str, threads: int) -> dict[str, str]:
    """Options of OpenVINO's plugin, which would choose bfloat16 by itself where the CPU has it."""
    hint = "bf16" if precision == Precision.BFLOAT16 else "f32"
    hints = {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": str(threads)}
    return {"load_config": json.dumps({"CPU": hints})}


def _reasons(provider: str, device: int) -> list[str]:
    if provider == Provider.WEBGPU:
        return webgpu_reasons()
    return reasons(provider, cuda_major(), device) if provider in ON_CUDA else []


_MEND = {
    "cpu": "run `pip install 'nstbatch[cpu]'`",
    **{name: plugin.mend for name, plugin in PLUGINS.items()},
    "cuda": "install `nstbatch[gpu]` (not beside [cpu]) on a host with an NVIDIA driver of 580 or newer, "
    "or use --provider cpu",
    "tensorrt": "install `nstbatch[gpu]` and `tensorrt-cu13>=10.13,<11`, or use --provider cuda",
}
