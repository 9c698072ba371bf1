"""A bundle in one small file: unpacked, it is the bundle, byte for byte; and nothing else passes for one."""

import io
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nstbatch.cli.actions.bundles import BundleRequest, find_bundle, make_bundle
from nstbatch.runtime.assembly.compact import compact, open_bundle
from nstbatch.runtime.assembly.sources import WeightsSource
from nstbatch.runtime.bundle.packed import PackedBundle
from nstbatch.runtime.bundle.spec import Bundle, BundleSpec
from nstbatch.runtime.errors import BundleError
from seams import SHALLOW, Export
from seams import bundle as nameless
from weights import frossard, random_vgg


def packed(bundle: Bundle, folder: Path) -> Path:
    """The file of a bundle."""
    content = compact(bundle)
    assert content is not None
    path = folder / "bundle.npz"
    path.write_bytes(content)
    return path


def contents(bundle: Bundle) -> dict[str, bytes]:
    """All files of a bundle."""
    return {name: data.tobytes() for name, data in PackedBundle.of(bundle).files.items()}


@pytest.mark.parametrize(
    "spec", [SHALLOW, replace(SHALLOW, precision="fp16"), replace(SHALLOW, regions=True)], ids=["float32", "fp16", "regions"]
)
def test_unpacked_it_is_the_bundle_byte_for_byte(spec: BundleSpec, exported: Export, tmp_path: Path) -> None:
    bundle = exported(spec)
    path = packed(bundle, tmp_path)
    assert contents(open_bundle(path, tmp_path / "cache")) == contents(bundle)
    quantised = sum(file.stat().st_size for file in bundle.path.iterdir()) / (4 if spec.precision == "fp16" else 8)
    assert path.stat().st_size < 1.1 * quantised + 20_000, "each kernel once, 8 bits a number"


def test_weights_of_any_precision_are_kept_exactly(tmp_path: Path) -> None:
    weights = tmp_path / "own.npz"
    np.savez(weights, **frossard(random_vgg("vgg16")))  # type: ignore[arg-type]
    source = WeightsSource(str(weights))
    bundle = make_bundle(replace(SHALLOW, network="vgg16", weights=source.id), tmp_path / "own", source, print)
    assert contents(open_bundle(packed(bundle, tmp_path), tmp_path / "cache")) == contents(bundle)


def test_it_is_unpacked_once(bundle: Bundle, tmp_path: Path) -> None:
    path = packed(bundle, tmp_path)
    first = find_bundle(BundleRequest(path)).path
    os.utime(first / "weights.bin", (1, 1))
    assert find_bundle(BundleRequest(path)).path == first
    assert (first / "weights.bin").stat().st_mtime == 1


def test_of_graphs_that_are_not_in_the_package_only_the_folder_will_do() -> None:
    assert compact(nameless()) is None


@pytest.mark.parametrize("content", [b"", b"photo", "half", "weights"])
def test_what_is_no_packed_bundle_is_told_in_a_line(content: bytes | str, bundle: Bundle, tmp_path: Path) -> None:
    path = packed(bundle, tmp_path)
    if content == "weights":
        np.savez(path, **{"conv1_1.kernel": np.zeros(3)})
    else:
        path.write_bytes(path.read_bytes()[:50_000] if isinstance(content, str) else content)
    with pytest.raises(BundleError, match=r"bundle\.npz: not a packed bundle, or damaged \([^\n]+\); copy it again"):
        open_bundle(path, tmp_path / "cache")


def test_other_weights_or_graphs_than_the_manifest_tells_are_refused(bundle: Bundle, tmp_path: Path) -> None:
    path = packed(bundle, tmp_path)
    with np.load(io.BytesIO(path.read_bytes())) as archive:
        arrays = dict(archive)
    arrays["mean"] = arrays["mean"] + 1
    np.savez(path, **arrays)
    with pytest.raises(BundleError, match=r"bundle\.npz: this nstbatch does not have its graphs"):
        open_bundle(path, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "bundle.npz")
    with pytest.raises(BundleError, match=r"bundle\.npz: not a packed bundle, or damaged \(not a regular file\)"):
        open_bundle(tmp_path / "bundle.npz", tmp_path / "cache")
