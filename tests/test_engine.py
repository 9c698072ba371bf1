"""The choice of a provider: had when asked for by name, or an error that says what to do."""

import builtins
import os
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest

from nstbatch.runtime import Bundle, ExitCode
from nstbatch.runtime.engine import Engine, available_cores, probe, start_provider
from nstbatch.runtime.errors import EvaluationError, ProviderError


def test_auto_takes_what_starts(bundle: Bundle) -> None:
    assert Engine(bundle).provider in ("cpu", "cuda")


def test_cpu_computes(bundle: Bundle) -> None:
    probe("cpu")
    values = Engine(bundle, "cpu", threads=1).run("encode", {"image": np.full((1, 3, 32, 33), 128, np.float32)})
    assert [v.shape for v in values][:2] == [(1, 512, 4, 4), (1, 64, 64)]


def test_more_threads_than_cores_are_not_taken(bundle: Bundle) -> None:
    assert Engine(bundle, "cpu", threads=100_000).threads == available_cores()


def test_a_provider_that_is_not_in_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(ProviderError, match=r"'cuda' is not in the installed onnxruntime .*nstbatch\[gpu\]") as caught:
        start_provider("cuda")
    assert caught.value.exit_code is ExitCode.PROVIDER == 4


def test_a_silent_fallback_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    # onnxruntime-gpu on a host without a GPU: CUDA is listed, and every session quietly runs on the CPU.
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])
    real = onnxruntime.InferenceSession

    def quiet(model: bytes, options: object, providers: list[str]) -> onnxruntime.InferenceSession:
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
    with pytest.raises(ProviderError, match="choose one of: auto, cpu, cuda, tensorrt"):
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
    engine = Engine(bundle, "cpu")
    with pytest.raises(EvaluationError, match="'encode'"):
        engine.run("encode", {"image": np.zeros((1, 4, 32, 32), np.float32)})
    assert len(engine.run("encode", {"image": np.zeros((1, 3, 32, 32), np.float32)})) == 6


def test_threads_are_those_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 3, 5}, raising=False)
    assert available_cores() == 3
    monkeypatch.setattr("nstbatch.runtime.engine.os", SimpleNamespace(cpu_count=lambda: None))
    assert available_cores() == 1
