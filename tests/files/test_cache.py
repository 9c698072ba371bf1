"""Where the cache is."""

from pathlib import Path

import platformdirs
import pytest

from nstbatch.runtime.files.cache import CACHE_VARIABLE, cache_dir


def test_the_variable_counts_and_else_the_platform(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "named"))
    assert cache_dir() == tmp_path / "named"
    assert not (tmp_path / "named").exists(), "a question makes no folder"
    monkeypatch.setenv(CACHE_VARIABLE, "")
    assert cache_dir() == platformdirs.user_cache_path("nstbatch")
