"""What Vulkan says of a host's GPUs; of hosts that are made up."""

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from nstbatch.runtime.engine.vulkan import Adapter, find_adapter, has_vulkan


@dataclass(frozen=True)
class Vulkan:
    """Vulkan's loader; it stands in for the module of ctypes."""

    adapters: tuple[Adapter, ...] = ()
    status: int = 0

    def load(self, name: str) -> Any:
        if name != "libvulkan.so.1":
            raise OSError(name)
        return self

    def vkCreateInstance(self, info: Any, allocator: None, instance: Any) -> int:
        instance._obj.value = 1
        return self.status

    def vkDestroyInstance(self, instance: ctypes.c_void_p, allocator: None) -> None:
        assert instance.value == 1

    def vkEnumeratePhysicalDevices(self, instance: ctypes.c_void_p, count: Any, devices: Any) -> int:
        count._obj.value = len(self.adapters)
        if devices is not None:
            devices[:] = range(100, 100 + len(self.adapters))
        return 0

    def vkGetPhysicalDeviceProperties2(self, device: ctypes.c_void_p, properties: Any) -> None:
        adapter, found = self.adapters[(device.value or 0) - 100], properties._obj
        found.kind = {"other": 0, "integrated": 1, "discrete": 2, "virtual": 3, "software": 4}[adapter.kind]
        found.name = adapter.name.encode()
        # VkPhysicalDeviceDriverProperties: type, next, number; then two texts of 256 bytes.
        name, _, version = adapter.driver.partition(" ")
        ctypes.memmove(found.next + 20, name.encode() + b"\0", len(name) + 1)
        ctypes.memmove(found.next + 20 + 256, version.encode() + b"\0", len(version) + 1)

    def vkGetPhysicalDeviceMemoryProperties(self, device: ctypes.c_void_p, memory: Any) -> None:
        memory._obj.heap_count = 2
        memory._obj.heaps[0].size, memory._obj.heaps[0].flags = self.adapters[(device.value or 0) - 100].memory, 1
        memory._obj.heaps[1].size = 64 << 30


class Old:
    """A loader of version 1.0."""

    def __init__(self, name: str) -> None: ...


INTEGRATED = Adapter("Intel Iris", "Mesa 22.3.6", "integrated", 12 << 30)
DISCRETE = Adapter("Radeon RX 7900", "radv 25.0", "discrete", 24 << 30)
SOFTWARE = Adapter("llvmpipe", "Mesa 22.3.6", "software", 2 << 30)


@pytest.mark.parametrize(
    ("adapters", "expected"),
    [
        ((INTEGRATED, DISCRETE, SOFTWARE), DISCRETE),
        ((SOFTWARE, INTEGRATED), INTEGRATED),
        ((SOFTWARE,), SOFTWARE),
        ((), None),
    ],
)
def test_the_best_by_its_kind(adapters: tuple[Adapter, ...], expected: Adapter | None) -> None:
    vulkan = Vulkan(adapters)
    assert has_vulkan(vulkan.load)
    assert find_adapter(vulkan.load) == expected


def test_an_adapter_in_words() -> None:
    assert str(DISCRETE) == "Radeon RX 7900 (discrete, radv 25.0, 24.0 GiB)"


def no_library(name: str) -> Any:
    raise OSError(name)


@pytest.mark.parametrize("load", [no_library, Old])
def test_a_host_without_vulkan(load: Callable[[str], Any]) -> None:
    assert not has_vulkan(load)
    assert find_adapter(load) is None


def test_a_loader_without_a_driver() -> None:
    vulkan = Vulkan(status=-9)
    assert has_vulkan(vulkan.load)
    assert find_adapter(vulkan.load) is None
