"""The options that each session gets."""

import builtins
import shutil
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from nstbatch.runtime.bundle.spec import Bundle
from nstbatch.runtime.engine.engine import Engine
from nstbatch.runtime.engine.host import Host
from nstbatch.runtime.engine.providers import start_provider
from nstbatch.runtime.engine.sessions import make_session, provider_chain
from nstbatch.runtime.errors import BundleError, ExitCode, ProviderError


def test_without_onnxruntime(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def blocked(name: str, *args: object, **kwargs: object) -> object:
        if name == "onnxruntime":
            raise ModuleNotFoundError("No module named 'onnxruntime'")
        return real(name, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", blocked)
    with pytest.raises(ProviderError, match=r"pip install 'nstbatch\[cpu\]'"):
        start_provider("auto")


def test_options_of_the_gpu_providers() -> None:
    (cuda, options), (last, none) = provider_chain("cuda", "float32", 1)
    assert (cuda, last, none) == ("CUDAExecutionProvider", "CPUExecutionProvider", {})
    assert options["device_id"] == "1"
    assert options["use_tf32"] == "0", "on by default in onnxruntime: float32 would not be float32"
    assert "enable_cuda_graph" not in options
    assert provider_chain("cuda", "tf32", 0)[0][1]["use_tf32"] == "1"
    assert provider_chain("cuda", "fp16", 0)[0][1]["use_tf32"] == "1"
    assert provider_chain("cuda", "fp16", 0, exact_products=True)[0][1]["use_tf32"] == "0", "layers alone are in float16"
    assert provider_chain("cuda", "float32", 0, cuda_graphs=True)[0][1] == options | {
        "device_id": "0",
        "enable_cuda_graph": "1",
    }
    assert provider_chain("tensorrt", "fp16", 0)[0][1]["trt_fp16_enable"] == "1"
    (_, own), (_, rest), _ = provider_chain("tensorrt", "float32", 0, cuda_graphs=True)
    assert own["trt_cuda_graph_enable"] == "1"
    assert "enable_cuda_graph" not in rest, "the graph is captured once"
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


@pytest.mark.parametrize("damage", ["cut", "rubbish", "another operator", "no weights"])
def test_a_damaged_graph_is_an_error_of_the_bundle(damage: str, bundle: Bundle, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(bundle.path, tmp_path / "copied"))
    data = (copy / "encode.onnx").read_bytes()
    if damage == "no weights":
        (copy / "weights.bin").write_bytes(b"")
    else:
        changed = {"cut": data[: len(data) // 2], "rubbish": b"x" * 99, "another operator": data.replace(b"Conv", b"Conw")}
        (copy / "encode.onnx").write_bytes(changed[damage])
    with pytest.raises(BundleError, match=r"encode\.onnx: damaged .* make the bundle anew") as caught:
        make_session(str(copy / "encode.onnx"), "cpu", 1)
    assert caught.value.exit_code is ExitCode.FATAL
