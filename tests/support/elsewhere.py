"""A host that lacks what POSIX has, as Windows does: this one, with all that hidden.

A program begins with ``import elsewhere; elsewhere.hide()``. What cannot be hidden: paths are POSIX's, and a file that is
open can be replaced and deleted.
"""

import fcntl
import importlib
import os
import signal
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

_FLAGS = ("O_CLOEXEC", "O_DIRECTORY", "O_NOCTTY", "O_NOFOLLOW", "O_NONBLOCK", "O_PATH")
_FUNCTIONS = ("fchmod", "fchown", "geteuid", "getuid", "pread", "sched_getaffinity", "statvfs")
_LIBRARIES = (
    "concurrent.futures.thread",
    "filelock",
    "onnxruntime",
    "platformdirs",
    "psutil",
    "rich.console",
    "subprocess",
    "tempfile",
)
_MODULES = ("fcntl", "grp", "pwd", "resource", "termios")


def hide() -> None:
    """Hide it, before anything of ours is imported."""
    # What imports these itself, and has another way on Windows.
    for name in _LIBRARIES:
        importlib.import_module(name)
    sys.modules["msvcrt"] = _msvcrt()
    for name in _MODULES:
        sys.modules[name] = None  # type: ignore[assignment]
    for name in (*_FLAGS, *_FUNCTIONS):
        delattr(os, name)
    del signal.SIGHUP
    read = Path.read_text

    def read_text(path: Path, *arguments: Any, **options: Any) -> str:
        if path.is_relative_to("/proc"):
            raise FileNotFoundError(path)
        return read(path, *arguments, **options)

    Path.read_text = read_text  # type: ignore[method-assign]
    os.supports_dir_fd = set()
    os.supports_fd = {os.stat, os.truncate}


def _msvcrt() -> ModuleType:
    """Windows's locks of bytes, which are refused with EACCES."""
    module: Any = ModuleType("msvcrt")
    module.LK_NBLCK = 2
    lock, exclusive, current = fcntl.lockf, fcntl.LOCK_EX | fcntl.LOCK_NB, os.SEEK_CUR

    def locking(handle: int, mode: int, count: int) -> None:
        assert mode == module.LK_NBLCK
        try:
            lock(handle, exclusive, count, 0, current)
        except BlockingIOError:
            raise PermissionError(13, "Permission denied") from None

    module.locking = locking
    return module
