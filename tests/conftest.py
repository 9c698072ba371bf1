"""Fixtures: real weights, real pictures, one bundle for the whole session."""

import os

# A core for each of pytest's workers, before any library counts them: their threads would spin for each other's.
if (worker := os.environ.get("PYTEST_XDIST_WORKER", "")).startswith("gw"):
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[int(worker.removeprefix("gw")) % len(cores)]})

import shutil
import signal
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock
from hypothesis import settings
from PIL import Image

from nstbatch.cli.actions.bundles import make_bundle
from nstbatch.cli.report.page import rebuild
from nstbatch.runtime.assembly.sources import WeightsSource
from nstbatch.runtime.bundle.spec import Bundle, BundleSpec
from nstbatch.runtime.output.names import STATE
from places import ROOT
from process import Call, Child
from seams import SCENE, SHALLOW, Bench, Export, picture

# A machine that is busy is no failure.
settings.register_profile("house", deadline=None)
settings.load_profile("house")

pytest_plugins = ["clusters", "stores"]

SHARED = ROOT.parent / "shared" / "data"


@pytest.fixture(scope="session")
def samples() -> Path:
    return ROOT / "samples"


@pytest.fixture(scope="session")
def shared() -> Path:
    if not SHARED.is_dir():
        pytest.skip("the project's shared data are not beside this checkout")
    return SHARED


@pytest.fixture(scope="session")
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Export:
    """Gives the bundle of a specification, made once for all of pytest's workers: of the package's graphs, or traced."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if hasattr(request.config, "workerinput") else base

    def export(spec: BundleSpec) -> Bundle:
        path = base / "bundles" / spec.key
        path.parent.mkdir(exist_ok=True)
        with FileLock(f"{path}.lock"):
            return Bundle.load(path) if path.exists() else make_bundle(spec, path, WeightsSource(spec.weights), print)

    return export


@pytest.fixture(scope="session")
def bundle(exported: Export) -> Bundle:
    """The first three blocks of VGG-19 with Oxford's weights: what every depth has, in half the time."""
    return exported(SHALLOW)


@pytest.fixture(scope="session")
def vgg19(exported: Export) -> Bundle:
    """All that a run reads of VGG-19, by Gram matrices."""
    return exported(BundleSpec())


@pytest.fixture(scope="session")
def small() -> Callable[[Path, int], np.ndarray]:
    """Reads a picture at a long side, as ``[1, 3, H, W]`` float32."""

    def read(path: Path, side: int) -> np.ndarray:
        image = Image.open(path).convert("RGB")
        image.thumbnail((side, side), Image.Resampling.LANCZOS)
        return np.ascontiguousarray(np.asarray(image, np.float32).transpose(2, 0, 1)[None])

    return read


def pytest_configure() -> None:
    """Take SIGINT as a terminal's programs do, and have every child do so.

    A shell starts background jobs with it ignored, and so do some CI services; children inherit that.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


_FIGURES = pytest.StashKey[dict[str, str]]()


@pytest.fixture(scope="session")
def figures(request: pytest.FixtureRequest) -> dict[str, str]:
    """Figures of the fault injection, by what they count; printed when the tests are done."""
    return request.config.stash.setdefault(_FIGURES, {})


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker hands its figures to the process that prints them."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["figures"] = session.config.stash.get(_FIGURES, {})


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take the figures of a worker of pytest-xdist that has ended."""
    node.config.stash.setdefault(_FIGURES, {}).update(getattr(node, "workeroutput", {}).get("figures", {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    found = config.stash.get(_FIGURES, {})
    if found:
        terminalreporter.section("fault injection")
        for what, figure in found.items():
            terminalreporter.write_line(f"{what}: {figure}")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Three photos and a style."""
    return Bench.of(tmp_path, "a.png", "b.png", "c.png")


@pytest.fixture
def scene(samples: Path) -> Image.Image:
    """A small real picture, whose four corners differ."""
    return Image.open(samples / "photos" / "town.jpg").convert("RGB").resize(SCENE, Image.Resampling.LANCZOS)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of two small photos, and one more in a folder of that."""
    for seed, name in enumerate(("a.jpg", "b.png", "deep/c.jpg")):
        picture(tmp_path / "in" / name, (60, 44), seed)
    return tmp_path / "in"


@pytest.fixture
def common(bundle: Bundle, samples: Path, tmp_path: Path) -> list[object]:
    """The options of every run: a style, the bundle, the output, the provider."""
    return ["--style", samples / "ember.jpg", "--bundle", bundle.path, "-o", tmp_path / "out", "--provider", "cpu"]


def run_nstbatch(cache: Path, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("NSTBATCH_")}
    env |= {"NSTBATCH_CACHE_DIR": str(cache), **environment}
    child = Child([*map(str, arguments)], env)
    code = child.end(300)
    return subprocess.CompletedProcess(arguments, code, child.output, child.errors)


@pytest.fixture
def nstbatch(tmp_path: Path) -> Call:
    """Runs the command line in a process of its own, with a cache of its own unless the environment names one."""
    return partial(run_nstbatch, tmp_path / "cache")


@pytest.fixture(scope="session")
def painted_once(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `painted` copies."""
    folder = tmp_path_factory.mktemp("painted")
    for seed, name in enumerate(("a.png", "<script>alert(1)<script>\"'&.png")):
        picture(folder / "in" / name, (60, 44), seed)
    (folder / "in" / "broken.jpg").write_text("no picture")
    options = ["--style", picture(folder / "starry.png", seed=9), "--bundle", bundle.path, "-o", folder / "out"]
    quick = ("--size", 40, "--iterations", 3, "--scales", "32,40", "--provider", "cpu")
    done = run_nstbatch(folder / "cache", folder / "in", *options, *quick)
    assert done.returncode == 3, done.stderr
    return folder


@pytest.fixture
def painted(painted_once: Path, tmp_path: Path) -> Path:
    """An output folder of two paintings, one of a hostile name, and a failure."""
    shutil.copytree(painted_once, tmp_path, dirs_exist_ok=True)
    journal = tmp_path / "out" / STATE / "journal.jsonl"
    journal.write_text(journal.read_text().replace(f'"{painted_once}/', f'"{tmp_path}/'))
    rebuild(tmp_path / "out")
    return tmp_path / "out"
