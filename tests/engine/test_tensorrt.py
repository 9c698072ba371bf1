"""TensorRT's engines: where they lie, and when they are built. Without TensorRT: by what ONNX Runtime is given."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nstbatch.runtime.bundle.spec import Bundle, BundleSpec
from nstbatch.runtime.engine.engine import Engine
from nstbatch.runtime.engine.host import Host
from nstbatch.runtime.engine.sessions import provider_chain
from nstbatch.runtime.engine.tensorrt import EngineCache, Profile, cache_options, make_profiles
from nstbatch.runtime.recipe.size import Size


def loader(version: int, name: bytes) -> Any:
    def named(buffer: Any, size: int, handle: object) -> int:
        buffer.value = name
        return 0

    driver = SimpleNamespace(cuInit=lambda _: 0, cuDeviceGet=lambda handle, number: 0, cuDeviceGetName=named)
    libraries = {"libcuda.so.1": driver, "libnvinfer.so.10": SimpleNamespace(getInferLibVersion=lambda: version)}
    return lambda library: libraries[library]


def test_engines_are_kept_apart_by_all_that_they_depend_on(tmp_path: Path) -> None:
    parts: dict[str, Any] = {
        "provider": "tensorrt",
        "bundle": "b",
        "onnxruntime": "1.31",
        "device": 0,
        "load": loader(101300, b"H200"),
    }
    folder = EngineCache.find(tmp_path, **parts).folder
    assert EngineCache.find(tmp_path, **parts).folder == folder
    for other in (
        {"provider": "tensorrt-rtx"},
        {"bundle": "c"},
        {"onnxruntime": "1.32"},
        {"load": loader(101400, b"H200")},
        {"load": loader(101300, b"H100")},
    ):
        assert EngineCache.find(tmp_path, **(parts | other)).folder != folder


def test_what_is_built_is_known(tmp_path: Path) -> None:
    cache, profile = EngineCache(tmp_path), Profile(Size(48, 36), Size(64, 48), Size(64, 64))
    folder = cache.of("float32", profile)
    folder.mkdir(parents=True)
    assert list(cache.built("float32")) == [], "begun is not built"
    (folder / "TRTKernel_graph_0_sm90.engine").touch()
    alone = cache.of("float32", Profile.of(Size(64, 48)))
    alone.mkdir()
    (alone / "TRTKernel_graph_0_sm90.engine").touch()
    (cache.folder / "float32" / "notes").mkdir()
    (cache.folder / "float32" / "notes" / "a.engine").touch()
    assert list(cache.built("float32")) == [Profile.of(Size(64, 48)), profile], "the narrowest first"
    assert list(cache.built("fp16")) == []


@given(st.dictionaries(st.tuples(st.integers(32, 90), st.integers(32, 90)), st.integers(1, 9), min_size=1, max_size=12))
def test_every_shape_of_a_plan_is_in_a_profile(pairs: dict[tuple[int, int], int]) -> None:
    shapes = {Size(*pair): count for pair, count in pairs.items()}
    profiles = make_profiles(shapes)
    assert len(profiles) == len({max(shape) for shape in shapes})
    for shape in shapes:
        (own,) = [profile for profile in profiles if max(profile.high) == max(shape)]
        assert own.holds(shape)
        assert own.holds(own.usual)
        assert shapes[own.usual] >= shapes[shape]
    for profile in profiles:
        assert Profile.named(profile.name) == profile
        assert not profile.holds(Size(profile.high.width + 1, profile.high.height))
        assert not profile.holds(Size(profile.low.width, profile.low.height - 1))


def test_a_profile_in_tensorrts_words() -> None:
    options = Profile(Size(48, 36), Size(64, 48), Size(64, 65)).options(
        "tensorrt", BundleSpec(content_taps=("relu4_2", "conv1_1"))
    )
    assert options == {
        "trt_profile_min_shapes": "image:1x3x36x48,content.relu4_2:1x512x4x6,content.conv1_1:1x64x36x48",
        "trt_profile_opt_shapes": "image:1x3x48x64,content.relu4_2:1x512x6x8,content.conv1_1:1x64x48x64",
        "trt_profile_max_shapes": "image:1x3x65x64,content.relu4_2:1x512x8x8,content.conv1_1:1x64x65x64",
    }
    assert Profile.named("48x64") is None


def test_onnxruntime_is_told_where(tmp_path: Path) -> None:
    (name, options), *rest = provider_chain(
        "tensorrt", "float32", 2, cache_options("tensorrt", tmp_path / "float32" / "engines")
    )
    assert name == "TensorrtExecutionProvider"
    assert options["device_id"] == "2"
    assert options["trt_engine_cache_enable"] == options["trt_timing_cache_enable"] == "1"
    assert options["trt_engine_cache_path"] == str(tmp_path / "float32" / "engines")
    assert [other for other, _ in rest] == ["CUDAExecutionProvider", "CPUExecutionProvider"]
    assert set(provider_chain("tensorrt", "float32", 0)[0][1]) == {"device_id"}


class Made:
    """Sessions that ONNX Runtime would have made: it touches an engine when it is run, as TensorRT writes one."""

    def __init__(self) -> None:
        self.providers: list[list[str]] = []
        self.options: list[dict[str, str]] = []
        self.overrides: list[set[str]] = []

    def session(self, _: object, options: Any, providers: list[tuple[str, dict[str, str]]], **__: object) -> Any:
        self.providers.append([name for name, _ in providers])
        self.options.append(providers[0][1])
        path = providers[0][1].get("trt_engine_cache_path")

        def run(_: object, feeds: dict[str, np.ndarray], *__: object) -> list[np.ndarray]:
            if path:
                (Path(path) / "a.engine").touch()
            return [2 * value for value in feeds.values()]

        return SimpleNamespace(get_providers=lambda: self.providers[-1], run=run)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Made:
    available = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
    sessions = Made()
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: available)
    monkeypatch.setattr(onnxruntime, "InferenceSession", sessions.session)
    return sessions


def evaluate(engine: Engine, height: int, width: int) -> None:
    image = np.zeros((1, 3, height, width), np.float32)
    gram = np.zeros((1, 8, 8), np.float32)
    engine.run(
        "gradient",
        {
            "image": image,
            "content.conv2_2": np.zeros((1, 128, height // 2, width // 2), np.float32),
            "gram.relu1_1": gram,
            "metric.relu1_1": gram,
        },
    )


def test_only_the_gradient_is_worth_an_engine(bundle: Bundle, tmp_path: Path, made: Made) -> None:
    engine = Engine(bundle, Host(provider="tensorrt", cache=tmp_path))
    shapes = {Size(64, 48): 3, Size(48, 48): 1}
    assert engine.prepare(shapes, ["float32"]) == 2
    engine.run("encode", {"image": np.zeros((1, 3, 48, 64), np.float32)})
    assert made.providers[-1] == ["CUDAExecutionProvider", "CPUExecutionProvider"]
    assert engine.prepare(shapes, ["float32"]) == 2
    evaluate(engine, 48, 64)
    assert made.providers[-1][0] == "TensorrtExecutionProvider"
    assert "trt_profile_min_shapes" not in made.options[-1], "one shape needs no range"
    assert engine.prepare(shapes, ["float32"]) == 1


def test_one_engine_for_all_shapes_of_a_long_side(bundle: Bundle, tmp_path: Path, made: Made) -> None:
    engine = Engine(bundle, Host(provider="tensorrt", cache=tmp_path))
    assert engine.prepare({Size(64, 48): 2, Size(48, 64): 5, Size(64, 40): 1, Size(32, 24): 1}, ["float32"]) == 2
    count = len(made.options)
    for height, width in ((48, 64), (64, 48), (40, 64)):
        evaluate(engine, height, width)
    assert len(made.options) == count + 1, "one session for the three"
    assert made.options[-1]["trt_profile_min_shapes"] == "image:1x3x40x48,content.conv2_2:1x128x20x24"
    assert made.options[-1]["trt_profile_opt_shapes"] == "image:1x3x64x48,content.conv2_2:1x128x32x24"
    assert made.options[-1]["trt_profile_max_shapes"] == "image:1x3x64x64,content.conv2_2:1x128x32x32"
    # The next night: a shape that the engine takes needs none of its own, another does.
    again = Engine(bundle, Host(provider="tensorrt", cache=tmp_path))
    assert again.prepare({Size(64, 50): 1}, ["float32"]) == 0
    evaluate(again, 50, 64)
    assert Path(made.options[-1]["trt_engine_cache_path"]).name == "40x48_64x48_64x64"
    assert again.prepare({Size(64, 36): 1}, ["float32"]) == 1


def test_a_provider_without_engines_has_none_to_build(bundle: Bundle, tmp_path: Path) -> None:
    assert Engine(bundle, Host(provider="cpu", cache=tmp_path)).prepare({Size(64, 48): 1}, ["float32"]) == 0
