"""Where a bundle is written, and what it may be of."""

from pathlib import Path

import pytest

from nstbatch.exporter.export import export_bundle
from nstbatch.runtime.bundle.spec import BundleSpec
from nstbatch.runtime.errors import NstbatchError, UsageError


def test_export_to_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be written"):
        export_bundle(BundleSpec(), tmp_path / "file" / "bundle")


def test_export_does_not_touch_a_folder_that_holds_something(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("x")
    with pytest.raises(UsageError, match="exists already"):
        export_bundle(BundleSpec(), tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["precious.txt"]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (BundleSpec(network="vgg11"), "choose one of: vgg16, vgg19"),
        (BundleSpec(pooling="median"), "choose one of: max, average, rescaled"),
        (BundleSpec(padding="reflect"), "choose one of: zeros, replicate"),
        (BundleSpec(tv="cubes"), "choose one of: squares, absolute"),
        (BundleSpec(precision="int8"), "choose one of: float32, fp16"),
        (BundleSpec(content_taps=("relu6_1",)), "its layers are relu1_1"),
        (BundleSpec(style_taps=("relu3_5",)), "tap 'relu3_5'"),
        (BundleSpec(style_taps=()), "at least one"),
        (BundleSpec(style_taps=("relu1_1", "relu1_1")), "none of them twice"),
    ],
)
def test_what_a_network_has_not_is_refused(spec: BundleSpec, message: str, tmp_path: Path) -> None:
    with pytest.raises(NstbatchError, match=message):
        export_bundle(spec, tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []
