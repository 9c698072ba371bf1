"""The cache folder: bundles, style sets, TensorRT's engines, and mirrors of outputs behind URLs."""

import os
from pathlib import Path

CACHE_VARIABLE = "NSTBATCH_CACHE_DIR"
"""Environment variable that names the folder."""


def cache_dir() -> Path:
    """``NSTBATCH_CACHE_DIR``, else the platform's cache folder for nstbatch."""
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named)
    import platformdirs

    return platformdirs.user_cache_path("nstbatch")
