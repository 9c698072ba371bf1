"""The size of a picture, with names for its two numbers."""

from dataclasses import dataclass
from typing import NamedTuple

from ..bundle.spec import MIN_SIDE


class Size(NamedTuple):
    """Width and height of a picture, in pixels, in Pillow's order. An array's are the other way round: see `of_array`."""

    width: int
    height: int

    @classmethod
    def of_array(cls, shape: tuple[int, ...]) -> "Size":
        """The size of an image whose array has a shape ``[..., H, W]``."""
        return cls(shape[-1], shape[-2])

    @property
    def long_side(self) -> int:
        """The longer side."""
        return max(self)

    @property
    def pixels(self) -> int:
        """The number of pixels."""
        return self.width * self.height

    def fit(self, long_side: int) -> "Size":
        """The size scaled so that the longer side is ``long_side``, with neither side below what a bundle takes."""
        factor = long_side / max(self)
        return Size(*(max(MIN_SIDE, round(side * factor)) for side in self))

    def __str__(self) -> str:
        return f"{self.width} x {self.height}"


@dataclass(frozen=True)
class TileSize:
    """Of the tiles that pictures are evaluated in.

    Attributes:
        side: most pixels of a tile's own, in each direction.
        halo: pixels that it sees beyond, to each side.
        always: whether a picture that is larger is in tiles though memory holds it.
    """

    side: int
    halo: int
    always: bool

    @property
    def pixels(self) -> int:
        """That the largest tile sees."""
        return (self.side + 2 * self.halo) ** 2
