"""One photo to one painting, in one style."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..bundle.spec import Bundle
from ..engine.engine import Engine
from ..engine.providers import MIXED
from ..errors import ImageError, ProviderError, StyleError, UsageError
from ..pictures.photo import Photo, Picture, read_picture
from ..pictures.regions import Color, Guidance, Mask, find_regions, guide
from ..recipe.fingerprint import Recipe
from ..recipe.presets import DEFAULT, HEAVIEST, PRESETS
from ..recipe.settings import FEATHER, INITS, MATCHES, Settings
from .agreement import check_agreement
from .painting import Painting, Progress, Result
from .style import Blend, Style, StyleTargets, read_style

START = "picture to start from"
"""What errors call the picture that ``init`` names."""


@dataclass(frozen=True)
class Facts:
    """What a batch needs to know of a stylizer, wherever that is.

    Attributes:
        settings: that are followed.
        recipe: what it paints by.
        static: see `Engine`.
        provider: that was obtained.
        free_memory: see `Engine`.
        regions: see `find_regions`.
    """

    settings: Settings
    recipe: Recipe
    static: bool
    provider: str
    free_memory: int | None
    regions: tuple[Color, ...]


class Stylizer:
    """Paints photos in one style, or in one of several.

    Args:
        bundle: folder of a bundle, a loaded one, or an engine that has one.
        style: the style picture, a path or already read; or several, to be blended.
        blend: the share of each; None for equal shares.
        each: whether several are each a style by itself, and not blended.
        masks: of each style, the colours of whose regions those of a photo's mask are to have; a bundle with regions takes
            them.
        provider, threads, device, vectors, graphs: see `Engine`.
        cache: folder to keep style sets, and TensorRT's engines, in; None keeps them in memory.
        start: the picture that ``init`` names, if it has been read already.
        settings: see `Settings.of`.

    Attributes:
        styles: what photos are painted in, by number; one, but for ``each``.
        regions: their colours; none without masks.

    Raises:
        BundleError, ProviderError, StyleError, UsageError: bundle, provider, style or a setting cannot be used.
    """

    def __init__(
        self,
        bundle: str | Path | Bundle | Engine,
        style: "str | Path | Photo | Sequence[str | Path | Photo]",
        *,
        blend: Sequence[float] | None = None,
        each: bool = False,
        masks: Sequence[str | Path | Mask] = (),
        provider: str = "auto",
        threads: int | None = None,
        device: int | None = None,
        vectors: str = "host",
        graphs: bool = False,
        cache: str | Path | None = None,
        start: Photo | None = None,
        **settings: Any,
    ) -> None:
        self.settings = Settings.of(**settings)
        if not isinstance(bundle, Engine):
            bundle = bundle if isinstance(bundle, Bundle) else Bundle.load(bundle)
            folder = None if cache is None else Path(cache)
            bundle = Engine(bundle, provider, threads, self.settings.precision, device, folder, vectors, graphs)
        self.engine = bundle
        self.settings = _possible(self.settings, bundle)
        self._agreed = bundle.provider == "cpu"
        self.regions: tuple[Color, ...] = ()
        if each and (blend is not None or masks):
            raise UsageError("styles that are painted each by itself take neither a blend nor masks")
        pictures = [style] if isinstance(style, str | Path | Photo) else style
        self.styles: tuple[StyleTargets, ...] = self._read(pictures, blend, each, masks, cache)
        if start is None and self.settings.init not in INITS:
            start = read_style(Path(self.settings.init), role=START)
        self.start = start

    def __call__(
        self,
        photo: str | Path | Picture,
        progress: Callable[[Progress], None] = lambda _: None,
        *,
        mask: str | Path | Mask | None = None,
        protect: str | Path | Mask | None = None,
        feather: float = FEATHER,
    ) -> Result:
        """Paint one photo.

        Args:
            photo: a path, or a decoded picture.
            progress: is told after each evaluation.
            mask: says by the colours of `regions` where they are.
            protect: says by its lightness what is kept of the photo.
            feather: see `FEATHER`.

        Raises:
            ImageError: the photo or a mask cannot be read, or a mask not be meant.
            UsageError: the style has regions and the photo no mask, or it is the other way round, or the bundle has none.
            NonFiniteError: the loss is not finite at the start.
        """
        picture = photo if isinstance(photo, Picture) else read_picture(Path(photo))
        guidance = None
        if (mask is None) != (not self.regions):
            raise UsageError(TOGETHER)
        if mask is not None or protect is not None:
            content, kept = (_mask(given) if given is not None else None for given in (mask, protect))
            guidance = guide(picture.size, self.regions, content, kept, feather)
        painting = self.begin(picture, guidance=guidance)
        while not painting.done:
            progress(painting.step())
        return painting.result()

    @property
    def precisions(self) -> tuple[str, ...]:
        """Those that evaluations are made in: the early work's, and the last where that is another."""
        chosen = self.settings.precision
        return (self.engine.precisions[-1], "float32") if chosen == MIXED else (chosen,)

    @property
    def facts(self) -> Facts:
        """What a batch needs to know of it."""
        start = None if self.start is None else self.start.sha256
        recipe = Recipe(tuple(style.sha256 for style in self.styles), self.engine.bundle.id, self.settings, start)
        engine = self.engine
        return Facts(self.settings, recipe, engine.static, engine.provider, engine.free_memory(), self.regions)

    @property
    def style(self) -> StyleTargets:
        """The first of `styles`."""
        return self.styles[0]

    def style_for(self, picture: Picture, number: int = 0) -> StyleTargets:
        """A style as a photo's painting takes it: in its colours, if they are to be matched."""
        style, colors = self.styles[number], self.settings.colors
        return style.matched(picture, colors) if colors in MATCHES else style

    def cancel(self) -> None:
        """See `Engine`."""
        self.engine.cancel()

    def begin(
        self, picture: Picture, limit: int | None = None, guidance: Guidance | None = None, style: int = 0
    ) -> Painting:
        """A painting with nothing done yet.

        Args:
            picture: the photo.
            limit: long side, in pixels, above which there is to be no level.
            guidance: where its regions are, and what is kept of it.
            style: number of its style.

        Raises:
            ProviderError: the provider computes something else than the CPU provider.
            UsageError: style, photo and bundle have not the same regions.
        """
        self.check(guidance)
        if not self._agreed:
            check_agreement(self.engine, self.precisions)
            self._agreed = True
        settings = self.settings if limit is None else self.settings.at_most(limit)
        return Painting(self, picture, settings, guidance, style)

    def check(self, guidance: Guidance | None) -> None:
        """Refuse masks of a photo that do not go with the style's.

        Raises:
            UsageError: style, photo and bundle have not the same regions.
        """
        if guidance is not None and not self._has_regions:
            raise UsageError(NO_REGIONS)
        if len(self.regions or [()]) != (1 if guidance is None else len(guidance.channels)):
            raise UsageError(TOGETHER)

    @property
    def _has_regions(self) -> bool:
        return self.engine.bundle.manifest.spec.regions

    def _read(
        self,
        pictures: Sequence[str | Path | Photo],
        blend: Sequence[float] | None,
        each: bool,
        masks: Sequence[str | Path | Mask],
        cache: str | Path | None,
    ) -> tuple[StyleTargets, ...]:
        shares = [1.0] * len(pictures) if blend is None else list(blend)
        if len(shares) != len(pictures):
            raise UsageError(f"a blend of {len(shares)} shares for {len(pictures)} styles")
        if not pictures or not all(0 < share <= HEAVIEST for share in shares):
            raise UsageError("a blend takes at least one style, and shares above 0")
        if masks and len(masks) != len(pictures):
            raise UsageError(
                f"{len(masks)} style masks for {len(pictures)} styles; one of a single colour takes a whole style"
            )
        if masks and not self._has_regions:
            raise UsageError(NO_REGIONS)
        photos = [picture if isinstance(picture, Photo) else read_style(Path(picture)) for picture in pictures]
        engine, folder = self.engine, None if cache is None else Path(cache)
        try:
            of_styles: list[Mask | None] = [*map(_mask, masks)] if masks else [None] * len(photos)
            self.regions = find_regions([mask for mask in of_styles if mask is not None])
            pairs = zip(photos, of_styles, strict=True)
            styles = [Style(photo, engine, folder, mask, self.regions) for photo, mask in pairs]
        except ImageError as error:
            raise StyleError(f"style mask: {error}") from None
        return tuple(styles) if each or len(styles) == 1 else (Blend(styles, shares),)


