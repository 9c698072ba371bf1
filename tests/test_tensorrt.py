"""TensorRT's engines: where they lie, and when they are built. Without TensorRT: by what ONNX Runtime is given."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest

from nstbatch.runtime import Bundle, Settings
from nstbatch.runtime.engine import Engine
from nstbatch.runtime.sessions import provider_chain
from nstbatch.runtime.tensorrt import EngineCache
from seams import Bench, SeamEngine, picture


def loader(version: int, name: bytes) -> Any:
    def named(buffer: Any, size: int, handle: object) -> int:
        buffer.value = name
        return 0

    driver = SimpleNamespace(cuInit=lambda _: 0, cuDeviceGet=lambda handle, number: 0, cuDeviceGetName=named)
    libraries = {"libcuda.so.1": driver, "libnvinfer.so.10": SimpleNamespace(getInferLibVersion=lambda: version)}
    return lambda library: libraries[library]


def test_engines_are_kept_apart_by_all_that_they_depend_on(tmp_path: Path) -> None:
    parts: dict[str, Any] = {"bundle": "b", "onnxruntime": "1.31", "device": 0, "load": loader(101300, b"H200")}
    folder = EngineCache.find(tmp_path, **parts).folder
    assert EngineCache.find(tmp_path, **parts).folder == folder
    for other in (
        {"bundle": "c"},
        {"onnxruntime": "1.32"},
        {"load": loader(101400, b"H200")},
        {"load": loader(101300, b"H100")},
    ):
        assert EngineCache.find(tmp_path, **(parts | other)).folder != folder


def test_what_is_built_is_known(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path)
    sizes = {"N": 1, "H": 48, "W": 64, "relu4_2.h": 6, "relu4_2.w": 8, "gram_N": 1, "metric_N": 1}
    folder = cache.of("gradient", sizes, "float32")
    assert not cache.has(64, 48)
    folder.mkdir()
    assert not cache.has(64, 48), "begun is not built"
    (folder / "TRTKernel_graph_0_sm90.engine").touch()
    assert cache.has(64, 48)
    assert not cache.has(48, 64)
    assert cache.of("gradient", sizes | {"W": 65}, "float32") != folder != cache.of("gradient", sizes, "tf32")


def test_onnxruntime_is_told_where(tmp_path: Path) -> None:
    (name, options), *rest = provider_chain("tensorrt", "float32", 2, tmp_path / "engines")
    assert name == "TensorrtExecutionProvider"
    assert options["device_id"] == "2"
    assert options["trt_engine_cache_enable"] == options["trt_timing_cache_enable"] == "1"
    assert options["trt_engine_cache_path"] == str(tmp_path / "engines")
    assert [other for other, _ in rest] == ["CUDAExecutionProvider", "CPUExecutionProvider"]
    assert set(provider_chain("tensorrt", "float32", 0)[0][1]) == {"device_id"}


def test_only_the_gradient_is_worth_an_engine(bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[list[str]] = []

    class Session:
        def __init__(self, model: object, options: object, providers: list[tuple[str, dict[str, str]]]) -> None:
            made.append([name for name, _ in providers])
            self._options = providers[0][1]

        def get_providers(self) -> list[str]:
            return made[-1]

        def run(self, _: object, feeds: dict[str, np.ndarray], *__: object) -> list[np.ndarray]:
            path = self._options.get("trt_engine_cache_path")
            if path:
                (Path(path) / "a.engine").touch()
            return [2 * value for value in feeds.values()]

    available = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: available)
    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    engine = Engine(bundle, "tensorrt", cache=tmp_path)
    shapes = [(64, 48), (48, 64)]
    assert engine.unbuilt(shapes) == shapes
    image = np.zeros((1, 3, 48, 64), np.float32)
    engine.run("encode", {"image": image})
    assert made[-1] == available[1:]
    assert engine.unbuilt(shapes) == shapes
    engine.run("gradient", {"image": image, "content.relu4_2": np.zeros((1, 512, 6, 8), np.float32)})
    assert made[-1] == available
    assert engine.unbuilt(shapes) == [(48, 64)]


def test_a_provider_without_engines_has_none_to_build(bundle: Bundle, tmp_path: Path) -> None:
    assert Engine(bundle, "cpu", cache=tmp_path).unbuilt([(64, 48)]) == []


def test_shapes_of_a_plan(tmp_path: Path) -> None:
    for seed, size in enumerate([(48, 36), (36, 48), (48, 36), (38, 32)]):
        picture(tmp_path / "in" / f"{seed}.png", size, seed)
    bench = Bench(picture(tmp_path / "starry.png", seed=9), tmp_path / "out", engine=SeamEngine)
    bench.settings |= {"scales": "40,48"}
    plan = bench.plan(tmp_path / "in")
    assert plan.shapes(Settings(size=48, scales="40,48")) == [(40, 32), (48, 36), (32, 40), (36, 48), (38, 32)]
