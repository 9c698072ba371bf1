"""Graphs that run, fail, and are cancelled."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from nstbatch.runtime.bundle.memory import transformed_bytes
from nstbatch.runtime.bundle.spec import FOR_CPU, WASSERSTEIN, Bundle
from nstbatch.runtime.engine.engine import Engine
from nstbatch.runtime.engine.host import Host, available_cores
from nstbatch.runtime.engine.providers import OnnxRuntime, probe
from nstbatch.runtime.errors import EvaluationError, OutOfMemoryError, ProviderError
from nstbatch.runtime.stop import DroppedError


def test_cpu_computes(bundle: Bundle) -> None:
    probe("cpu")
    values = Engine(bundle, Host(provider="cpu", threads=1)).run(
        "encode", {"image": np.full((1, 3, 32, 33), 128, np.float32)}
    )
    assert [v.shape for v in values][:2] == [(1, 128, 16, 16), (1, 64, 64)]


@pytest.mark.parametrize(("side", "graph"), [(95, "gradient"), (96, FOR_CPU)])
def test_the_graph_for_the_cpu_computes_images_from_a_size_on(side: int, graph: str, bundle: Bundle) -> None:
    made: list[str] = []

    class Recorded(OnnxRuntime):
        def make_session(self, model: str | bytes, *arguments: Any, **options: Any) -> Any:
            made.append(Path(str(model)).stem)
            raise ProviderError("enough")

    for each in (bundle, without(bundle, FOR_CPU)):
        engine = Engine(each, Host(provider="cpu"))
        engine._onnxruntime = Recorded()
        with pytest.raises(ProviderError, match="enough"):
            engine.run("gradient", {"image": np.zeros((1, 3, side, side), np.float32)})
    assert made == [graph, "gradient"], "a bundle without it is as good"


def test_where_memory_is_small_the_traced_graph_computes(bundle: Bundle) -> None:
    transformed = transformed_bytes(bundle.manifest.spec)

    class Small(OnnxRuntime):
        free = 8 * transformed

        def free_memory(self, provider: str, device: int) -> int | None:
            return self.free

    image = {"image": np.zeros((1, 3, 128, 128), np.float32)}
    plenty = Engine(bundle, Host(provider="cpu"), onnxruntime=Small())
    assert plenty.free_memory() == 7 * transformed, "a photo may not need what the kernels take"
    assert plenty._for_cpu(image)
    Small.free = 3 * transformed
    assert plenty._for_cpu(image), "a picture that is begun ends by the same graph"
    little = Engine(bundle, Host(provider="cpu"), onnxruntime=Small())
    assert little.free_memory() == 3 * transformed
    assert not little._for_cpu(image)


def without(bundle: Bundle, graph: str) -> Bundle:
    """The bundle as if it had no such graph: made by an older version."""
    files = {name: digest for name, digest in bundle.manifest.files.items() if name != f"{graph}.onnx"}
    old = replace(bundle, manifest=replace(bundle.manifest, files=files))
    assert old.id == bundle.id, "what it painted is up to date"
    return old


def test_what_is_kept_keeps_no_memory_of_a_session(bundle: Bundle) -> None:
    image = {"image": np.zeros((1, 3, 32, 32), np.float32)}
    assert all(output.flags.owndata for output in Engine(bundle, Host(provider="cpu")).run("encode", image))


def test_more_threads_than_cores_are_not_taken(bundle: Bundle) -> None:
    assert Engine(bundle, Host(provider="cpu", threads=100_000)).threads == available_cores()


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
    engine.provider, engine.device, engine._transformed = "cuda", 2, 0
    assert engine.free_memory() == 7 << 30


def test_a_device_that_no_gpu_provider_serves(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(ProviderError, match="--device 0 names a GPU; provider 'cpu' in float32 takes no number"):
        Engine(bundle, Host(provider="cpu", device=0))
    with pytest.raises(ProviderError, match="'cuda' is not in the installed onnxruntime"):
        Engine(bundle, Host(provider="auto", device=0))


@pytest.mark.parametrize("asked", ["auto", "mixed", "float32"])
def test_roots_are_taken_in_float32_whatever_is_quicker(asked: str, bundle: Bundle) -> None:
    """In bfloat16 or TF32 they would not converge."""
    started = []

    class Quick(OnnxRuntime):
        def start(self, host: Host, precision: str) -> str:
            started.append(precision)
            return "cpu"

        def precisions(self, provider: str) -> tuple[str, ...]:
            return ("float32", "bfloat16")

    rooted = replace(bundle.manifest.spec, style_distance=WASSERSTEIN)
    other = replace(bundle, manifest=replace(bundle.manifest, spec=rooted))
    assert Engine(bundle, Host(), asked, onnxruntime=Quick()).precisions == ("float32", "bfloat16")
    assert Engine(other, Host(), asked, onnxruntime=Quick()).precisions == ("float32",)
    assert started == [asked, "float32"]
