"""The bundle that a command uses: named, in the cache, or made in the cache now."""

import contextlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from filelock import FileLock

from ...runtime.assembly.compact import open_bundle
from ...runtime.assembly.ready import assemble, find_template
from ...runtime.assembly.sources import WeightsSource
from ...runtime.bundle.packed import PackedBundle
from ...runtime.bundle.spec import Bundle, BundleSpec
from ...runtime.errors import BundleError, UsageError, first_line
from ...runtime.files.cache import CACHE_VARIABLE, cache_dir
from ...runtime.files.location import Location, is_remote
from ...runtime.recipe.presets import DEFAULT as DEFAULT_PRESET
from ...runtime.recipe.presets import PRESETS
from ...runtime.recipe.provider import Precision
from ...runtime.recipe.settings import Settings
from ..options import split_names

DEFAULT = PRESETS[DEFAULT_PRESET].spec
"""What a run computes unless another bundle is asked for."""


@dataclass(frozen=True)
class BundleRequest:
    """The bundle that is asked for.

    Attributes:
        named: folder, packed file or URL of one; None for that of the others, from the cache.
        spec: what it is to compute.
        source: of its weights; None for the one that ``spec.weights`` names.
    """

    named: Location | None = None
    spec: BundleSpec = DEFAULT
    source: WeightsSource | None = None

    @property
    def weights(self) -> WeightsSource:
        """The source of its weights."""
        return self.source or WeightsSource(self.spec.weights)


@dataclass(frozen=True, kw_only=True)
class BundleChoice:
    """The options that choose a bundle.

    Attributes:
        bundle: folder, packed file or URL of one; None for that of the others, from the cache.
        content_taps, style_taps: names of layers, separated by commas; None for the preset's.
        pooling, padding, style_distance: None for the preset's.
        weights: source of the weights, see `WeightsSource`, which decides the network; None for the preset's.
        preprocessing: of the weights; None for what they were trained with.
    """

    bundle: Location | None = None
    content_taps: str | None = None
    style_taps: str | None = None
    pooling: str | None = None
    padding: str | None = None
    style_distance: str | None = None
    weights: str | Path | None = None
    preprocessing: str | None = None

    def request(self, settings: Settings, regions: bool = False) -> BundleRequest:
        """The bundle that is asked for.

        Args:
            settings: of the optimisation.
            regions: whether there are masks.

        Raises:
            UsageError: a bundle is named, and something else of it; or the network has no such layer.
            WeightsError: the weights cannot be read.
        """
        options = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "bundle"}
        chosen: dict[str, Any] = {name: value for name, value in options.items() if value}
        if self.bundle is not None and chosen:
            option = "--" + next(iter(chosen)).replace("_", "-")
            raise UsageError(f"{option} asks for another bundle than --bundle names; leave one of them out")
        preset = PRESETS[settings.preset].spec
        source = None
        if weights := {name: chosen.pop(name) for name in ("weights", "preprocessing") if name in chosen}:
            source = WeightsSource(str(weights.get("weights", preset.weights)), weights.get("preprocessing"))
            chosen |= {"weights": source.id, "network": source.network(preset.network)}
        for name in {"content_taps", "style_taps"} & chosen.keys():
            chosen[name] = split_names(chosen[name])
        if settings.precision == Precision.FP16:
            chosen["precision"] = settings.precision
        if regions:
            chosen["regions"] = True
        spec = replace(preset, **chosen)
        spec.check()
        return BundleRequest(self.bundle, spec, source)


def cached_bundle_path(spec: BundleSpec) -> Path:
    """Where the cache keeps the bundle of ``spec``."""
    return cache_dir() / "bundles" / spec.key


def find_bundle(
    request: BundleRequest | None = None,
    *,
    note: Callable[[str], None] = lambda _: None,
    step: Callable[[str], None] = lambda _: None,
) -> Bundle:
    """The bundle a run uses: the one that is named, else one from the cache, made now if it is not there yet.

    Args:
        request: what is asked for; None for the default.
        note: is called with what the user should know.
        step: is called with what is being done.

    Raises:
        BundleError: what is named is no bundle, or PyTorch is needed and not installed.
        WeightsError: the weights cannot be had.
        UsageError: the cache folder cannot be made or written to.
    """
    request = request or BundleRequest()
    if is_remote(request.named):
        return PackedBundle.fetch(request.named, cache_dir())
    if request.named is not None:
        return open_bundle(request.named, cache_dir())
    path = cached_bundle_path(request.spec)
    # Without the lock, for a cache that may only be read: a bundle that is there is whole.
    with contextlib.suppress(BundleError):
        return Bundle.load(path)
    # What is missing is said before anything is announced.
    request.weights.require(request.spec.network)
    # Two runs that start on an empty cache make one bundle.
    lock = FileLock(path.parent / "export.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError as error:
        raise UsageError(
            f"cache {cache_dir()}: cannot be written to ({error.strerror}); name a folder in {CACHE_VARIABLE}"
        ) from None
    try:
        if os.path.lexists(path):
            try:
                return Bundle.load(path)
            except BundleError as error:
                note(f"{error}; replacing it")
                _clear(path)
        note(f"no bundle in the cache: making one for {request.spec.network} in {path}, once")
        if doubt := request.weights.doubt(request.spec.network):
            note(doubt)
        return make_bundle(request.spec, path, request.weights, step)
    finally:
        lock.release()


def _clear(path: Path) -> None:
    """Remove what is in a bundle's place in the cache: a damaged one, or what is none.

    Raises:
        UsageError: it cannot be removed.
    """
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    except OSError as error:
        raise UsageError(f"{path}: cannot be removed ({first_line(error)}); remove it yourself") from None


def make_bundle(spec: BundleSpec, path: Path, source: WeightsSource, step: Callable[[str], None]) -> Bundle:
    """Write a bundle: of the graphs that the package carries, or else traced by PyTorch.

    Args:
        spec: what it is to compute.
        path: folder to write; must be new or empty.
        source: of the weights.
        step: is called with what is being done.

    Raises:
        BundleError: it has to be traced, and there is no PyTorch.
        WeightsError: the weights cannot be had.
        UsageError: the folder holds something already, or cannot be made.
        ExportError: what was traced does not equal autograd.
    """
    template = find_template(spec)
    if template is not None:
        return assemble(template, spec, path, source, step)
    try:
        from ...exporter import export_bundle
    except ImportError as error:
        how = "".join(_option(field.name, getattr(spec, field.name)) for field in fields(spec) if _differs(spec, field.name))
        raise BundleError(
            f"graphs of these layers are not in the package, and tracing them needs PyTorch ({error}). "
            f"On a machine with PyTorch: `nstbatch export -o {spec.network}/{how}`; copy the folder; "
            f"then `--bundle {spec.network}/`. Or here: `pip install 'nstbatch[export]'`"
        ) from None
    return export_bundle(spec, path, source, progress=step)


def _differs(spec: BundleSpec, name: str) -> bool:
    return bool(getattr(spec, name) != getattr(DEFAULT, name))


def _option(name: str, value: str | bool | tuple[str, ...]) -> str:
    """An option of `export`, with the space before it."""
    if isinstance(value, bool):
        return f" --{name}"
    return f" --{name.replace('_', '-')} {value if isinstance(value, str) else ','.join(value)}"
