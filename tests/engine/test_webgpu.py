"""WebGPU, on a GPU that is software: what it computes, in how many runs, and what it refuses."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from nstbatch.runtime.bundle.spec import Bundle
from nstbatch.runtime.engine import webgpu
from nstbatch.runtime.engine.plugins import PLUGINS, plugin_device
from nstbatch.runtime.engine.vulkan import Adapter
from nstbatch.runtime.engine.webgpu import is_real_gpu, webgpu_reasons
from nstbatch.runtime.errors import ProviderError
from places import ROOT
from software_gpu import environment

PLUGIN = PLUGINS["webgpu"].installed

Found = dict[str, Any]


@pytest.fixture(scope="module")
def found(bundle: Bundle, samples: Path) -> Found:
    """What `software_gpu` finds out."""
    if not PLUGIN:
        pytest.skip("needs nstbatch[webgpu]")
    script = ROOT / "tests" / "support" / "software_gpu.py"
    command = [sys.executable, script, bundle.path, samples / "starry.jpg", samples / "photos" / "town.jpg"]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)  # type: ignore[no-any-return]


@pytest.mark.slow
def test_a_painting_is_the_cpus_but_for_rounding(found: Found) -> None:
    np.testing.assert_allclose(found["here"]["losses"], found["cpu"]["losses"], rtol=1e-4)
    off = np.abs(np.array(found["here"]["pixels"]) - np.array(found["cpu"]["pixels"]))
    assert off.max() <= 1
    assert (found["loss_off"], found["gradient_off"]) < (1e-5, 1e-4)


@pytest.mark.slow
def test_an_evaluation_is_one_captured_run_and_no_node_is_on_the_cpu(found: Found) -> None:
    assert found["runs"] == len(found["here"]["losses"]) == 4
    assert (found["captured"], found["not_captured"]) == (2, None), "a session for each level"
    assert set(found["operators"]) == {"WebGpuExecutionProvider"}


@pytest.mark.slow
def test_a_part_of_the_memory_is_read_and_not_bound(found: Found) -> None:
    assert found["parts"] == [True, True, True]


@pytest.mark.slow
def test_software_has_to_be_asked_for_by_name(found: Found) -> None:
    assert "software" in found["adapter"]
    assert (found["auto"], found["why_not"]) == ("cpu", "no GPU but software")


@pytest.mark.slow
def test_what_it_can_take_is_known(found: Found) -> None:
    assert found["largest_buffer"] >= 2**27, "what every adapter has"
    assert found["free_memory"] >= 2**30


@pytest.mark.slow
def test_what_it_cannot_compute_is_an_error(found: Found) -> None:
    assert "has no shader-f16; use --precision float32" in found["half"]
    assert "leaves node '' (Add) to the CPU" in found["double"]
    assert found["on_cpu"] == []
    assert "--device 0 names a GPU; provider 'webgpu' in float32 takes no number" in found["numbered"]


@pytest.mark.skipif(not PLUGIN or Path("/sys/class/drm").exists(), reason="needs nstbatch[webgpu], and no GPU")
def test_a_host_without_a_gpu() -> None:
    for _ in range(2):
        with pytest.raises(ProviderError, match="'webgpu' knows no device on this host: it needs a GPU with a driver"):
            plugin_device("webgpu")


@pytest.mark.parametrize(
    ("hardware", "adapter", "real"),
    [
        ("GPU", Adapter("Iris", "Mesa", "integrated", 1), True),
        ("GPU", Adapter("llvmpipe", "Mesa", "software", 1), False),
        ("GPU", None, True),
        ("CPU", Adapter("Iris", "Mesa", "integrated", 1), False),
    ],
)
def test_a_real_gpu_is_what_both_take_for_one(
    hardware: str, adapter: Adapter | None, real: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = SimpleNamespace(device=SimpleNamespace(type=SimpleNamespace(name=hardware)))
    monkeypatch.setattr(webgpu, "plugin_device", lambda _: device)
    monkeypatch.setattr(webgpu, "find_adapter", lambda: adapter)
    assert is_real_gpu() is real


@pytest.mark.parametrize(
    ("platform", "loader", "adapter", "expected"),
    [
        ("linux", False, None, "libvulkan1"),
        ("linux", True, None, "mesa-vulkan-drivers"),
        ("linux", True, Adapter("Iris", "Mesa", "integrated", 1), ""),
        ("darwin", False, None, ""),
    ],
)
def test_why_there_is_no_adapter(
    platform: str, loader: bool, adapter: Adapter | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(webgpu, "has_vulkan", lambda: loader)
    monkeypatch.setattr(webgpu, "find_adapter", lambda: adapter)
    assert expected in "".join(webgpu_reasons())
    assert bool(expected) == bool(webgpu_reasons())
