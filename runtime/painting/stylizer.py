"""One photo to one painting, in one style."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from ..bundle.spec import GRAM, MIN_SIDE, Bundle
from ..engine.engine import Engine
from ..engine.host import Host
from ..errors import ImageError, ProviderError, StyleError, UsageError
from ..files.location import Location
from ..pictures.photo import Photo, Picture, read_picture
from ..pictures.regions import Color, Guidance, Mask, find_regions, guide
from ..pictures.styles import Styles, read_style
from ..recipe.fingerprint import Recipe
from ..recipe.keywords import names_of, refuse_unknown, take
from ..recipe.presets import DEFAULT, PRESETS
from ..recipe.provider import AUTO, Precision, Provider
from ..recipe.settings import FEATHER, INITS, MATCHES, Settings
from ..recipe.size import Size, TileSize
from .agreement import TRIAL, check_agreement
from .objective import weigh
from .painting import Painting, PhotoJob, Progress, Result
from .schedule import precisions_of
from .style import Blend, Style, StyleTargets
from .tiling import Tiling

START = "picture to start from"
"""What errors call the picture that ``init`` names."""


@dataclass(frozen=True)
class Facts:
    """What a batch needs to know of a stylizer, wherever that is.

    Attributes:
        settings: that are followed.
        recipe: what it paints by.
        static, captures: see `Engine`.
        provider: that was obtained.
        free_memory, largest_buffer: see `Engine`.
        tile: of pictures that memory does not hold in one piece, see `Tiling`.
        regions: see `find_regions`.
    """

    settings: Settings
    recipe: Recipe
    static: bool
    captures: bool
    provider: str
    free_memory: int | None
    largest_buffer: int | None
    tile: TileSize | None
    regions: tuple[Color, ...]


class Stylizer:
    """Paints photos in one style, or in one of several. `open` makes one of paths and options.

    Args:
        engine: evaluates.
        styles: what to paint in.
        settings: of the optimisation.
        start: the picture that ``init`` names, if it has been read already.
        check: compares the engine's provider with the CPU provider before the first painting.

    Attributes:
        settings: those that the engine can follow.
        tiling: evaluates pictures that memory does not hold in one piece.
        styles: what photos are painted in, by number; one, unless each of several is a style by itself.
        regions: their colours; none without masks.

    Raises:
        ProviderError, StyleError, UsageError: the engine cannot follow the settings, or the styles cannot be used with it.
    """

    def __init__(
        self,
        engine: Engine,
        styles: Styles,
        settings: Settings,
        start: Photo | None = None,
        check: Callable[[Engine, Iterable[str], tuple[int, int]], object] = check_agreement,
    ) -> None:
        self.engine = engine
        self.settings = _possible(settings, engine)
        self._check_agreement = check
        self._agreed = engine.provider == Provider.CPU
        self.tiling = Tiling(engine, partial(_agree_in_tiles, check, precisions_of(self.settings, engine.precisions)))
        self.regions: tuple[Color, ...] = ()
        self.styles: tuple[StyleTargets, ...] = self._targets(styles)
        if start is None and self.settings.init not in INITS:
            start = read_style(Path(self.settings.init), role=START)
        self.start = start

    @classmethod
    def open(
        cls,
        bundle: str | Path | Bundle | Engine,
        style: str | Path | Photo | Sequence[str | Path | Photo],
        *,
        start: Photo | None = None,
        style_blend: Sequence[float] | None = None,
        style_each: bool = False,
        style_mask: Sequence[str | Path | Mask] = (),
        check: Callable[[Engine, Iterable[str], tuple[int, int]], object] = check_agreement,
        **options: Any,
    ) -> "Stylizer":
        """A stylizer of a bundle, a style and options by their names on the command line.

        Args:
            bundle: folder of a bundle, a loaded one, or an engine that has one.
            style: the style picture, a path or already read; or several.
            start: the picture that ``init`` names, if it has been read already.
            style_blend: the share of each of several styles; None for equal shares.
            style_each: whether several are each a style by itself.
            style_mask: of each style, the colours of whose regions those of a photo's mask are to have.
            check: see `Stylizer`.
            options: fields of `Settings`, and those of `Settings.of`; and of `Host`, unless an engine is given.

        Raises:
            BundleError, ProviderError, StyleError, UsageError: bundle, provider, style or an option cannot be used.
        """
        of_host = [] if isinstance(bundle, Engine) else names_of(Host)
        refuse_unknown(options, [*Settings.KEYWORDS, *of_host])
        if isinstance(options.get("cache"), str):
            options["cache"] = Path(options["cache"])
        host = take(Host, options)
        settings = Settings.of(**{name: value for name, value in options.items() if name not in of_host})
        if not isinstance(bundle, Engine):
            loaded = bundle if isinstance(bundle, Bundle) else Bundle.load(bundle)
            bundle = Engine(loaded, host, settings.precision)
        named = [style] if isinstance(style, str | Path | Photo) else style
        masks = [mask if isinstance(mask, Mask) else Path(mask) for mask in style_mask]
        pictures = [picture if isinstance(picture, Photo) else Path(picture) for picture in named]
        return cls(bundle, Styles.read(pictures, style_blend, style_each, masks), settings, start, check)

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
            progress: is called after each evaluation.
            mask: shows by the colours of `regions` where they are.
            protect: shows by its lightness what is kept of the photo.
            feather: see `FEATHER`.

        Raises:
            ImageError: the photo or a mask cannot be read, or the mask does not fit.
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
        painting = self.begin(PhotoJob(picture, guidance=guidance))
        while not painting.done:
            progress(painting.step())
        return painting.result()

    @property
    def precisions(self) -> tuple[str, ...]:
        """The precisions that evaluations are made in, see `precisions_of`."""
        return precisions_of(self.settings, self.engine.precisions)

    @property
    def facts(self) -> Facts:
        """What a batch needs to know of it."""
        start = None if self.start is None else self.start.sha256
        recipe = Recipe(tuple(style.sha256 for style in self.styles), self.engine.bundle.id, self.settings, start)
        engine = self.engine
        return Facts(
            self.settings,
            recipe,
            engine.static,
            engine.captures,
            engine.provider,
            engine.free_memory(),
            engine.largest_buffer,
            self.tiling.size,
            self.regions,
        )

    @property
    def style(self) -> StyleTargets:
        """The first of `styles`."""
        return self.styles[0]

    def style_for(self, picture: Picture, number: int = 0) -> StyleTargets:
        """A style as a photo's painting takes it: in its colours, if they are to be matched."""
        style, colors = self.styles[number], self.settings.colors
        return style.matched(picture, colors) if colors in MATCHES else style

    def cancel(self) -> None:
        """End an evaluation that is under way, from another thread, and every later one at once."""
        self.engine.cancel()
        self.tiling.cancel()

    def begin(self, job: PhotoJob) -> Painting:
        """A painting with nothing done yet.

        Raises:
            ProviderError: the provider computes something else than the CPU provider.
            UsageError: style, photo and bundle have not the same regions.
        """
        self.check(job.guidance)
        self.agree()
        start = None if self.start is None else self.start.picture
        return Painting(self.engine, self.settings, job, self.style_for(job.picture, job.style), start, self.tiling)

    def agree(self, trial: tuple[int, int] = TRIAL) -> None:
        """Compare the provider with the CPU provider, unless it is that, or that was done; see `check_agreement`.

        Raises:
            ProviderError: it computes something else.
        """
        if not self._agreed:
            self._check_agreement(self.engine, self.precisions, trial)
            self._agreed = True

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

    def _targets(self, styles: Styles) -> tuple[StyleTargets, ...]:
        if styles.masks and not self._has_regions:
            raise UsageError(NO_REGIONS)
        cache = self.engine.host.cache
        masks: Sequence[Mask | None] = styles.masks or (None,) * len(styles.pictures)
        try:
            self.regions = find_regions(styles.masks)
            pairs = zip(styles.pictures, masks, strict=True)
            targets = [Style(photo, self.engine, cache, mask, self.regions, self.tiling) for photo, mask in pairs]
        except ImageError as error:
            raise StyleError(f"style mask: {error}") from None
        return tuple(targets) if styles.each or len(targets) == 1 else (Blend(targets, styles.shares),)