TOGETHER = "masks of the style and of the photos go together: give both, or none"

NO_REGIONS = "masks take a bundle with regions: leave --bundle out, or make one with `nstbatch export --regions`"


def _mask(given: str | Path | Mask) -> Mask:
    return given if isinstance(given, Mask) else Mask.read(Path(given))


def _possible(settings: Settings, engine: Engine) -> Settings:
    """Settings that an engine can follow: on a CPU without bfloat16, OpenVINO's mixed precision is float32 throughout."""
    chosen, had = settings.precision, engine.precisions
    if (chosen == "fp16") != (had == ("fp16",)):
        raise UsageError(
            f"the bundle {engine.bundle.path} computes in {' and '.join(had)}, --precision {chosen} takes another: leave "
            f"--bundle out, or make one with `nstbatch export --precision {'fp16' if chosen == 'fp16' else 'float32'}`"
        )
    spec = engine.bundle.manifest.spec
    taps = dict.fromkeys((*spec.content_taps, *spec.style_taps))
    unknown = [tap for tap, _ in settings.layer_weights if tap not in taps]
    if unknown:
        raise UsageError(f"layer weight of '{unknown[0]}': the bundle compares {', '.join(taps)}")
    wanted = PRESETS[settings.preset].spec
    if settings.tv_weight and settings.preset != DEFAULT and spec.tv != wanted.tv:
        raise UsageError(
            f"the total variation of preset {settings.preset} is of kind '{wanted.tv}', of bundle {engine.bundle.path} "
            f"'{spec.tv}': leave --bundle out, or make one with `nstbatch export --preset {settings.preset}`"
        )
    if chosen in had or (chosen == MIXED and len(had) > 1):
        return settings
    if chosen == MIXED and engine.provider == "openvino":
        return replace(settings, precision="float32")
    raise ProviderError(
        f"provider '{engine.provider}' computes in {' and '.join(had)} here, --precision {chosen} is not possible; bfloat16 "
        f"takes --provider openvino on a CPU with AMX, tf32 takes --provider cuda"
    )
