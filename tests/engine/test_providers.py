"""The choice of a provider: had when asked for by name, or an error that says what to do."""

import numpy as np
import onnxruntime
import pytest

from device import Device
from nstbatch.runtime.bundle.spec import Bundle
from nstbatch.runtime.engine import providers
from nstbatch.runtime.engine.binding import Place
from nstbatch.runtime.engine.engine import Engine
from nstbatch.runtime.engine.providers import CANDIDATES, precisions, probe, start_provider
from nstbatch.runtime.engine.sessions import NUMBERED
from nstbatch.runtime.engine.stream import Stream
from nstbatch.runtime.errors import ExitCode, ProviderError


def test_auto_takes_what_starts(bundle: Bundle) -> None:
    assert Engine(bundle).provider in ("cpu", "cuda")


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
    with pytest.raises(ProviderError, match="choose one of: auto, cpu, openvino, cuda, tensorrt, tensorrt-rtx, webgpu"):
        start_provider("rocm")


def test_every_precision_has_a_provider() -> None:
    for precision, candidates in CANDIDATES.items():
        assert candidates
        assert set(candidates) <= {"cpu", "openvino", "webgpu", *NUMBERED}, precision
    assert precisions("cuda")[-1] == "tf32", "the quickest last: mixed precision begins with it"


def test_a_stream_that_no_session_takes_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    stream, broken = Device().stream, Device("cudaMemcpyAsync").stream
    monkeypatch.setattr(Stream, "new", lambda _: None)
    monkeypatch.setattr(providers, "probe", lambda *arguments: asked.append(arguments))
    monkeypatch.setattr(providers, "Place", lambda *_: Place("cpu"))
    assert providers.shared_stream(1) is None
    assert asked == []
    monkeypatch.setattr(Stream, "new", lambda _: stream)
    assert providers.shared_stream(1) is stream
    assert asked == [("cuda", 1, stream.address)]
    monkeypatch.setattr(Stream, "new", lambda _: broken)
    assert providers.shared_stream(1) is None, "no copy arrives"
    monkeypatch.setattr(Stream, "new", lambda _: stream)

    def refuse(*_: object) -> None:
        raise ProviderError("invalid resource handle")

    monkeypatch.setattr(providers, "probe", refuse)
    assert providers.shared_stream(1) is None
