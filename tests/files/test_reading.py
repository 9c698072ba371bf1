"""Files that are only read."""

import os
from pathlib import Path

import pytest
from PIL import Image

from nstbatch.runtime.pictures.photo import (
    read_photo,
)


def test_sources_are_opened_read_only(scene: Image.Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.save(tmp_path / "photo.jpg")
    flags = []
    real = os.open

    def spy(path: Path, flag: int, *rest: int) -> int:
        flags.append(flag)
        return real(path, flag, *rest)

    monkeypatch.setattr(os, "open", spy)
    read_photo(tmp_path / "photo.jpg")
    (flag,) = flags
    assert flag & os.O_ACCMODE == os.O_RDONLY
    assert not flag & (os.O_CREAT | os.O_TRUNC)
