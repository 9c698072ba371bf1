"""The choice of a provider: had when asked for by name, or an error that says what to do."""

import builtins

import numpy as np
import onnxruntime
import pytest

from nstbatch.runtime.bundle.spec import Bundle
from nstbatch.runtime.engine.engine import Engine
from nstbatch.runtime.engine.host import Host, available_cores
from nstbatch.runtime.engine.providers import CANDIDATES, OnnxRuntime, precisions, probe, start_provider
from nstbatch.runtime.engine.sessions import ON_GPU, provider_chain
from nstbatch.runtime.errors import EvaluationError, ExitCode, OutOfMemoryError, ProviderError
from nstbatch.runtime.stop import DroppedError


def test_auto_takes_what_starts(bundle: Bundle) -> None:
    assert Engine(bundle).provider in ("cpu", "cuda")


def test_cpu_computes(bundle: Bundle) -> None:
    probe("cpu")
    values = Engine(bundle, Host(provider="cpu", threads=1)).run(
        "encode", {"image": np.full((1, 3, 32, 33), 128, np.float32)}
    )
    assert [v.shape for v in values][:2] == [(1, 512, 4, 4), (1, 64, 64)]


def test_more_threads_than_cores_are_not_taken(bundle: Bundle) -> None:
    assert Engine(bundle, Host(provider="cpu", threads=100_000)).threads == available_cores()


def test_a_provider_that_is_not_in_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(ProviderError, match=r"'cuda' is not in the installed onnxruntime .*nstbatch\[gpu\]") as caught:
        start_provider("cuda")
    assert caught.value.exit_code is ExitCode.PROVIDER == 4


def test_a_silent_fallback_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    # onnxruntime-gpu on a host without a GPU: CUDA is listed, and every session quietly runs on the CPU.
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])
    real = onnxruntime.InferenceSession

    def quiet(model: bytes, options: object, providers: list[str], **_: object) -> onnxruntime.InferenceSession:
        return real(model, options, providers=["CPUExecutionProvider"])

    monkeypatch.setattr(onnxruntime, "InferenceSession", quiet)
    with pytest.raises(ProviderError, match="'cuda' did not start"):
        start_provider("cuda")
    assert start_provider("auto") == "cpu", "asked for nothing by name, the next in order is taken"


def test_a_provider_that_computes_nonsense_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def __init__(self, *_: object, **__: object) -> None: ...

        def get_providers(self) -> list[str]:
            return ["CPUExecutionProvider"]

        def run(self, *_: object) -> list[np.ndarray]:
            return [np.zeros(1, np.float32)]

    monkeypatch.setattr(onnxruntime, "InferenceSession", Broken)
    with pytest.raises(ProviderError, match=r"1 \+ 1 = 0"):
        probe("cpu")


def test_an_unknown_provider() -> None:
    with pytest.raises(ProviderError, match="choose one of: auto, cpu, openvino, cuda, tensorrt"):
        start_provider("rocm")


