"""Pictures in a labelled grid, to choose from."""

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from ..recipe.size import Size
from .pixels import resize

_CELL = 320
"""Long side of a picture on the sheet, in pixels."""

_MARGIN = 8
_TEXT = 16
"""Height of the labels, in pixels."""


def contact_sheet(
    pictures: Sequence[Sequence[Image.Image | None]], rows: Sequence[str], columns: Sequence[str]
) -> Image.Image:
    """One image of many.

    Args:
        pictures: of mode RGB, by row and column; None where there is none.
        rows: labels, left of each row.
        columns: labels, above each column.
    """
    font = ImageFont.load_default(_TEXT)
    largest = max((max(picture.size) for line in pictures for picture in line if picture is not None), default=_CELL)
    factor = min(1.0, _CELL / largest)
    sizes = [
        (round(picture.width * factor), round(picture.height * factor))
        for line in pictures
        for picture in line
        if picture is not None
    ]
    width = max([*(w for w, _ in sizes), *(round(font.getlength(label)) for label in columns)], default=_CELL)
    height = max((h for _, h in sizes), default=_CELL)
    left = _MARGIN + max(round(font.getlength(label)) for label in rows) + _MARGIN
    top = _MARGIN + _TEXT + _MARGIN
    across, down = width + _MARGIN, height + _MARGIN
    sheet = Image.new("RGB", (left + len(columns) * across, top + len(rows) * down), "white")
    draw = ImageDraw.Draw(sheet)
    for column, label in enumerate(columns):
        draw.text((left + column * across + width / 2, _MARGIN), label, "black", font, anchor="mt")
    for row, label in enumerate(rows):
        draw.text((_MARGIN, top + row * down + height / 2), label, "black", font, anchor="lm")
        for column, picture in enumerate(pictures[row]):
            if picture is not None:
                small = resize(picture, Size(*(max(1, round(side * factor)) for side in picture.size)))
                offset = left + column * across + (width - small.width) // 2, top + row * down + (height - small.height) // 2
                sheet.paste(small, offset)
    return sheet
