"""Plugins of ONNX Runtime: of the real one that is installed, and of some that are made up."""

import importlib
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest

from nstbatch.runtime.bundle.spec import Bundle
from nstbatch.runtime.engine.engine import Engine
from nstbatch.runtime.engine.host import Host
from nstbatch.runtime.engine.plugins import PLUGINS, plugin_device
from nstbatch.runtime.engine.providers import OnnxRuntime, start_provider
from nstbatch.runtime.errors import ExitCode, ProviderError
from nstbatch.runtime.recipe.size import Size

RTX = "NvTensorRTRTXExecutionProvider"


@dataclass
class Runtime:
    """ONNX Runtime's part in a plugin.

    Attributes:
        kinds: of the devices that the library knows once it is registered.
        broken: why it does not load.
        registered: names and paths, in order.
    """

    kinds: tuple[str, ...] = ()
    broken: str = ""
    registered: list[tuple[str, str]] = field(default_factory=list)

    def register(self, name: str, path: str) -> None:
        self.registered.append((name, path))
        if self.broken:
            raise RuntimeError(self.broken)

    def devices(self) -> list[Any]:
        here = self.kinds if self.registered else ()
        made = [SimpleNamespace(ep_name=RTX, device=SimpleNamespace(type=SimpleNamespace(name=kind))) for kind in here]
        return [SimpleNamespace(ep_name="CPUExecutionProvider", device=None), *made]


@pytest.fixture
def rtx(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Runtime]:
    """Installs the plugin of TensorRT for RTX, made up, with such a `Runtime`."""

    def install(**options: Any) -> Runtime:
        module: Any = ModuleType(PLUGINS["tensorrt-rtx"].module)
        module.get_ep_name, module.get_library_path = (lambda: RTX), (lambda: "lib.so")
        runtime = Runtime(**options)
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setattr(onnxruntime, "register_execution_provider_library", runtime.register)
        monkeypatch.setattr(onnxruntime, "get_ep_devices", runtime.devices)
        return runtime

    return install


def test_it_is_registered_once_and_the_device_is_chosen_by_number(rtx: Callable[..., Runtime]) -> None:
    runtime = rtx(kinds=("NPU", "GPU", "GPU"))
    first, second = plugin_device("tensorrt-rtx"), plugin_device("tensorrt-rtx", 1)
    assert runtime.registered == [("tensorrt-rtx", "lib.so")]
    assert first.device.type.name == second.device.type.name == "GPU"
    assert first is not second
    with pytest.raises(ProviderError, match="knows 2 devices on this host, and no number 2"):
        plugin_device("tensorrt-rtx", 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kinds": ("NPU",)}, "knows no device on this host: it needs an NVIDIA GPU of compute capability 8.6, 8.9, 12.0"),
        ({"broken": "libcuda.so.1: cannot open\nmore"}, r"does not start \(libcuda.so.1: cannot open\); .*RTX 30 or newer"),
    ],
)
def test_a_host_without_such_a_card(rtx: Callable[..., Runtime], options: dict[str, Any], message: str) -> None:
    rtx(**options)
    for _ in range(2):
        with pytest.raises(ProviderError, match=message) as caught:
            start_provider("tensorrt-rtx")
        assert caught.value.exit_code is ExitCode.PROVIDER
        assert "\n" not in str(caught.value)


def test_a_plugin_that_is_not_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # What an uninstalled package leaves behind where it has written files itself.
    (tmp_path / PLUGINS["tensorrt-rtx"].module).mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    if importlib.util.find_spec(PLUGINS["tensorrt-rtx"].module).origin is not None:  # type: ignore[union-attr]
        pytest.skip("it is installed")
    assert not PLUGINS["tensorrt-rtx"].installed
    with pytest.raises(ProviderError, match=r"pip install 'nstbatch\[tensorrt-rtx\]'"):
        start_provider("tensorrt-rtx")


class Recorded(OnnxRuntime):
    """A host with TensorRT for RTX, as far as an engine asks; it keeps what sessions are asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, Any]]] = []

    def start(self, host: Host, precision: str) -> str:
        return "tensorrt-rtx"

    def make_session(self, model: str | bytes, provider: str, threads: int, **options: Any) -> Any:
        self.asked.append((Path(str(model)).stem, provider, options))
        raise ProviderError("enough")


def test_engines_of_tensorrt_for_rtx_are_for_ranges_of_shapes_and_kept(bundle: Bundle, tmp_path: Path) -> None:
    runtime = Recorded()
    engine = Engine(bundle, Host(provider="tensorrt-rtx", cache=tmp_path), onnxruntime=runtime)
    assert engine.prepare({Size(48, 36): 2, Size(48, 40): 1}, ["float32"]) == 0, "they are built in seconds"
    assert (engine.holds_vectors, engine.captures, engine.static) == (False, False, True)
    image = np.zeros((1, 3, 36, 48), np.float32)
    for graph in ("encode", "gradient"):
        with pytest.raises(ProviderError, match="enough"):
            engine.run(graph, {"image": image})
    (encode, where, _), (gradient, rtx_itself, options) = runtime.asked
    assert (encode, where) == ("encode", "cpu")
    assert (gradient, rtx_itself) == ("gradient", "tensorrt-rtx")
    assert options["engine_options"]["nv_profile_min_shapes"].startswith("image:1x3x36x48,")
    assert options["engine_options"]["nv_profile_max_shapes"].startswith("image:1x3x40x48,")
    cache = Path(options["engine_options"]["nv_runtime_cache_path"])
    assert cache.is_dir()
    assert cache.is_relative_to(tmp_path / "tensorrt-rtx")