def test_without_onnxruntime(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def blocked(name: str, *args: object, **kwargs: object) -> object:
        if name == "onnxruntime":
            raise ModuleNotFoundError("No module named 'onnxruntime'")
        return real(name, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", blocked)
    with pytest.raises(ProviderError, match=r"pip install 'nstbatch\[cpu\]'"):
        start_provider("auto")


def test_a_failing_evaluation_is_an_error_of_ours_and_the_engine_recovers(bundle: Bundle) -> None:
    engine = Engine(bundle, Host(provider="cpu"))
    with pytest.raises(EvaluationError, match="'encode'"):
        engine.run("encode", {"image": np.zeros((1, 4, 32, 32), np.float32)})
    assert len(engine.run("encode", {"image": np.zeros((1, 3, 32, 32), np.float32)})) == 6


@pytest.mark.parametrize(
    ("message", "ran_out"),
    [
        ("[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Failed to allocate memory for requested buffer of size 99", True),
        ("CUDA failure 2: out of memory ; GPU=0 ; hostname=h ; expr=cudaMalloc((void**)&p, size);", True),
        ("CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED ; GPU=0", True),
        ("Non-zero status code returned while running Conv node. Status Message: std::bad_alloc", True),
        ("Got invalid dimensions for input: image", False),
    ],
)
def test_running_out_of_memory_is_told_apart_and_the_sessions_are_rebuilt(
    message: str, ran_out: bool, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []

    class Session:
        def __init__(self, model: object, *_: object, **__: object) -> None:
            made.append(model)

        def get_providers(self) -> list[str]:
            return ["CPUExecutionProvider"]

        def run(self, *_: object) -> list[np.ndarray]:
            if len(made) < 4:
                raise RuntimeError(message)
            return []

    engine = Engine(bundle, Host(provider="cpu"))
    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    for _ in range(3):
        with pytest.raises(EvaluationError) as caught:
            engine.run("encode", {})
        assert isinstance(caught.value, OutOfMemoryError) == ran_out
        assert message.splitlines()[0] in str(caught.value)
    assert engine.run("encode", {}) == []
    assert len(made) == 4, "each failure cost its session"


def test_a_cancelled_engine_evaluates_nothing_more(bundle: Bundle) -> None:
    engine = Engine(bundle, Host(provider="cpu", threads=1))
    image = np.zeros((1, 3, 32, 32), np.float32)
    assert len(engine.run("encode", {"image": image})) == 6
    engine.cancel()
    for _ in range(2):
        with pytest.raises(DroppedError):
            engine.run("encode", {"image": image})


class Device(OnnxRuntime):
    """A host whose GPU 2 has 7 GiB."""

    def free_memory(self, provider: str, device: int) -> int | None:
        return {2: 7 << 30}.get(device) if provider == "cuda" else super().free_memory(provider, device)


def test_the_memory_of_a_device(bundle: Bundle) -> None:
    engine = Engine(bundle, Host(provider="cpu"), onnxruntime=Device())
    on_host = engine.free_memory()
    assert on_host is None or on_host > 0
    engine.provider, engine.device = "cuda", 2
    assert engine.free_memory() == 7 << 30


def test_options_of_the_gpu_providers() -> None:
    (cuda, options), (last, none) = provider_chain("cuda", "float32", 1)
    assert (cuda, last, none) == ("CUDAExecutionProvider", "CPUExecutionProvider", {})
    assert options["device_id"] == "1"
    assert options["use_tf32"] == "0", "on by default in onnxruntime: float32 would not be float32"
    assert "enable_cuda_graph" not in options
    assert provider_chain("cuda", "tf32", 0)[0][1]["use_tf32"] == "1"
    assert provider_chain("cuda", "fp16", 0)[0][1]["use_tf32"] == "1"
    assert provider_chain("cuda", "float32", 0, cuda_graphs=True)[0][1] == options | {
        "device_id": "0",
        "enable_cuda_graph": "1",
    }
    assert provider_chain("tensorrt", "fp16", 0)[0][1]["trt_fp16_enable"] == "1"
    names = [name.removesuffix("ExecutionProvider") for name, _ in provider_chain("tensorrt", "float32", 0)]
    assert names == ["Tensorrt", "CUDA", "CPU"], "what TensorRT cannot take stays on the GPU"
    assert provider_chain("cpu", "float32", 0) == [("CPUExecutionProvider", {})]


def test_the_session_gets_them(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    class Session:
        def __init__(self, model: object, options: object, providers: list[tuple[str, dict[str, str]]], **_: object) -> None:
            made.append(providers[0])

        def get_providers(self) -> list[str]:
            return ["CUDAExecutionProvider"]

        def run(self, _: object, feeds: dict[str, np.ndarray], *__: object) -> list[np.ndarray]:
            return [2 * value for value in feeds.values()]

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])
    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    engine = Engine(bundle, Host(provider="auto", device=3), precision="mixed")
    assert (engine.provider, engine.device, engine.precisions) == ("cuda", 3, ("float32", "tf32"))
    engine.run("encode", {"image": np.ones(1, np.float32)}, "tf32")
    assert [options["device_id"] for _, options in made] == ["3", "3"]
    assert [options["use_tf32"] for _, options in made] == ["0", "1"]


def test_a_device_that_no_gpu_provider_serves(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(ProviderError, match="--device 0 names a GPU; provider 'cpu' in float32 uses none"):
        Engine(bundle, Host(provider="cpu", device=0))
    with pytest.raises(ProviderError, match="'cuda' is not in the installed onnxruntime"):
        Engine(bundle, Host(provider="auto", device=0))


def test_every_precision_has_a_provider() -> None:
    for precision, providers in CANDIDATES.items():
        assert providers
        assert set(providers) <= {"cpu", "openvino", *ON_GPU}, precision
    assert precisions("cuda")[-1] == "tf32", "the quickest last: mixed precision begins with it"
