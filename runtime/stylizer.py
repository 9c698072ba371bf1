"""One photo to one painting, in one style."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from .agreement import check_agreement
from .bundle import Bundle
from .engine import Engine
from .errors import ProviderError
from .images import Photo, Picture, read_picture
from .painting import Painting, Progress, Result
from .schedule import used_precisions
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
            bundle = bundle if isinstance(bundle, Bundle) else Bundle.load(bundle)
            bundle = Engine(bundle, provider, threads, used_precisions(self.settings.precision)[0])
        self.engine = bundle
        self.settings = _possible(self.settings, bundle)
        self._agreed = bundle.provider == "cpu"
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
        """A painting with nothing done yet; with ``limit``, at no level above that long side, in pixels.

        Raises:
            ProviderError: the provider computes something else than the CPU provider.
        """
        if not self._agreed:
            check_agreement(self.engine, used_precisions(self.settings.precision))
            self._agreed = True
        return Painting(self, picture, self.settings if limit is None else self.settings.at_most(limit))


def _possible(settings: Settings, engine: Engine) -> Settings:
    """Settings that an engine can follow: without bfloat16, mixed precision is float32 from the beginning to the end."""
    if settings.precision == "float32" or "bfloat16" in engine.precisions:
        return settings
    if settings.precision == "mixed" and engine.provider == "openvino":
        return replace(settings, precision="float32")
    raise ProviderError(
        f"provider '{engine.provider}' does not compute in bfloat16 here; use --precision float32, or --provider openvino "
        f"on a CPU with AMX"
    )
