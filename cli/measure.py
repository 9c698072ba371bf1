"""What ``nstbatch losses`` computes."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..runtime import Settings, Stylizer
from ..runtime.images import read_picture
from ..runtime.terms import Term, terms_of
from .cache import OF_BUNDLE, cache_dir, choose_spec, find_bundle
from .console import steps


def measure(
    photo: Path,
    paintings: Sequence[Path],
    *,
    styles: Sequence[Path],
    blend: Sequence[float] | None,
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
        bundle: folder of a bundle; None for that of the options, from the cache.
        provider: see `Engine`.
        device: see there.
        threads: see there.
        options: see `Settings.of`, and those of `OF_BUNDLE`.
    """
    of_bundle = {name: options.pop(name) for name in OF_BUNDLE}
    settings = Settings.of(**options)
    picture, painted = read_picture(photo), [read_picture(path) for path in paintings]
    with steps() as step:
        found = find_bundle(bundle, step, choose_spec(settings, bundle, **of_bundle))
    stylizer = Stylizer(
        found, styles, blend=blend, provider=provider, device=device, threads=threads, cache=cache_dir(), **options
    )
    for path, painting in zip(paintings, painted, strict=True):
        yield path, *terms_of(stylizer, picture, painting)
