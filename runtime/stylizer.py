"""One photo to one painting, in one style."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from .bundle import Bundle
from .engine import Engine
from .images import Photo, Picture, read_picture
from .painting import Painting, Progress, Result
from .settings import INITS, Settings
from .style import Style, read_style

START = "picture to start from"
"""What errors call the picture that ``init`` names."""


class Stylizer:
    """Paints photos in one style.

    Args:
        bundle: folder of a bundle, a loaded one, or an engine that has one.
        style: the style picture, a path or already read.
        provider, threads: see `Engine`.
        cache: folder to keep style sets in; None keeps them in memory.
        start: the picture that ``init`` names, if it has been read already.
        settings: fields of `Settings`.

    Raises:
        BundleError, ProviderError, StyleError, UsageError: bundle, provider, style or a setting cannot be used.
    """

    def __init__(
        self,
        bundle: str | Path | Bundle | Engine,
        style: str | Path | Photo,
        *,
        provider: str = "auto",
        threads: int | None = None,
        cache: str | Path | None = None,
        start: Photo | None = None,
        **settings: Any,
    ) -> None:
        self.settings = Settings(**settings)
        if not isinstance(bundle, Engine):
            bundle = Engine(bundle if isinstance(bundle, Bundle) else Bundle.load(bundle), provider, threads)
        self.engine = bundle
        style = style if isinstance(style, Photo) else read_style(Path(style))
        self.style = Style(style, self.engine, None if cache is None else Path(cache))
        if start is None and self.settings.init not in INITS:
            start = read_style(Path(self.settings.init), role=START)
        self.start = start

    def __call__(self, photo: str | Path | Picture, progress: Callable[[Progress], None] = lambda _: None) -> Result:
        """Paint one photo.

        Args:
            photo: a path, or a decoded picture.
            progress: is told after each evaluation.

        Raises:
            ImageError: the photo cannot be read.
            NonFiniteError: the loss is not finite at the start.
        """
        painting = self.begin(photo if isinstance(photo, Picture) else read_picture(Path(photo)))
        while not painting.done:
            progress(painting.step())
        return painting.result()

    def begin(self, picture: Picture, limit: int | None = None) -> Painting:
        """A painting with nothing done yet; with ``limit``, at no level above that long side, in pixels."""
        return Painting(self, picture, self.settings if limit is None else self.settings.at_most(limit))
