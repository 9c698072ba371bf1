"""What the host grants this process, and what of it a run is to use."""

import math
import mmap
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..recipe.provider import AUTO, TILE_OFF, VECTORS

_ROOT = Path("/")


@dataclass(frozen=True, kw_only=True)
class Host:
    """What is to compute, and where what it keeps lies.

    Attributes:
        provider: one of `PROVIDER_CHOICES`. A provider that is asked for by name is had, or it is an error; ``auto`` takes
            the first of `CANDIDATES` that starts.
        threads: threads of the CPU, at most and by default one for each core this process may use.
        device: number of the GPU; None for the first, or none.
        vectors: one of `VECTORS`: where L-BFGS's vectors are to be.
        cuda_graphs: whether CUDA captures each painting's step once and replays it, or TensorRT its gradient; None for
            CUDA's, where it can.
        tile: ``auto`` for tiles where memory does not hold a picture in one piece, `TILE_OFF` for none, or most pixels of a
            tile's side, for every picture that is larger.
        cache: folder for style sets and TensorRT's engines; None keeps them in memory, or not at all.

    Raises:
        UsageError: ``vectors`` is none of `VECTORS`, or the tile is none.
    """

    provider: str = AUTO
    threads: int | None = None
    device: int | None = None
    vectors: str = VECTORS[0]
    cuda_graphs: bool | None = None
    tile: str | int = AUTO
    cache: Path | None = None

    def __post_init__(self) -> None:
        if self.vectors not in VECTORS:
            raise UsageError(f"vectors '{self.vectors}' is not known; choose one of: {', '.join(VECTORS)}")
        if self.tile not in (AUTO, TILE_OFF) and not (isinstance(self.tile, int) and self.tile >= _LEAST_TILE):
            raise UsageError(f"tile '{self.tile}' is not known; choose auto, off, or at least {_LEAST_TILE} pixels")
        if self.cuda_graphs and self.vectors == "host":
            raise UsageError("CUDA graphs are captured of steps with vectors on the device; leave out --vectors host")


_LEAST_TILE = 16

_ADDRESSES_PER_BYTE = 1.7
"""What an allocator of ONNX Runtime reserves for a byte that is used: measured on the CPU, 256 to 1024 pixels."""


def available_cores(root: Path = _ROOT) -> int:
    """Number of threads worth starting: the cores this process may run on, and no more than its control groups' quota.

    Args:
        root: where ``proc`` and ``sys`` are mounted.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cpu_quota(root)
    return cores if quota is None else max(1, min(cores, math.ceil(quota)))


def cpu_quota(root: Path = _ROOT) -> float | None:
    """Cores' worth of time that the control groups grant, None where there is no limit (cgroups 1 and 2)."""
    quotas = []
    for group in _groups(root, "cpu"):
        words = _words(group / "cpu.max") or [*_words(group / "cpu.cfs_quota_us"), *_words(group / "cpu.cfs_period_us")]
        if len(words) == 2 and words[0] not in ("max", "-1"):
            quotas.append(int(words[0]) / int(words[1]))
    return min(quotas, default=None)


def memory_limit(root: Path = _ROOT) -> int | None:
    """Bytes this process may come to use: what it can still take, and what it has. None where the host does not tell."""
    available = available_memory(root)
    return None if available is None else available + _resident(root)


def available_memory(root: Path = _ROOT) -> int | None:
    """Bytes this process can still take without swapping: of the host, its control groups, and ``ulimit -v``.

    None where the host does not tell.
    """
    grants = [*_host_memory(root), *_group_memory(root), *_address_space(root)]
    return max(0, min(grants)) if grants else None


def maps_freely() -> bool:
    """Whether a file that is mapped takes no memory that is needed elsewhere: not under ``ulimit -v``, which counts it."""
    return not list(_address_space(_ROOT))


def is_running(pid: int) -> bool:
    """Whether this host has a process of that number."""
    psutil = _psutil(_ROOT)
    if psutil is not None:
        return bool(psutil.pid_exists(pid))
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True


def tells_by_files(root: Path = _ROOT) -> bool:
    """Whether the system has Linux's files on memory and processes."""
    return bool(_words(root / "proc/self/statm"))


def _psutil(root: Path) -> Any:
    """What tells of other systems what Linux has files for; None on Linux."""
    if root != _ROOT or tells_by_files(root):
        return None
    import psutil

    return psutil


def _host_memory(root: Path) -> Iterator[int]:
    psutil = _psutil(root)
    if psutil is not None:
        yield psutil.virtual_memory().available
    for line in _lines(root / "proc/meminfo"):
        if line.startswith("MemAvailable:"):
            yield int(line.split()[1]) * 1024


def _resident(root: Path) -> int:
    psutil = _psutil(root)
    if psutil is not None:
        return int(psutil.Process().memory_info().rss)
    return sum(map(int, _words(root / "proc/self/statm")[1:2])) * mmap.PAGESIZE


def _group_memory(root: Path) -> Iterator[int]:
    for group in _groups(root, "memory"):
        for limit, used in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
            bound, taken = _words(group / limit), _words(group / used)
            if bound and taken and bound[0] != "max":
                # Pages of files are counted as used, but given back on demand.
                files = sum(
                    int(line.split()[1])
                    for line in _lines(group / "memory.stat")
                    if line.split()[0] in ("inactive_file", "active_file")
                )
                yield int(bound[0]) - int(taken[0]) + files


def _address_space(root: Path) -> Iterator[int]:
    pages = _words(root / "proc/self/statm")
    if not pages:
        return
    # Here, since Windows has no such module; nor the file.
    import resource

    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit != resource.RLIM_INFINITY:
        yield int((limit - int(pages[0]) * mmap.PAGESIZE) / _ADDRESSES_PER_BYTE)


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Folders of the control groups this process is in, from its own up to the root."""
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        if not controllers:
            base = root / "sys/fs/cgroup"
        elif controller in controllers.split(","):
            base = root / "sys/fs/cgroup" / controllers
            base = base if base.exists() else root / "sys/fs/cgroup" / controller
        else:
            continue
        inner = base / path.lstrip("/")
        # In a container the path may be the host's, and only the root of it mounted.
        while inner != base:
            yield inner
            inner = inner.parent
        yield base


def _words(path: Path) -> list[str]:
    return [word for line in _lines(path) for word in line.split()]


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return []
