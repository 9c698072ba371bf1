"""A bundle with regions, of the weights of one without: its Gram matrices are of the positions that a mask names."""

import contextlib
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from ..bundle.folder import new_bundle, write_manifest
from ..bundle.packed import PackedBundle
from ..bundle.spec import Bundle, Manifest
from ..errors import BundleError, UsageError
from .compact import arrays_of, digests, parameters_of
from .ready import find_template


def with_regions(bundle: Bundle, cache: Path) -> Bundle:
    """The bundle of the same network and weights that has regions; made in a cache, once.

    Args:
        bundle: with or without regions.
        cache: where to.

    Raises:
        BundleError: the package has no such graphs, or a file of the bundle cannot be read.
        UsageError: the cache cannot be written to.
    """
    manifest = bundle.manifest
    if manifest.spec.regions:
        return bundle
    spec = replace(manifest.spec, regions=True)
    path = cache / "bundles" / f"{spec.key}-{bundle.id[:12]}"
    if (found := _loaded(path)) is not None:
        return found
    own, template = find_template(manifest.spec), find_template(spec)
    if own is None or template is None:
        raise _missing(bundle)
    parameters = parameters_of(arrays_of(own, PackedBundle.of(bundle)))
    if digests(own.fill(parameters)) != manifest.files:
        raise _missing(bundle)
    files = template.fill(parameters)
    try:
        with new_bundle(path) as folder:
            for name, data in files.items():
                (folder / name).write_bytes(data)
            made = Manifest(spec, manifest.weights, template.parity, template.opset, version("nstbatch"))
            write_manifest(folder, made, files)
    except UsageError:
        # Another run may have made it meanwhile.
        if (found := _loaded(path)) is None:
            raise
        return found
    return Bundle.load(path)


def _loaded(path: Path) -> Bundle | None:
    with contextlib.suppress(BundleError):
        return Bundle.load(path)
    return None


def _missing(bundle: Bundle) -> BundleError:
    return BundleError(
        f"{bundle.path}: the package has no graphs of its layers that compute in tiles; make a bundle with "
        f"`nstbatch export --regions` and name it with --bundle, or use --tile off"
    )
