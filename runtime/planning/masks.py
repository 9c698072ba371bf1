"""The masks of a batch's photos, as files."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from ..errors import ImageError, UsageError
from ..files.location import exists, is_folder
from ..files.reading import sha256_file
from ..pictures.formats import is_read
from ..pictures.regions import Color, Guidance, Mask, digest, guide
from ..recipe.settings import FEATHER, MAX_MEGAPIXELS
from ..recipe.size import Size
from .placement import Item


@dataclass(frozen=True)
class MaskFiles:
    """Where the masks of photos are.

    Of a folder, a photo's mask is the picture of its stem, in the folders that the output has, or else at the top; a file is
    every photo's mask.

    Attributes:
        regions: of the style; none where it has no masks.
        content_mask: file or folder of the masks that show where regions are; None if there are none.
        protect: the same of the masks that show what is kept.
        feather: see `FEATHER`.
        max_megapixels: masks with more are refused.
    """

    regions: Sequence[Color] = ()
    content_mask: Path | None = None
    protect: Path | None = None
    feather: float = FEATHER
    max_megapixels: float = MAX_MEGAPIXELS
    _listings: dict[Path, dict[str, list[str]]] = field(default_factory=dict, compare=False)
    """Names of the pictures in a folder, by stem."""

    def check(self, style_masks: int) -> None:
        """Refuse what does not go with the masks of the styles, of which there are so many.

        Raises:
            UsageError: there are masks of styles and none of photos, or the other way round; or there is nothing where
                photos' masks are named.
        """
        if bool(style_masks) != bool(self.content_mask):
            raise UsageError("--style-mask and --content-mask go together: name both, or none")
        for place in (self.content_mask, self.protect):
            if place is not None and not exists(place):
                raise UsageError(f"{place}: no such file or folder of masks")

    def digest(self, item: Item) -> str:
        """A sha256 of a photo's masks and all that is made of them; empty if it has none.

        Raises:
            ImageError: it has none in the folder.
            OSError: a mask cannot be read.
        """
        found = [None if path is None else sha256_file(path) for path in self._of(item)]
        return digest(self.regions, found, self.feather)

    def read(self, item: Item, size: Size) -> Guidance | None:
        """What a photo's masks say; None if it has none.

        Args:
            item: the photo.
            size: of it.

        Raises:
            ImageError: a mask is missing, cannot be read, or does not fit the photo.
        """
        content, protect = (None if path is None else Mask.read(path, self.max_megapixels) for path in self._of(item))
        if content is None and protect is None:
            return None
        return guide(size, self.regions, content, protect, self.feather)

    def _of(self, item: Item) -> list[Path | None]:
        return [None if place is None else self._find(place, item) for place in (self.content_mask, self.protect)]

    def _find(self, place: Path, item: Item) -> Path:
        if not is_folder(place):
            return place
        stem = item.source.stem
        for below in dict.fromkeys((PurePath(item.key).parent, PurePath())):
            names = self._listing(place / below).get(stem, [])
            if len(names) > 1:
                raise ImageError(f"{place / below}: {' and '.join(names)} are both masks of it; leave one")
            if names:
                return place / below / names[0]
        raise ImageError(f"{place}: has no mask of it, such as {stem}.png")

    def _listing(self, folder: Path) -> dict[str, list[str]]:
        if folder not in self._listings:
            listing: dict[str, list[str]] = {}
            for path in sorted(folder.iterdir()) if is_folder(folder) else []:
                if is_read(path) and not path.name.startswith("."):
                    listing.setdefault(path.stem, []).append(path.name)
            self._listings[folder] = listing
        return self._listings[folder]
