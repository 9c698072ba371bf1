"""The graphs that the package carries: made by `exporter.ready` once, the same for everybody.

A graph depends on the network, its pooling and its taps, and not on the values of the weights. So a bundle is a template,
which is its files with zeros where arrays of the weights belong, and those arrays.
"""

import json
import tarfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any, BinaryIO, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from ..bundle.folder import new_bundle, write_manifest
from ..bundle.network import DENSE
from ..bundle.spec import WEIGHTS, Bundle, BundleSpec, Manifest, Parity
from .layouts import Parameters
from .sources import WeightsSource

ARCHIVE = "graphs.tar.xz"
"""File of the package, beside this module."""

TEMPLATE = "template.json"

FORMS = ("kernel", "backward", "bias")
"""What of a convolution an array is: its kernel; the kernel of the convolution that is its input-gradient, flipped in both
directions and with the channels' roles exchanged; its bias."""

MEAN = "mean"

IDENTITY = "identity."
"""How the names of identity matrices begin, which go on with their number of rows: too large to stay in the graphs."""


@dataclass(frozen=True)
class Slot:
    """Where an array of the weights belongs.

    Attributes:
        file: of the bundle.
        offset: in bytes.
        array: `MEAN`, or one of `FORMS` of a layer, such as ``conv1_2.kernel`` or ``fc6.bias``; or an `IDENTITY`.
        dtype: that it is stored in.
        divisor: that it is divided by: float16 keeps features smaller than they are.
    """

    file: str
    offset: int
    array: str
    dtype: str = "float32"
    divisor: float = 1.0

    def value(self, parameters: Parameters) -> NDArray[Any]:
        """The array."""
        return (array_of(parameters, self.array) / np.float32(self.divisor)).astype(self.dtype)


@dataclass(frozen=True)
class Template:
    """A bundle without its weights.

    Attributes:
        spec: what it computes; its ``weights`` say nothing.
        parity: of its graphs with autograd, as the exporter found it with VGG-19's weights, or those of VGG-19 less the
            last convolution of its blocks of four where it is of VGG-16.
        opset: of the graphs.
        graphs: files of the bundle by name, with zeros where weights belong.
        weights_size: bytes of `WEIGHTS`.
        slots: where arrays of the weights belong.
    """

    spec: BundleSpec
    parity: Parity
    opset: int
    graphs: dict[str, bytes]
    weights_size: int
    slots: tuple[Slot, ...]

    def fill(self, parameters: Parameters) -> dict[str, bytearray]:
        """The bundle's files by name, less its manifest."""
        contents = {WEIGHTS: bytearray(self.weights_size), **{name: bytearray(data) for name, data in self.graphs.items()}}
        for slot in self.slots:
            data = slot.value(parameters).tobytes()
            contents[slot.file][slot.offset : slot.offset + len(data)] = data
        return contents

    def to_json(self) -> str:
        """All of it but the graphs, as text."""
        return json.dumps({name: value for name, value in asdict(self).items() if name != "graphs"}, indent=1)

    @classmethod
    def from_json(cls, text: str | bytes, graphs: dict[str, bytes]) -> "Template":
        """Inverse of `to_json`, given the graphs."""
        return msgspec.convert({**json.loads(text), "graphs": graphs}, cls)


def array_of(parameters: Parameters, name: str) -> NDArray[np.float32]:
    """An array by the name that a `Slot` has for it."""
    if name == MEAN:
        return parameters.mean
    if name.startswith(IDENTITY):
        return np.eye(int(name.removeprefix(IDENTITY)), dtype=np.float32)
    layer, form = name.split(".")
    if layer in DENSE:
        return parameters.dense[layer][form == "bias"]
    kernel, bias = parameters.convolutions[int(layer[4]), int(layer[6])]
    if form == "bias":
        return bias
    return kernel if form == "kernel" else kernel[:, :, ::-1, ::-1].transpose(1, 0, 2, 3)


def template_key(spec: BundleSpec) -> str:
    """What names a template: a specification, whatever its weights."""
    return replace(spec, weights="").key


def find_template(spec: BundleSpec, archive: BinaryIO | None = None) -> Template | None:
    """The template of a specification; None where the package carries none.

    Args:
        spec: what it is to compute.
        archive: where to look; None for the package's own.
    """
    found: dict[str, bytes] = {}
    folder = template_key(spec)
    opened = archive or cast("BinaryIO", (files(__package__) / ARCHIVE).open("rb"))
    with opened, tarfile.open(fileobj=opened, mode="r|xz") as tar:
        for member in tar:
            owner, _, name = member.name.partition("/")
            if owner == folder and (content := tar.extractfile(member)) is not None:
                found[name] = content.read()
            elif found:
                break
    return Template.from_json(found.pop(TEMPLATE), found) if found else None


def assemble(
    template: Template,
    spec: BundleSpec,
    folder: Path,
    source: WeightsSource,
    progress: Callable[[str], None] = lambda _: None,
) -> Bundle:
    """Write the bundle of a template and weights: byte for byte what `export_bundle` writes.

    Args:
        template: of `spec`.
        spec: what to compute.
        folder: where to; must not exist yet, or be empty.
        source: of the weights.
        progress: is called with each step in a few words.

    Raises:
        UsageError: the folder holds something already, or cannot be made.
        WeightsError: the weights cannot be had.
    """
    progress(f"loading weights ({source.name})")
    parameters, info = source.load(spec.network, dense=spec.classes)
    progress("writing graphs and weights")
    contents = template.fill(parameters)
    with new_bundle(folder) as temporary:
        for name, data in contents.items():
            (temporary / name).write_bytes(data)
        write_manifest(temporary, Manifest(spec, info, template.parity, template.opset, version("nstbatch")), contents)
    return Bundle.load(folder)
