"""A kit for a host without torch and without network."""

import importlib.metadata
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from nstbatch.cli.actions.kit import KitTarget, make_kit, write_wheel
from nstbatch.runtime.assembly.compact import open_bundle
from nstbatch.runtime.bundle.spec import Bundle
from nstbatch.runtime.errors import ExportError, UsageError

HOST = KitTarget("gpu", "3.12", "x86_64", "2.28")


class Pip:
    """Answers as pip does, but for the network."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def __call__(self, arguments: Sequence[str]) -> str:
        self.calls.append(list(arguments))
        if arguments[0] == "wheel":
            folder = Path(arguments[arguments.index("--wheel-dir") + 1])
            (folder / "nstbatch-0.1.0-py3-none-any.whl").write_bytes(b"wheel")
        if arguments[0] != "install":
            return ""
        found = [("onnxruntime-gpu", "1.31.1", "b"), ("nstbatch", "0.1.0", "c"), ("click", "8.2.0", "a")]
        return json.dumps(
            {
                "install": [
                    {
                        "metadata": {"name": name, "version": version},
                        "download_info": {"archive_info": {"hashes": {"sha256": 64 * digit}}},
                    }
                    for name, version, digit in found
                ]
            }
        )


def test_a_kit_has_all_that_a_host_needs(bundle: Bundle, tmp_path: Path) -> None:
    pip = Pip()
    wheel = make_kit(bundle, tmp_path / "kit", HOST, download=False, run=pip)
    assert sorted(path.name for path in (tmp_path / "kit").iterdir()) == sorted(
        ["README.txt", "bundle.npz", wheel.name, "requirements.txt"]
    )
    assert open_bundle(tmp_path / "kit" / "bundle.npz", tmp_path / "cache").id == bundle.id
    lines = (tmp_path / "kit" / "requirements.txt").read_text().splitlines()
    assert lines == [f"click==8.2.0 --hash=sha256:{64 * 'a'}", f"onnxruntime-gpu==1.31.1 --hash=sha256:{64 * 'b'}"]
    readme = (tmp_path / "kit" / "README.txt").read_text()
    assert "pip download" in readme
    assert f"--no-deps {wheel.name}" in readme
    assert "doctor --bundle bundle.npz\n" in readme
    (asked,) = (call for call in pip.calls if call[0] == "install")
    assert asked[-1] == f"{wheel}[gpu]"
    assert asked[asked.index("--python-version") + 1] == "3.12"
    tested = Path(asked[asked.index("--constraint") + 1]).read_text()
    assert "\nnumpy==" in tested, "the versions that the tests have passed with"
    tags = [asked[i + 1] for i, part in enumerate(asked) if part == "--platform"]
    assert tags[0] == "manylinux_2_28_x86_64"
    assert {"manylinux_2_17_x86_64", "manylinux2014_x86_64"} < set(tags), "pip takes a tag for itself only"


def test_wheels_can_be_in_it(bundle: Bundle, tmp_path: Path) -> None:
    pip = Pip()
    make_kit(bundle, tmp_path / "kit", HOST, download=True, run=pip)
    asked = pip.calls[-1]
    assert asked[0] == "download"
    assert "--require-hashes" in asked
    assert asked[asked.index("--dest") + 1] == str(tmp_path / "kit" / "wheels")
    assert "pip download" not in (tmp_path / "kit" / "README.txt").read_text()


def test_a_folder_with_something_in_it_is_left_alone(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(UsageError, match="is not empty"):
        make_kit(bundle, tmp_path, HOST, download=False, run=Pip())
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_what_pip_cannot_do_is_told_in_a_line(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"pip install failed: .*; packing needs pip and a network"):
        make_kit(bundle, tmp_path / "kit", KitTarget("gpu", "2.6", "x86_64", "2.28"), download=False)


def test_an_editable_install_is_packed_from_its_source(tmp_path: Path) -> None:
    origin = json.loads(importlib.metadata.distribution("nstbatch").read_text("direct_url.json") or "{}")
    pip = Pip()
    wheel = write_wheel(tmp_path, pip)
    assert wheel.exists()
    if origin.get("dir_info", {}).get("editable"):
        assert pip.calls[0][0] == "wheel"
    else:
        assert pip.calls == []
