"""Files of weights that cannot be read are named, whatever is wrong with them."""

import sys
from pathlib import Path

import numpy as np
import pytest

from nstbatch.runtime.assembly.formats import FORMATS, read_arrays
from nstbatch.runtime.errors import WeightsError


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("torn.pth", b"PK\x03\x04torn"),
        ("torn.npz", b"PK\x03\x04torn"),
        ("torn.h5", b"\x89HDF torn"),
        ("torn.safetensors", b"\x00" * 20),
        ("empty.pth", b""),
    ],
)
def test_bad_files_are_named(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match="cannot be read as weights") as caught:
        read_arrays(tmp_path / name)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_another_kind_of_file(tmp_path: Path) -> None:
    (tmp_path / "weights.txt").write_text("x")
    with pytest.raises(WeightsError, match="unknown kind of file") as caught:
        read_arrays(tmp_path / "weights.txt")
    assert all(extension in str(caught.value) for extension in FORMATS)


@pytest.mark.parametrize(("name", "package"), [("w.safetensors", "safetensors"), ("w.h5", "h5py")])
def test_a_reader_that_is_not_installed(name: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / name).write_bytes(b"x")
    for module in [each for each in sys.modules if each.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(WeightsError, match=f"run `pip install {package}`"):
        read_arrays(tmp_path / name)


def test_objects_in_an_npz_are_not_loaded(tmp_path: Path) -> None:
    np.savez(tmp_path / "w.npz", a=np.array([{}], dtype=object))
    with pytest.raises(WeightsError, match="cannot be read as weights"):
        read_arrays(tmp_path / "w.npz")
