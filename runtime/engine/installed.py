"""ONNX Runtime as it is installed on this host."""

import os
from types import ModuleType

from ..errors import ProviderError

LOG_LEVEL = 4
"""Of ONNX Runtime's log: fatal. What ends a call is raised as well. The rest is for its developers: with CUDA, a line for
every convolution that cuDNN tries in vain, which cron would mail."""


def import_onnxruntime() -> ModuleType:
    """The module ``onnxruntime``.

    Raises:
        ProviderError: it is not installed.
    """
    # From 1.31 on, ONNX Runtime sends telemetry on Linux, too, keeps a device ID in the user's cache, and complains on
    # stderr where it cannot. That is not for a cron job to do; who wants it sets the variable to 0.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        import onnxruntime
    except ImportError as error:
        raise ProviderError(
            f"onnxruntime is not installed ({error}); run `pip install 'nstbatch[cpu]'`, "
            f"or `pip install 'nstbatch[gpu]'` on a host with an NVIDIA GPU"
        ) from None
    onnxruntime.set_default_logger_severity(LOG_LEVEL)
    return onnxruntime  # type: ignore[no-any-return]


def cuda_major() -> str:
    """Major version of CUDA that the installed onnxruntime is built for; the newest where it does not tell."""
    return str(getattr(import_onnxruntime(), "cuda_version", "") or "13").partition(".")[0]
