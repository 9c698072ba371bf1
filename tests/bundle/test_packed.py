"""A bundle that travels."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from nstbatch.runtime.bundle.packed import PackedBundle
from nstbatch.runtime.bundle.spec import Bundle
from nstbatch.runtime.errors import BundleError
from nstbatch.runtime.files.location import to_location
from stores import Store


def test_where_it_came_from_it_is_not_copied(bundle: Bundle, tmp_path: Path) -> None:
    assert PackedBundle.of(bundle).unpack(tmp_path / "cache").path == bundle.path
    assert not (tmp_path / "cache").exists()


def test_elsewhere_it_is_kept_once(bundle: Bundle, tmp_path: Path) -> None:
    packed = PackedBundle(tmp_path / "not here", PackedBundle.of(bundle).files)
    first = packed.unpack(tmp_path / "cache")
    assert first.id == bundle.id
    assert first.path.is_relative_to(tmp_path / "cache")
    written = (first.path / "weights.bin").stat().st_mtime_ns
    assert packed.unpack(tmp_path / "cache").path == first.path
    assert (first.path / "weights.bin").stat().st_mtime_ns == written
    assert [path.name for path in first.path.parent.iterdir()] == [first.path.name], "nothing half is left"


def test_damage_on_the_way_is_noticed(bundle: Bundle, tmp_path: Path) -> None:
    files = dict(PackedBundle.of(bundle).files)
    files["encode.onnx"] = np.zeros(7, np.uint8)
    with pytest.raises(BundleError, match=r"encode\.onnx: damaged"):
        PackedBundle(tmp_path / "not here", files).unpack(tmp_path / "cache")


def test_a_url_is_fetched_once(bundle: Bundle, memory: Store, tmp_path: Path) -> None:
    for path in bundle.path.iterdir():
        memory.put(f"vgg19/{path.name}", path.read_bytes())
    url = to_location(f"{memory.url}/vgg19")
    first = PackedBundle.fetch(url, tmp_path / "cache")  # type: ignore[arg-type]
    assert first.id == bundle.id
    memory.fs.rm(f"{memory.path}/vgg19/weights.bin")
    assert PackedBundle.fetch(url, tmp_path / "cache").path == first.path  # type: ignore[arg-type]


def test_a_file_that_cannot_be_read(bundle: Bundle, tmp_path: Path) -> None:
    copy = Bundle.load(shutil.copytree(bundle.path, tmp_path / "copy"))
    (copy.path / "encode.onnx").unlink()
    with pytest.raises(BundleError, match="copy: cannot be read"):
        PackedBundle.of(copy)


@pytest.mark.parametrize("name", ["../escaped", "/tmp/escaped", "sub/../../escaped"])
def test_names_that_lead_elsewhere_are_not_written(name: str, bundle: Bundle, memory: Store, tmp_path: Path) -> None:
    """By a URL, and by a value that another host has sent."""
    for path in bundle.path.iterdir():
        memory.put(f"vgg19/{path.name}", path.read_bytes())
    manifest = json.loads((bundle.path / "manifest.json").read_text())
    manifest["files"][name] = hashlib.sha256(b"escaped").hexdigest()
    text = json.dumps(manifest).encode()
    memory.put("vgg19/manifest.json", text)
    cache = tmp_path / "deep" / "cache"
    with pytest.raises(BundleError, match="not a manifest"):
        PackedBundle.fetch(to_location(f"{memory.url}/vgg19"), cache)  # type: ignore[arg-type]
    files = PackedBundle.of(bundle).files | {"manifest.json": np.frombuffer(text, np.uint8), name: np.zeros(7, np.uint8)}
    with pytest.raises(BundleError, match="cannot be kept"):
        PackedBundle(tmp_path / "not here", files).unpack(cache)  # type: ignore[arg-type]
    assert not [path for path in tmp_path.rglob("*") if path.name == "escaped"]
