"""Why CUDA does not start: every case that a host can be in, with a driver and libraries that are made up."""

import ctypes
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nstbatch.runtime.engine.cuda import OVERWRITTEN, CudaHost, free_memory, preload_tensorrt, reasons

LIBRARIES = (
    *("libcudart.so.13", "libcublasLt.so.13", "libcublas.so.13", "libcurand.so.10", "libcudnn.so.9"),
    *("libnvinfer.so.10", "libnvonnxparser.so.10"),
)


def host(
    driver: int | None = 13000, devices: int = 1, without: tuple[str, ...] = (), libraries: tuple[str, ...] = LIBRARIES
) -> Callable[[str], Any]:
    """A loader of libraries, as on a host with a driver for that CUDA version (1000 major + 10 minor)."""

    def write(pointer: Any, value: int) -> int:
        pointer._obj.value = value
        return 0

    def memory(free: Any, total: Any) -> int:
        write(total, 8 << 30)
        return write(free, 7 << 30)

    cuda = SimpleNamespace(
        cuDriverGetVersion=lambda pointer: write(pointer, driver or 0),
        cuInit=lambda _: 0 if devices else 100,
        cuDeviceGetCount=lambda pointer: write(pointer, devices),
    )
    other = SimpleNamespace(
        cudnnGetVersion=lambda: 91301,
        cudaSetDevice=lambda device: 0 if device < devices else 101,
        cudaMemGetInfo=memory,
    )

    def load(name: str) -> Any:
        if name == "libcuda.so.1" and driver is not None:
            return cuda
        if name in libraries and name not in without:
            return other
        raise OSError(f"{name}: cannot open shared object file")

    return load


@pytest.mark.parametrize(
    ("load", "expected"),
    [
        (host(driver=None), "no NVIDIA driver .*--gpus all"),
        (
            host(driver=12040),
            r"driver serves CUDA 12\.4 and onnxruntime needs 13: update it, or `pip install 'onnxruntime-gpu<1\.27'`",
        ),
        (host(driver=11080), r"driver serves CUDA 11\.8 and onnxruntime needs 13: update it$"),
        (host(devices=0), "GPU 0 is not there: this process sees 0 .*CUDA_VISIBLE_DEVICES"),
        (host(without=("libcudnn.so.9",)), r"libcudnn\.so\.9 is missing: `pip install nvidia-cudnn-cu13`"),
        (host(without=("libcublasLt.so.13",)), r"libcublasLt\.so\.13 is missing: `pip install nvidia-cublas`"),
        (host(without=("libcurand.so.10",)), r"libcurand\.so\.10 is missing: `pip install nvidia-curand`"),
        (host(without=("libcudart.so.13",)), r"libcudart\.so\.13 is missing: `pip install nvidia-cuda-runtime`"),
    ],
)
def test_one_reason_with_what_mends_it(load: Callable[[str], Any], expected: str) -> None:
    (found,) = reasons("cuda", "13", load=load)
    assert re.search(expected, found), found


def test_a_sound_host_has_no_reason() -> None:
    for provider in ("cuda", "tensorrt"):
        assert reasons(provider, "13", load=host()) == []
    assert CudaHost.find("13", host()) == CudaHost((13, 0), 1, (9, 13, 1), ())


def test_libraries_of_cuda_12_come_in_wheels_with_a_suffix() -> None:
    found = reasons("cuda", "12", load=host(libraries=("libcudnn.so.9",)))
    assert [line.rpartition("pip install ")[2] for line in found] == [
        "nvidia-cuda-runtime-cu12`",
        "nvidia-cublas-cu12`",
        "nvidia-cublas-cu12`",
        "nvidia-curand-cu12`",
    ]


@pytest.mark.parametrize("name", ["libnvinfer.so.10", "libnvonnxparser.so.10"])
def test_tensorrt_is_libraries_of_its_own(name: str) -> None:
    load = host(without=(name,))
    assert reasons("cuda", "13", load=load) == []
    assert reasons("tensorrt", "13", load=load) == [f"{name} is missing: `pip install 'tensorrt-cu13>=10.13,<11'`"]


def test_tensorrt_is_loaded_from_where_pip_puts_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []
    preload_tensorrt(loaded.append)
    assert loaded == [], "it is not installed"
    (tmp_path / "tensorrt_libs").mkdir()
    (tmp_path / "tensorrt_libs" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    preload_tensorrt(loaded.append)
    assert loaded == [f"{tmp_path}/tensorrt_libs/{name}" for name in ("libnvinfer.so.10", "libnvonnxparser.so.10")]


def test_a_gpu_that_is_not_there() -> None:
    (found,) = reasons("cuda", "13", device=2, load=host(devices=2))
    assert found.startswith("GPU 2 is not there: this process sees 2")


def test_two_wheels_of_onnxruntime(monkeypatch: pytest.MonkeyPatch) -> None:
    folders = {"onnxruntime": "/site", "onnxruntime-gpu": "/kit"}

    class Distribution:
        def __init__(self, name: str) -> None:
            self.name = name

        def locate_file(self, module: str) -> str:
            return f"{folders[self.name]}/{module}"

    monkeypatch.setattr("importlib.metadata.distribution", Distribution)
    assert OVERWRITTEN not in reasons("cuda", "13", load=host())
    folders["onnxruntime-gpu"] = "/site"
    assert reasons("cuda", "13", load=host()) == [OVERWRITTEN]


def test_memory_of_a_gpu() -> None:
    assert free_memory(1, host(devices=2)) == 7 << 30
    assert free_memory(2, host(devices=2)) is None, "unknown is no limit"
    assert free_memory(0, host(libraries=())) is None


def test_this_host_can_be_asked() -> None:
    found = CudaHost.find("13", ctypes.CDLL)
    assert (found.driver is None) <= (found.devices == 0)
