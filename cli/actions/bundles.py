"""The bundle that a command uses: named, in the cache, or exported into the cache now."""

import contextlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from filelock import FileLock

from ...runtime.bundle.packed import PackedBundle
from ...runtime.bundle.spec import Bundle, BundleSpec
from ...runtime.errors import BundleError, UsageError
from ...runtime.files.cache import CACHE_VARIABLE, cache_dir
from ...runtime.files.location import Location, is_remote
from ...runtime.recipe.presets import PRESETS
from ...runtime.recipe.provider import Precision
from ...runtime.recipe.settings import Settings
from ..options import split_names

DEFAULT = BundleSpec()
"""What a run computes unless another bundle is asked for."""


@dataclass(frozen=True, kw_only=True)
class BundleChoice:
    """The options that choose a bundle.

    Attributes:
        bundle: folder or URL of one; None for that of the others, from the cache.
        content_taps, style_taps: names of layers, separated by commas; None for the preset's.
        pooling, padding: None for the preset's.
    """

    bundle: Location | None = None
    content_taps: str | None = None
    style_taps: str | None = None
    pooling: str | None = None
    padding: str | None = None

    def spec(self, settings: Settings, regions: bool = False) -> BundleSpec:
        """The bundle that is asked for, where none is named.

        Args:
            settings: of the optimisation.
            regions: whether there are masks.

        Raises:
            UsageError: a bundle is named, and something else of it.
        """
        options = {name: getattr(self, name) for name in ("content_taps", "style_taps", "pooling", "padding")}
        chosen: dict[str, Any] = {name: value for name, value in options.items() if value}
        if self.bundle is not None and chosen:
            option = "--" + next(iter(chosen)).replace("_", "-")
            raise UsageError(f"{option} asks for another bundle than --bundle names; leave one of them out")
        for name in {"content_taps", "style_taps"} & chosen.keys():
            chosen[name] = split_names(chosen[name])
        if settings.precision == Precision.FP16:
            chosen["precision"] = settings.precision
        if regions:
            chosen["regions"] = True
        return replace(PRESETS[settings.preset].spec, **chosen)


def cached_bundle_path(spec: BundleSpec) -> Path:
    """Where the cache keeps the bundle of ``spec``."""
    return cache_dir() / "bundles" / spec.key


def find_bundle(
    named: Location | None,
    spec: BundleSpec = DEFAULT,
    *,
    note: Callable[[str], None] = lambda _: None,
    step: Callable[[str], None] = lambda _: None,
) -> Bundle:
    """The bundle a run uses: ``named``, else that of ``spec`` from the cache, exported now if it is not there yet.

    Args:
        named: folder or URL of a bundle.
        spec: what to compute, where none is named.
        note: is called with what the user should know.
        step: is called with what an export is doing.

    Raises:
        BundleError: ``named`` is no bundle, or torch is needed and not installed.
        UsageError: the cache folder cannot be made or written to.
    """
    if is_remote(named):
        return PackedBundle.fetch(named, cache_dir())
    if named is not None:
        return Bundle.load(named)
    path = cached_bundle_path(spec)
    # Without the lock, for a cache that may only be read: a bundle that is there is whole.
    with contextlib.suppress(BundleError):
        return Bundle.load(path)
    # Two runs that start on an empty cache export once.
    lock = FileLock(path.parent / "export.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError as error:
        raise UsageError(
            f"cache {cache_dir()}: cannot be written to ({error.strerror}); name a folder in {CACHE_VARIABLE}"
        ) from None
    try:
        if path.exists():
            try:
                return Bundle.load(path)
            except BundleError as error:
                note(f"{error}; replacing it")
                shutil.rmtree(path)
        note(f"no bundle in the cache: exporting {spec.network} to {path}, once")
        return _export(spec, path, step)
    finally:
        lock.release()


def _export(spec: BundleSpec, path: Path, step: Callable[[str], None]) -> Bundle:
    try:
        from ...exporter import export_bundle
    except ImportError as error:
        how = "".join(_option(field.name, getattr(spec, field.name)) for field in fields(spec) if _differs(spec, field.name))
        raise BundleError(
            f"no bundle in the cache, and making one needs PyTorch here ({error}). "
            f"On a machine with PyTorch: `nstbatch export -o {spec.network}/{how}`; copy the folder; "
            f"then `--bundle {spec.network}/`. Or here: `pip install 'nstbatch[export]'`"
        ) from None
    return export_bundle(spec, path, progress=step)


def _differs(spec: BundleSpec, name: str) -> bool:
    return bool(getattr(spec, name) != getattr(DEFAULT, name))


def _option(name: str, value: str | bool | tuple[str, ...]) -> str:
    """An option of `export`, with the space before it."""
    if isinstance(value, bool):
        return f" --{name}"
    return f" --{name.replace('_', '-')} {value if isinstance(value, str) else ','.join(value)}"