TOGETHER = "masks of the style and of the photos go together: give both, or none"

NO_REGIONS = "masks take a bundle with regions: leave --bundle out, or make one with `nstbatch export --regions`"


def _mask(given: str | Location | Mask) -> Mask:
    return given if isinstance(given, Mask) else Mask.read(Path(given) if isinstance(given, str) else given)


def _agree_in_tiles(
    check: Callable[[Engine, Iterable[str], tuple[int, int]], object], precisions: Iterable[str], engine: Engine
) -> None:
    """Compare what evaluates tiles with the CPU provider, unless it is that."""
    if engine.provider != Provider.CPU:
        check(engine, precisions, TRIAL)


def _possible(settings: Settings, engine: Engine) -> Settings:
    """Settings that an engine can follow: on a CPU without bfloat16, OpenVINO's mixed precision is float32 throughout."""
    had = engine.precisions
    if settings.precision == AUTO:
        settings = replace(settings, precision=Precision.MIXED.value if len(had) > 1 else had[0])
    chosen = settings.precision
    if (chosen == Precision.FP16) != (had == (Precision.FP16,)):
        raise UsageError(
            f"the bundle {engine.bundle.path} computes in {' and '.join(had)}, --precision {chosen} takes another: leave "
            f"--bundle out, or make one with `nstbatch export --precision {'fp16' if chosen == 'fp16' else 'float32'}`"
        )
    spec = engine.bundle.manifest.spec
    taps = dict.fromkeys((*spec.content_taps, *spec.style_taps))
    if spec.style_distance != GRAM:
        if settings.whitening == "on":
            raise UsageError("--whitening on is of Gram matrices, and the bundle compares something else; leave it out")
        settings = replace(settings, whitening="off")
    unknown = [tap for tap, _ in settings.layer_weights if tap not in taps]
    if unknown:
        raise UsageError(f"layer weight of '{unknown[0]}': the bundle compares {', '.join(taps)}")
    # A preset and a distance that do not go together are refused before anything is painted.
    weigh(settings, spec, Size(MIN_SIDE, MIN_SIDE))
    wanted = PRESETS[settings.preset].spec
    settings = replace(settings, tv_weight=settings.tv_weight_of(spec.tv))
    if settings.tv_weight and settings.preset != DEFAULT and spec.tv != wanted.tv:
        raise UsageError(
            f"the total variation of preset {settings.preset} is of kind '{wanted.tv}', of bundle {engine.bundle.path} "
            f"'{spec.tv}': leave --bundle out, or make one with `nstbatch export --preset {settings.preset}`"
        )
    if chosen in had or (chosen == Precision.MIXED and len(had) > 1):
        return settings
    if chosen == Precision.MIXED and engine.provider == Provider.OPENVINO:
        return replace(settings, precision=Precision.FLOAT32)
    raise ProviderError(
        f"provider '{engine.provider}' computes in {' and '.join(had)} here, --precision {chosen} is not possible; bfloat16 "
        f"takes --provider openvino on a CPU with AMX, tf32 takes --provider cuda"
    )
