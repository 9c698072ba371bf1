"""Cores and memory, within control groups and limits."""

import os
import resource
from pathlib import Path

import pytest

from nstbatch.runtime.engine.host import available_cores, available_memory, cpu_quota, memory_limit


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({}, None),
        ({"proc/self/cgroup": "0::/\n"}, None),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, None),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "150000 100000\n"}, 1.5),
        # The smallest of one's own group and those above.
        (
            {
                "proc/self/cgroup": "0::/system.slice/nst.service\n",
                "sys/fs/cgroup/cpu.max": "800000 100000\n",
                "sys/fs/cgroup/system.slice/cpu.max": "300000 100000\n",
                "sys/fs/cgroup/system.slice/nst.service/cpu.max": "max 100000\n",
            },
            3,
        ),
        # A container that sees the host's path and its own mount.
        ({"proc/self/cgroup": "0::/docker/abc\n", "sys/fs/cgroup/cpu.max": "50000 100000\n"}, 0.5),
        ({"proc/self/cgroup": "0::/../other\n", "sys/fs/cgroup/cpu.max": "50000 100000\n"}, 0.5),
        (
            {
                "proc/self/cgroup": "5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "400000\n",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            },
            4,
        ),
        (
            {
                "proc/self/cgroup": "5:cpu,cpuacct:/\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            None,
        ),
    ],
)
def test_quota(files: dict[str, str], quota: float | None, tmp_path: Path) -> None:
    assert cpu_quota(tree(tmp_path, files)) == quota


@pytest.mark.parametrize(("quota", "cores"), [("max", 3), ("250000", 3), ("150000", 2), ("100000", 1), ("10000", 1)])
def test_threads_are_the_cores_of_this_process_within_its_quota(
    quota: str, cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 3, 5}, raising=False)
    tree(tmp_path, {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": f"{quota} 100000\n"})
    assert available_cores(tmp_path) == cores


MIB = 2**20


@pytest.mark.parametrize(
    ("files", "memory"),
    [
        ({}, None),
        ({"proc/meminfo": "MemTotal: 9 kB\nMemAvailable: 4096 kB\n"}, 4 * MIB),
        (
            {
                "proc/meminfo": "MemAvailable: 4096 kB\n",
                "proc/self/cgroup": "0::/\n",
                "sys/fs/cgroup/memory.max": f"{10 * MIB}\n",
                "sys/fs/cgroup/memory.current": f"{9 * MIB}\n",
                "sys/fs/cgroup/memory.stat": f"anon 5\ninactive_file {MIB}\nactive_file 0\n",
            },
            2 * MIB,
        ),
        (
            {
                "proc/self/cgroup": "4:memory:/\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{10 * MIB}\n",
                "sys/fs/cgroup/memory/memory.usage_in_bytes": f"{12 * MIB}\n",
            },
            0,
        ),
    ],
)
def test_memory(files: dict[str, str], memory: int | None, tmp_path: Path) -> None:
    assert available_memory(tree(tmp_path, files)) == memory


def test_memory_within_ulimit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree(tmp_path, {"proc/self/statm": "1000 400 1 1 0 1 0", "proc/meminfo": f"MemAvailable: {1 << 30} kB\n"})
    page = resource.getpagesize()
    monkeypatch.setattr(resource, "getrlimit", lambda _: (18000 * page, 18000 * page))
    assert available_memory(tmp_path) == pytest.approx(10000 * page)
    assert memory_limit(tmp_path) == pytest.approx(10400 * page), "what it has already is its own"


def test_this_host_tells() -> None:
    assert available_cores() >= 1
    found = available_memory()
    assert found is None or found > 0
