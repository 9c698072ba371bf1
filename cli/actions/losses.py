"""What ``nstbatch losses`` does."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from ...runtime.engine.engine import Engine
from ...runtime.engine.host import Host
from ...runtime.files.cache import cache_dir
from ...runtime.painting.stylizer import Stylizer
from ...runtime.painting.terms import Comparison, compare
from ...runtime.pictures.photo import read_picture
from ...runtime.planning.masks import MaskFiles
from ...runtime.planning.placement import Item
from ...runtime.planning.styles import StyleChoice
from ...runtime.recipe.keywords import Options, take
from ..text import say
from ..watchers.terminal import steps
from .bundles import BundleChoice, find_bundle
from .jobs import settings_of


def measure(photo: Path, paintings: Sequence[Path], options: Options) -> Iterator[tuple[Path, Comparison]]:
    """Each painting, and what it comes to.

    Args:
        photo: what was painted.
        paintings: pictures of it.
        options: that decide the objective, or what computes it.

    Raises:
        NstbatchError: a picture or the bundle cannot be read, or an option has a value that it cannot have.
    """
    settings = settings_of(options)
    styles, masks, choice = take(StyleChoice, options), take(MaskFiles, options), take(BundleChoice, options)
    styles.check()
    masks.check(len(styles.style_mask))
    picture, painted = read_picture(photo), [read_picture(path) for path in paintings]
    request = choice.request(settings, bool(styles.style_mask or masks.protect))
    with steps() as step:
        bundle = find_bundle(request, note=say, step=step)
    engine = Engine(bundle, take(Host, options, cache=cache_dir()), settings.precision)
    pictures, _ = styles.read(styles.paths())
    stylizer = Stylizer(engine, pictures, settings)
    regions = MaskFiles(stylizer.regions, masks.content_mask, masks.protect, masks.feather)
    guidance = regions.read(Item(photo, Path(photo.name), Path()), picture.size)
    for path, painting in zip(paintings, painted, strict=True):
        yield path, compare(stylizer, picture, painting, guidance)
