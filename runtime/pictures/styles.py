"""The pictures whose style is taken, as they were read, and how they go together."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import ImageError, StyleError, UsageError
from ..files.location import Location
from ..recipe.presets import HEAVIEST
from ..recipe.settings import MAX_MEGAPIXELS
from .photo import Photo, read_photo
from .regions import Mask


@dataclass(frozen=True)
class Styles:
    """Pictures whose style is taken.

    Attributes:
        pictures: one, or several as one or each by itself.
        blend: the share of each in one style; None for equal shares.
        each: whether each is a style by itself.
        masks: of each picture, the colours of whose regions those of a photo's mask are to have; none, or one for each.

    Raises:
        UsageError: see `check_styles`.
    """

    pictures: tuple[Photo, ...]
    blend: tuple[float, ...] | None = None
    each: bool = False
    masks: tuple[Mask, ...] = ()

    def __post_init__(self) -> None:
        check_styles(len(self.pictures), self.blend, self.each, len(self.masks))

    @classmethod
    def read(
        cls,
        paths: Sequence[Location | Photo],
        blend: Sequence[float] | None = None,
        each: bool = False,
        masks: Sequence[Location | Mask] = (),
    ) -> "Styles":
        """Read what is not read yet.

        Raises:
            StyleError: a picture or a mask cannot be read.
            UsageError: see `check_styles`.
        """
        shares = None if blend is None else tuple(blend)
        check_styles(len(paths), shares, each, len(masks))
        pictures = tuple(path if isinstance(path, Photo) else read_style(path) for path in paths)
        return cls(pictures, shares, each, read_masks(masks))

    @property
    def shares(self) -> tuple[float, ...]:
        """The weight of each picture in one style."""
        return (1.0,) * len(self.pictures) if self.blend is None else self.blend


def check_styles(count: int, blend: Sequence[float] | None, each: bool, masks: int) -> None:
    """The rules for how styles go together, in one place.

    Args:
        count: of the pictures.
        blend: see `Styles`.
        each: likewise.
        masks: how many there are.

    Raises:
        UsageError: there is no picture, or blend, ``each`` and masks do not go with each other or with their number.
    """
    if not count:
        raise UsageError("a painting takes at least one style")
    if each and (blend is not None or masks):
        raise UsageError("--style-each takes neither --style-blend nor --style-mask; leave them out")
    if blend is not None and len(blend) != count:
        raise UsageError(f"--style-blend has {len(blend)} shares for {count} styles")
    if blend is not None and not all(0 < share <= HEAVIEST for share in blend):
        raise UsageError("--style-blend takes shares above 0")
    if masks and masks != count:
        raise UsageError(f"{masks} --style-mask for {count} --style: one for each; one of a single colour takes all")


def read_style(path: Location, max_megapixels: float = MAX_MEGAPIXELS, role: str = "style") -> Photo:
    """Read a style, or a picture of another ``role``. Without it no photo can be painted.

    Raises:
        StyleError: the picture cannot be read.
    """
    try:
        return read_photo(path, max_megapixels)
    except ImageError as error:
        raise StyleError(f"{role}: {error}") from None


def read_masks(masks: Sequence[Location | Mask]) -> tuple[Mask, ...]:
    """Read the masks of styles that are not read yet.

    Raises:
        StyleError: one cannot be read.
    """
    try:
        return tuple(mask if isinstance(mask, Mask) else Mask.read(mask) for mask in masks)
    except ImageError as error:
        raise StyleError(f"style mask: {error}") from None
