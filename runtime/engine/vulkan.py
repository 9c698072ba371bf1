"""What Vulkan says of a host's GPUs: WebGPU computes on one of them, and does not tell which."""

import ctypes
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .cuda import Load

_LOADERS = ("libvulkan.so.1", "vulkan-1.dll")

_KINDS = {2: "discrete", 1: "integrated", 3: "virtual", 0: "other", 4: "software"}
"""VkPhysicalDeviceType, in the order in which WebGPU prefers them."""

_VERSION_1_1 = (1 << 22) | (1 << 12)

_APPLICATION_INFO, _INSTANCE_CREATE_INFO, _PROPERTIES_2, _DRIVER_PROPERTIES = 0, 1, 1000059001, 1000196000
"""VkStructureType."""

_HEAPS = 16
_DEVICE_LOCAL = 1


class _ApplicationInfo(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_uint32),
        ("next", ctypes.c_void_p),
        ("application", ctypes.c_char_p),
        ("application_version", ctypes.c_uint32),
        ("engine", ctypes.c_char_p),
        ("engine_version", ctypes.c_uint32),
        ("api_version", ctypes.c_uint32),
    )


class _InstanceCreateInfo(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_uint32),
        ("next", ctypes.c_void_p),
        ("flags", ctypes.c_uint32),
        ("application", ctypes.POINTER(_ApplicationInfo)),
        ("layer_count", ctypes.c_uint32),
        ("layers", ctypes.c_void_p),
        ("extension_count", ctypes.c_uint32),
        ("extensions", ctypes.c_void_p),
    )


class _DriverProperties(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_uint32),
        ("next", ctypes.c_void_p),
        ("id", ctypes.c_uint32),
        ("name", ctypes.c_char * 256),
        ("info", ctypes.c_char * 256),
        ("conformance", ctypes.c_uint8 * 4),
    )


class _Properties2(ctypes.Structure):
    """VkPhysicalDeviceProperties2: up to the name, which is followed by 560 bytes of limits and others."""

    _fields_ = (
        ("type", ctypes.c_uint32),
        ("next", ctypes.c_void_p),
        ("api_version", ctypes.c_uint32),
        ("driver_version", ctypes.c_uint32),
        ("vendor", ctypes.c_uint32),
        ("device", ctypes.c_uint32),
        ("kind", ctypes.c_uint32),
        ("name", ctypes.c_char * 256),
        ("rest", ctypes.c_uint64 * 128),
    )


class _Heap(ctypes.Structure):
    _fields_ = (("size", ctypes.c_uint64), ("flags", ctypes.c_uint32))


class _MemoryProperties(ctypes.Structure):
    _fields_ = (
        ("type_count", ctypes.c_uint32),
        ("types", ctypes.c_uint32 * 64),
        ("heap_count", ctypes.c_uint32),
        ("heaps", _Heap * _HEAPS),
    )


@dataclass(frozen=True)
class Adapter:
    """A GPU, or software that stands in for one.

    Attributes:
        name: as its driver calls it.
        driver: name and version of the driver.
        kind: ``discrete``, ``integrated``, ``virtual``, ``other`` or ``software``.
        memory: bytes of its own memory; of an integrated one, of the host's that it may use.
    """

    name: str
    driver: str
    kind: str
    memory: int

    def __str__(self) -> str:
        return f"{self.name} ({self.kind}, {self.driver}, {self.memory / 2**30:.1f} GiB)"


def has_vulkan(load: Load = ctypes.CDLL) -> bool:
    """Whether Vulkan's loader is on this host."""
    return _loader(load) is not None


def find_adapter(load: Load = ctypes.CDLL) -> Adapter | None:
    """The GPU that WebGPU takes where it computes by Vulkan: the best by its kind; None without Vulkan.

    Args:
        load: gives a shared library by its name, or raises OSError.
    """
    found = [*_adapters(load)]
    return min(found, key=lambda adapter: [*_KINDS.values()].index(adapter.kind), default=None)


def _adapters(load: Load) -> Iterator[Adapter]:
    vulkan = _loader(load)
    if vulkan is None:
        return
    application = _ApplicationInfo(type=_APPLICATION_INFO, api_version=_VERSION_1_1)
    info = _InstanceCreateInfo(type=_INSTANCE_CREATE_INFO, application=ctypes.pointer(application))
    instance = ctypes.c_void_p()
    if vulkan.vkCreateInstance(ctypes.byref(info), None, ctypes.byref(instance)) != 0:
        return
    try:
        count = ctypes.c_uint32()
        vulkan.vkEnumeratePhysicalDevices(instance, ctypes.byref(count), None)
        devices = (ctypes.c_void_p * count.value)()
        vulkan.vkEnumeratePhysicalDevices(instance, ctypes.byref(count), devices)
        for device in devices[: count.value]:
            yield _adapter(vulkan, ctypes.c_void_p(device))
    finally:
        vulkan.vkDestroyInstance(instance, None)


def _loader(load: Load) -> Any:
    for name in _LOADERS:
        try:
            library = load(name)
        except OSError:
            continue
        # Version 1.0 has not.
        return library if hasattr(library, "vkGetPhysicalDeviceProperties2") else None
    return None


def _adapter(vulkan: Any, device: ctypes.c_void_p) -> Adapter:
    driver = _DriverProperties(type=_DRIVER_PROPERTIES)
    properties = _Properties2(type=_PROPERTIES_2, next=ctypes.addressof(driver))
    vulkan.vkGetPhysicalDeviceProperties2(device, ctypes.byref(properties))
    memory = _MemoryProperties()
    vulkan.vkGetPhysicalDeviceMemoryProperties(device, ctypes.byref(memory))
    local = [heap.size for heap in memory.heaps[: memory.heap_count] if heap.flags & _DEVICE_LOCAL]
    words = (each.decode(errors="replace") for each in (driver.name, driver.info))
    return Adapter(
        properties.name.decode(errors="replace"),
        " ".join(word for word in words if word) or "driver unknown",
        _KINDS.get(properties.kind, "other"),
        max(local, default=0),
    )
