"""The styles that a user names."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import StyleError, UsageError
from ..files.location import Location, is_folder
from ..pictures.photo import Photo
from ..pictures.styles import Styles, check_styles, read_masks, read_style
from .discovery import find_styles


@dataclass(frozen=True, kw_only=True)
class StyleChoice:
    """The pictures whose style is to be taken; see `Styles`, which they are read into.

    Attributes:
        style: paths and URLs of pictures; with ``style_each`` also of folders.
        style_blend: the share of each in one style; None for equal shares.
        style_each: whether each is a style by itself.
        style_mask: of each picture, a mask; or none.
    """

    style: Sequence[Location]
    style_blend: tuple[float, ...] | None = None
    style_each: bool = False
    style_mask: Sequence[Path] = ()

    def check(self) -> None:
        """Refuse styles that do not go together, before anything is read.

        Raises:
            UsageError: see `check_styles`.
        """
        check_styles(len(self.style), self.style_blend, self.style_each, len(self.style_mask))

    def paths(self) -> Sequence[Location]:
        """The pictures, and those of folders where each is a style by itself.

        Raises:
            UsageError: a folder is named otherwise, or one without pictures.
        """
        if self.style_each:
            return find_styles(self.style)
        for path in self.style:
            if isinstance(path, Path) and is_folder(path):
                raise UsageError(f"--style {path}: is a folder; --style-each paints in each of its pictures")
        return self.style

    def read(self, paths: Sequence[Location]) -> tuple[Styles, dict[int, str]]:
        """Read the pictures of `paths`.

        Returns:
            The styles; and where each is a style by itself, the errors of those that cannot be read, by number.

        Raises:
            StyleError: one cannot be read, or none.
        """
        pictures: list[Photo] = []
        damaged: dict[int, str] = {}
        for number, path in enumerate(paths):
            try:
                pictures.append(read_style(path))
            except StyleError as error:
                if not self.style_each or (not pictures and number == len(paths) - 1):
                    raise
                damaged[number] = str(error)
        masks = read_masks(self.style_mask)
        return Styles(tuple(pictures), self.style_blend, self.style_each, masks), damaged
