"""The bundle that a command finds."""

import sys
from pathlib import Path

import pytest
from filelock import FileLock

from nstbatch.cli.actions.bundles import cached_bundle_path, find_bundle
from nstbatch.runtime.bundle.spec import Bundle, BundleSpec
from nstbatch.runtime.errors import BundleError
from nstbatch.runtime.recipe.presets import PRESETS
from process import QUICK, Call


def test_a_cache_that_can_only_be_read(bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NSTBATCH_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "cache" / "bundles").mkdir(parents=True)
    cached_bundle_path(BundleSpec()).symlink_to(bundle.path)
    # Root may write anywhere, so the answer of the system is stood in for.
    monkeypatch.setattr(FileLock, "acquire", lambda *_: pytest.fail("locked"))
    assert find_bundle(None).id == bundle.id


def test_a_host_without_torch_is_told_the_whole_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "nstbatch.exporter", None)
    monkeypatch.setenv("NSTBATCH_CACHE_DIR", str(tmp_path))
    with pytest.raises(BundleError, match=r"`nstbatch export -o vgg19/ --content-taps relu5_2 --tv power`"):
        find_bundle(None, PRESETS["keras"].spec)
    with pytest.raises(BundleError, match=r"`nstbatch export -o vgg19/`"):
        find_bundle(None)


def test_a_damaged_bundle_that_was_named_is_fatal(nstbatch: Call, samples: Path, tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "manifest.json").write_text("{}")
    done = nstbatch(
        samples / "photos", "--style", samples / "ember.jpg", "-o", tmp_path / "out", "--bundle", tmp_path / "bundle"
    )
    assert done.returncode == 1
    assert "not a manifest" in done.stderr


def test_a_cache_that_cannot_be_made(nstbatch: Call, samples: Path, tmp_path: Path, bundle: Bundle) -> None:
    (tmp_path / "file").touch()
    arguments = (samples / "photos" / "tree.jpg", "--style", samples / "ember.jpg", "-o", tmp_path / "out", *QUICK)
    done = nstbatch(*arguments, NSTBATCH_CACHE_DIR=str(tmp_path / "file" / "cache"))
    assert done.returncode == 2
    assert "name a folder in NSTBATCH_CACHE_DIR" in done.stderr
    # With a bundle at hand the cache only saves time.
    done = nstbatch(*arguments, "--bundle", bundle.path, NSTBATCH_CACHE_DIR=str(tmp_path / "file" / "cache"))
    assert done.returncode == 0, done.stderr
