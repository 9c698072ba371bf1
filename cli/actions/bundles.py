"""The cache folder, and the bundle that a run uses."""

import contextlib
import os
import shutil
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import platformdirs
from filelock import FileLock

from ...runtime.bundle.packed import PackedBundle
from ...runtime.bundle.spec import Bundle, BundleSpec
from ...runtime.errors import BundleError, UsageError
from ...runtime.files.location import Location, is_remote
from ...runtime.recipe.presets import PRESETS
from ...runtime.recipe.settings import Settings
from ..options import CACHE_VARIABLE, names
from ..text import say

DEFAULT = BundleSpec()
"""What a run computes unless it is told otherwise."""


def cache_dir() -> Path:
    """``NSTBATCH_CACHE_DIR``, else the platform's cache folder for nstbatch."""
    named = os.environ.get(CACHE_VARIABLE)
    return Path(named) if named else platformdirs.user_cache_path("nstbatch")


def cached_bundle_path(spec: BundleSpec) -> Path:
    """Where the cache keeps the bundle of ``spec``."""
    return cache_dir() / "bundles" / spec.key


OF_BUNDLE = ("content_taps", "style_taps", "pooling", "padding")
"""Options that ask for another bundle than the preset's."""


def choose_spec(settings: Settings, named: Location | None, regions: bool = False, **options: str | None) -> BundleSpec:
    """The bundle that options ask for, where they name none.

    Args:
        settings: of the optimisation.
        named: folder of a bundle.
        regions: whether there are masks.
        options: those of `OF_BUNDLE`; None for the preset's.

    Raises:
        UsageError: a bundle is named, and something else of it.
    """
    chosen: dict[str, Any] = {name: value for name, value in options.items() if value}
    if named is not None and chosen:
        option = "--" + next(iter(chosen)).replace("_", "-")
        raise UsageError(f"{option} asks for another bundle than --bundle names; leave one of them out")
    for name in {"content_taps", "style_taps"} & chosen.keys():
        chosen[name] = names(chosen[name])
    if settings.precision == "fp16":
        chosen["precision"] = "fp16"
    if regions:
        chosen["regions"] = True
    return replace(PRESETS[settings.preset].spec, **chosen)


def find_bundle(named: Location | None, step: Callable[[str], None], spec: BundleSpec = DEFAULT) -> Bundle:
    """The bundle a run uses: ``named``, else that of ``spec`` from the cache, exported now if it is not there yet.

    Args:
        named: folder of a bundle.
        spec: what to compute, where no folder is named.
        step: is told what an export is doing.

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
            f"cache {cache_dir()}: cannot be written to ({error.strerror}); name a folder in NSTBATCH_CACHE_DIR"
        ) from None
    try:
        if path.exists():
            try:
                return Bundle.load(path)
            except BundleError as error:
                say(f"{error}; replacing it")
                shutil.rmtree(path)
        say(f"no bundle in the cache: exporting {spec.network} to {path}, once")
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
