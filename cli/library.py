"""The program from Python: a photo, or a folder of them, by the options of the command line."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from PIL import Image

from ..runtime.batch.outcome import Outcome
from ..runtime.batch.run import run
from ..runtime.batch.watcher import Watcher
from ..runtime.engine.engine import Engine
from ..runtime.engine.host import Host
from ..runtime.errors import UsageError
from ..runtime.files.cache import cache_dir
from ..runtime.files.location import Location, to_location
from ..runtime.output.shard import Shard
from ..runtime.painting.painting import PhotoJob, Progress
from ..runtime.painting.stylizer import Stylizer
from ..runtime.pictures.photo import Picture, picture_of, read_photo
from ..runtime.pictures.styles import Styles, read_style
from ..runtime.recipe.keywords import Options, names_of, refuse_unknown, take
from ..runtime.recipe.settings import Settings
from .actions.bundles import BundleChoice, find_bundle
from .actions.jobs import JOB_OPTIONS, make_job, settings_of

Place = str | Path
"""A path, or a URL."""

Source = Place | bytes | Image.Image | NDArray[Any]
"""A picture: where it is, its file's bytes, decoded by Pillow, or an array ``[H, W]`` or ``[H, W, 3 or 4]`` of uint8."""


def paint(
    image: Source, style: Place | Sequence[Place], progress: Callable[[Progress], None] = lambda _: None, **options: Any
) -> Image.Image:
    """Paint one picture.

    Args:
        image: what to paint.
        style: the picture whose style is taken, or several.
        progress: is called after each evaluation.
        options: those of the command line that change the picture or say what computes it, by their names: ``size``,
            ``preset``, ``strength``, ``provider``, ``bundle`` and so on.

    Returns:
        The painting at the picture's own size, of mode RGB, or RGBA where the picture has alpha. Its ``info`` is the
        picture's.

    Raises:
        UsageError: an option is not known, or has a value that it cannot have.
        NstbatchError: a picture cannot be read, or there is no bundle and no PyTorch to make one.
    """
    refuse_unknown(options, [*Settings.KEYWORDS, *names_of(BundleChoice), "style_blend", *_HOST])
    options = _located(options)
    settings, choice = settings_of(options), take(BundleChoice, options)
    picture, info = _decoded(image)
    styles = Styles.read([read_style(path) for path in _locations(style)], options.get("style_blend"))
    bundle = find_bundle(choice.request(settings))
    engine = Engine(bundle, take(Host, options, cache=cache_dir()), settings.precision)
    painting = Stylizer(engine, styles, settings).begin(PhotoJob(picture))
    while not painting.done:
        progress(painting.step())
    painted = painting.result().image
    painted.info = info
    return painted


def paint_folder(
    photos: Place | Sequence[Place],
    style: Place | Sequence[Place],
    output: Place | None = None,
    watcher: Watcher | None = None,
    **options: Any,
) -> Outcome:
    """Paint every photo of a folder, or of several: what ``nstbatch FOLDER --style PICTURE`` does.

    What is painted already, from the same photo with the same options, is not painted again.

    Args:
        photos: photos, folders, patterns and URLs.
        style: the picture whose style is taken, or several.
        output: folder for the paintings; None for one beside each folder, ``<folder>-<style's stem>``.
        watcher: is called at each event of the run.
        options: those of the command line, by their names.

    Returns:
        What became of each photo; ``str()`` of it is the summary.

    Raises:
        UsageError: an option is not known, or has a value that it cannot have.
        NstbatchError: the run could not begin, or could not go on. A photo that fails is a row of the outcome.
    """
    refuse_unknown(options, JOB_OPTIONS)
    if isinstance(shard := options.get("shard"), str):
        options["shard"] = Shard.parse(shard)
    named = {"photos": _locations(photos), "style": _locations(style)}
    others = {} if output is None else {"output": output}
    return run(make_job(_located(options | others) | named, find_bundle), watcher)


_HOST = [name for name in names_of(Host) if name != "cache"]

_PATHS = ("output", "bundle", "files_from", "content_mask", "protect")
"""Options that are paths, or may be URLs."""


def _located(options: Options) -> dict[str, Any]:
    """Options whose paths are no longer text."""
    located = dict(options)
    for name in _PATHS:
        if isinstance(located.get(name), str):
            located[name] = to_location(located[name])
    if "style_mask" in located:
        located["style_mask"] = _locations(located["style_mask"])
    return located


def _locations(places: Place | Sequence[Place]) -> tuple[Location, ...]:
    several = [places] if isinstance(places, str | Path) else places
    return tuple(to_location(place) if isinstance(place, str) else place for place in several)


def _decoded(image: Source) -> tuple[Picture, dict[Any, Any]]:
    """A picture, and what Pillow knows besides of the file or image it came from."""
    if isinstance(image, str | Path):
        location = to_location(image) if isinstance(image, str) else image
        picture = read_photo(location).picture
        if isinstance(location, Path):
            with Image.open(location) as opened:
                return picture, dict(opened.info)
        return picture, {}
    if isinstance(image, Image.Image):
        return picture_of(image), dict(image.info)
    if isinstance(image, bytes) or hasattr(image, "__array_interface__"):
        return picture_of(image), {}
    raise UsageError(f"cannot paint {type(image).__name__}: give a path, bytes, an image of Pillow's or an array")
