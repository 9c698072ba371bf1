"""Bundles with regions, of the weights of those without."""

from dataclasses import replace
from pathlib import Path

import pytest

from nstbatch.runtime.assembly import regional
from nstbatch.runtime.assembly.regional import with_regions
from nstbatch.runtime.bundle.spec import Bundle
from nstbatch.runtime.errors import BundleError
from seams import SHALLOW, Export


def test_it_is_the_bundle_that_the_weights_give(bundle: Bundle, exported: Export, tmp_path: Path) -> None:
    expected = exported(replace(SHALLOW, regions=True))
    made = with_regions(bundle, tmp_path)
    assert made.manifest.files == expected.manifest.files
    assert made.manifest.spec == expected.manifest.spec
    (folder,) = (tmp_path / "bundles").iterdir()
    before = folder.stat().st_mtime_ns
    assert with_regions(bundle, tmp_path).path == folder
    assert folder.stat().st_mtime_ns == before, "once"
    assert with_regions(made, tmp_path) is made


def test_a_damaged_one_in_the_cache_is_said(bundle: Bundle, tmp_path: Path) -> None:
    made = with_regions(bundle, tmp_path)
    (made.path / "weights.bin").write_bytes(b"")
    with pytest.raises(Exception, match="exists already"):
        with_regions(bundle, tmp_path)


def test_without_graphs_in_the_package_it_says_what_to_do(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(regional, "find_template", lambda _: None)
    with pytest.raises(BundleError, match="`nstbatch export --regions` and name it with --bundle, or use --tile off"):
        with_regions(bundle, tmp_path)
