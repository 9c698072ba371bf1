"""What ``nstbatch losses`` computes."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ...runtime.painting.stylizer import Stylizer
from ...runtime.painting.terms import Term, terms_of
from ...runtime.pictures.photo import read_picture
from ...runtime.planning.masks import MaskFiles
from ...runtime.planning.placement import Item
from ...runtime.recipe.settings import Settings
from ..watchers.terminal import steps
from .bundles import OF_BUNDLE, cache_dir, choose_spec, find_bundle
from .inputs import check_masks


def measure(
    photo: Path,
    paintings: Sequence[Path],
    *,
    styles: Sequence[Path],
    blend: Sequence[float] | None,
    style_masks: Sequence[Path],
    content_mask: Path | None,
    protect: Path | None,
    feather: float,
    bundle: Path | None,
    provider: str,
    device: int | None,
    threads: int | None,
    **options: Any,
) -> Iterator[tuple[Path, tuple[int, int], list[Term]]]:
    """Each painting, the size it was compared at, and its terms.

    Args:
        photo: what was painted.
        paintings: pictures of it.
        styles: the style pictures.
        blend: their shares.
        style_masks: see `Stylizer`.
        content_mask: see `MaskFiles`.
        protect: see there.
        feather: see there.
        bundle: folder of a bundle; None for that of the options, from the cache.
        provider: see `Engine`.
        device: see there.
        threads: see there.
        options: see `Settings.of`, and those of `OF_BUNDLE`.
    """
    of_bundle = {name: options.pop(name) for name in OF_BUNDLE}
    settings = Settings.of(**options)
    check_masks(styles, style_masks, content_mask, protect)
    picture, painted = read_picture(photo), [read_picture(path) for path in paintings]
    with steps() as step:
        found = find_bundle(bundle, step, choose_spec(settings, bundle, bool(style_masks or protect), **of_bundle))
    stylizer = Stylizer(
        found,
        styles,
        blend=blend,
        masks=style_masks,
        provider=provider,
        device=device,
        threads=threads,
        cache=cache_dir(),
        **options,
    )
    masks = MaskFiles(stylizer.regions, content_mask, protect, feather)
    guidance = masks.read(Item(photo, Path(photo.name), Path()), picture.size)
    for path, painting in zip(paintings, painted, strict=True):
        yield path, *terms_of(stylizer, picture, painting, guidance)
