"""What ``nstbatch classify`` does."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ...runtime.assembly.sources import WeightsSource
from ...runtime.engine.engine import Engine
from ...runtime.engine.host import Host
from ...runtime.errors import ImageError
from ...runtime.files.location import Location
from ...runtime.pictures.photo import read_picture
from ...runtime.recognition.classifier import Classifier, Prediction
from ..text import say
from ..watchers.terminal import steps
from .bundles import DEFAULT, BundleRequest, find_bundle


def predict(
    photos: Sequence[Path], count: int, source: WeightsSource, bundle: Location | None, host: Host
) -> Iterator[tuple[Path, list[Prediction] | None]]:
    """Each photo, and what it shows; None where it cannot be read, which is said.

    Args:
        photos: paths.
        count: of classes for each.
        source: of weights with dense layers.
        bundle: in place of one of these; None for one from the cache, which is made of them.
        host: what is to compute.

    Raises:
        NstbatchError: there is no such bundle, no such weights, or no such provider.
    """
    request = BundleRequest(bundle)
    if bundle is None:
        network = source.network("vgg16")
        request = BundleRequest(spec=replace(DEFAULT, network=network, weights=source.id, classes=True), source=source)
    with steps() as step:
        found = find_bundle(request, note=say, step=step)
    classifier = Classifier(Engine(found, host))
    for path in photos:
        try:
            yield path, classifier(read_picture(path), count)
        except ImageError as error:
            say(str(error))
            yield path, None
