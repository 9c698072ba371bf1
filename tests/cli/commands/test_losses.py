"""The terms of the objective on the command line."""

import json
from pathlib import Path

import pytest

from nstbatch.runtime.bundle.spec import Bundle
from process import Call


def test_from_the_command_line(bundle: Bundle, samples: Path, tmp_path: Path, nstbatch: Call) -> None:
    photo = samples / "photos" / "town.jpg"
    options = ("--style", samples / "starry.jpg", "--bundle", bundle.path, "--size", 64, "--preset", "gatys")
    result = nstbatch("losses", photo, photo, samples / "photos" / "town.jpg", *options)
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert len(lines) == 2 * 8
    assert "at 64 x 45: loss" in lines[0]
    assert "content conv2_2" in lines[1]
    machine = json.loads(nstbatch("losses", photo, photo, *options, "--json").stdout)
    total = sum(term["value"] * term["weight"] for term in machine["terms"])
    assert machine["loss"] == pytest.approx(total)
    assert f"{machine['loss']:.6g}" in lines[0]
    missing = nstbatch("losses", photo, tmp_path / "none.png", *options)
    assert missing.returncode == 1
    assert "none.png" in missing.stderr
